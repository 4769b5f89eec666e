// SPDX-License-Identifier: Apache-2.0
//! `extensionProviders` of MeshConfig: others whom policies have asked, or told of what passes. Those that an edge asks or
//! tells are decoded; of the others is only known that they are there. Never judges what is written.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::istio::duration;
use crate::istio::scalars::text;

/// `MeshConfig.ExtensionProvider`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtensionProvider {
    /// What policies call it.
    pub name: String,
    /// An authorization server that speaks HTTP.
    pub envoy_ext_authz_http: Option<HttpAuthorizer>,
    /// One that speaks Envoy's gRPC.
    pub envoy_ext_authz_grpc: Option<GrpcAuthorizer>,
    /// A collector of spans.
    pub opentelemetry: Option<OpenTelemetry>,
    /// The gateway's own log.
    pub envoy_file_access_log: Option<Value>,
    /// Metrics for Prometheus.
    pub prometheus: Option<Value>,
    /// See [`Self::others`].
    pub zipkin: Option<Value>,
    /// See [`Self::others`].
    pub lightstep: Option<Value>,
    /// See [`Self::others`].
    pub datadog: Option<Value>,
    /// See [`Self::others`].
    pub stackdriver: Option<Value>,
    /// See [`Self::others`].
    pub opencensus: Option<Value>,
    /// See [`Self::others`].
    pub skywalking: Option<Value>,
    /// See [`Self::others`].
    pub envoy_http_als: Option<Value>,
    /// See [`Self::others`].
    pub envoy_tcp_als: Option<Value>,
    /// See [`Self::others`].
    pub envoy_otel_als: Option<Value>,
    /// See [`Self::others`].
    pub sds: Option<Value>,
}

impl ExtensionProvider {
    /// Which of those it is that are neither asked nor told anything.
    pub fn others(&self) -> Option<&'static str> {
        let all = [
            ("zipkin", &self.zipkin),
            ("lightstep", &self.lightstep),
            ("datadog", &self.datadog),
            ("stackdriver", &self.stackdriver),
            ("opencensus", &self.opencensus),
            ("skywalking", &self.skywalking),
            ("envoyHttpAls", &self.envoy_http_als),
            ("envoyTcpAls", &self.envoy_tcp_als),
            ("envoyOtelAls", &self.envoy_otel_als),
            ("sds", &self.sds),
        ];
        all.into_iter().find(|(_, written)| written.is_some()).map(|(name, _)| name)
    }
}

/// `EnvoyExternalAuthorizationHttpProvider`. Names of fields may begin or end with `*`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpAuthorizer {
    /// `host`, or `namespace/host`.
    pub service: String,
    /// Its port.
    pub port: u32,
    /// An answer is waited for so long; `None`: 600 s.
    #[serde(deserialize_with = "duration::optional")]
    pub timeout: Option<Duration>,
    /// What is put before paths.
    pub path_prefix: String,
    /// Requests go on if it fails.
    pub fail_open: bool,
    /// After a yes routes are looked at again.
    pub clear_route_cache: bool,
    /// What clients get if it fails; `None`: 403.
    #[serde(deserialize_with = "text")]
    pub status_on_error: Option<String>,
    /// Deprecated: as the next one, where that is empty.
    pub include_headers_in_check: Vec<String>,
    /// Fields that it is shown.
    pub include_request_headers_in_check: Vec<String>,
    /// Fields that are added to what it is shown.
    pub include_additional_headers_in_check: BTreeMap<String, String>,
    /// The body, too.
    pub include_request_body_in_check: Option<RequestBody>,
    /// Fields of a yes that go on.
    pub headers_to_upstream_on_allow: Vec<String>,
    /// Fields of a no that the client gets; empty: all.
    pub headers_to_downstream_on_deny: Vec<String>,
    /// Fields of a yes that the client gets.
    pub headers_to_downstream_on_allow: Vec<String>,
}

/// `EnvoyExternalAuthorizationGrpcProvider`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcAuthorizer {
    /// `host`, or `namespace/host`.
    pub service: String,
    /// Its port.
    pub port: u32,
    /// An answer is waited for so long; `None`: 600 s.
    #[serde(deserialize_with = "duration::optional")]
    pub timeout: Option<Duration>,
    /// Requests go on if it fails.
    pub fail_open: bool,
    /// After a yes routes are looked at again.
    pub clear_route_cache: bool,
    /// What clients get if it fails; `None`: 403.
    #[serde(deserialize_with = "text")]
    pub status_on_error: Option<String>,
    /// The body, too.
    pub include_request_body_in_check: Option<RequestBody>,
}

/// `EnvoyExternalAuthorizationRequestBody`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestBody {
    /// So many bytes of it.
    pub max_request_bytes: u32,
    /// Larger ones are shown in part, and not refused.
    pub allow_partial_message: bool,
    /// As bytes, be it text or not.
    pub pack_as_bytes: bool,
}

/// `OpenTelemetryTracingProvider`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OpenTelemetry {
    /// `host`, or `namespace/host`.
    pub service: String,
    /// Its port.
    pub port: u32,
    /// Longest path in a span, in bytes; 0: as Istio has it, 256.
    pub max_tag_length: u32,
    /// It speaks HTTP.
    pub http: Option<OtlpHttp>,
    /// It speaks gRPC, as it also does if neither is there.
    pub grpc: Option<OtlpGrpc>,
    /// Who else says what a proxy is.
    pub resource_detectors: Option<Value>,
    /// What a proxy is called.
    pub service_attribute_enrichment: Option<Value>,
    /// Somebody else decides what is sampled.
    pub dynatrace_sampler: Option<Value>,
}

/// `HttpService`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct OtlpHttp {
    /// Where spans are posted.
    pub path: String,
    /// An answer is waited for so long.
    #[serde(deserialize_with = "duration::optional")]
    pub timeout: Option<Duration>,
    /// Fields of each request.
    pub headers: Vec<OtlpField>,
}

/// `GrpcService`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OtlpGrpc {
    /// An answer is waited for so long.
    #[serde(deserialize_with = "duration::optional")]
    pub timeout: Option<Duration>,
    /// Fields of each call.
    pub initial_metadata: Vec<OtlpField>,
}

/// `HttpHeader`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OtlpField {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(deserialize_with = "text")]
    pub value: Option<String>,
    /// The variable of the environment that has it.
    #[serde(deserialize_with = "text")]
    pub env_name: Option<String>,
}
