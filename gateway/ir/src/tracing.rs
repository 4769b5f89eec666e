// SPDX-License-Identifier: Apache-2.0
//! Traces: which requests of a listener are followed, and who is told (OpenTelemetry).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::atom::{HeaderName, HeaderValue};
use crate::key::ProviderKey;
use crate::percent::Share;
use crate::target::Target;

/// How requests of a listener are traced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracing {
    /// Who is told of spans.
    pub collector: ProviderKey,
    /// So many of those of which nobody before this proxy has decided.
    pub sampling: Share,
}

/// Who is told of spans, by OTLP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collector {
    /// Where it is; an invalid target is told nothing.
    pub target: Target,
    /// How it is told.
    pub protocol: CollectorProtocol,
    /// What it is called in requests: `:authority` or `Host`.
    pub authority: String,
    /// Fields of each request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// An answer is waited for so long.
    pub timeout: Duration,
}

/// What a collector speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CollectorProtocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf.
    Http {
        /// Where spans are posted: `/v1/traces`.
        path: String,
    },
}
