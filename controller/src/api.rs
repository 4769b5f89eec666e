// SPDX-License-Identifier: Apache-2.0
//! The way to the API server: one client for everything, a deadline on every call, and four ways in which a call can
//! fail. Never decides what to call.

mod pause;

mod events;

mod changes;

mod courier;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::Config;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};

use courier::{Couriers, Token};

pub use kube::Client;

pub(crate) use changes::{Interruption, changes};
pub(crate) use pause::{MOST_ASKED, Pauses};

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
    /// The API server has too much to do, and says after how long to come again.
    #[error("{1}; asked to wait for {0:?}")]
    Busy(Duration, String),
}

/// Finds the API server: `kubeconfig` if it is given, else what `KUBECONFIG` or `~/.kube/config` say, else the pod's
/// service account. Nothing is called yet.
///
/// A connection that is silent for longer than a watch may be is given up; whoever calls sets a deadline of its own, see
/// [`within`].
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
    config.read_timeout = Some(changes::SILENCE);
    config.write_timeout = Some(WRITE);
    // Retries are counted and spread by those who know what they are worth.
    config.default_retry = false;
    let namespace = config.default_namespace.clone();
    let token = config.auth_info.token_file.take().map(|file| Arc::new(Token::new(PathBuf::from(file))));
    let builder = ClientBuilder::try_from(config).map_err(|error| NoAccess(error.to_string()))?;
    Ok(Access { client: builder.with_layer(&Couriers(token)).build(), namespace })
}

/// Waits for a call, but not for longer than `limit`.
pub async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Failure::Unavailable(format!("no answer within {} s", limit.as_secs_f32()))),
    }
}

/// How long the API server asks to wait for.
pub(crate) fn retry_after(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else { return None };
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        let asked = retry_after(&error);
        match error {
            kube::Error::Api(status) => match (status.code, asked) {
                (409, _) => Self::Conflict,
                (404 | 410, _) => Self::Absent,
                (429 | 503, Some(after)) => Self::Busy(after, status.message),
                // Too many requests, or a moment at which nothing is sure: the same call may succeed.
                (408 | 425 | 429, _) => Self::Unavailable(status.message),
                (400..=499, _) => Self::Refused(format!("{} ({})", status.message, status.code)),
                (code, _) => Self::Unavailable(format!("{} ({code})", status.message)),
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
        let details = serde_json::from_value(serde_json::json!({"retryAfterSeconds": 3})).unwrap();
        let busy = Status::failure("why", "").with_code(429).with_details(details).boxed();
        assert_eq!(Failure::from(kube::Error::Api(busy)), Failure::Busy(Duration::from_secs(3), "why".to_owned()));
    }
}
