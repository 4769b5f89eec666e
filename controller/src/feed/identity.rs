// SPDX-License-Identifier: Apache-2.0
//! Who shows a token: a pod, or any workload. Decides nothing: implementations ask the issuer of the token.

use std::fmt;

use http::HeaderMap;
use tonic::Status;

pub use crate::provision::desired::AUDIENCE;

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The pod that a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodIdentity {
    /// Namespace of the pod and of its service account.
    pub namespace: String,
    /// Name of the service account.
    pub service_account: String,
    /// Name of the pod.
    pub pod_name: String,
    /// Its uid: another pod of the same name is another proxy.
    pub pod_uid: String,
}

impl fmt::Display for PodIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.pod_name)
    }
}

/// Why a token is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not good, and trying again with it is of no use.
    #[error("the token is refused: {0}")]
    Invalid(String),
    /// Nobody can say whether it is good: the API server is away, and its keys are not known.
    #[error("the token cannot be checked now: {0}")]
    Unknown(String),
}

impl From<Refusal> for Status {
    fn from(why: Refusal) -> Self {
        match why {
            Refusal::Invalid(_) => Self::unauthenticated(why.to_string()),
            Refusal::Unknown(_) => Self::unavailable(why.to_string()),
        }
    }
}

/// The token that a call shows.
pub(crate) fn bearer(head: &HeaderMap) -> Result<&str, Status> {
    let shown = head.get("authorization").and_then(|value| value.to_str().ok());
    let token = shown.and_then(|value| value.strip_prefix("Bearer "));
    token.ok_or_else(|| Status::unauthenticated("a bearer token is needed"))
}

/// Tells who shows a token.
pub trait Authenticate: Send + Sync + 'static {
    /// The pod that `token` is bound to. Must have a deadline of its own.
    fn identify(&self, token: &str) -> impl Future<Output = Result<PodIdentity, Refusal>> + Send;
}

/// Tells of which service account a token is, whatever it is bound to.
pub trait Accounts: Send + Sync + 'static {
    /// The account of `token`. Must have a deadline of its own.
    fn account(&self, token: &str) -> impl Future<Output = Result<Account, Refusal>> + Send;
}
