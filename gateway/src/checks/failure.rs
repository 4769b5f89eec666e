// SPDX-License-Identifier: Apache-2.0
//! How a check failed: in a word for metrics, and in full for the log.

use std::fmt;

/// How a check failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nobody could be connected to.
    Connect,
    /// The handshake of TLS failed, and why.
    Tls(&'static str),
    /// It is a workload of a mesh, in which the proxy is nobody.
    NoIdentity,
    /// It took too long.
    Timeout,
    /// The connection ended, or carried what is no answer.
    Broken,
    /// The answer has a status that is not expected.
    Status(u16),
    /// `grpc-status` of the answer is not 0.
    Grpc(u32),
    /// The server says that it does not serve: `HealthCheckResponse.ServingStatus`.
    NotServing(i32),
}

impl Failure {
    /// As metrics write it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls(_) => "tls",
            Self::NoIdentity => "no_mesh_identity",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Status(_) => "status",
            Self::Grpc(_) => "grpc_status",
            Self::NotServing(_) => "not_serving",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("it cannot be connected to"),
            Self::Tls(why) => write!(f, "the TLS handshake fails: {why}"),
            Self::NoIdentity => f.write_str("the proxy has no identity in its mesh"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Broken => f.write_str("the answer is broken or cut"),
            Self::Status(status) => write!(f, "it answers {status}"),
            Self::Grpc(status) => write!(f, "it answers with grpc-status {status}"),
            Self::NotServing(2) => f.write_str("it says NOT_SERVING"),
            Self::NotServing(3) => f.write_str("it says SERVICE_UNKNOWN"),
            Self::NotServing(_) => f.write_str("it does not say SERVING"),
        }
    }
}
