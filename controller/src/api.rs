// SPDX-License-Identifier: Apache-2.0
//! The way to the API server: one client for everything, a deadline on every call, and four ways in which a call can
//! fail. Never decides what to call.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

pub use kube::Client;

/// So long a connection may take to be made, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// So long a request may take to be sent.
const WRITE: Duration = Duration::from_secs(10);

/// The name under which Torana's writes stand in `managedFields`.
pub const FIELD_MANAGER: &str = "torana";

/// A client, and where it lives.
#[derive(Clone)]
pub struct Access {
    /// Cheap to clone; all clones share their connections.
    pub client: Client,
    /// The namespace of this pod, or that of the kubeconfig's context.
    pub namespace: String,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("no way to the API server: {0}")]
pub struct NoAccess(String);

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The object is not what the call was based on, or is there already.
    #[error("the object has changed")]
    Conflict,
    /// The object, or the kind, is not there.
    #[error("it is not there")]
    Absent,
    /// The API server understood, and will not. It would not the next time either.
    #[error("{0}")]
    Refused(String),
    /// No answer, or none of sense: later perhaps.
    #[error("{0}")]
    Unavailable(String),
}

/// Finds the API server: `kubeconfig` if it is given, else what `KUBECONFIG` or `~/.kube/config` say, else the pod's
/// service account. Nothing is called yet.
///
/// Reads have no deadline here, for a watch is silent for long: whoever calls sets one, see [`within`].
pub async fn access(kubeconfig: Option<&Path>) -> Result<Access, NoAccess> {
    let mut config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|error| NoAccess(error.to_string()))?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(file, &options).await.map_err(|error| NoAccess(error.to_string()))?
        }
        None => Config::infer().await.map_err(|error| NoAccess(error.to_string()))?,
    };
    config.connect_timeout = Some(CONNECT);
    config.write_timeout = Some(WRITE);
    // Retries are counted and spread by those who know what they are worth.
    config.default_retry = false;
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config).map_err(|error| NoAccess(error.to_string()))?;
    Ok(Access { client, namespace })
}

/// Waits for a call, but not for longer than `limit`.
pub async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Failure::Unavailable(format!("no answer within {} s", limit.as_secs_f32()))),
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                409 => Self::Conflict,
                404 | 410 => Self::Absent,
                // Too many requests, or a moment at which nothing is sure: the same call may succeed.
                408 | 425 | 429 => Self::Unavailable(status.message),
                400..=499 => Self::Refused(format!("{} ({})", status.message, status.code)),
                code => Self::Unavailable(format!("{} ({code})", status.message)),
            },
            other => Self::Unavailable(causes(&other)),
        }
    }
}

/// Whether a resource version of an object is earlier than another: they are numbers that rise (KEP-5504). Where one is
/// not, nobody can tell.
pub(crate) fn is_older(one: &str, other: &str) -> bool {
    let number = |version: &str| version.parse::<u64>().ok();
    number(one).zip(number(other)).is_some_and(|(one, other)| one < other)
}

/// An error with what is behind it, for the outer ones say little.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    const DEEPEST: usize = 8;
    let mut text = error.to_string();
    let mut source = error.source();
    for _ in 0..DEEPEST {
        let Some(cause) = source else { break };
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn the_four_ways_to_fail_are_told_apart() {
        let failure = |code| Failure::from(kube::Error::Api(Status::failure("why", "").with_code(code).boxed()));
        assert_eq!(failure(409), Failure::Conflict);
        assert_eq!((failure(404), failure(410)), (Failure::Absent, Failure::Absent));
        for code in [400, 401, 403, 413, 422] {
            assert!(matches!(failure(code), Failure::Refused(_)), "{code}");
        }
        for code in [429, 500, 503, 504] {
            assert!(matches!(failure(code), Failure::Unavailable(_)), "{code}");
        }
    }
}
