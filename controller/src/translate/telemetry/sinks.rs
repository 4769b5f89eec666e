// SPDX-License-Identifier: Apache-2.0
//! What providers of the mesh are to a gateway that is told of by name: its own log, its own metrics, or nobody that it
//! tells. Names are compared in any case, as in Istio. Never resolves a service.

use torana_crds::istio::MeshConfig;
use torana_crds::istio::extension_provider::ExtensionProvider;
use torana_crds::istio::telemetry::ProviderRef;

/// The own log, which Istio has without being told.
pub(super) const ENVOY: &str = "envoy";
/// The own metrics, which it has so, too.
pub(super) const PROMETHEUS: &str = "prometheus";

/// What a provider is to a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sink<'m> {
    /// Its own log; with what of the provider is not obeyed.
    Log(Option<&'static str>),
    /// Its own metrics.
    Metrics,
    /// Something else: of this kind.
    Other(&'m str),
    /// The mesh has none of that name.
    Unknown,
}

/// What the provider of that name is.
pub(super) fn sink<'m>(mesh: &'m MeshConfig, name: &str) -> Sink<'m> {
    let own = mesh.extension_providers.iter().find(|it| it.name.eq_ignore_ascii_case(name));
    match own {
        Some(provider) => kind(provider),
        None if name.eq_ignore_ascii_case(ENVOY) => Sink::Log(None),
        None if name.eq_ignore_ascii_case(PROMETHEUS) => Sink::Metrics,
        None => Sink::Unknown,
    }
}

fn kind(provider: &ExtensionProvider) -> Sink<'_> {
    if let Some(log) = &provider.envoy_file_access_log {
        let is_said = |field: &str| log.get(field).is_some_and(|it| !it.is_null() && it.as_str() != Some(""));
        let elsewhere = is_said("path") && log["path"] != "/dev/stdout";
        let unheeded = is_said("logFormat").then_some("its logFormat").or(elsewhere.then_some("its path"));
        return Sink::Log(unheeded);
    }
    let others = [
        ("envoyExtAuthzHttp", provider.envoy_ext_authz_http.is_some()),
        ("envoyExtAuthzGrpc", provider.envoy_ext_authz_grpc.is_some()),
        ("opentelemetry", provider.opentelemetry.is_some()),
    ];
    match others.into_iter().find(|(_, is_it)| *is_it) {
        _ if provider.prometheus.is_some() => Sink::Metrics,
        Some((kind, _)) => Sink::Other(kind),
        None => Sink::Other(provider.others().unwrap_or("unknown")),
    }
}

/// Names of providers that stand in a block; empty: it names none.
pub(super) fn names(providers: &[ProviderRef]) -> Vec<&str> {
    providers.iter().map(|provider| provider.name.as_str()).collect()
}

/// Those that are meant where none is named anywhere.
pub(super) fn defaults<'m>(of_mesh: &'m [String], own: &'static str) -> Vec<&'m str> {
    if of_mesh.is_empty() { vec![own] } else { of_mesh.iter().map(String::as_str).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_provider_is_what_the_mesh_says_it_is() {
        let mesh: MeshConfig = serde_json::from_value(json!({"extensionProviders": [
            {"name": "stdout", "envoyFileAccessLog": {"path": "/dev/stdout"}},
            {"name": "file", "envoyFileAccessLog": {"path": "/tmp/log"}},
            {"name": "text", "envoyFileAccessLog": {"path": "/dev/stdout", "logFormat": {"text": "x"}}},
            {"name": "mine", "prometheus": {}},
            {"name": "otel", "opentelemetry": {"service": "a", "port": 1}},
            {"name": "als", "envoyOtelAls": {"service": "a", "port": 1}},
            {"name": "nothing"},
        ]}))
        .unwrap();
        for (name, expected) in [
            ("stdout", Sink::Log(None)),
            ("STDOUT", Sink::Log(None)),
            ("file", Sink::Log(Some("its path"))),
            ("text", Sink::Log(Some("its logFormat"))),
            ("mine", Sink::Metrics),
            ("otel", Sink::Other("opentelemetry")),
            ("als", Sink::Other("envoyOtelAls")),
            ("nothing", Sink::Other("unknown")),
            ("envoy", Sink::Log(None)),
            ("prometheus", Sink::Metrics),
            ("none", Sink::Unknown),
        ] {
            assert_eq!(sink(&mesh, name), expected, "{name}");
        }
    }
}
