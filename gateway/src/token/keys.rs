// SPDX-License-Identifier: Apache-2.0
//! What tokens are verified with. Keys that are elsewhere are fetched by whoever runs the gateway, again and again and
//! never for a request; the last good ones stay while they cannot be. A token of a key that is not known yet may have them
//! fetched early, a little later than the last time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};
use torana_ir::{KeyPlace, KeySet};

use super::parse::Parsed;
use crate::fault::TokenFault;

/// Keys are good for so long …
const FRESH: Duration = Duration::from_mins(5);
/// … unless a token has one that is not among them, and so long has passed.
const EARLY: Duration = Duration::from_secs(5);
/// After a failure, doubled up to the second.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// Keys that can be used.
#[derive(Debug)]
pub(super) struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    /// The only algorithm that it is for, it says.
    algorithm: Option<String>,
    /// Those that its kind is good for (RFC 8725 §3.1): what a token says of itself chooses among these.
    algorithms: &'static [Algorithm],
    decoding: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({:?}, {:?})", self.id, self.algorithms)
    }
}

impl Keys {
    /// Those of a set that can be used; secrets only where nobody else can read them.
    pub(super) fn compile(set: &KeySet, is_private: bool) -> Self {
        Self(set.keys().into_iter().filter_map(|key| Key::read(key, is_private)).collect())
    }

    /// Whether one of them has signed.
    pub(super) fn verify(&self, token: &Parsed<'_>) -> Result<(), TokenFault> {
        if self.0.is_empty() {
            return Err(TokenFault::NoKeys);
        }
        let mut fault = TokenFault::NoSuchKey;
        for key in self.0.iter().filter(|key| key.is_of(token)) {
            fault = TokenFault::Signature;
            let is_good = key.algorithms.contains(&token.algorithm)
                && jsonwebtoken::crypto::verify(
                    token.signature,
                    token.signed.as_bytes(),
                    &key.decoding,
                    token.algorithm,
                )
                .unwrap_or(false);
            if is_good {
                return Ok(());
            }
        }
        Err(fault)
    }
}

impl Key {
    fn read(written: serde_json::Value, is_private: bool) -> Option<Self> {
        let algorithm = written.get("alg").and_then(|it| it.as_str()).map(str::to_owned);
        let jwk: Jwk = serde_json::from_value(written).ok()?;
        if jwk.common.public_key_use.as_ref().is_some_and(|it| *it != PublicKeyUse::Signature) {
            return None;
        }
        let algorithms: &'static [Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                EllipticCurve::P256 => &[Algorithm::ES256],
                EllipticCurve::P384 => &[Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(_) => &[Algorithm::EdDSA],
            AlgorithmParameters::OctetKey(_) if is_private => &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512],
            _ => return None,
        };
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { id: jwk.common.key_id.filter(|id| !id.is_empty()), algorithm, algorithms, decoding })
    }

    /// Whether it may be the one that the token means.
    fn is_of(&self, token: &Parsed<'_>) -> bool {
        let is_other =
            |own: &Option<String>, said: Option<&str>| matches!((own, said), (Some(own), Some(said)) if own != said);
        !is_other(&self.id, token.key_id.as_deref().filter(|id| !id.is_empty()))
            && self.algorithm.as_ref().is_none_or(|own| own.parse().is_ok_and(|own: Algorithm| own == token.algorithm))
    }
}

/// Keys that are fetched from one place.
#[derive(Debug)]
pub struct RemoteKeys {
    place: KeyPlace,
    state: watch::Sender<State>,
    wanted: Arc<Notify>,
}

#[derive(Debug, Clone, Default)]
struct State {
    keys: Option<Arc<Keys>>,
    /// Of which the text was fetched; the same text changes nothing.
    set: Option<Arc<KeySet>>,
    /// Counts changes of keys.
    version: u64,
    /// Counts attempts that are over.
    attempts: u64,
    /// When the last one was over.
    tried: Option<Instant>,
    /// Failures since the last success.
    failures: u32,
    /// They are to be fetched as soon as may be.
    is_wanted: bool,
}

impl RemoteKeys {
    /// Where they are.
    pub fn place(&self) -> &KeyPlace {
        &self.place
    }

    /// Of what version they are; a token that was good under one may be bad under another.
    pub(super) fn version(&self) -> u64 {
        self.state.borrow().version
    }

    /// When they are to be fetched next.
    pub(crate) fn due(&self) -> Option<Instant> {
        let state = self.state.borrow();
        let tried = state.tried?;
        let after = match state.failures {
            0 if state.is_wanted => EARLY,
            0 => FRESH,
            failures => {
                let most = if state.is_wanted { EARLY } else { LONGEST_RETRY };
                FIRST_RETRY.saturating_mul(2_u32.saturating_pow(failures - 1)).min(most)
            }
        };
        Some(tried + after)
    }

    /// What came of fetching them.
    pub(crate) fn fetched(&self, result: Result<KeySet, String>) {
        self.state.send_modify(|state| {
            state.attempts += 1;
            state.tried = Some(Instant::now());
            state.is_wanted = false;
            match result {
                Ok(set) => {
                    state.failures = 0;
                    if state.set.as_deref() != Some(&set) {
                        state.keys = Some(Arc::new(Keys::compile(&set, false)));
                        state.set = Some(Arc::new(set));
                        state.version += 1;
                    }
                }
                Err(_) => state.failures = state.failures.saturating_add(1),
            }
        });
    }

    /// Verifies with what there is; where that cannot suffice, waits for what is fetched next. The version of the keys.
    pub(super) async fn verify(&self, token: &Parsed<'_>) -> Result<u64, TokenFault> {
        let until = Instant::now() + self.place.timeout();
        let mut seen = self.state.subscribe();
        let now = seen.borrow_and_update().clone();
        let Some(keys) = now.keys else {
            self.want();
            let there = timeout_at(until, seen.wait_for(|state| state.keys.is_some() || state.attempts > now.attempts));
            let state = there.await.ok().and_then(Result::ok).map(|state| state.clone());
            let state = state.filter(|state| state.keys.is_some()).ok_or(TokenFault::Unfetched)?;
            return state.verify(token);
        };
        let result = keys.verify(token).map(|()| now.version);
        let may_be_new = match result {
            Err(TokenFault::NoSuchKey) => true,
            Err(TokenFault::Signature) => token.key_id.is_none(),
            _ => false,
        };
        if !may_be_new || now.tried.is_none_or(|tried| tried.elapsed() < EARLY) {
            return result;
        }
        self.want();
        let tried = timeout_at(until, seen.wait_for(|state| state.attempts > now.attempts)).await;
        match tried.ok().and_then(Result::ok).map(|state| state.clone()) {
            Some(state) => state.verify(token),
            None => result,
        }
    }

    fn want(&self) {
        self.state.send_if_modified(|state| {
            state.is_wanted = true;
            false
        });
        self.wanted.notify_one();
    }
}

impl State {
    fn verify(&self, token: &Parsed<'_>) -> Result<u64, TokenFault> {
        let keys = self.keys.as_ref().ok_or(TokenFault::Unfetched)?;
        keys.verify(token).map(|()| self.version)
    }
}

/// Keys by their places: whoever asks for one place gets the same ones, across generations.
#[derive(Debug, Default)]
pub struct Registry {
    known: Mutex<BTreeMap<KeyPlace, Weak<RemoteKeys>>>,
    wanted: Arc<Notify>,
}

impl Registry {
    /// Those of a place.
    pub(super) fn keys(&self, place: &KeyPlace) -> Arc<RemoteKeys> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, keys| keys.strong_count() > 0);
        if let Some(keys) = known.get(place).and_then(Weak::upgrade) {
            return keys;
        }
        let (state, wanted) = (watch::Sender::new(State::default()), Arc::clone(&self.wanted));
        let keys = Arc::new(RemoteKeys { place: place.clone(), state, wanted });
        known.insert(place.clone(), Arc::downgrade(&keys));
        keys
    }

    /// All that somebody verifies with.
    pub(crate) fn all(&self) -> Vec<Arc<RemoteKeys>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).values().filter_map(Weak::upgrade).collect()
    }

    /// Until somebody wants keys that there are not.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }
}
