// SPDX-License-Identifier: Apache-2.0
//! One rule: whose tokens, for whom, signed with what, and what backends are told.

use std::sync::Arc;

use serde_json::Value;
use torana_ir::{KeySource, TokenPlace, TokenRule};

use super::Claims;
use super::keys::{Keys, Registry, RemoteKeys};
use super::parse::Parsed;
use super::places::{self, Found};
use super::remembered::{Good, Remembered};
use crate::fault::TokenFault;
use crate::head::{self, Head};

/// Clocks may differ by so much, in seconds; Envoy's default.
const SKEW: u64 = 60;

/// A rule.
#[derive(Debug)]
pub(super) struct Rule {
    spec: TokenRule,
    keys: Source,
    remembered: Remembered,
}

#[derive(Debug)]
enum Source {
    Here(Arc<Keys>),
    There(Arc<RemoteKeys>),
    Nowhere,
}

impl Rule {
    pub(super) fn compile(spec: &TokenRule, registry: &Registry) -> Self {
        let keys = match &spec.keys {
            KeySource::Here(set) => Source::Here(Arc::new(Keys::compile(set, true))),
            KeySource::There(place) => Source::There(registry.keys(place)),
            KeySource::Nowhere => Source::Nowhere,
        };
        Self { spec: spec.clone(), keys, remembered: Remembered::default() }
    }

    /// Its keys, if they are fetched.
    fn remote(&self) -> Option<&Arc<RemoteKeys>> {
        match &self.keys {
            Source::Here(_) | Source::Nowhere => None,
            Source::There(remote) => Some(remote),
        }
    }

    /// Where it looks for tokens.
    pub(super) fn places(&self) -> &[TokenPlace] {
        &self.spec.places
    }

    /// Whether it is about the token's issuer.
    pub(super) fn is_of(&self, token: &Parsed<'_>) -> bool {
        self.spec.issuer.as_deref().is_none_or(|issuer| token.issuer() == Some(issuer))
    }

    /// What is known of a token that was good, and is.
    pub(super) fn remembered(&self, token: &str, now: u64) -> Option<Claims> {
        let good = self.remembered.find(token, self.version())?;
        in_time(good.expires, good.begins, now).ok().map(|()| good.claims)
    }

    fn version(&self) -> u64 {
        self.remote().map_or(0, |remote| remote.version())
    }

    /// Whether it is believed; what is objected to is said in Envoy's order.
    pub(super) async fn verify(&self, token: &Parsed<'_>, now: u64) -> Result<Claims, TokenFault> {
        in_time(token.expires, token.begins, now)?;
        if !token.is_for(&self.spec.audiences) {
            return Err(TokenFault::Audience);
        }
        let version = match &self.keys {
            Source::Here(keys) => keys.verify(token).map(|()| 0)?,
            Source::There(remote) => remote.verify(token).await?,
            Source::Nowhere => return Err(TokenFault::Unfetched),
        };
        let claims = Arc::new(self.spread(token.payload.clone()));
        let good = Good { claims: Arc::clone(&claims), expires: token.expires, begins: token.begins };
        self.remembered.keep(token.text, version, good);
        Ok(claims)
    }

    /// Lists that are written as one text become lists.
    fn spread(&self, mut payload: Value) -> Value {
        for name in &self.spec.spaced {
            if let Some(Value::String(text)) = payload.get(name) {
                let all: Vec<Value> = text.split(' ').filter(|part| !part.is_empty()).map(Value::from).collect();
                payload[name.as_str()] = all.into();
            }
        }
        payload
    }

    /// Drops what clients say in fields that it tells backends something in.
    pub(super) fn clear(&self, head: &mut Head) {
        for field in self.spec.claims_to.iter().map(|it| &it.field).chain(&self.spec.payload_to) {
            // Some backends read `_` and `-` alike.
            let is_it = |name: &[u8]| {
                let own = field.as_str().as_bytes();
                let plain = |byte: &u8| if *byte == b'_' { b'-' } else { *byte };
                name.len() == own.len() && name.iter().map(plain).eq(own.iter().map(plain))
            };
            head.fields.retain(|_, name, _| !is_it(name));
        }
    }

    /// Tells backends of a token that is believed.
    pub(super) fn tell(&self, head: &mut Head, token: &Found, claims: &Value) {
        for told in &self.spec.claims_to {
            let text = match head::claim(claims, &told.claim) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Bool(truth)) => truth.to_string(),
                Some(Value::Number(number)) if !number.is_f64() => number.to_string(),
                _ => continue,
            };
            if torana_ir::is_field_text(text.as_bytes()) {
                head.fields.set(told.field.as_str(), text.as_bytes());
            }
        }
        if let (Some(field), Some(payload)) = (&self.spec.payload_to, token.text.split('.').nth(1)) {
            head.fields.set(field.as_str(), payload.as_bytes());
        }
    }

    /// Keeps a token that is believed from backends, unless they are to have it.
    pub(super) fn keep(&self, head: &mut Head) {
        if !self.spec.forward {
            self.spec.places.iter().for_each(|place| places::remove(head, place));
        }
    }
}

fn in_time(expires: Option<u64>, begins: Option<u64>, now: u64) -> Result<(), TokenFault> {
    if begins.is_some_and(|begins| begins > now.saturating_add(SKEW)) {
        return Err(TokenFault::Early);
    }
    match expires {
        Some(expires) if expires.saturating_add(SKEW) < now => Err(TokenFault::Expired),
        _ => Ok(()),
    }
}
