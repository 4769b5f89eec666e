// SPDX-License-Identifier: Apache-2.0
//! What a listener tells of what passes: which lines are written to the access log, and what of Istio's metrics is left out
//! or called otherwise. Never how it is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attribute::Attribute;
use crate::expression::{Expression, Single, single};

/// Which requests and streams have a line in the access log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogPolicy {
    /// None has.
    Off,
    /// Those that one of these is true of.
    If(Vec<Expression>),
}

/// A metric of Istio's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum IstioMetric {
    /// `istio_requests_total`.
    Requests,
    /// `istio_request_duration_milliseconds`.
    Duration,
    /// `istio_request_bytes`.
    RequestBytes,
    /// `istio_response_bytes`.
    ResponseBytes,
    /// `istio_tcp_connections_opened_total`.
    TcpOpened,
    /// `istio_tcp_connections_closed_total`.
    TcpClosed,
    /// `istio_tcp_sent_bytes_total`.
    TcpSent,
    /// `istio_tcp_received_bytes_total`.
    TcpReceived,
}

impl IstioMetric {
    /// All that there are.
    pub const ALL: [Self; 8] = [
        Self::Requests,
        Self::Duration,
        Self::RequestBytes,
        Self::ResponseBytes,
        Self::TcpOpened,
        Self::TcpClosed,
        Self::TcpSent,
        Self::TcpReceived,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "istio_requests_total",
            Self::Duration => "istio_request_duration_milliseconds",
            Self::RequestBytes => "istio_request_bytes",
            Self::ResponseBytes => "istio_response_bytes",
            Self::TcpOpened => "istio_tcp_connections_opened_total",
            Self::TcpClosed => "istio_tcp_connections_closed_total",
            Self::TcpSent => "istio_tcp_sent_bytes_total",
            Self::TcpReceived => "istio_tcp_received_bytes_total",
        }
    }

    /// Its labels.
    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Requests | Self::Duration | Self::RequestBytes | Self::ResponseBytes => &REQUEST_LABELS,
            _ => &STREAM_LABELS,
        }
    }
}

/// Labels of Istio's metrics of requests, in the order of the alphabet.
const REQUEST_LABELS: [&str; 25] = [
    "connection_security_policy",
    "destination_app",
    "destination_canonical_revision",
    "destination_canonical_service",
    "destination_cluster",
    "destination_principal",
    "destination_service",
    "destination_service_name",
    "destination_service_namespace",
    "destination_version",
    "destination_workload",
    "destination_workload_namespace",
    "grpc_response_status",
    "reporter",
    "request_protocol",
    "response_code",
    "response_flags",
    "source_app",
    "source_canonical_revision",
    "source_canonical_service",
    "source_cluster",
    "source_principal",
    "source_version",
    "source_workload",
    "source_workload_namespace",
];

/// The same of streams, which have no code.
const STREAM_LABELS: [&str; 23] = {
    let (mut labels, mut from, mut to) = ([""; 23], 0, 0);
    while from < REQUEST_LABELS.len() {
        // `grpc_response_status` and `response_code`.
        if from != 12 && from != 15 {
            labels[to] = REQUEST_LABELS[from];
            to += 1;
        }
        from += 1;
    }
    labels
};

/// What becomes of Istio's metrics; those that are not here are as always.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetricPolicy(pub BTreeMap<IstioMetric, MetricChange>);

/// What becomes of one metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetricChange {
    /// Nothing is counted.
    Off,
    /// These labels have these values; others are as always.
    Labels(BTreeMap<String, LabelValue>),
}

/// The value of a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LabelValue {
    /// The label is not there.
    Removed,
    /// Always this.
    Text(String),
    /// That of another label.
    SameAs(String),
}

impl LabelValue {
    /// The value that an expression (CEL) stands for: a text, or an attribute that a label has anyway; `None` for anything
    /// else. What clients choose is never the value of a label: there would be no end of series.
    pub fn of(expression: &str) -> Option<Self> {
        match single(expression)? {
            Single::Text(text) => Some(Self::Text(text)),
            Single::Attribute(Attribute::Code) => Some(Self::SameAs("response_code".to_owned())),
            Single::Attribute(Attribute::GrpcStatus) => Some(Self::SameAs("grpc_response_status".to_owned())),
            Single::Attribute(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_text_or_what_another_label_has() {
        let same = |label: &str| Some(LabelValue::SameAs(label.to_owned()));
        assert_eq!(LabelValue::of("'a'"), Some(LabelValue::Text("a".to_owned())));
        assert_eq!(LabelValue::of("string(\"a\")"), Some(LabelValue::Text("a".to_owned())));
        assert_eq!(LabelValue::of("response.code"), same("response_code"));
        assert_eq!(LabelValue::of("string(response.grpc_status)"), same("grpc_response_status"));
        for other in ["a", "request.host", "'a' + 'b'", "response.code == 1", "1", "", "string()", "node.id"] {
            assert_eq!(LabelValue::of(other), None, "{other}");
        }
    }

    #[test]
    fn labels_are_sorted_and_streams_have_no_codes() {
        for metric in IstioMetric::ALL {
            assert!(metric.labels().is_sorted(), "{metric:?}");
            let has_codes = metric.labels().iter().filter(|it| it.starts_with("grpc") || it.ends_with("_code")).count();
            assert_eq!(has_codes, if metric.name().contains("_tcp_") { 0 } else { 2 });
        }
    }
}
