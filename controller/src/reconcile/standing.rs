// SPDX-License-Identifier: Apache-2.0
//! How a Gateway stands: what its proxies have acked, where they are reached, and what keeps them from being there.
//! Gathers what others found; judges nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::feed::{Hub, Standing as Fleet};
use crate::provision::Provisioned;
use crate::provision::desired::addresses::{self, Exposure};
use crate::publish::Rejection;
use crate::reconcile::gateways::Ours;
use crate::reconcile::proxies::Proxy;
use crate::status::{Address, Proxies, Standing};

/// Proxies that were there before this replica led have so long to come back, before it is said that there are none.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What is known of one Gateway's surroundings.
pub(super) struct View<'v> {
    pub(super) ours: &'v Ours,
    pub(super) provisioned: Option<&'v Provisioned>,
    pub(super) pods: Vec<&'v Proxy>,
    /// Whether this replica does not lead, or has for less than [`PATIENCE`].
    pub(super) is_new: bool,
}

impl View<'_> {
    /// How the Gateway stands at `now`.
    pub(super) fn standing(&self, hub: &Hub, now: Instant) -> Standing {
        let ready: BTreeSet<String> = self.pods.iter().filter(|pod| pod.is_ready).map(|pod| pod.uid.clone()).collect();
        let programmed = hub.programmed(&self.ours.fleet, &ready, now);
        let published = hub.generation(&self.ours.fleet).unwrap_or_default();
        let proxies = match programmed.standing {
            Fleet::InForce => Proxies::Acked(published),
            Fleet::Pending(_) if self.is_new && programmed.acked == 0 => Proxies::Unknown,
            Fleet::Pending(_) => Proxies::Acked(programmed.acked),
            Fleet::NoProxy => self.absent(),
        };
        let (addresses, unusable) = self.addresses();
        let rejected = programmed.rejected.into_iter().map(|(key, reason)| Rejection { key, reason });
        Standing {
            published,
            proxies,
            addresses,
            unusable,
            rejected: rejected.collect(),
            silent: programmed.silent.into_iter().chain(self.troubled()).collect(),
            away: programmed.away,
        }
    }

    /// Why no proxy counts.
    fn absent(&self) -> Proxies {
        let problems = self.provisioned.map(|it| it.problems.join("; ")).unwrap_or_default();
        if self.is_new {
            Proxies::Unknown
        } else if !problems.is_empty() {
            Proxies::Absent(problems)
        } else if self.pods.is_empty() {
            Proxies::Starting("its proxies are being created".to_owned())
        } else {
            let named = self.troubled();
            let why = "none of its proxies is Ready and connected yet";
            Proxies::Starting(if named.is_empty() { why.to_owned() } else { format!("{why}: {}", named.join(", ")) })
        }
    }

    /// Pods that will not serve by themselves, each with the reason.
    fn troubled(&self) -> Vec<String> {
        self.pods.iter().filter_map(|pod| pod.trouble.clone()).collect()
    }

    /// Where it is reached, and why that is not as asked; `None` while nobody can know.
    fn addresses(&self) -> (Option<Vec<Address>>, Option<String>) {
        let service = self.provisioned.and_then(|it| it.service.as_deref());
        if service.is_none() && self.is_new {
            return (None, None);
        }
        let nodes: Vec<IpAddr> = self.pods.iter().filter(|pod| pod.is_ready).flat_map(|pod| pod.node.clone()).collect();
        let exposure = Exposure { service, host_network: self.ours.is_on_hosts(), nodes: &nodes };
        let found = addresses::addresses(self.ours.addresses(), &exposure);
        let address = |it: &addresses::Address| Address { address_type: it.type_name().to_owned(), value: it.value() };
        (Some(found.assigned.iter().map(address).collect()), found.unusable.map(|remark| remark.to_string()))
    }
}
