// SPDX-License-Identifier: Apache-2.0
use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use torana_crds::gateway::RouteGroupKind;
use torana_crds::{GATEWAY_GROUP, ParentRef};
use torana_ir::{GatewayId, ListenerKey, ResourceKey, SharedMap};

use super::*;
use crate::class::CONTROLLER_NAME;
use crate::publish::Rejection;
use crate::report::conditions::{
    class, gateway as gateways, issuer, listener as listeners, listener_set as sets, route as routes,
};
use crate::report::{AncestorEntry, ListenerEntry, ParentEntry};
use crate::status::programmed::{Proxies, Standing};
use crate::translate::tests::golden;

/// 2027-01-01 and a minute later.
const THEN: i64 = 1_798_761_600;
const NOW: i64 = THEN + 60;
const THEN_TEXT: &str = "2027-01-01T00:00:00Z";
const NOW_TEXT: &str = "2027-01-01T00:01:00Z";

/// A report, what is stored, and the proxies.
#[derive(Default)]
struct Scene {
    report: Report,
    programmed: Programmed,
    stored: Stored,
    version: u64,
}

impl Scene {
    fn says(&mut self, object: &ObjectRef, entry: Entry) -> &mut Self {
        self.report.objects.insert(object.clone(), Arc::new(entry));
        self
    }

    fn holds(&mut self, object: &ObjectRef, generation: i64, status: &Value) -> &mut Self {
        self.version += 1;
        let version = object.known_kind().unwrap().versions()[0];
        let raw = json!({"apiVersion": format!("{}/{version}", object.group), "kind": object.kind,
            "metadata": {"namespace": object.namespace, "name": object.name, "uid": object.name, "generation": generation,
                "resourceVersion": self.version.to_string()},
            "status": status});
        self.stored.learn(&raw);
        self
    }

    fn stands(&mut self, standing: Standing) -> &mut Self {
        self.programmed.gateways.insert(edge(), standing);
        self
    }

    fn serves(&mut self) -> &mut Self {
        self.stands(Standing { proxies: Proxies::Acked(1), ..Standing::default() })
    }

    fn patches(&self, now: i64) -> Vec<Patch> {
        patches(&self.report, &self.programmed, &self.stored, now)
    }

    /// The only status that is written.
    fn written(&self) -> Value {
        let mut patches = self.patches(NOW);
        assert_eq!(patches.len(), 1, "{patches:#?}");
        patches.remove(0).status
    }

    /// Does what the API server would do with all patches.
    fn apply(&mut self, now: i64) -> usize {
        let patches = self.patches(now);
        let count = patches.len();
        for patch in patches {
            let generation = self.stored.held(&patch.object).unwrap().generation;
            self.holds(&patch.object, generation, &patch.status);
        }
        count
    }
}

fn edge() -> ObjectRef {
    ObjectRef::new(Kind::Gateway, "default", "edge")
}

fn extra() -> ObjectRef {
    ObjectRef::new(Kind::ListenerSet, "default", "extra")
}

fn web() -> ObjectRef {
    ObjectRef::new(Kind::HttpRoute, "default", "web")
}

fn parent(json: Value) -> ParentRef {
    serde_json::from_value(json).unwrap()
}

fn to(name: &str) -> ParentEntry {
    ParentEntry {
        parent: parent(json!({"name": name})),
        conditions: vec![routes::accepted("fine".into()), routes::resolved_refs()],
    }
}

fn routed(generation: i64, parents: Vec<ParentEntry>) -> Entry {
    Entry { generation, parents, ..Entry::default() }
}

fn listener(name: &str) -> ListenerEntry {
    let conditions =
        vec![listeners::accepted(), listeners::no_conflicts(), listeners::programmed(), listeners::resolved_refs()];
    let kind = RouteGroupKind { group: GATEWAY_GROUP.into(), kind: "HTTPRoute".into() };
    ListenerEntry { name: name.into(), supported_kinds: vec![kind], attached_routes: 3, conditions }
}

fn listening(generation: i64, names: &[&str]) -> Entry {
    Entry {
        generation,
        conditions: vec![gateways::accepted(), gateways::programmed()],
        listeners: names.iter().map(|name| listener(name)).collect(),
        attached_listener_sets: Some(0),
        gateway: Some(edge()),
        ..Entry::default()
    }
}

fn refuses(set: Option<(&str, &str)>, name: &str) -> Rejection {
    let gateway = GatewayId { namespace: "default".into(), name: "edge".into() };
    let set = set.map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
    let key = ResourceKey::Listener(ListenerKey { gateway, set, name: name.into() });
    Rejection { key, reason: "0.0.0.0:80 is in use".into() }
}

fn find<'v>(list: &'v Value, condition_type: &str) -> &'v Value {
    list.as_array().unwrap().iter().find(|it| it["type"] == condition_type).unwrap_or(&Value::Null)
}

/// `True/Accepted`.
fn shown(list: &Value, condition_type: &str) -> String {
    let condition = find(list, condition_type);
    let text = |field: &str| condition[field].as_str().unwrap_or("-").to_owned();
    format!("{}/{}", text("status"), text("reason"))
}

fn ours(parent: &str, accepted: &str) -> Value {
    json!({"parentRef": {"group": GATEWAY_GROUP, "kind": "Gateway", "name": parent}, "controllerName": CONTROLLER_NAME,
        "conditions": [{"type": "Accepted", "status": accepted, "observedGeneration": 1, "reason": "Accepted",
            "message": "fine", "lastTransitionTime": THEN_TEXT}]})
}

fn foreign() -> Value {
    // In an order of fields and a form of the time that Torana would not write.
    json!({"controllerName": "example.com/other", "parentRef": {"name": "edge"},
        "conditions": [{"type": "Accepted", "status": "Unknown", "reason": "Pending", "message": "",
            "observedGeneration": 0, "lastTransitionTime": "1970-01-01T00:00:00Z"}]})
}

#[test]
fn a_parent_ref_is_echoed_field_by_field_under_our_name() {
    let declared = json!({"group": GATEWAY_GROUP, "kind": "Gateway", "namespace": "infra", "name": "edge",
        "sectionName": "https", "port": 443});
    let entry = ParentEntry { parent: parent(declared.clone()), ..to("x") };
    let mut scene = Scene::default();
    let status = scene.says(&web(), routed(4, vec![entry, to("edge")])).holds(&web(), 4, &json!({})).written();
    assert_eq!(status["parents"][0]["parentRef"], declared);
    assert_eq!(status["parents"][1]["parentRef"], json!({"group": GATEWAY_GROUP, "kind": "Gateway", "name": "edge"}));
    assert_eq!(status["parents"][0]["controllerName"], CONTROLLER_NAME);
    for condition in status["parents"][0]["conditions"].as_array().unwrap() {
        assert_eq!((&condition["observedGeneration"], &condition["lastTransitionTime"]), (&4.into(), &NOW_TEXT.into()));
    }
}

#[test]
fn a_patch_is_based_on_the_version_that_is_stored() {
    let mut scene = Scene::default();
    scene.holds(&web(), 1, &json!({})).holds(&web(), 1, &json!({})).says(&web(), routed(1, vec![to("edge")]));
    let body = scene.patches(NOW)[0].body();
    assert_eq!(body["metadata"], json!({"resourceVersion": "2"}));
    assert_eq!(body.as_object().unwrap().len(), 2, "only metadata and status");
}

#[test]
fn entries_of_other_controllers_stay_in_their_place_byte_for_byte() {
    let stored = json!({"parents": [ours("gone", "True"), foreign(), ours("edge", "True")]});
    let mut scene = Scene::default();
    let status = scene.says(&web(), routed(2, vec![to("edge")])).holds(&web(), 2, &stored).written();
    let parents = status["parents"].as_array().unwrap();
    assert_eq!(parents.len(), 2, "our entry for a parentRef that is gone goes");
    assert_eq!(parents[0].to_string(), foreign().to_string());
    assert_eq!(parents[1]["parentRef"]["name"], "edge");
}

#[test]
fn a_route_that_is_no_longer_ours_keeps_only_what_others_wrote() {
    let mut scene = Scene::default();
    let status = scene.holds(&web(), 2, &json!({"parents": [ours("edge", "True"), foreign()]})).written();
    assert_eq!(status, json!({"parents": [foreign()]}));
    let mut scene = Scene::default();
    assert_eq!(scene.holds(&web(), 2, &json!({"parents": [foreign()]})).patches(NOW), []);
}

#[test]
fn nothing_is_written_about_what_was_never_ours() {
    let mut scene = Scene::default();
    let remark = Remark::error("NoMatchingParent", "spec.parentRefs[0]", "there is no Gateway", "");
    scene.says(&web(), Entry { remarks: vec![remark], ..routed(1, Vec::new()) });
    assert_eq!(verdict(&web(), &scene.report, &scene.programmed, &scene.stored, NOW), Verdict::Settled);
    scene.holds(&edge(), 1, &json!({"conditions": [{"type": "Accepted", "status": "True"}]}));
    assert_eq!(scene.patches(NOW), [], "a Gateway of another class");
}

#[test]
fn what_nobody_observed_is_to_be_read_first() {
    let mut scene = Scene::default();
    scene.says(&web(), routed(1, vec![to("edge")]));
    assert_eq!(verdict(&web(), &scene.report, &scene.programmed, &scene.stored, NOW), Verdict::Unread);
}

#[test]
fn the_time_changes_only_with_the_status_and_the_generation_always() {
    let mut scene = Scene::default();
    scene.says(&web(), routed(1, vec![to("edge")])).holds(&web(), 1, &json!({}));
    scene.apply(THEN);
    scene.holds(&web(), 2, &scene.stored.held(&web()).unwrap().status());
    let mut entry = to("edge");
    entry.conditions = vec![
        routes::accepted("other words".into()),
        routes::partially_invalid("x"),
        routes::unresolved_refs(routes::BACKEND_NOT_FOUND, "no Service".into()),
    ];
    let status = scene.says(&web(), routed(2, vec![entry])).written();
    let conditions = &status["parents"][0]["conditions"];
    for (name, since) in [("Accepted", THEN_TEXT), ("ResolvedRefs", NOW_TEXT), ("PartiallyInvalid", NOW_TEXT)] {
        let condition = find(conditions, name);
        assert_eq!(
            (&condition["lastTransitionTime"], &condition["observedGeneration"]),
            (&since.into(), &2.into()),
            "{name}"
        );
    }
    scene.apply(NOW);
    scene.says(&web(), routed(2, vec![to("edge")]));
    let status = scene.written();
    let types: Vec<_> = status["parents"][0]["conditions"].as_array().unwrap().iter().map(|it| &it["type"]).collect();
    assert_eq!(types, ["Accepted", "ResolvedRefs"], "what no longer applies is removed");
}

#[test]
fn a_change_without_effect_still_raises_the_observed_generation() {
    let mut scene = Scene::default();
    scene.says(&edge(), listening(1, &["http"])).holds(&edge(), 1, &json!({})).serves().apply(THEN);
    scene.holds(&edge(), 2, &scene.stored.held(&edge()).unwrap().status()).says(&edge(), listening(2, &["http"]));
    let status = scene.written();
    let listener = &status["listeners"][0];
    for condition in status["conditions"].as_array().unwrap().iter().chain(listener["conditions"].as_array().unwrap()) {
        assert_eq!(
            (&condition["observedGeneration"], &condition["lastTransitionTime"]),
            (&2.into(), &THEN_TEXT.into())
        );
    }
}

#[test]
fn a_report_about_an_older_generation_waits_for_the_newer_one() {
    let mut scene = Scene::default();
    scene.says(&web(), routed(1, vec![to("edge")])).holds(&web(), 2, &json!({}));
    assert_eq!(scene.patches(NOW), []);
}

#[test]
fn foreign_conditions_stay_and_defaults_of_the_crd_go() {
    let theirs = json!({"type": "example.com/Checked", "status": "True", "reason": "Ok", "message": "m",
        "observedGeneration": 1, "lastTransitionTime": "2020-02-02T02:02:02Z"});
    let pending = |name: &str| {
        json!({"type": name, "status": "Unknown", "reason": "Pending", "message": "Waiting for controller",
            "lastTransitionTime": "1970-01-01T00:00:00Z"})
    };
    let old = json!({"type": "InsecureFrontendValidationMode", "status": "True", "reason": "ConfigurationChanged",
        "message": "", "observedGeneration": 1, "lastTransitionTime": THEN_TEXT});
    let stored = json!({
        "conditions": [pending("Accepted"), theirs, old, pending("Programmed")],
        "listeners": [
            {"name": "gone", "supportedKinds": [], "attachedRoutes": 0, "conditions": [theirs]},
            {"name": "http", "supportedKinds": [], "attachedRoutes": 0, "conditions": [theirs]},
        ],
    });
    let mut scene = Scene::default();
    let status = scene.says(&edge(), listening(2, &["http"])).holds(&edge(), 2, &stored).serves().written();
    let types: Vec<_> =
        status["conditions"].as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["Accepted", "example.com/Checked", "Programmed"]);
    assert_eq!(status["conditions"][1].to_string(), theirs.to_string());
    assert_eq!(find(&status["conditions"], "Accepted")["lastTransitionTime"], NOW_TEXT);
    assert_eq!(status["listeners"].as_array().unwrap().len(), 1, "one entry for each listener of the spec");
    let listener = &status["listeners"][0];
    assert_eq!(listener["conditions"][0].to_string(), theirs.to_string());
    assert_eq!(listener["supportedKinds"], json!([{"group": GATEWAY_GROUP, "kind": "HTTPRoute"}]));
    assert_eq!((&listener["attachedRoutes"], &status["attachedListenerSets"]), (&3.into(), &0.into()));
}

#[test]
fn lists_keep_the_limits_of_the_crd_and_others_come_first() {
    let theirs: Vec<_> = (0..7).map(|at| json!({"type": format!("example.com/{at}"), "status": "True"})).collect();
    let mut scene = Scene::default();
    scene.says(&edge(), listening(1, &["http"])).holds(&edge(), 1, &json!({"conditions": theirs})).serves();
    let status = scene.written();
    assert_eq!(status["conditions"].as_array().unwrap().len(), 8);
    assert_eq!(status["conditions"][7]["type"], "Accepted");
    let parents: Vec<_> = (0..31).map(|_| foreign()).collect();
    let mut scene = Scene::default();
    scene.says(&web(), routed(1, vec![to("a"), to("b")])).holds(&web(), 1, &json!({"parents": parents}));
    let status = scene.written();
    assert_eq!(status["parents"].as_array().unwrap().len(), 32);
    assert_eq!(status["parents"][31]["parentRef"]["name"], "a");
}

#[test]
fn programmed_is_what_the_proxies_say() {
    let address = Address { address_type: "IPAddress".into(), value: "192.0.2.1".into() };
    let acked = Standing { proxies: Proxies::Acked(5), addresses: Some(vec![address]), ..Standing::default() };
    let with = |change: fn(&mut Standing)| {
        let mut standing = acked.clone();
        change(&mut standing);
        standing
    };
    for (standing, gateway, listener, accepted) in [
        (Standing::default(), "False/Pending", "False/Pending", "True/Accepted"),
        (with(|it| it.proxies = Proxies::Starting("soon".into())), "False/Pending", "False/Pending", "True/Accepted"),
        (with(|it| it.proxies = Proxies::Absent("none".into())), "False/NoResources", "False/Pending", "True/Accepted"),
        (with(|it| it.proxies = Proxies::Acked(4)), "False/Pending", "False/Pending", "True/Accepted"),
        (acked.clone(), "True/Programmed", "True/Programmed", "True/Accepted"),
        (with(|it| it.addresses = None), "True/Programmed", "True/Programmed", "True/Accepted"),
        (with(|it| it.addresses = Some(vec![])), "False/AddressNotAssigned", "True/Programmed", "True/Accepted"),
        (with(|it| it.silent = vec!["p".into()]), "True/Programmed", "True/Programmed", "True/Accepted"),
        (
            with(|it| it.rejected = vec![refuses(None, "http")]),
            "False/Invalid",
            "False/Invalid",
            "False/PortUnavailable",
        ),
        (
            with(|it| it.rejected = vec![refuses(Some(("default", "extra")), "http")]),
            "True/Programmed",
            "True/Programmed",
            "True/Accepted",
        ),
    ] {
        let mut scene = Scene::default();
        scene.says(&edge(), listening(1, &["http"])).holds(&edge(), 1, &json!({})).stands(standing.clone());
        scene.programmed.needed.insert(edge(), 5);
        let status = scene.written();
        assert_eq!(shown(&status["conditions"], "Programmed"), gateway, "{standing:?}");
        let conditions = &status["listeners"][0]["conditions"];
        assert_eq!(shown(conditions, "Programmed"), listener, "{standing:?}");
        assert_eq!(shown(conditions, "Accepted"), accepted, "{standing:?}");
    }
}

#[test]
fn a_listener_that_the_proxies_refuse_takes_down_no_other() {
    let mut scene = Scene::default();
    let standing =
        Standing { proxies: Proxies::Acked(1), rejected: vec![refuses(None, "http")], ..Standing::default() };
    scene.says(&edge(), listening(1, &["http", "https"])).holds(&edge(), 1, &json!({})).stands(standing);
    let status = scene.written();
    assert_eq!(shown(&status["conditions"], "Accepted"), "True/ListenersNotValid");
    assert_eq!(shown(&status["conditions"], "Programmed"), "True/Programmed");
    assert_eq!(shown(&status["listeners"][1]["conditions"], "Programmed"), "True/Programmed");
    assert_eq!(
        find(&status["listeners"][0]["conditions"], "Accepted")["message"],
        "0.0.0.0:80 is in use; free the port, or give the listener another one"
    );
}

#[test]
fn what_no_proxy_should_refuse_is_told_of_the_gateway() {
    let key = torana_ir::BackendKey::tcp("default", "app", 80);
    let rejected = vec![Rejection { key: ResourceKey::Backend(key), reason: "x".into() }];
    let mut scene = Scene::default();
    let standing = Standing { proxies: Proxies::Acked(1), rejected, ..Standing::default() };
    scene.says(&edge(), listening(1, &["http"])).holds(&edge(), 1, &json!({})).stands(standing);
    let status = scene.written();
    assert_eq!(shown(&status["conditions"], "Programmed"), "False/Invalid");
    let message = find(&status["conditions"], "Programmed")["message"].as_str().unwrap();
    assert!(message.contains("Service default/app") && message.contains("report"), "{message}");
}

#[test]
fn proxies_that_do_not_answer_are_named() {
    let mut scene = Scene::default();
    let silent = (0..10).map(|at| format!("edge-{at}")).collect();
    let standing = Standing { proxies: Proxies::Acked(1), silent, ..Standing::default() };
    scene.says(&edge(), listening(1, &["http"])).holds(&edge(), 1, &json!({})).stands(standing);
    let status = scene.written();
    let message = find(&status["conditions"], "Programmed")["message"].as_str().unwrap();
    assert!(
        message.ends_with("not counted: edge-0, edge-1, edge-2, edge-3, edge-4, edge-5, edge-6, edge-7 and 2 more"),
        "{message}"
    );
}

#[test]
fn addresses_are_those_of_now_and_stay_while_they_are_not_known() {
    let stored = json!({"addresses": [{"type": "IPAddress", "value": "192.0.2.9"}]});
    let mut scene = Scene::default();
    scene.says(&edge(), listening(1, &["http"])).holds(&edge(), 1, &stored).serves();
    assert_eq!(scene.written()["addresses"], stored["addresses"]);
    let name = Address { address_type: "Hostname".into(), value: "lb.example".into() };
    scene.stands(Standing { proxies: Proxies::Acked(1), addresses: Some(vec![name]), ..Standing::default() });
    assert_eq!(scene.written()["addresses"], json!([{"type": "Hostname", "value": "lb.example"}]));
    scene.stands(Standing { proxies: Proxies::Acked(1), addresses: Some(vec![]), ..Standing::default() });
    assert_eq!(scene.written()["addresses"], json!([]));
}

#[test]
fn a_controller_that_starts_again_writes_nothing() {
    let mut scene = Scene::default();
    let set = Entry {
        conditions: vec![sets::accepted(), sets::programmed()],
        attached_listener_sets: None,
        ..listening(1, &["a"])
    };
    scene.says(&edge(), listening(1, &["http"])).holds(&edge(), 1, &json!({}));
    scene.says(&extra(), set).holds(&extra(), 1, &json!({}));
    scene.says(&web(), routed(1, vec![to("edge")])).holds(&web(), 1, &json!({}));
    assert_eq!(scene.serves().apply(THEN), 3);
    // Nothing has been heard of the proxies yet.
    scene.programmed = Programmed::default();
    assert_eq!(scene.patches(NOW), []);
    // They have the last generation, and not yet one that only routes changed.
    scene.programmed.needed.insert(edge(), 9);
    assert_eq!(scene.serves().patches(NOW), []);
    // But a new generation of the Gateway is not in force before they say so.
    let status = scene.stored.held(&edge()).unwrap().status();
    scene.says(&edge(), listening(2, &["http"])).holds(&edge(), 2, &status);
    assert_eq!(shown(&scene.written()["conditions"], "Programmed"), "False/Pending");
}

#[test]
fn a_class_lists_what_is_supported_and_judges_the_installed_version() {
    let torana = ObjectRef::new(Kind::GatewayClass, "", "torana");
    let mut scene = Scene::default();
    let entry = Entry { generation: 1, conditions: vec![class::accepted()], ..Entry::default() };
    scene.says(&torana, entry).holds(&torana, 1, &json!({}));
    let status = scene.written();
    assert_eq!(find(&status["conditions"], "SupportedVersion"), &Value::Null, "not known yet");
    let names: Vec<_> =
        status["supportedFeatures"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, features::SUPPORTED);
    scene.programmed.bundles = ["v1.7.0".to_owned()].into();
    assert_eq!(shown(&scene.written()["conditions"], "SupportedVersion"), "True/SupportedVersion");
    scene.apply(NOW);
    scene.programmed.bundles = BTreeSet::new();
    assert_eq!(scene.patches(NOW), [], "what was said of it stands");
    scene.programmed.bundles = ["v1.7.0".to_owned(), "v1.2.0".to_owned()].into();
    assert_eq!(shown(&scene.written()["conditions"], "SupportedVersion"), "False/UnsupportedVersion");
}

#[test]
fn a_policy_has_one_entry_for_each_gateway_next_to_those_of_others() {
    for kind in [Kind::BackendTlsPolicy, Kind::TrafficPolicy] {
        has_one_entry_for_each_gateway(&ObjectRef::new(kind, "default", "tls"));
    }
}

fn has_one_entry_for_each_gateway(policy: &ObjectRef) {
    let ancestor = AncestorEntry {
        ancestor: parent(json!({"namespace": "default", "name": "edge"})),
        conditions: vec![routes::accepted("fine".into()), routes::resolved_refs()],
    };
    let other = json!({"ancestorRef": {"name": "edge"}, "controllerName": "example.com/other", "conditions": [{"type": "Accepted"}]});
    let mut scene = Scene::default();
    scene.says(policy, Entry { generation: 3, ancestors: vec![ancestor], ..Entry::default() });
    let status = scene.holds(policy, 3, &json!({"ancestors": [other]})).written();
    assert_eq!(status["ancestors"][0].to_string(), other.to_string());
    assert_eq!(status["ancestors"][1]["ancestorRef"]["name"], "edge");
    assert_eq!(status["ancestors"][1]["conditions"][1]["observedGeneration"], 3);
    scene.apply(NOW);
    assert_eq!(scene.patches(NOW), [], "what is written is not written again");
    scene.report.objects = SharedMap::new();
    assert_eq!(scene.written(), json!({"ancestors": [other]}));
}

#[test]
fn an_issuer_has_a_condition_of_its_own_next_to_those_of_others() {
    for kind in [Kind::AcmeIssuer, Kind::ClusterAcmeIssuer] {
        let acme = ObjectRef::new(kind, "default", "acme");
        let mut scene = Scene::default();
        scene.says(&acme, Entry { generation: 2, conditions: vec![issuer::accepted()], ..Entry::default() });
        let other = json!({"type": "Ready", "status": "True"});
        let status = scene.holds(&acme, 2, &json!({"conditions": [other]})).written();
        assert_eq!(status["conditions"][0], other);
        assert_eq!(shown(&status["conditions"], "Accepted"), "True/Accepted");
        assert_eq!(find(&status["conditions"], "Accepted")["observedGeneration"], 2);
        scene.apply(NOW);
        assert_eq!(scene.patches(NOW), [], "what is written is not written again");
        let refused = vec![issuer::invalid("no".into())];
        scene.says(&acme, Entry { generation: 2, conditions: refused, ..Entry::default() });
        assert_eq!(shown(&scene.written()["conditions"], "Accepted"), "False/Invalid");
    }
}

#[test]
fn what_cannot_be_read_says_so_while_its_last_good_form_is_in_force() {
    let mut scene = Scene::default();
    scene.says(&edge(), listening(1, &["http"])).holds(&edge(), 1, &json!({})).serves().apply(THEN);
    scene.holds(&edge(), 2, &scene.stored.held(&edge()).unwrap().status());
    scene.report.unreadable.insert(edge(), Remark::error("Unreadable", "spec.x", "not a number", "correct the field"));
    let status = scene.written();
    assert_eq!(shown(&status["conditions"], "Accepted"), "False/Invalid");
    assert_eq!(shown(&status["conditions"], "Programmed"), "True/Programmed");
    assert_eq!(find(&status["conditions"], "Programmed")["observedGeneration"], 2);
    scene.apply(NOW);
    assert_eq!(scene.patches(NOW), []);
}

#[test]
fn long_messages_are_cut_between_characters() {
    let mut entry = to("edge");
    entry.conditions = vec![routes::not_accepted(routes::UNSUPPORTED_VALUE, "ü".repeat(20_000))];
    let mut scene = Scene::default();
    let status = scene.says(&web(), routed(1, vec![entry])).holds(&web(), 1, &json!({})).written();
    let message = status["parents"][0]["conditions"][0]["message"].as_str().unwrap();
    assert_eq!((message.len(), message.chars().count()), (32_768, 16_384));
    scene.apply(NOW);
    assert_eq!(scene.patches(NOW), []);
}

/// Every golden of the translation: all that is written is written once, and no condition is of a type that would be
/// left behind.
#[test]
fn whatever_translation_says_is_written_once() {
    let mut written = 0;
    for (case, report) in golden::reports() {
        let mut scene = Scene { report, ..Scene::default() };
        let objects: Vec<_> =
            scene.report.objects.iter().map(|(object, entry)| (object.clone(), entry.generation)).collect();
        for (object, generation) in objects {
            scene.holds(&object, generation, &json!({}));
            let standing = Standing { proxies: Proxies::Acked(1), ..Standing::default() };
            if object.known_kind() == Some(Kind::Gateway) {
                scene.programmed.gateways.insert(object, standing);
            }
        }
        written += scene.apply(THEN);
        assert_eq!(scene.patches(NOW), [], "{case:?}");
        for entry in scene.report.objects.values() {
            let known =
                [types::CLASS, types::GATEWAY, types::LISTENER_SET, types::PARENT, types::ANCESTOR, types::ISTIO]
                    .concat();
            let parents = entry.parents.iter().flat_map(|it| &it.conditions);
            let all =
                entry.conditions.iter().chain(parents).chain(entry.ancestors.iter().flat_map(|it| &it.conditions));
            all.for_each(|it| assert!(known.contains(&it.condition_type), "{case:?}: {it}"));
            let listeners = entry.listeners.iter().flat_map(|listener| &listener.conditions);
            listeners.for_each(|it| assert!(types::LISTENER.contains(&it.condition_type), "{case:?}: {it}"));
        }
    }
    assert!(written >= 40, "only {written} patches");
}

fn any_conditions() -> impl Strategy<Value = Vec<Condition>> {
    let accepted = prop_oneof![
        Just(routes::accepted("fine".into())),
        Just(routes::not_accepted(routes::NO_MATCHING_PARENT, "no".into())),
    ];
    let others = prop_oneof![
        Just(vec![routes::resolved_refs()]),
        Just(vec![routes::unresolved_refs(routes::INVALID_KIND, "kind".into()), routes::partially_invalid("x")]),
    ];
    (accepted, others).prop_map(|(accepted, others)| [vec![accepted], others].concat())
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let parent = (0..3u8, any_conditions(), any::<bool>()).prop_map(|(name, conditions, section)| {
        let section = section.then_some("http");
        ParentEntry { parent: parent(json!({"name": format!("g{name}"), "sectionName": section})), conditions }
    });
    (1..3i64, prop::collection::vec(parent, 0..4)).prop_map(|(generation, parents)| routed(generation, parents))
}

fn any_status() -> impl Strategy<Value = Value> {
    let entry = prop_oneof![
        Just(foreign()),
        (0..3u8, any::<bool>())
            .prop_map(|(name, accepted)| ours(&format!("g{name}"), if accepted { "True" } else { "False" })),
        Just(json!({"controllerName": CONTROLLER_NAME})),
        Just(json!("nonsense")),
    ];
    let parents = prop::collection::vec(entry, 0..5).prop_map(|parents| json!({"parents": parents}));
    prop_oneof![4 => parents, 1 => Just(json!({})), 1 => Just(json!({"parents": 7}))]
}

proptest! {
    #[test]
    fn what_is_written_once_is_not_written_again(entry in any_entry(), status in any_status(), generation in 1..3i64) {
        let mut scene = Scene::default();
        scene.says(&web(), entry).holds(&web(), generation, &status);
        scene.apply(THEN);
        prop_assert_eq!(scene.patches(NOW), vec![]);
        let after = scene.stored.held(&web()).unwrap().status();
        let others = |status: &Value| {
            let list = status["parents"].as_array().cloned().unwrap_or_default();
            list.into_iter().filter(|it| it["controllerName"] != CONTROLLER_NAME).map(|it| it.to_string()).collect::<Vec<_>>()
        };
        prop_assert_eq!(others(&status), others(&after));
    }
}

/// Not a benchmark, but a bound that an accidental square would break.
#[test]
fn five_thousand_settled_routes_are_looked_at_in_no_time() {
    let mut scene = Scene::default();
    for at in 0..5_000 {
        let route = ObjectRef::new(Kind::HttpRoute, "default", &format!("r{at}"));
        scene.says(&route, routed(1, vec![to("edge")])).holds(&route, 1, &json!({}));
    }
    assert_eq!(scene.apply(THEN), 5_000);
    let begun = std::time::Instant::now();
    assert_eq!(scene.patches(NOW), []);
    assert!(begun.elapsed().as_secs() < 2, "{:?}", begun.elapsed());
}

#[test]
fn standings_of_unknown_gateways_do_no_harm() {
    let mut scene = Scene::default();
    scene.programmed.gateways = BTreeMap::from([(ObjectRef::new(Kind::Gateway, "x", "y"), Standing::default())]);
    assert_eq!(scene.patches(NOW), []);
}
