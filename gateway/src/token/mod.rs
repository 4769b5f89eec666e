// SPDX-License-Identifier: Apache-2.0
//! Tokens that requests come with (JWT): which are looked for, whether they are believed, and what backends are told of
//! them, as Envoy does it for Istio's RequestAuthentication, and strictly (RFC 8725). A token that is not believed ends the
//! request; one that is absent does not, for that is what policies are for.
//!
//! ```text
//! places: found ─▶ parse ─▶ rule: issuer, time, audience, keys ─▶ payload ─▶ policies, fields
//!                                                    ▲
//!                                  keys: kept here, fetched by whoever runs the gateway
//! ```

mod keys;

mod parse;

mod places;

mod remembered;

mod rule;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use torana_ir::{PolicyKey, TokenPolicy};

pub use keys::{Registry, RemoteKeys};

use crate::fault::{Fault, TokenFault};
use crate::head::Head;
use parse::Parsed;
use rule::Rule;

/// Whose tokens a listener believes.
#[derive(Debug)]
pub struct Tokens {
    /// As they are written, so that it can be told whether they are the same.
    policies: Vec<Arc<TokenPolicy>>,
    /// One that is named is not there.
    is_incomplete: bool,
    rules: Vec<Rule>,
}

/// The payload of a token that is believed.
pub type Claims = Arc<Value>;

impl Tokens {
    /// The policies that a listener names; those of a key are `find`'s. `previous` itself if nothing changed.
    pub(crate) fn compile(
        named: &[PolicyKey],
        find: impl Fn(&PolicyKey) -> Option<Arc<TokenPolicy>>,
        registry: &Registry,
        previous: Option<&Arc<Self>>,
    ) -> Option<Arc<Self>> {
        if named.is_empty() {
            return None;
        }
        let policies: Vec<_> = named.iter().filter_map(find).collect();
        let is_incomplete = policies.len() < named.len();
        let is_same = |before: &&Arc<Self>| before.policies == policies && before.is_incomplete == is_incomplete;
        if let Some(before) = previous.filter(is_same) {
            return Some(Arc::clone(before));
        }
        let rules =
            policies.iter().flat_map(|policy| &policy.rules).map(|rule| Rule::compile(rule, registry)).collect();
        Some(Arc::new(Self { policies, is_incomplete, rules }))
    }

    /// Whether what a request comes with is believed; backends are told of it in `head`, and of nothing that a client says
    /// in its place. `None`: it comes with nothing. Waits for keys that are being fetched.
    ///
    /// # Errors
    /// Some token is not believed, or nobody is to be let through.
    pub(crate) async fn authenticate(&self, head: &mut Head) -> Result<Option<Claims>, Fault> {
        if self.is_incomplete {
            return Err(Fault::Guarded);
        }
        // A preflight has no credentials (Fetch §4.8), and what it asks for is asked for again.
        let is_preflight = is_preflight(head);
        let found = if is_preflight { Vec::new() } else { places::found(head, &self.rules) };
        for rule in &self.rules {
            rule.clear(head);
        }
        let mut believed: Option<Claims> = None;
        for token in &found {
            let (claims, rule) = self.believed(token).await.map_err(Fault::BadToken)?;
            // Backends are told of the one that policies see; the others are only kept from them.
            if believed.is_none() {
                rule.tell(head, token, &claims);
            }
            rule.keep(head);
            believed.get_or_insert(claims);
        }
        Ok(believed)
    }

    /// The first rule that believes a token that was found where it looks; what the last one objects to.
    async fn believed(&self, token: &places::Found) -> Result<(Claims, &Rule), TokenFault> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let looking = || token.rules.iter().filter_map(|at| self.rules.get(*at));
        for rule in looking() {
            if let Some(claims) = rule.remembered(&token.text, now) {
                return Ok((claims, rule));
            }
        }
        let parsed = Parsed::read(&token.text)?;
        let mut fault = TokenFault::Issuer;
        for rule in looking().filter(|rule| rule.is_of(&parsed)) {
            match rule.verify(&parsed, now).await {
                Ok(claims) => return Ok((claims, rule)),
                Err(why) => fault = why,
            }
        }
        Err(fault)
    }
}

fn is_preflight(head: &Head) -> bool {
    head.method() == "OPTIONS"
        && head.fields.first("origin").is_some()
        && head.fields.first("access-control-request-method").is_some_and(|method| !method.is_empty())
}
