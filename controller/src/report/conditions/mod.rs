// SPDX-License-Identifier: Apache-2.0
//! The whole vocabulary of conditions that Torana writes: one named constructor for each type and reason, one file for
//! each kind of object. Nobody else puts a type and a reason together.

pub mod class;

pub mod gateway;

pub mod issuer;

pub mod istio;

pub mod listener;

pub mod listener_set;

pub mod policy;

pub mod route;

use std::fmt;

use serde::Serialize;

/// Status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Status {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody can say yet.
    Unknown,
}

/// One condition, without the times and generations that only the writer of a status knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// `Accepted`, `Programmed` …
    #[serde(rename = "type")]
    pub condition_type: &'static str,
    /// Whether it holds.
    pub status: Status,
    /// In one word.
    pub reason: &'static str,
    /// For people: which field, what is wrong, what to change.
    pub message: String,
}

/// Types of conditions that Torana writes, by what they stand in; all other types are somebody else's.
pub mod types {
    /// Of a GatewayClass.
    pub const CLASS: &[&str] = &["Accepted", "SupportedVersion"];
    /// Of a Gateway.
    pub const GATEWAY: &[&str] = &["Accepted", "Programmed", "ResolvedRefs", "InsecureFrontendValidationMode"];
    /// Of a ListenerSet.
    pub const LISTENER_SET: &[&str] = &["Accepted", "Programmed"];
    /// Of a listener.
    pub const LISTENER: &[&str] = &["Accepted", "Conflicted", "Programmed", "ResolvedRefs", "OverlappingTLSConfig"];
    /// Of a route with one of its parents.
    pub const PARENT: &[&str] = &["Accepted", "ResolvedRefs", "PartiallyInvalid"];
    /// Of a policy at one of its ancestors.
    pub const ANCESTOR: &[&str] = &["Accepted", "ResolvedRefs"];
    /// Of an AcmeIssuer or a ClusterAcmeIssuer.
    pub const ISSUER: &[&str] = &["Accepted"];
    /// Of an object of Istio.
    pub const ISTIO: &[&str] = &[super::istio::ACCEPTED];
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { condition_type, status, reason, message } = self;
        write!(f, "{condition_type}={status:?} ({reason}): {message}")
    }
}

fn yes(condition_type: &'static str, reason: &'static str, message: impl Into<String>) -> Condition {
    Condition { condition_type, status: Status::True, reason, message: message.into() }
}

fn no(condition_type: &'static str, reason: &'static str, message: impl Into<String>) -> Condition {
    Condition { condition_type, status: Status::False, reason, message: message.into() }
}
