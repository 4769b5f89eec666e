// SPDX-License-Identifier: Apache-2.0
//! Telemetry of `telemetry.istio.io`: what proxies tell of what passes: traces, metrics, lines of the access log. Values
//! are as written; [`problems`](Telemetry::problems) judges them. Never says what of several objects holds: that depends
//! on whom each is for.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use crate::istio::destination_rule::WorkloadSelector;
use crate::istio::duration;
use crate::istio::scalars::{Decimal, words};
use crate::istio::security::{PolicyTarget, Scope};
use crate::meta::ObjectMeta;

/// `telemetry.istio.io` Telemetry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Telemetry {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// What it says.
    #[serde(default)]
    pub spec: TelemetrySpec,
}

/// `Telemetry`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TelemetrySpec {
    /// Pods with these labels.
    pub selector: Option<WorkloadSelector>,
    /// The same as an only entry of `target_refs`, deprecated.
    pub target_ref: Option<PolicyTarget>,
    /// Objects of its namespace.
    pub target_refs: Vec<PolicyTarget>,
    /// Of traces; a later one is laid over those before it.
    pub tracing: Vec<Tracing>,
    /// Of metrics; a later one is laid over those before it.
    pub metrics: Vec<Metrics>,
    /// Of the access log; a later one is laid over those before it.
    pub access_logging: Vec<AccessLogging>,
}

words! {
    /// `WorkloadMode`: on which side of a connection a workload is. A gateway is the client of backends.
    #[derive(Default)]
    WorkloadMode {
        /// On either. Also what an absent mode means.
        #[default]
        ClientAndServer = "CLIENT_AND_SERVER",
        /// It sends requests.
        Client = "CLIENT",
        /// It is sent requests.
        Server = "SERVER",
    }
}

impl WorkloadMode {
    /// Whether it is about what gateways send.
    pub fn is_of_gateways(self) -> bool {
        self != Self::Server
    }
}

/// `TracingSelector`, `LogSelector`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ModeSelector {
    /// The side.
    pub mode: WorkloadMode,
}

/// `ProviderRef`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ProviderRef {
    /// Its name in `extensionProviders` of MeshConfig.
    pub name: String,
}

/// `Tracing`. What is `None` is as the next wider object has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tracing {
    /// What it is about; absent: everything.
    #[serde(rename = "match")]
    pub selector: ModeSelector,
    /// Who is told of spans; only the first is. Empty: as the next wider object has it.
    pub providers: Vec<ProviderRef>,
    /// So many percent of the requests of which nobody before has decided.
    pub random_sampling_percentage: Option<Decimal>,
    /// Nobody is told of spans.
    pub disable_span_reporting: Option<bool>,
    /// Attributes of spans, in place of all that wider objects have.
    pub custom_tags: Option<BTreeMap<String, CustomTag>>,
    /// Whether the id of a request says if it is traced, as Envoy makes them.
    pub use_request_id_for_trace_sampling: Option<bool>,
    /// Whether spans have the attributes of Istio.
    pub enable_istio_tags: Option<bool>,
    /// Whether the context of a trace is kept from backends.
    pub disable_context_propagation: Option<bool>,
}

/// `Tracing.CustomTag`: where the value of an attribute is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CustomTag {
    /// Nothing is said: there is no such attribute.
    Nothing,
    /// This text.
    Literal(String),
    /// A variable of the proxy's environment.
    Environment(Named),
    /// A header of the request.
    Header(Named),
    /// A format of Envoy's access log.
    Formatter(String),
}

/// Something with a name, and what stands for it where it is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// `""`: nothing does.
    pub default_value: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Valued {
    value: String,
}

#[derive(Deserialize)]
struct RawTag {
    literal: Option<Valued>,
    environment: Option<Named>,
    header: Option<Named>,
    formatter: Option<Valued>,
}

impl<'de> Deserialize<'de> for CustomTag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawTag::deserialize(deserializer)?;
        let all = [
            raw.literal.map(|it| Self::Literal(it.value)),
            raw.environment.map(Self::Environment),
            raw.header.map(Self::Header),
            raw.formatter.map(|it| Self::Formatter(it.value)),
        ];
        let mut given = all.into_iter().flatten();
        let first = given.next().unwrap_or(Self::Nothing);
        if given.next().is_some() {
            return Err(de::Error::custom("has more than one of literal, environment, header and formatter"));
        }
        Ok(first)
    }
}

/// `Metrics`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metrics {
    /// Whose metrics these are. Empty: as the next wider object has it.
    pub providers: Vec<ProviderRef>,
    /// In this order; a later one is laid over those before it.
    pub overrides: Vec<MetricsOverride>,
    /// How often streams are reported.
    #[serde(deserialize_with = "duration::optional")]
    pub reporting_interval: Option<Duration>,
}

/// `MetricsOverrides`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricsOverride {
    /// Which metrics; absent: all.
    #[serde(rename = "match")]
    pub selector: MetricSelector,
    /// Whether they are gone; `None`: as the next wider object has it.
    pub disabled: Option<bool>,
    /// What is done with labels, by their names.
    pub tag_overrides: BTreeMap<String, TagOverride>,
}

/// `MetricSelector`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricSelector {
    /// Which.
    pub metric: MetricMatch,
    /// Of which side.
    pub mode: WorkloadMode,
}

/// Which metrics an override is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MetricMatch {
    /// All of Istio's.
    #[default]
    All,
    /// One of Istio's.
    Known(IstioMetric),
    /// One of another name.
    Custom(String),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawSelector {
    metric: Option<IstioMetric>,
    custom_metric: Option<String>,
    mode: WorkloadMode,
}

impl<'de> Deserialize<'de> for MetricSelector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawSelector::deserialize(deserializer)?;
        let metric = match (raw.metric, raw.custom_metric) {
            (Some(_), Some(_)) => return Err(de::Error::custom("has metric and customMetric: keep one of them")),
            (None | Some(IstioMetric::AllMetrics), None) => MetricMatch::All,
            (Some(metric), None) => MetricMatch::Known(metric),
            (None, Some(name)) => MetricMatch::Custom(name),
        };
        Ok(Self { metric, mode: raw.mode })
    }
}

words! {
    /// `MetricSelector.IstioMetric`.
    IstioMetric {
        /// All that follow.
        AllMetrics = "ALL_METRICS",
        /// `istio_requests_total`.
        RequestCount = "REQUEST_COUNT",
        /// `istio_request_duration_milliseconds`.
        RequestDuration = "REQUEST_DURATION",
        /// `istio_request_bytes`.
        RequestSize = "REQUEST_SIZE",
        /// `istio_response_bytes`.
        ResponseSize = "RESPONSE_SIZE",
        /// `istio_tcp_connections_opened_total`.
        TcpOpenedConnections = "TCP_OPENED_CONNECTIONS",
        /// `istio_tcp_connections_closed_total`.
        TcpClosedConnections = "TCP_CLOSED_CONNECTIONS",
        /// `istio_tcp_sent_bytes_total`.
        TcpSentBytes = "TCP_SENT_BYTES",
        /// `istio_tcp_received_bytes_total`.
        TcpReceivedBytes = "TCP_RECEIVED_BYTES",
        /// `istio_request_messages_total`.
        GrpcRequestMessages = "GRPC_REQUEST_MESSAGES",
        /// `istio_response_messages_total`.
        GrpcResponseMessages = "GRPC_RESPONSE_MESSAGES",
    }
}

/// `MetricsOverrides.TagOverride`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct TagOverride {
    /// What is done.
    pub operation: TagOperation,
    /// An expression (CEL) of the value; of [`TagOperation::Upsert`] only.
    pub value: String,
}

words! {
    /// `TagOverride.Operation`.
    #[derive(Default)]
    TagOperation {
        /// The label gets a value, whether it is there or not. Also what an absent operation means.
        #[default]
        Upsert = "UPSERT",
        /// The label goes.
        Remove = "REMOVE",
    }
}

/// `AccessLogging`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct AccessLogging {
    /// What it is about; absent: everything.
    #[serde(rename = "match")]
    pub selector: ModeSelector,
    /// Whose logs these are. Empty: as the next wider object has it.
    pub providers: Vec<ProviderRef>,
    /// No line is written.
    pub disabled: Option<bool>,
    /// Which lines are.
    pub filter: Option<LogFilter>,
}

/// `AccessLogging.Filter`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct LogFilter {
    /// An expression (CEL): lines of what it is true of. `""`: all.
    pub expression: String,
}

impl Telemetry {
    /// Whom it is for.
    pub fn scope(&self) -> Scope<'_> {
        Scope::new(self.spec.selector.as_ref(), self.spec.target_ref.as_ref(), &self.spec.target_refs)
    }
}
