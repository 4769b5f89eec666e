// SPDX-License-Identifier: Apache-2.0
//! Why a collector was not told, and whether it may be told again (OTLP 1.x, "Failures").

use std::fmt;
use std::time::Duration;

/// Why a collector was not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The configuration has no such collector, or none that can be reached.
    Nowhere,
    /// It has no endpoint.
    NoEndpoint,
    /// Nobody could be connected to.
    Connect(&'static str),
    /// What was to be sent makes no request.
    Unsendable,
    /// It took too long.
    Timeout,
    /// The connection ended, or carried what is no answer.
    Broken,
    /// It answers so, and says when to come again.
    Status(u16, Option<Duration>),
    /// `grpc-status` of the answer is not 0.
    Grpc(u32),
}

impl Failure {
    /// Whether it may be told the same again: it may not have heard, or cannot take it now.
    pub(super) fn may_be_repeated(self) -> bool {
        match self {
            Self::Nowhere | Self::Unsendable => false,
            Self::NoEndpoint | Self::Connect(_) | Self::Timeout | Self::Broken => true,
            Self::Status(status, _) => matches!(status, 429 | 502 | 503 | 504),
            // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS.
            Self::Grpc(status) => matches!(status, 1 | 4 | 10 | 11 | 14 | 15),
        }
    }

    /// It is to be let alone for so long.
    pub(super) fn rest(self) -> Option<Duration> {
        match self {
            Self::Status(_, rest) => rest,
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => f.write_str("there is no such collector"),
            Self::NoEndpoint => f.write_str("it has no endpoint"),
            Self::Connect(why) => write!(f, "it cannot be connected to: {why}"),
            Self::Unsendable => f.write_str("its authority, path or fields make no request"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Broken => f.write_str("the answer is broken or cut"),
            Self::Status(status, _) => write!(f, "it answers {status}"),
            Self::Grpc(status) => write!(f, "it answers with grpc-status {status}"),
        }
    }
}
