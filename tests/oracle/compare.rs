// SPDX-License-Identifier: Apache-2.0
//! Where two answers differ, and which of these differences are known and explained.

use std::fmt::Write as _;

use super::outcome::{Answer, Forward, Outcome};
use super::scenario::{Call, Scenario};

/// What is not the same.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    /// Which call; none: which objects are refused.
    pub(super) call: Option<usize>,
    /// What differs: the kind of outcome, or a field of it.
    pub(super) what: String,
    pub(super) istio: String,
    pub(super) torana: String,
}

/// A difference that is wanted, or that cannot be avoided.
pub(super) struct Explained {
    /// Whether it is this one.
    pub(super) holds: fn(Option<&Call>, &Difference, Sides<'_>) -> bool,
    pub(super) why: &'static str,
}

/// What Istio and Torana make of a call; none where it is not about one.
pub(super) type Sides<'s> = Option<(&'s Outcome, &'s Outcome)>;

/// All that may differ.
pub(super) const EXPLAINED: [Explained; 3] = [
    Explained {
        holds: |_, _, sides| matches!(sides, Some((Outcome::Undefined(_), _))),
        why: "Envoy would refuse what Istio makes of it: two chains for one server name, or a redirect of unknown status",
    },
    Explained {
        holds: |_, _, sides| matches!(sides, Some((_, Outcome::Misdirected))),
        why: "the host is another server's than the one that TLS was set up for: Torana answers 421 (RFC 9110, 7.4)",
    },
    Explained {
        holds: |_, _, sides| matches!(sides, Some((Outcome::NoListener, Outcome::Closed))),
        why: "nothing is routed from a server of bytes: Istio does not listen, Torana listens and closes",
    },
];

/// Every difference, those that are explained with the place of their explanation in [`EXPLAINED`].
pub(super) fn differences(scenario: &Scenario, istio: &Answer, torana: &Answer) -> Vec<(Difference, Option<usize>)> {
    let mut found = Vec::new();
    if istio.rejected != torana.rejected {
        let (istio, torana) = (format!("{:?}", istio.rejected), format!("{:?}", torana.rejected));
        found.push(explain(None, Difference { call: None, what: "refused objects".to_owned(), istio, torana }, None));
    }
    if istio.outcomes.len() != torana.outcomes.len() {
        let (istio, torana) = (istio.outcomes.len().to_string(), torana.outcomes.len().to_string());
        found.push(explain(None, Difference { call: None, what: "calls".to_owned(), istio, torana }, None));
        return found;
    }
    for (at, (one, other)) in istio.outcomes.iter().zip(&torana.outcomes).enumerate() {
        for (what, istio, torana) in outcomes(one, other) {
            let difference = Difference { call: Some(at), what: what.to_owned(), istio, torana };
            found.push(explain(scenario.calls.get(at), difference, Some((one, other))));
        }
    }
    found
}

fn explain(call: Option<&Call>, found: Difference, sides: Sides<'_>) -> (Difference, Option<usize>) {
    let reason = EXPLAINED.iter().position(|explained| (explained.holds)(call, &found, sides));
    (found, reason)
}

/// What differs, and both sides of it.
type Pair = (&'static str, String, String);

fn outcomes(istio: &Outcome, torana: &Outcome) -> Vec<Pair> {
    match (istio, torana) {
        (Outcome::Forward(istio), Outcome::Forward(torana)) => forwards(istio, torana),
        _ if istio == torana => Vec::new(),
        _ => vec![("outcome", format!("{istio:?}"), format!("{torana:?}"))],
    }
}

fn forwards(istio: &Forward, torana: &Forward) -> Vec<Pair> {
    let mut found = Vec::new();
    macro_rules! field {
        ($name:ident) => {
            if istio.$name != torana.$name {
                found.push((stringify!($name), format!("{:?}", istio.$name), format!("{:?}", torana.$name)));
            }
        };
    }
    field!(targets);
    field!(path);
    field!(authority);
    field!(timeout);
    field!(retries);
    field!(hash);
    field!(request);
    field!(response);
    field!(cors);
    field!(fault);
    field!(mirrors);
    found
}

/// A difference as people read it, with the call.
pub(super) fn told(scenario: &Scenario, difference: &Difference) -> String {
    let mut text = String::new();
    if let Some(call) = difference.call.and_then(|at| scenario.calls.get(at)) {
        let sni = call.sni.as_deref().map(|sni| format!(" (server name {sni})")).unwrap_or_default();
        let (protocol, method) = (call.protocol.word(), &call.method);
        let _ = writeln!(text, "{method} {protocol}://{} {} on port {}{sni}", call.host, call.path, call.port);
        for (name, value) in &call.headers {
            let _ = writeln!(text, "  {name}: {value}");
        }
    }
    let _ = writeln!(text, "{}\n  Istio:  {}\n  Torana: {}", difference.what, difference.istio, difference.torana);
    text
}

#[cfg(test)]
mod tests {
    use super::super::outcome::{Answer, Destination, Outcome, Target, shares};
    use super::*;

    fn target(host: &str, weight: u32) -> Target {
        let destination = Destination::Known { host: host.to_owned(), port: 80, subset: None };
        let (request, response) = (Vec::new(), Vec::new());
        Target { destination, weight, request, response, authority: None }
    }

    fn answer(outcomes: Vec<Outcome>) -> Answer {
        Answer { rejected: Vec::new(), outcomes }
    }

    #[test]
    fn shares_are_the_same_whatever_their_sum_and_order() {
        let (one, other) =
            (vec![target("a", 50), target("b", 25)], vec![target("b", 1), target("a", 1), target("a", 1)]);
        assert_eq!(shares(one), shares(other));
        assert_ne!(shares(vec![target("a", 1), target("b", 2)]), shares(vec![target("a", 2), target("b", 1)]));
    }

    #[test]
    fn the_same_outcome_is_no_difference_and_another_is() {
        let scenario = super::super::generate::scenario(1, 1);
        let (one, other) = (answer(vec![Outcome::NoRoute]), answer(vec![Outcome::NoListener]));
        assert_eq!(differences(&scenario, &one, &one), []);
        let found = differences(&scenario, &one, &other);
        assert!(matches!(&found[..], [(Difference { call: Some(0), .. }, None)]), "{found:?}");
    }

    #[test]
    fn what_envoy_would_refuse_is_explained() {
        let scenario = super::super::generate::scenario(1, 1);
        let (one, other) = (answer(vec![Outcome::Undefined("x".to_owned())]), answer(vec![Outcome::NoRoute]));
        assert!(matches!(&differences(&scenario, &one, &other)[..], [(_, Some(0))]));
    }
}
