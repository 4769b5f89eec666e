// SPDX-License-Identifier: Apache-2.0
//! What policies make of a request, in words. They themselves decide, by the code that also serves.

use torana_controller::plane::object_of;
use torana_gateway::access::{Denial, Verdict};
use torana_gateway::table::Admission;
use torana_ir::{PolicyKey, ResourceKey};

use super::answer::{Answer, Cause, PolicyStep};
use super::judge::Case;

/// What to tell of them.
pub(super) fn step(admission: &Admission) -> PolicyStep {
    let judgement = &admission.judgement;
    PolicyStep {
        client: admission.client,
        how: admission.how.clone(),
        allowed: !is_denied(admission),
        decision: decision(admission),
        audited: judgement.audited.as_ref().map(ToString::to_string),
        dry_run: judgement.would.as_ref().map(ToString::to_string),
    }
}

/// What they say, and on whose word that depends.
fn decision(admission: &Admission) -> String {
    let asked = admission.asked.iter().map(|(provider, label)| format!("{provider} says yes to it ({label})"));
    let asked: Vec<_> = asked.collect();
    let verdict = admission.judgement.verdict.to_string();
    if asked.is_empty() { verdict } else { format!("{verdict}, if {}", asked.join(" and ")) }
}

/// Whether the request ends there.
pub(super) fn is_denied(admission: &Admission) -> bool {
    matches!(admission.judgement.verdict, Verdict::Denied(_))
}

/// A request that they do not let through.
pub(super) fn denied(case: &Case<'_>, admission: &Admission) -> Answer {
    let causes = match &admission.judgement.verdict {
        Verdict::Denied(Denial::By(label)) => cause(case, label, "denies it", "narrow the rule").into_iter().collect(),
        Verdict::Denied(Denial::Unmatched) => unmatched(case, admission),
        Verdict::Denied(Denial::Absent(key)) => {
            let object = object_of(&ResourceKey::Policy(key.clone()));
            vec![case.cause(object, "", "the proxy could not take it".to_owned(), "see its log")]
        }
        Verdict::Allowed(_) => Vec::new(),
    };
    let outcome = format!("403: {}", admission.judgement.verdict);
    Answer { status: Some(403), outcome, causes, ..Answer::default() }
}

/// Every rule that could have allowed it; of policies without rules the policies.
fn unmatched(case: &Case<'_>, admission: &Admission) -> Vec<Cause> {
    let rules = admission.misses.iter().filter_map(|(label, missing)| {
        cause(case, label, &format!("does not take it: {missing}"), "widen the rule, or add one")
    });
    let mut causes: Vec<_> = rules.collect();
    if causes.is_empty() {
        let empty = case.snapshot.policies.values().filter(|policy| policy.rules.is_empty() && !policy.dry_run);
        let what = "it allows, and has no rule that allows anything".to_owned();
        let object = |key: &PolicyKey| object_of(&ResourceKey::Policy(key.clone()));
        causes.extend(empty.map(|policy| case.cause(object(&policy.key), "spec", what.clone(), "add a rule")));
    }
    causes
}

/// `namespace/name[place]` as the field of its object.
fn cause(case: &Case<'_>, label: &str, what: &str, remedy: &str) -> Option<Cause> {
    let (policy, place) = label.strip_suffix(']')?.rsplit_once('[')?;
    let (namespace, name) = policy.split_once('/')?;
    let object = object_of(&ResourceKey::Policy(PolicyKey { namespace: namespace.into(), name: name.into() }));
    let path = format!("spec.rules[{place}]");
    Some(case.cause(object, &path, format!("{path} {what}"), remedy))
}
