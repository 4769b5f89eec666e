// SPDX-License-Identifier: Apache-2.0
//! Hosts that several VirtualServices, or VirtualServices and routes of Gateway API, have on one listener. There the
//! routes are asked first, then the VirtualServices by age, whatever their rules are, and authors cannot see that in what
//! they wrote. Never decides who is asked.

use std::collections::{BTreeMap, BTreeSet};

use torana_crds::{Kind, ObjectRef};
use torana_ir::{HostPattern, ListenerKey, Rule};

use crate::report::Remark;
use crate::store::unlink;

/// A host on a listener.
type Place = (ListenerKey, HostPattern);

/// Who has which host.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedHosts {
    routes: BTreeMap<Place, BTreeSet<ObjectRef>>,
    virtual_services: BTreeMap<Place, BTreeSet<ObjectRef>>,
    places: BTreeMap<ObjectRef, BTreeSet<Place>>,
}

impl SharedHosts {
    /// A route or VirtualService has these rules now, perhaps none. Returns the VirtualServices of which something else
    /// may be said.
    pub(super) fn put(&mut self, route: &ObjectRef, rules: &[Rule]) -> BTreeSet<ObjectRef> {
        let attachments = rules.iter().flat_map(|rule| &rule.attachments);
        let hosts = attachments.flat_map(|it| it.hostnames.iter().map(|host| (it.listener.clone(), host.clone())));
        let now: BTreeSet<Place> = hosts.collect();
        let before = self.places.remove(route).unwrap_or_default();
        let is_istio = route.known_kind() == Some(Kind::VirtualService);
        let index = if is_istio { &mut self.virtual_services } else { &mut self.routes };
        for place in before.difference(&now) {
            unlink(index, place, route);
        }
        for place in now.difference(&before) {
            index.entry(place.clone()).or_default().insert(route.clone());
        }
        let moved = before.symmetric_difference(&now);
        let beside = moved.filter_map(|place| self.virtual_services.get(place)).flatten();
        let touched = beside.chain(is_istio.then_some(route)).cloned().collect();
        if !now.is_empty() {
            self.places.insert(route.clone(), now);
        }
        touched
    }

    /// What the author of a VirtualService should know.
    pub(super) fn remarks(&self, virtual_service: &ObjectRef) -> impl Iterator<Item = Remark> {
        let with_route = self.remark(virtual_service, &self.routes, "and its rules are asked first");
        let beside = "and of the rules of both those of the older are asked first";
        with_route.into_iter().chain(self.remark(virtual_service, &self.virtual_services, beside))
    }

    fn remark(
        &self,
        virtual_service: &ObjectRef,
        index: &BTreeMap<Place, BTreeSet<ObjectRef>>,
        follows: &str,
    ) -> Option<Remark> {
        let places = self.places.get(virtual_service).into_iter().flatten();
        let other = |place| index.get(place)?.iter().find(|other| *other != virtual_service);
        let mut shared = places.filter_map(|place| Some((place, other(place)?)));
        let ((listener, host), other) = shared.next()?;
        let more = match shared.count() {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let message = format!("{other} has host {host} on listener {listener} too, {follows}{more}");
        Some(Remark::warning("HostShared", "spec.hosts", message, "keep the host in one of them"))
    }
}
