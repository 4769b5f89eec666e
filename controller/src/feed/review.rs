// SPDX-License-Identifier: Apache-2.0
//! Asks the API server whose a token is. While it cannot be asked, what it said of that token before counts, and else
//! the token's signature by the keys that the API server had: proxies that reconnect are accepted without it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout;
use torana_ir::sha256;

use super::identity::{AUDIENCE, Authenticate, PodIdentity, Refusal};
use super::reviewer::{Bearer, Reviewer};
use super::token::{self, Issuer};
use crate::clock::now;

/// Of one question for keys.
const DEADLINE: Duration = Duration::from_secs(5);
/// The issuer's keys are fetched again after this.
const KEYS_AGE: Duration = Duration::from_mins(10);
/// Tokens that are remembered. The one that ends first is forgotten first.
const REMEMBERED: usize = 4096;

type Digest = [u8; 32];

/// Token reviews of a cluster.
pub struct TokenReviews {
    client: kube::Client,
    reviewer: Reviewer,
    remembered: Mutex<Remembered>,
    keys: tokio::sync::Mutex<Option<(Instant, Arc<Issuer>)>>,
}

impl TokenReviews {
    /// Reviews by the API server of `client`, which may create TokenReviews and read the issuer's keys.
    pub fn new(client: kube::Client) -> Self {
        let reviewer = Reviewer::new(client.clone(), AUDIENCE);
        Self { client, reviewer, remembered: Mutex::default(), keys: tokio::sync::Mutex::default() }
    }

    /// Fetches the issuer's keys if they are old; what fails is tried again at the next token.
    async fn refresh(&self) {
        // Somebody else is at it.
        let Ok(mut keys) = self.keys.try_lock() else { return };
        if keys.as_ref().is_some_and(|(fetched, _)| fetched.elapsed() < KEYS_AGE) {
            return;
        }
        match timeout(DEADLINE, fetched(&self.client)).await.map_err(|_| "no answer".to_owned()).flatten() {
            Ok(issuer) => *keys = Some((Instant::now(), Arc::new(issuer))),
            Err(why) => tracing::warn!(%why, "the keys of the token issuer cannot be read"),
        }
    }

    /// Without the API server.
    async fn alone(&self, token: &str, why: &str) -> Result<PodIdentity, Refusal> {
        let now = u64::try_from(now()).unwrap_or_default();
        if let Some(pod) = self.remembered().find(&sha256(token.as_bytes()), now) {
            return Ok(pod);
        }
        let keys = timeout(DEADLINE, self.keys.lock()).await;
        let issuer = keys.ok().and_then(|keys| keys.as_ref().map(|(_, issuer)| Arc::clone(issuer)));
        match issuer {
            Some(issuer) => issuer.identify(token, AUDIENCE, now),
            None => Err(Refusal::Unknown(why.to_owned())),
        }
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        // A map is whole whatever panicked.
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Authenticate for TokenReviews {
    async fn identify(&self, token: &str) -> Result<PodIdentity, Refusal> {
        match self.reviewer.review(token).await {
            Ok(judged) => {
                let digest = sha256(token.as_bytes());
                let judged = judged.and_then(Bearer::pod);
                match (&judged, token::expiry(token)) {
                    (Ok(pod), Some(end)) => self.remembered().remember(digest, pod.clone(), end),
                    _ => self.remembered().forget(&digest),
                }
                self.refresh().await;
                judged
            }
            Err(why) => {
                tracing::warn!(%why, "the API server cannot be asked about a token");
                self.alone(token, &why).await
            }
        }
    }
}

async fn fetched(client: &kube::Client) -> Result<Issuer, String> {
    let get = |path: &str| {
        let request = http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string());
        async move { client.request_text(request?).await.map_err(|error| error.to_string()) }
    };
    Issuer::read(&get("/.well-known/openid-configuration").await?, &get("/openid/v1/jwks").await?)
}

/// Tokens that the API server found good, by their hash, until they end.
#[derive(Debug, Default)]
struct Remembered {
    pods: BTreeMap<Digest, (u64, PodIdentity)>,
    ends: BTreeSet<(u64, Digest)>,
}

impl Remembered {
    fn remember(&mut self, digest: Digest, pod: PodIdentity, end: u64) {
        self.forget(&digest);
        self.pods.insert(digest, (end, pod));
        self.ends.insert((end, digest));
        if self.pods.len() > REMEMBERED
            && let Some((_, first)) = self.ends.pop_first()
        {
            self.pods.remove(&first);
        }
    }

    fn forget(&mut self, digest: &Digest) {
        if let Some((end, _)) = self.pods.remove(digest) {
            self.ends.remove(&(end, *digest));
        }
    }

    fn find(&self, digest: &Digest, now: u64) -> Option<PodIdentity> {
        self.pods.get(digest).filter(|(end, _)| *end > now).map(|(_, pod)| pod.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> PodIdentity {
        let text = str::to_owned;
        PodIdentity {
            namespace: text("n"),
            service_account: text("edge"),
            pod_name: text("edge-1"),
            pod_uid: text("u"),
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_ends_with_the_token() {
        let mut remembered = Remembered::default();
        let digest = |at: u64| sha256(&at.to_be_bytes());
        for at in 0..=REMEMBERED as u64 {
            remembered.remember(digest(at), pod(), 1000 + at);
        }
        assert_eq!((remembered.pods.len(), remembered.ends.len()), (REMEMBERED, REMEMBERED));
        assert_eq!(remembered.find(&digest(0), 0), None, "it would have ended first");
        assert_eq!(remembered.find(&digest(1), 1000), Some(pod()));
        assert_eq!(remembered.find(&digest(1), 1001), None);
        remembered.remember(digest(1), pod(), 9999);
        remembered.forget(&digest(1));
        assert_eq!(remembered.find(&digest(1), 0), None);
        assert_eq!((remembered.pods.len(), remembered.ends.len()), (REMEMBERED - 1, REMEMBERED - 1));
    }
}
