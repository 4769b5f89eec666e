// SPDX-License-Identifier: Apache-2.0
//! Who may do what: the policies of one listener, in the order in which Istio has them count. What any DENY takes ends;
//! where there are policies that ALLOW, what none of them takes ends, too.
//!
//! A backend may read more into a path than is written there ([`readings`]). A DENY holds for every reading; an ALLOW that
//! a path hides a way upwards from must allow both. Never answers, never waits.

mod facts;

mod readings;

mod rule;

mod sieve;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use torana_ir::{AccessAction, AccessPolicy, PolicyKey, ProviderKey};

pub use facts::Facts;

use readings::Reading;
use rule::Compiled;
use sieve::{Edges, Sieve};

/// The policies of one listener.
#[derive(Debug)]
pub struct Access {
    /// By action, as they are written, so that it can be told whether they are the same.
    policies: Vec<Arc<AccessPolicy>>,
    /// The first that is named and is not there.
    absent: Option<PolicyKey>,
    /// They are asked about requests.
    is_http: bool,
    enforced: Rules,
    /// Of those that only tell what they would do; `None` if there are none.
    dry: Option<Rules>,
}

/// Rules by their action.
#[derive(Debug, Default)]
struct Rules {
    /// Of requests: who is asked about what these take.
    ask: Vec<(ProviderKey, Sieve)>,
    audit: Sieve,
    deny: Sieve,
    allow: Sieve,
    /// There are policies that allow, with rules or without.
    allows: bool,
}

/// A rule as logs name it: `namespace/name[place]`.
pub type Label = Arc<str>;

/// What becomes of a request or a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on, by this rule if there are policies that allow.
    Allowed(Option<Label>),
    /// It ends.
    Denied(Denial),
}

/// Why something ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// This rule denies it.
    By(Label),
    /// There are policies that allow, and none of their rules takes it.
    Unmatched,
    /// This policy is named and is not there.
    Absent(PolicyKey),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed(None) => f.write_str("allowed"),
            Self::Allowed(Some(label)) => write!(f, "allowed by {label}"),
            Self::Denied(why) => write!(f, "denied by {why}"),
        }
    }
}

/// The rule, or what there is in its place.
impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::By(label) => f.write_str(label),
            Self::Unmatched => f.write_str("none that allows it"),
            Self::Absent(key) => write!(f, "{key}, which is not there"),
        }
    }
}

/// All that policies say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What becomes of it.
    pub verdict: Verdict,
    /// The rule that wants it told.
    pub audited: Option<Label>,
    /// What would become of it if policies counted that only tell so; `None` if there are none.
    pub would: Option<Verdict>,
}

impl Judgement {
    /// Whether it ends.
    pub(crate) fn is_denial(&self) -> bool {
        matches!(self.verdict, Verdict::Denied(_))
    }
}

impl Access {
    /// The policies that a listener names; those of a key are `find`'s. `previous` itself if nothing changed.
    pub(crate) fn compile(
        keys: &[PolicyKey],
        find: impl Fn(&PolicyKey) -> Option<Arc<AccessPolicy>>,
        is_http: bool,
        previous: Option<&Arc<Self>>,
    ) -> Option<Arc<Self>> {
        if keys.is_empty() {
            return None;
        }
        let found: Vec<_> = keys.iter().map(|key| find(key).ok_or(key)).collect();
        let absent = found.iter().find_map(|it| it.as_ref().err()).map(|key| (*key).clone());
        let policies: Vec<_> = found.into_iter().flatten().collect();
        let is_same =
            |before: &&Arc<Self>| before.policies == policies && before.absent == absent && before.is_http == is_http;
        if let Some(before) = previous.filter(is_same) {
            return Some(Arc::clone(before));
        }
        let of = |dry: bool| policies.iter().filter(move |policy| policy.dry_run == dry);
        let dry = of(true).next().is_some().then(|| Rules::compile(of(true), is_http));
        let enforced = Rules::compile(of(false), is_http);
        Some(Arc::new(Self { policies, absent, is_http, enforced, dry }))
    }

    /// Whether somebody else may be asked.
    pub(crate) fn asks_others(&self) -> bool {
        !self.enforced.ask.is_empty()
    }

    /// Who has to be asked about a request first, each once, and by which rule.
    pub fn asked(&self, facts: &Facts<'_>) -> Vec<(&ProviderKey, Label)> {
        let mut asked: Vec<(&ProviderKey, Label)> = Vec::new();
        if self.enforced.ask.is_empty() {
            return asked;
        }
        let readings = facts.head.map(|head| Reading::all(head.path())).unwrap_or_default();
        for (provider, rules) in &self.enforced.ask {
            if !asked.iter().any(|(known, _)| *known == provider)
                && let Some(rule) = concerning(rules, facts, &readings)
            {
                asked.push((provider, rule.label()));
            }
        }
        asked.sort_by_key(|(provider, _)| *provider);
        asked
    }

    /// Of each rule that could allow it: what of it does not hold.
    pub fn misses(&self, facts: &Facts<'_>) -> Vec<(Label, &'static str)> {
        self.enforced.allow.all().filter_map(|rule| Some((rule.label(), rule.misses(facts)?))).collect()
    }

    /// What they say of this.
    pub fn judge(&self, facts: &Facts<'_>) -> Judgement {
        let readings = facts.head.map(|head| Reading::all(head.path())).unwrap_or_default();
        let verdict = match &self.absent {
            Some(key) => Verdict::Denied(Denial::Absent(key.clone())),
            None => self.enforced.verdict(facts, &readings),
        };
        let edges = Edges::of(facts.head, None);
        let first = |rules: &Sieve| rules.about(edges).find(|rule| rule.holds(facts, None)).map(Compiled::label);
        Judgement {
            verdict,
            audited: first(&self.enforced.audit),
            would: self.dry.as_ref().map(|dry| dry.verdict(facts, &readings)),
        }
    }
}

/// The first rule that takes this as it is or as a backend may read it.
fn concerning<'r>(rules: &'r Sieve, facts: &Facts<'_>, readings: &[Reading]) -> Option<&'r Compiled> {
    let taking = |path: Option<&str>| rules.about(Edges::of(facts.head, path)).find(|rule| rule.denies(facts, path));
    taking(None).or_else(|| readings.iter().find_map(|reading| taking(Some(&reading.path))))
}

impl Rules {
    fn compile<'p>(policies: impl Iterator<Item = &'p Arc<AccessPolicy>>, is_http: bool) -> Self {
        let mut rules = Self::default();
        for policy in policies {
            let compiled = policy.rules.iter().filter_map(|rule| Compiled::of(policy, rule, is_http));
            match &policy.action {
                AccessAction::Ask(provider) if is_http => {
                    let mut sieve = Sieve::default();
                    sieve.extend(compiled);
                    rules.ask.push((provider.clone(), sieve));
                }
                AccessAction::Audit => rules.audit.extend(compiled),
                // Nobody is asked about streams.
                AccessAction::Deny | AccessAction::Ask(_) => rules.deny.extend(compiled),
                AccessAction::Allow => {
                    rules.allow.extend(compiled);
                    rules.allows = true;
                }
            }
        }
        rules
    }

    fn verdict(&self, facts: &Facts<'_>, readings: &[Reading]) -> Verdict {
        if let Some(rule) = concerning(&self.deny, facts, readings) {
            return Verdict::Denied(Denial::By(rule.label()));
        }
        if !self.allows {
            return Verdict::Allowed(None);
        }
        let allowing =
            |path: Option<&str>| self.allow.about(Edges::of(facts.head, path)).find(|rule| rule.holds(facts, path));
        let mut climbing = readings.iter().filter(|reading| reading.climbs);
        match allowing(None).filter(|_| climbing.all(|reading| allowing(Some(&reading.path)).is_some())) {
            Some(rule) => Verdict::Allowed(Some(rule.label())),
            None => Verdict::Denied(Denial::Unmatched),
        }
    }
}
