// SPDX-License-Identifier: Apache-2.0
//! What the proxies have made of it, Gateway by Gateway: whether what was published is in force, what they refused, and
//! which addresses lead to them. Gathered by whoever hears the acks; never judged here.

use std::collections::{BTreeMap, BTreeSet};

use torana_crds::ObjectRef;

use crate::publish::Rejection;

/// What is known of the proxies and of the API that the objects are written in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Programmed {
    /// By Gateway. One that is absent has no proxies yet.
    pub gateways: BTreeMap<ObjectRef, Standing>,
    /// `gateway.networking.k8s.io/bundle-version` of the installed CRDs of Gateway API; empty while it is not known.
    pub bundles: BTreeSet<String>,
    /// The generation that must be in force before a Gateway or ListenerSet is what its entry in the report says; 0 if
    /// absent. Kept by the [`super::Board`].
    pub(super) needed: BTreeMap<ObjectRef, u64>,
}

/// The proxies of one Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// The generation that was last published to its fleet.
    pub published: u64,
    /// How far they are.
    pub proxies: Proxies,
    /// Addresses that lead to them; `None` while that is not known (those in the status stay).
    pub addresses: Option<Vec<Address>>,
    /// Why they are not those that the Gateway asks for (AddressNotUsable).
    pub unusable: Option<String>,
    /// What they refused of the generation in force, each once.
    pub rejected: Vec<Rejection>,
    /// Names of proxies that no longer count, because they do not answer.
    pub silent: Vec<String>,
    /// Ready proxies of which nothing is known, for they are not connected: they do not count, and requests come to them.
    pub away: usize,
}

/// How far the proxies of a Gateway are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Proxies {
    /// Not known yet, as after a start of the controller: what the status says of this generation stays.
    #[default]
    Unknown,
    /// They are on their way: why there are none yet, as one sentence.
    Starting(String),
    /// There are none, and none is expected soon: why, as one sentence.
    Absent(String),
    /// Every proxy that counts has this generation or a later one in force.
    Acked(u64),
}

/// `GatewayStatusAddress`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// `IPAddress` or `Hostname`.
    pub address_type: String,
    /// The address.
    pub value: String,
}

/// Whether something is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Force {
    /// It is.
    Held,
    /// Not yet: why, for people.
    Pending(String),
    /// It is not, and will not be by itself: why, for people.
    Absent(String),
}

impl Programmed {
    /// Whether what the report says of `object` is in force at the proxies of `gateway`.
    pub(super) fn force(&self, object: &ObjectRef, gateway: &ObjectRef) -> Force {
        self.force_in(object, self.gateways.get(gateway))
    }

    /// Whether another status follows for `object` from how `gateway` stands now than from `before`.
    pub(super) fn has_moved(&self, object: &ObjectRef, gateway: &ObjectRef, before: Option<&Standing>) -> bool {
        let now = self.gateways.get(gateway);
        let rest = |standing: &'_ Standing| {
            let Standing { addresses, unusable, rejected, silent, .. } = standing.clone();
            (addresses, unusable, rejected, silent)
        };
        now != before
            && (now.map(rest) != before.map(rest) || self.force_in(object, now) != self.force_in(object, before))
    }

    fn force_in(&self, object: &ObjectRef, standing: Option<&Standing>) -> Force {
        let needed = self.needed.get(object).copied().unwrap_or_default();
        match standing.map(|standing| &standing.proxies) {
            None | Some(Proxies::Unknown) => Force::Pending("its proxies have not been heard of yet".to_owned()),
            Some(Proxies::Starting(why)) => Force::Pending(why.clone()),
            Some(Proxies::Absent(why)) => Force::Absent(why.clone()),
            Some(Proxies::Acked(generation)) if *generation >= needed => Force::Held,
            Some(Proxies::Acked(_)) => Force::Pending("its proxies have not confirmed the last change yet".to_owned()),
        }
    }

    /// Whether there is nobody to wait for before saying what holds since `generation` at `gateway`.
    pub(super) fn has_reached(&self, gateway: &ObjectRef, generation: u64) -> bool {
        match self.gateways.get(gateway).map(|standing| &standing.proxies) {
            Some(Proxies::Acked(acked)) => *acked >= generation,
            Some(Proxies::Unknown) => false,
            None | Some(Proxies::Starting(_) | Proxies::Absent(_)) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use torana_crds::Kind;

    use super::*;

    #[test]
    fn it_is_in_force_once_every_proxy_that_counts_has_the_generation() {
        let gateway = ObjectRef::new(Kind::Gateway, "default", "edge");
        let mut programmed = Programmed::default();
        programmed.needed.insert(gateway.clone(), 7);
        let pending = |force: Force| matches!(force, Force::Pending(_));
        assert!(pending(programmed.force(&gateway, &gateway)));
        for (proxies, expected, reached) in [
            (Proxies::Unknown, false, false),
            (Proxies::Starting("x".into()), false, true),
            (Proxies::Acked(6), false, false),
            (Proxies::Acked(7), true, true),
            (Proxies::Acked(8), true, true),
        ] {
            programmed.gateways.insert(gateway.clone(), Standing { proxies: proxies.clone(), ..Standing::default() });
            assert_eq!(programmed.force(&gateway, &gateway) == Force::Held, expected, "{proxies:?}");
            assert_eq!(programmed.has_reached(&gateway, 7), reached, "{proxies:?}");
        }
    }
}
