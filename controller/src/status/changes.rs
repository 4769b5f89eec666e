// SPDX-License-Identifier: Apache-2.0
//! What is new in a report, and whom the proxies must have caught up for before it may be said. Pure.
//!
//! Status follows the data plane: whoever reads *Accepted* may send requests, so an entry waits for the generation that
//! it came with. Where there are no proxies, or they do not answer, nobody waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use torana_crds::{Kind, ObjectRef};
use torana_ir::Change;

use crate::report::{Entry, ListenerEntry, Report};
use crate::status::programmed::Programmed;
use crate::status::queue::Haste;

/// So long an entry waits for the proxies. A Gateway is then called pending; the others are said as they are.
const PATIENCE: Duration = Duration::from_secs(3);

/// Objects whose entries differ, and how soon that should be seen. What the reports share is not looked into.
pub(super) fn between(before: &Report, after: &Report) -> BTreeMap<ObjectRef, Haste> {
    let difference = |change: Change<'_, ObjectRef, Arc<Entry>>| match change {
        Change::Gone(object) => (object.clone(), Haste::Now),
        Change::Put(object, is) => {
            (object.clone(), before.objects.get(object).map_or(Haste::Now, |was| haste(was, is)))
        }
    };
    let mut changed: BTreeMap<_, _> = before.objects.changes(&after.objects).map(difference).collect();
    let marks = before.unreadable.keys().chain(after.unreadable.keys());
    let marks = marks.filter(|object| before.unreadable.get(*object) != after.unreadable.get(*object));
    changed.extend(marks.map(|object| (object.clone(), Haste::Now)));
    changed
}

/// Numbers of attached routes change with every route: they may wait.
fn haste(before: &Entry, after: &Entry) -> Haste {
    let shape = |entry: &Entry| (entry.generation, entry.listeners.len());
    let same = shape(before) == shape(after)
        && before.conditions == after.conditions
        && before.parents == after.parents
        && before.ancestors == after.ancestors
        && before.remarks == after.remarks
        && before.listeners.iter().zip(&after.listeners).all(|(one, two)| is_same(one, two));
    if same && !before.listeners.is_empty() { Haste::WhenQuiet } else { Haste::Now }
}

fn is_same(one: &ListenerEntry, two: &ListenerEntry) -> bool {
    one.name == two.name && one.supported_kinds == two.supported_kinds && one.conditions == two.conditions
}

/// Gateways at which an entry takes effect.
pub(super) fn gateways(object: &ObjectRef, report: &Report) -> BTreeSet<ObjectRef> {
    let Some(entry) = report.objects.get(object) else { return BTreeSet::new() };
    let mut gateways: BTreeSet<ObjectRef> = entry.gateway.iter().cloned().collect();
    let parents = entry.parents.iter().map(|it| &it.parent).chain(entry.ancestors.iter().map(|it| &it.ancestor));
    for parent in parents {
        let target = parent.target(&object.namespace);
        if target.known_kind() == Some(Kind::ListenerSet) {
            gateways.extend(report.objects.get(&target).and_then(|set| set.gateway.clone()));
        } else {
            gateways.insert(target);
        }
    }
    gateways
}

/// Entries that wait for the proxies.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeMap<ObjectRef, Wait>);

#[derive(Debug)]
struct Wait {
    /// The generation that each Gateway's proxies must have.
    needs: BTreeMap<ObjectRef, u64>,
    haste: Haste,
    until: Instant,
}

impl Waiting {
    /// The entry of `object` is new since what was published last to `gateways`.
    pub(super) fn add(
        &mut self,
        object: &ObjectRef,
        haste: Haste,
        gateways: BTreeSet<ObjectRef>,
        programmed: &Programmed,
        now: Instant,
    ) {
        let needs = gateways.into_iter().map(|gateway| {
            let published = programmed.gateways.get(&gateway).map(|standing| standing.published);
            (gateway, published.unwrap_or_default())
        });
        let until = now + PATIENCE;
        let wait = self.0.entry(object.clone()).or_insert_with(|| Wait { needs: BTreeMap::new(), haste, until });
        wait.haste = wait.haste.max(haste);
        wait.needs = needs.collect();
    }

    /// Takes out whatever waits no longer.
    pub(super) fn release(&mut self, programmed: &Programmed, now: Instant) -> Vec<(ObjectRef, Haste)> {
        let mut released = Vec::new();
        self.0.retain(|object, wait| {
            let reached = wait.needs.iter().all(|(gateway, generation)| programmed.has_reached(gateway, *generation));
            let is_over = reached || wait.until <= now;
            if is_over {
                released.push((object.clone(), wait.haste));
            }
            !is_over
        });
        released
    }

    /// Whether this object waits; if so, there is haste once it does not.
    pub(super) fn hurry(&mut self, object: &ObjectRef) -> bool {
        let wait = self.0.get_mut(object);
        let waits = wait.is_some();
        if let Some(wait) = wait {
            wait.haste = Haste::Now;
        }
        waits
    }

    /// When the first of them has waited long enough.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().map(|wait| wait.until).min()
    }
}

#[cfg(test)]
mod tests {
    use torana_crds::ParentRef;

    use super::*;
    use crate::report::conditions::{listener, route};
    use crate::report::{ParentEntry, Remark};
    use crate::status::programmed::{Proxies, Standing};

    fn gateway() -> ObjectRef {
        ObjectRef::new(Kind::Gateway, "default", "edge")
    }

    fn web() -> ObjectRef {
        ObjectRef::new(Kind::HttpRoute, "default", "web")
    }

    fn parent(kind: &str, name: &str) -> ParentRef {
        serde_json::from_value(serde_json::json!({"kind": kind, "name": name})).unwrap()
    }

    fn report(entries: Vec<(ObjectRef, Entry)>) -> Report {
        Report {
            objects: entries.into_iter().map(|(object, entry)| (object, Arc::new(entry))).collect(),
            ..Report::default()
        }
    }

    fn listening(routes: u32) -> Entry {
        let listener = ListenerEntry {
            name: "http".into(),
            supported_kinds: Vec::new(),
            attached_routes: routes,
            conditions: vec![listener::accepted()],
        };
        Entry { listeners: vec![listener], gateway: Some(gateway()), ..Entry::default() }
    }

    #[test]
    fn what_came_changed_or_went_is_new_and_what_is_shared_is_not() {
        let kept = (ObjectRef::new(Kind::HttpRoute, "default", "kept"), Entry::default());
        let before = report(vec![(gateway(), listening(1)), kept.clone()]);
        assert_eq!(between(&before, &before.clone()), BTreeMap::new());
        let after = report(vec![(gateway(), listening(2)), kept.clone(), (web(), Entry::default())]);
        assert_eq!(between(&before, &after), BTreeMap::from([(gateway(), Haste::WhenQuiet), (web(), Haste::Now)]));
        let mut unreadable = before.clone();
        unreadable.unreadable.insert(web(), Remark::error("Unreadable", "", "x", ""));
        assert_eq!(between(&before, &unreadable), BTreeMap::from([(web(), Haste::Now)]));
        let other = report(vec![(gateway(), Entry { generation: 2, ..listening(1) })]);
        assert_eq!(between(&before, &other), BTreeMap::from([(gateway(), Haste::Now), (kept.0, Haste::Now)]));
    }

    #[test]
    fn a_route_takes_effect_at_the_gateways_of_its_parents() {
        let set = ObjectRef::new(Kind::ListenerSet, "default", "extra");
        let parents = [parent("Gateway", "other"), parent("ListenerSet", "extra")];
        let parents = parents.map(|parent| ParentEntry { parent, conditions: vec![route::resolved_refs()] });
        let entry = Entry { parents: parents.to_vec(), ..Entry::default() };
        let report = report(vec![(web(), entry), (set, listening(0))]);
        let other = ObjectRef::new(Kind::Gateway, "default", "other");
        assert_eq!(gateways(&web(), &report), BTreeSet::from([gateway(), other]));
    }

    #[test]
    fn an_entry_waits_for_its_generation_but_not_for_ever() {
        let now = Instant::now();
        let standing = |acked| Standing { published: 7, proxies: Proxies::Acked(acked), ..Standing::default() };
        let mut programmed = Programmed::default();
        programmed.gateways.insert(gateway(), standing(6));
        let mut waiting = Waiting::default();
        waiting.add(&web(), Haste::Now, BTreeSet::from([gateway()]), &programmed, now);
        assert_eq!(waiting.release(&programmed, now), []);
        assert!(waiting.hurry(&web()));
        programmed.gateways.insert(gateway(), standing(7));
        assert_eq!(waiting.release(&programmed, now), [(web(), Haste::Now)]);
        assert_eq!(waiting.next(), None);

        programmed.gateways.insert(gateway(), standing(6));
        waiting.add(&web(), Haste::Now, BTreeSet::from([gateway()]), &programmed, now);
        assert_eq!(waiting.release(&programmed, waiting.next().unwrap()), [(web(), Haste::Now)]);

        programmed.gateways.insert(gateway(), Standing { proxies: Proxies::Starting("x".into()), ..standing(0) });
        waiting.add(&web(), Haste::Now, BTreeSet::from([gateway()]), &programmed, now);
        assert_eq!(waiting.release(&programmed, now), [(web(), Haste::Now)], "there is nobody to wait for");
    }

    #[test]
    fn a_change_while_waiting_does_not_begin_the_wait_anew() {
        let now = Instant::now();
        let mut programmed = Programmed::default();
        programmed.gateways.insert(gateway(), Standing { published: 1, ..Standing::default() });
        let mut waiting = Waiting::default();
        waiting.add(&web(), Haste::WhenQuiet, BTreeSet::from([gateway()]), &programmed, now);
        let first = waiting.next();
        waiting.add(&web(), Haste::Now, BTreeSet::from([gateway()]), &programmed, now + Duration::from_secs(1));
        assert_eq!(waiting.next(), first);
        assert_eq!(waiting.release(&programmed, now + PATIENCE), [(web(), Haste::Now)]);
    }
}
