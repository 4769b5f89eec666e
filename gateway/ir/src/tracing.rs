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
    /// So many of those of which nobody before this proxy has decided. A rule may say otherwise.
    pub sampling: Share,
    /// What every span says beside what it says anyway, the later of one name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// Nobody is told of spans; what backends need to go on with a trace is passed on all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disable_reporting: bool,
}

/// What spans say beside what they say anyway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// What it is called.
    pub name: String,
    /// What it says.
    pub value: TagValue,
}

/// Where the value of a [`Tag`] comes from. Where it comes from nowhere, spans go without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TagValue {
    /// From here.
    Literal(String),
    /// From the environment of the proxy's process.
    Environment {
        /// The variable.
        name: String,
        /// What it says where there is no such variable.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<String>,
    },
    /// From the request, as the client sent it.
    Header {
        /// The field.
        name: HeaderName,
        /// What it says where there is no such field.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<String>,
    },
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
