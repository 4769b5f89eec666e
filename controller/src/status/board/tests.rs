// SPDX-License-Identifier: Apache-2.0
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use torana_crds::ParentRef;

use super::*;
use crate::report::conditions::{gateway as gateways, listener as listeners, route};
use crate::report::{Entry, ListenerEntry, ParentEntry, Remark};
use crate::status::patches::Patch;
use crate::status::programmed::Proxies;

fn edge() -> ObjectRef {
    ObjectRef::new(Kind::Gateway, "default", "edge")
}

fn web() -> ObjectRef {
    ObjectRef::new(Kind::HttpRoute, "default", "web")
}

fn raw(object: &ObjectRef, version: u64, generation: i64, status: &Value) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": object.kind, "status": status,
        "metadata": {"namespace": object.namespace, "name": object.name, "uid": "u", "generation": generation,
            "resourceVersion": version.to_string()}})
}

fn routed(generation: i64) -> Entry {
    let parent: ParentRef = serde_json::from_value(json!({"name": "edge"})).unwrap();
    let parents = vec![ParentEntry { parent, conditions: vec![route::resolved_refs()] }];
    Entry { generation, parents, ..Entry::default() }
}

fn listening(generation: i64, attached_routes: u32) -> Entry {
    let conditions = vec![listeners::accepted(), listeners::programmed()];
    let listener = ListenerEntry { name: "http".into(), supported_kinds: Vec::new(), attached_routes, conditions };
    Entry {
        generation,
        conditions: vec![gateways::accepted(), gateways::programmed()],
        listeners: vec![listener],
        gateway: Some(edge()),
        ..Entry::default()
    }
}

fn report(entries: &[(ObjectRef, Entry)]) -> Report {
    let objects = entries.iter().map(|(object, entry)| (object.clone(), Arc::new(entry.clone())));
    Report { objects: objects.collect(), ..Report::default() }
}

fn standing(published: u64, acked: u64) -> BTreeMap<ObjectRef, Standing> {
    BTreeMap::from([(edge(), Standing { published, proxies: Proxies::Acked(acked), ..Standing::default() })])
}

/// A board whose writes all succeed.
struct Desk {
    state: State,
    now: Instant,
    version: u64,
}

impl Desk {
    fn new() -> Self {
        let board = Board::new(Rate { per_second: 1e6, burst: 1e6 });
        Self { state: board.state.into_inner().unwrap(), now: Instant::now(), version: 100 }
    }

    fn write(&mut self) -> Option<Box<Patch>> {
        let Next::Write(object) = self.state.next(self.now, 0) else { return None };
        let Verdict::Write(patch) = self.state.verdict(&object, 0) else { panic!("{object} is to be written") };
        self.version += 1;
        let generation = self.state.stored.held(&object).unwrap().generation;
        self.state.stored.learn(&raw(&object, self.version, generation, &patch.status));
        self.state.queue.done(&object, Outcome::Written, self.now, 0.0);
        Some(patch)
    }

    fn written(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.write()).map(|patch| patch.object.name).collect()
    }

    fn later(&mut self, millis: u64) -> &mut Self {
        self.now += Duration::from_millis(millis);
        self
    }
}

#[test]
fn a_route_is_said_to_be_accepted_once_its_gateway_has_it() {
    let mut desk = Desk::new();
    desk.state.stored.learn(&raw(&web(), 1, 1, &Value::Null));
    desk.state.report(&report(&[(web(), routed(1))]), standing(7, 6), desk.now);
    assert_eq!(desk.written(), Vec::<String>::new());
    desk.state.acked(standing(7, 7), desk.now);
    assert_eq!(desk.written(), ["web"]);
    assert_eq!(desk.later(10_000).written(), Vec::<String>::new());
}

#[test]
fn proxies_that_are_slow_hold_a_route_back_for_some_seconds_only() {
    let mut desk = Desk::new();
    desk.state.stored.learn(&raw(&web(), 1, 1, &Value::Null));
    desk.state.report(&report(&[(web(), routed(1))]), standing(7, 6), desk.now);
    let Next::Wait(Some(until)) = desk.state.next(desk.now, 0) else { panic!("it waits") };
    desk.now = until;
    assert_eq!(desk.written(), ["web"]);
}

#[test]
fn a_gateway_that_is_edited_does_not_flicker() {
    let mut desk = Desk::new();
    desk.state.stored.learn(&raw(&edge(), 1, 1, &Value::Null));
    desk.state.report(&report(&[(edge(), listening(1, 0))]), standing(1, 1), desk.now);
    assert_eq!(desk.written(), ["edge"]);
    // The edit is seen, published, and confirmed a moment later.
    let status = desk.state.stored.held(&edge()).unwrap().status();
    let edited = raw(&edge(), 200, 2, &status);
    let changed = desk.state.stored.observe(&edited).unwrap();
    desk.state.queue.push(&changed, Haste::Now, desk.now);
    desk.state.report(&report(&[(edge(), listening(2, 0))]), standing(2, 1), desk.now);
    assert_eq!(desk.written(), Vec::<String>::new());
    desk.later(20);
    desk.state.acked(standing(2, 2), desk.now);
    let patch = desk.write().unwrap();
    assert_eq!(patch.status["conditions"][1]["status"], "True");
    assert_eq!(patch.status["conditions"][1]["observedGeneration"], 2);
}

#[test]
fn a_gateway_whose_proxies_do_not_confirm_is_pending_in_the_end() {
    let mut desk = Desk::new();
    desk.state.stored.learn(&raw(&edge(), 1, 1, &Value::Null));
    desk.state.report(&report(&[(edge(), listening(1, 0))]), standing(1, 0), desk.now);
    assert_eq!(desk.written(), Vec::<String>::new());
    let patch = desk.later(3_000).write().unwrap();
    assert_eq!(patch.status["conditions"][1]["reason"], "Pending");
    desk.state.acked(standing(1, 1), desk.now);
    assert_eq!(desk.write().unwrap().status["conditions"][1]["reason"], "Programmed");
}

#[test]
fn a_thousand_routes_cost_a_gateway_few_writes() {
    let mut desk = Desk::new();
    desk.state.stored.learn(&raw(&edge(), 1, 1, &Value::Null));
    let mut writes = 0;
    for (generation, routes) in (1..).zip((0..=1_000).chain((0..1_000).rev())) {
        let before = standing(generation, generation - 1);
        desk.later(10);
        desk.state.report(&report(&[(edge(), listening(1, routes))]), before, desk.now);
        writes += desk.written().len();
        desk.state.acked(standing(generation, generation), desk.now);
        writes += desk.written().len();
    }
    writes += desk.later(1_000).written().len();
    assert_eq!(desk.state.stored.held(&edge()).unwrap().status()["listeners"][0]["attachedRoutes"], 0);
    assert!(writes <= 10, "{writes}");
}

#[test]
fn what_somebody_overwrites_is_repaired() {
    let board = Board::default();
    board.observe(&raw(&web(), 1, 1, &Value::Null));
    board.report(&report(&[(web(), routed(1))]), BTreeMap::new());
    let Next::Write(object) = board.next() else { panic!("a route without proxies waits for nobody") };
    let Verdict::Write(patch) = board.verdict(&object) else { panic!("it has no status") };
    board.learn(&raw(&web(), 2, 1, &patch.status));
    board.done(&object, Outcome::Written);
    assert!(matches!(board.next(), Next::Wait(_)));
    board.observe(&raw(&web(), 3, 1, &json!({"parents": []})));
    assert!(matches!(board.next(), Next::Write(_)));
}

#[test]
fn acks_concern_the_listener_sets_of_the_gateway_too() {
    let set = ObjectRef::new(Kind::ListenerSet, "default", "extra");
    let entry = Entry {
        conditions: vec![
            crate::report::conditions::listener_set::accepted(),
            crate::report::conditions::listener_set::programmed(),
        ],
        ..listening(1, 0)
    };
    let mut desk = Desk::new();
    desk.state.stored.learn(&raw(&set, 1, 1, &Value::Null));
    let starting = Standing { proxies: Proxies::Starting("soon".into()), published: 1, ..Standing::default() };
    desk.state.report(&report(&[(set, entry)]), BTreeMap::from([(edge(), starting)]), desk.now);
    assert_eq!(desk.write().unwrap().status["conditions"][1]["reason"], "Pending");
    desk.state.acked(standing(1, 1), desk.now);
    assert_eq!(desk.write().unwrap().status["conditions"][1]["reason"], "Programmed");
}

#[test]
fn before_the_first_report_nothing_is_taken_out() {
    let board = Board::default();
    let ours = json!({"parents": [{"controllerName": crate::class::CONTROLLER_NAME, "parentRef": {"name": "edge"}}]});
    board.observe(&raw(&web(), 1, 1, &ours));
    board.look_at_all();
    assert!(matches!(board.next(), Next::Wait(None)));
    board.report(&report(&[]), BTreeMap::new());
    assert!(matches!(board.next(), Next::Write(_)), "it is nobody's route");
}

#[test]
fn remarks_are_told_once_and_only_of_objects_that_are_there() {
    let board = Board::default();
    let remark = Remark::error("NoMatchingParent", "spec.parentRefs[0]", "there is no Gateway default/x", "create it");
    let stray = Entry { remarks: vec![remark], generation: 1, ..Entry::default() };
    let other = ObjectRef::new(Kind::HttpRoute, "default", "unseen");
    board.observe(&raw(&web(), 1, 1, &Value::Null));
    let report = report(&[(web(), stray.clone()), (other, stray)]);
    board.report(&report, BTreeMap::new());
    board.report(&report, BTreeMap::new());
    let (event, dropped) = board.event().unwrap();
    assert_eq!((event.object, event.uid.as_str(), event.reason.as_str(), dropped), (web(), "u", "NoMatchingParent", 0));
    assert_eq!(event.note, "spec.parentRefs[0]: there is no Gateway default/x; create it");
    assert!(board.event().is_none());
}

#[test]
fn events_that_nobody_tells_do_not_pile_up() {
    let board = Board::default();
    let event = Event {
        object: web(),
        api_version: "v1".into(),
        uid: "u".into(),
        is_warning: true,
        reason: "X".into(),
        note: "x".into(),
    };
    board.tell(vec![event; EVENTS + 3]);
    assert_eq!(board.event().unwrap().1, 3);
    board.keep_quiet();
    assert!(board.event().is_none());
}

#[test]
fn whoever_leads_from_now_on_looks_at_everything_and_at_gateways_first() {
    let board = Board::default();
    board.observe(&raw(&web(), 1, 1, &Value::Null));
    board.observe(&raw(&edge(), 1, 1, &Value::Null));
    board.report(&report(&[(web(), routed(1)), (edge(), listening(1, 1))]), BTreeMap::new());
    while let Next::Write(object) = board.next() {
        board.done(&object, Outcome::Dropped);
    }
    board.look_at_all();
    let Next::Write(first) = board.next() else { panic!("both are to be written") };
    let Next::Write(second) = board.next() else { panic!("both are to be written") };
    assert_eq!((first, second), (edge(), web()));
}
