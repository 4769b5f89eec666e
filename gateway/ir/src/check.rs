// SPDX-License-Identifier: Apache-2.0
//! What an endpoint is asked, again and again, to see whether it may be chosen (active health). What its answers to
//! requests tell is in `health`. Never says what follows where too few are left: that is the backend's panic threshold.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::authority::Authority;

/// How each endpoint of a backend is checked. One that fails so many checks in a row is chosen by no route, until it
/// passes so many in a row.
///
/// One that was never checked may be chosen; its first check decides at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// From the end of a check to the next one, a tenth more or less.
    pub interval: Duration,
    /// A check takes no longer, from connect to answer; else it has failed.
    pub timeout: Duration,
    /// So many failures in a row.
    pub unhealthy: NonZeroU32,
    /// So many successes in a row.
    pub healthy: NonZeroU32,
    /// Another port than that of the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// What is asked.
    pub probe: Probe,
}

/// What a check asks. Each has a connection of its own, with TLS where the backend is spoken to in TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Probe {
    /// Whether it answers a request of HTTP with a good status, in the version that the backend is spoken to in; on
    /// another port in HTTP/1.1.
    Http(HttpProbe),
    /// Whether it takes a connection.
    Tcp,
    /// Whether `grpc.health.v1.Health/Check` says SERVING.
    Grpc {
        /// Sent as `:authority`.
        host: Authority,
        /// Which service is asked about; empty: the server as a whole.
        service: String,
    },
}

/// A request of HTTP, and which answers are good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// Sent as `Host`.
    pub host: Authority,
    /// What is asked for.
    pub target: ProbeTarget,
    /// By which method.
    pub method: ProbeMethod,
    /// Statuses of good answers.
    pub expected: Vec<StatusRange>,
}

impl HttpProbe {
    /// Whether an answer with this status is good.
    pub fn expects(&self, status: u16) -> bool {
        self.expected.iter().any(|range| (range.first..=range.last).contains(&status))
    }
}

/// Methods that change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeMethod {
    /// GET.
    Get,
    /// HEAD.
    Head,
}

impl ProbeMethod {
    /// As it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
        }
    }
}

/// Statuses from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl StatusRange {
    /// 200, and nothing else.
    pub const OK: Self = Self { first: 200, last: 200 };
}

/// Longest target of a check.
const LONGEST: usize = 1024;

/// A path, perhaps with a query, in the form that is sent (RFC 9112 §3.2.1): `/healthz?full=1`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProbeTarget(String);

/// Not a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a path: begin it with / and use visible ASCII without #, at most 1024 bytes")]
pub struct ProbeTargetError(String);

impl ProbeTarget {
    /// Checks `target`.
    pub fn new(target: &str) -> Result<Self, ProbeTargetError> {
        let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        if target.starts_with('/') && target.len() <= LONGEST && target.bytes().all(fits) {
            return Ok(Self(target.to_owned()));
        }
        Err(ProbeTargetError(target.chars().take(256).collect()))
    }

    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ProbeTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl TryFrom<String> for ProbeTarget {
    type Error = ProbeTargetError;

    fn try_from(target: String) -> Result<Self, ProbeTargetError> {
        Self::new(&target)
    }
}

impl From<ProbeTarget> for String {
    fn from(target: ProbeTarget) -> Self {
        target.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_sent_as_it_is_so_nothing_in_it_ends_a_line() {
        for good in ["/", "/healthz", "/a?b=c&d", "/%20"] {
            assert_eq!(ProbeTarget::new(good).unwrap().as_str(), good);
        }
        let long = format!("/{}", "a".repeat(LONGEST));
        for bad in ["", "healthz", "/a b", "/a\r\nX: y", "/#a", "/ä", &long] {
            assert!(ProbeTarget::new(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<ProbeTarget>("\"/a b\"").is_err());
    }

    #[test]
    fn both_ends_of_a_range_are_good() {
        let probe = HttpProbe {
            host: Authority::new("a").unwrap(),
            target: ProbeTarget::new("/").unwrap(),
            method: ProbeMethod::Get,
            expected: vec![StatusRange::OK, StatusRange { first: 300, last: 302 }],
        };
        let good: Vec<u16> = (100..600).filter(|status| probe.expects(*status)).collect();
        assert_eq!(good, [200, 300, 301, 302]);
    }
}
