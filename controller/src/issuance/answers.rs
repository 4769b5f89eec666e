// SPDX-License-Identifier: Apache-2.0
//! Which answers to an authority all proxies know: it is asked to look only then, for it may come to any of them.

use std::collections::{BTreeMap, BTreeSet};

use torana_ir::{AcmeHost, GatewayId, Snapshot};

/// An answer (a key authorization) at the proxies of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answer {
    /// The Gateway.
    pub gateway: GatewayId,
    /// What is answered.
    pub key_authorization: String,
}

/// Answers that were published, and those of them that are known.
#[derive(Debug, Default)]
pub struct Answers {
    /// With the generation that had them first.
    published: BTreeMap<Answer, u64>,
}

impl Answers {
    /// `snapshot` is published as `generation` to proxies that serve Gateways of which `concerns` is true: what these were
    /// told before and are not any more they need not know.
    pub fn publish(&mut self, generation: u64, snapshot: &Snapshot, concerns: impl Fn(&GatewayId) -> bool) {
        let of_host = |host: &AcmeHost| -> Vec<Answer> {
            let texts = host.answers.values().chain(&host.tls_alpn).cloned();
            let gateway = &host.key.gateway;
            texts.map(|key_authorization| Answer { gateway: gateway.clone(), key_authorization }).collect()
        };
        let now: BTreeSet<Answer> = snapshot.acme_hosts.values().flat_map(|host| of_host(host)).collect();
        self.published.retain(|answer, _| !concerns(&answer.gateway) || now.contains(answer));
        for answer in now {
            self.published.entry(answer).or_insert(generation);
        }
    }

    /// Those that are known: `acked` has the generation that is in force at all proxies of a Gateway, if it has any.
    pub fn known(&self, acked: impl Fn(&GatewayId) -> Option<u64>) -> BTreeSet<Answer> {
        let is_known = |answer: &Answer, since: u64| acked(&answer.gateway).is_some_and(|acked| acked >= since);
        let known = self.published.iter().filter(|(answer, since)| is_known(answer, **since));
        known.map(|(answer, _)| answer.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use torana_ir::{AcmeHostKey, Delta, Resource};

    use super::*;

    fn gateway(name: &str) -> GatewayId {
        GatewayId { namespace: "n".to_owned(), name: name.to_owned() }
    }

    fn snapshot(of: &str, tokens: &[&str]) -> Snapshot {
        let key = AcmeHostKey { gateway: gateway(of), host: "a.example".to_owned() };
        let answers = tokens.iter().map(|token| ((*token).to_owned(), format!("{token}.k"))).collect();
        let host = AcmeHost::new(key, answers, None, true).unwrap();
        let mut snapshot = Snapshot::default();
        snapshot.apply(Delta { upserts: vec![Resource::AcmeHost(Arc::new(host))], removals: Vec::new() });
        snapshot
    }

    fn known(answers: &Answers, acked: u64) -> Vec<String> {
        answers.known(|_| Some(acked)).into_iter().map(|answer| answer.key_authorization).collect()
    }

    #[test]
    fn an_answer_is_known_once_the_generation_that_had_it_first_is_in_force() {
        let mut answers = Answers::default();
        answers.publish(3, &snapshot("g", &["a"]), |_| true);
        answers.publish(5, &snapshot("g", &["a", "b"]), |_| true);
        assert_eq!(known(&answers, 2), Vec::<String>::new());
        assert_eq!(known(&answers, 4), ["a.k"], "later changes do not take it back");
        assert_eq!(known(&answers, 5), ["a.k", "b.k"]);
        answers.publish(6, &snapshot("g", &["b"]), |_| true);
        answers.publish(7, &snapshot("g", &["a", "b"]), |_| true);
        assert_eq!(known(&answers, 6), ["b.k"], "one that was taken back begins anew");
    }

    #[test]
    fn proxies_of_one_gateway_say_nothing_of_those_of_another() {
        let mut answers = Answers::default();
        answers.publish(1, &snapshot("g", &["a"]), |it| *it == gateway("g"));
        answers.publish(2, &snapshot("h", &["b"]), |it| *it == gateway("h"));
        let of = |name: &str| answers.known(|it| (*it == gateway(name)).then_some(9)).len();
        assert_eq!((of("g"), of("h"), of("other")), (1, 1, 0));
    }
}
