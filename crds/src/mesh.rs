// SPDX-License-Identifier: Apache-2.0
//! The text of a [`MeshConfig`]: from YAML to what it says, with all that there is to say about its fields. Never lays one
//! over another.

use serde_json::Value;
use serde_saphyr::{MessageFormatter, UserMessageFormatter};

use crate::decode::{Unreadable, place, shown};
use crate::istio::MeshConfig;
use crate::istio::mesh_config::is_known;
use crate::shape::Shaped;

/// Unknown paths kept of one text.
const MOST_UNKNOWN: usize = 100;

/// A ConfigMap has a mebibyte at most; nobody nests deeply or repeats much there.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 64,
            flow_nesting_limit: 64,
            max_nodes: 200_000,
            max_events: 400_000,
            max_aliases: 100,
            max_anchors: 100,
            max_documents: 1,
            max_total_scalar_bytes: 2 << 20,
            max_recorded_anchor_events: 10_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 10_000,
            max_replay_stack_depth: 16,
        },
        emit_comments: false,
    }
}

/// The text as a map, empty if it says nothing.
///
/// # Errors
/// It is no YAML, too large, or no map.
pub fn parse_mesh_config(text: &str) -> Result<Value, Unreadable> {
    match serde_saphyr::from_str_with_options(text, options()) {
        Ok(Value::Null) => Ok(Value::Object(serde_json::Map::new())),
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(Unreadable { path: String::new(), why: "is no map of fields".to_owned() }),
        Err(error) => {
            let line = error.location().map_or(1, |location| location.line());
            let message = UserMessageFormatter.format_message(error.without_snippet());
            let why = message.lines().next().unwrap_or_default().trim();
            Err(Unreadable { path: String::new(), why: format!("is no YAML: line {line}: {why}") })
        }
    }
}

/// What a map says, and the paths of fields that Istio does not have.
///
/// # Errors
/// A field cannot be read.
pub fn read_mesh_config(value: &Value) -> Result<(MeshConfig, Vec<String>), Unreadable> {
    let mut unknown = Vec::new();
    let mut note = |path: &serde_ignored::Path<'_>| {
        let path = shown(path);
        if !is_known(&path) && unknown.len() < MOST_UNKNOWN {
            unknown.push(path);
        }
    };
    match serde_ignored::deserialize::<_, _, MeshConfig>(Shaped(value), |path| note(&path)) {
        Ok(read) => Ok((read, unknown)),
        Err(error) => {
            let path = place(serde_path_to_error::deserialize::<_, MeshConfig>(Shaped(value)));
            Err(Unreadable { path, why: error.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::istio::mesh_config::{NormalizationType, unheeded};
    use crate::istio::names::Export;

    use super::*;

    fn read(text: &str) -> Result<(MeshConfig, Vec<String>), Unreadable> {
        read_mesh_config(&parse_mesh_config(text)?)
    }

    #[test]
    fn a_text_is_read_field_by_field() {
        let (config, unknown) = read(
            "
            pathNormalization: {normalization: MERGE_SLASHES}
            connectTimeout: 1.5s
            defaultHttpRetryPolicy: {attempts: 3, retryOn: '5xx,503'}
            defaultTrafficPolicy: {outlierDetection: {consecutive5xxErrors: 2}}
            defaultServiceExportTo: ['.', web]
            rootNamespace: ''
            discoverySelectors: [{matchLabels: {a: b}}, {}]
            proxyListenPort: 15001
            accessLogFile: null
            ",
        )
        .unwrap();
        assert_eq!(config.path_normalization.normalization, NormalizationType::MergeSlashes);
        assert_eq!(config.connect_timeout, Some(Duration::from_millis(1500)));
        let retries = config.default_http_retry_policy.unwrap();
        assert_eq!((retries.attempts, retries.retry_on.unwrap().codes), (3, vec![503]));
        assert_eq!(config.default_traffic_policy.outlier_detection.unwrap().consecutive_5xx_errors, 2);
        assert_eq!(config.default_service_export_to, [Export::Own, Export::Namespace("web".to_owned())]);
        assert_eq!((config.root_namespace, config.discovery_selectors.len(), unknown), (None, 2, Vec::new()));
        for nothing in ["", "# only a comment", "null", "{}"] {
            assert_eq!(read(nothing), Ok((MeshConfig::default(), Vec::new())), "{nothing:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_where_and_what_is_unknown_is_told() {
        for (text, path) in [
            ("a: [", ""),
            ("[]", ""),
            ("a: 1\na: 2", ""),
            ("connectTimeout: soon", "connectTimeout"),
            ("pathNormalization: {normalization: merge}", "pathNormalization.normalization"),
            ("pathNormalization: [NONE]", "pathNormalization"),
            ("defaultServiceExportTo: '.'", "defaultServiceExportTo"),
        ] {
            assert_eq!(read(text).map_err(|unreadable| unreadable.path), Err(path.to_owned()), "{text}");
        }
        let (_, unknown) = read("{ownField: 1, pathNormalization: {strict: true}, trustDomain: x, ca: {}}").unwrap();
        assert_eq!(unknown, ["ownField", "pathNormalization.strict"]);
    }

    #[test]
    fn aliases_cannot_multiply_a_text() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let copies = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb = format!("{bomb}a{level}: &a{level} [{copies}]\n");
        }
        assert!(read(&bomb).is_err());
    }

    #[test]
    fn only_what_is_asked_for_is_told_not_to_be_obeyed() {
        let told = |text: &str| {
            let value = parse_mesh_config(text).unwrap();
            unheeded(&value).map(|field| field.path).collect::<Vec<_>>()
        };
        assert_eq!(told("{trustDomain: x.y, enableAutoMtls: true, accessLogFile: '', tlsDefaults: null}"), [""; 0]);
        assert_eq!(told("{caCertificates: [{pem: x}], meshMTLS: {}}"), [""; 0]);
        assert_eq!(told("defaultConfig: {gatewayTopology: {numTrustedProxies: 1, proxyProtocol: {}}}"), [""; 0]);
        let forwarded = "defaultConfig.gatewayTopology.forwardClientCertDetails";
        for (value, is_told) in
            [("SANITIZE", false), ("SANITIZE_SET", false), ("APPEND_FORWARD", true), ("FORWARD_ONLY", true)]
        {
            let found = told(&format!("defaultConfig: {{gatewayTopology: {{forwardClientCertDetails: {value}}}}}"));
            assert_eq!(found == [forwarded], is_told, "{value}: {found:?}");
        }
    }
}
