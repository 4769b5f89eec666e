// SPDX-License-Identifier: Apache-2.0
//! Status and Events as a real API server takes them: its validation, its conflicts, its defaults.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use torana_controller::leader::Leadership;
use torana_controller::metrics::Metrics;
use torana_controller::report::{AncestorEntry, Entry, Report, conditions};
use torana_controller::status::{Address, Board, Proxies, Standing, recorder, writer};
use torana_controller::store::{Cluster, Event, Settings};
use torana_controller::translate::translate;
use torana_crds::{Content, Kind, ObjectRef};

use super::{Lab, eventually, with_lab};

const CLASS: (&str, &str) = ("GatewayClass", "gatewayclasses");
const GATEWAY: (&str, &str) = ("Gateway", "gateways");
const SET: (&str, &str) = ("ListenerSet", "listenersets");
const ROUTE: (&str, &str) = ("HTTPRoute", "httproutes");
const OURS: &str = "torana.dev/gateway-controller";

/// A control loop without its watches: objects are read when the test says so.
struct Desk {
    board: Arc<Board>,
    leadership: watch::Sender<Leadership>,
    tasks: Vec<JoinHandle<()>>,
    raw: Vec<Value>,
}

impl Desk {
    fn new(lab: &Lab) -> Self {
        let board = Arc::new(Board::default());
        let (leadership, told) = watch::channel(Leadership::Leading { epoch: 1 });
        let writing = writer::write(lab.client.clone(), Arc::clone(&board), told.clone(), Metrics::new().unwrap());
        let recording = recorder::record(lab.client.clone(), Arc::clone(&board), told, "torana-0".into());
        Self { board, leadership, tasks: vec![tokio::spawn(writing), tokio::spawn(recording)], raw: Vec::new() }
    }

    fn observe(&mut self, raw: Value) {
        self.board.observe(&raw);
        let name = |raw: &Value| (raw["kind"].clone(), raw["metadata"]["name"].clone());
        self.raw.retain(|other| name(other) != name(&raw));
        self.raw.push(raw);
    }

    /// What translation says of everything that was observed.
    fn translated(&self) -> Report {
        let mut cluster = Cluster::new(Settings::standalone(1_798_761_600));
        for raw in &self.raw {
            if let Content::Object(object) = torana_crds::decode(raw.clone(), "").content {
                cluster.apply(Event::Applied(Arc::new(*object)));
            }
        }
        translate(&cluster).report
    }

    fn report(&self, gateways: BTreeMap<ObjectRef, Standing>) {
        self.board.report(&self.translated(), gateways);
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn serving(lab: &Lab, name: &str) -> BTreeMap<ObjectRef, Standing> {
    let address = Address { address_type: "IPAddress".into(), value: "192.0.2.7".into() };
    let standing = Standing { proxies: Proxies::Acked(1), addresses: Some(vec![address]), ..Standing::default() };
    BTreeMap::from([(ObjectRef::new(Kind::Gateway, &lab.namespace, name), standing)])
}

fn edge() -> Value {
    json!({"gatewayClassName": "torana", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
        "allowedListeners": {"namespaces": {"from": "Same"}}})
}

fn to_edge() -> Value {
    json!({"parentRefs": [{"name": "edge"}], "rules": [{}]})
}

fn condition<'v>(list: &'v Value, condition_type: &str) -> &'v Value {
    let found = list.as_array().and_then(|list| list.iter().find(|it| it["type"] == condition_type));
    found.unwrap_or(&Value::Null)
}

/// Waits until a condition of the object holds, and returns the object.
async fn holds(lab: &Lab, kind: (&str, &str), name: &str, list: &str, condition_type: &str) -> Value {
    eventually(&format!("{name}: {condition_type}"), || async {
        let object = lab.read(kind, name).await;
        let current =
            condition(object.pointer(list)?, condition_type)["observedGeneration"] == object["metadata"]["generation"];
        (current && condition(object.pointer(list)?, condition_type)["status"] == "True").then_some(object)
    })
    .await
}

#[test]
fn a_gateway_with_a_set_and_a_route_is_written_and_not_touched_again() {
    with_lab(|lab| async move {
        let mut desk = Desk::new(&lab);
        desk.observe(lab.create(GATEWAY, "edge", edge()).await);
        let set =
            json!({"parentRef": {"name": "edge"}, "listeners": [{"name": "more", "port": 8080, "protocol": "HTTP"}]});
        desk.observe(lab.create(SET, "extra", set).await);
        desk.observe(lab.create(ROUTE, "web", to_edge()).await);
        desk.report(serving(&lab, "edge"));
        let gateway = holds(&lab, GATEWAY, "edge", "/status/conditions", "Programmed").await;
        assert_eq!(gateway["status"]["addresses"], json!([{"type": "IPAddress", "value": "192.0.2.7"}]));
        assert_eq!(gateway["status"]["listeners"][0]["attachedRoutes"], 1);
        assert_eq!(gateway["status"]["attachedListenerSets"], 1);
        let set = holds(&lab, SET, "extra", "/status/conditions", "Programmed").await;
        assert_eq!(set["status"]["listeners"][0]["name"], "more");
        let route = holds(&lab, ROUTE, "web", "/status/parents/0/conditions", "Accepted").await;
        assert_eq!(route["status"]["parents"][0]["controllerName"], OURS);

        // Another controller, that knows nothing, finds it as it should be.
        drop(desk);
        let mut desk = Desk::new(&lab);
        for (kind, name) in [(GATEWAY, "edge"), (SET, "extra"), (ROUTE, "web")] {
            desk.observe(lab.read(kind, name).await);
        }
        desk.report(BTreeMap::new());
        tokio::time::sleep(Duration::from_secs(1)).await;
        desk.report(serving(&lab, "edge"));
        tokio::time::sleep(Duration::from_secs(1)).await;
        for (kind, name, before) in [(GATEWAY, "edge", &gateway), (SET, "extra", &set), (ROUTE, "web", &route)] {
            let now = lab.read(kind, name).await;
            assert_eq!(now["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"], "{name} was written");
        }
    });
}

/// Validation of the CRDs, kind for kind: what is said of the rarer ones is made here.
#[test]
fn every_kind_takes_the_status() {
    with_lab(|lab| async move {
        let mut desk = Desk::new(&lab);
        let class = format!("{}-class", lab.namespace);
        desk.observe(lab.create(CLASS, &class, json!({"controllerName": OURS})).await);
        desk.board.installed(["v1.7.0".to_owned()].into());
        let service = json!([{"backendRefs": [{"name": "app", "port": 80}]}]);
        let routes = [
            ("GRPCRoute", "grpcroutes", json!({"parentRefs": [{"name": "edge"}]})),
            (
                "TLSRoute",
                "tlsroutes",
                json!({"parentRefs": [{"name": "edge"}], "hostnames": ["a.example"], "rules": service}),
            ),
            ("TCPRoute", "tcproutes", json!({"parentRefs": [{"name": "edge"}], "rules": service})),
            ("UDPRoute", "udproutes", json!({"parentRefs": [{"name": "edge"}], "rules": service})),
        ];
        desk.observe(lab.create(GATEWAY, "edge", edge()).await);
        for (kind, plural, spec) in &routes {
            desk.observe(lab.create((kind, plural), "r", spec.clone()).await);
        }
        let policy = json!({"targetRefs": [{"group": "", "kind": "Service", "name": "app"}],
            "validation": {"hostname": "a.example", "wellKnownCACertificates": "System"}});
        let policies = ("BackendTLSPolicy", "backendtlspolicies");
        desk.observe(lab.create(policies, "tls", policy).await);
        let checks = json!({"targetRefs": [{"group": "", "kind": "Service", "name": "app"}],
            "healthCheck": {"active": {"http": {"expectedStatuses": [204, "300-399"]}}}});
        let traffic = ("TrafficPolicy", "trafficpolicies");
        desk.observe(lab.create(traffic, "checks", checks).await);
        let issuers = [(("AcmeIssuer", "acmeissuers"), "acme"), (("ClusterAcmeIssuer", "clusteracmeissuers"), &*class)];
        for (kind, name) in issuers {
            desk.observe(lab.create(kind, name, json!({"directory": "https://acme.example/dir"})).await);
        }
        let mut report = desk.translated();
        let ancestor = AncestorEntry {
            ancestor: serde_json::from_value(json!({"name": "edge", "namespace": lab.namespace})).unwrap(),
            conditions: vec![conditions::route::accepted("fine".into()), conditions::route::resolved_refs()],
        };
        let entry = Entry { generation: 1, ancestors: vec![ancestor], ..Entry::default() };
        report.objects.insert(ObjectRef::new(Kind::TrafficPolicy, &lab.namespace, "checks"), Arc::new(entry.clone()));
        report.objects.insert(ObjectRef::new(Kind::BackendTlsPolicy, &lab.namespace, "tls"), Arc::new(entry));
        desk.board.report(&report, serving(&lab, "edge"));

        let object = holds(&lab, CLASS, &class, "/status/conditions", "SupportedVersion").await;
        assert!(object["status"]["supportedFeatures"].as_array().unwrap().len() > 20);
        holds(&lab, policies, "tls", "/status/ancestors/0/conditions", "Accepted").await;
        holds(&lab, traffic, "checks", "/status/ancestors/0/conditions", "Accepted").await;
        for (kind, name) in issuers {
            holds(&lab, kind, name, "/status/conditions", "Accepted").await;
        }
        for (kind, plural, _) in routes {
            eventually(kind, || async {
                let object = lab.read((kind, plural), "r").await;
                let parent = object.pointer("/status/parents/0")?.clone();
                (parent["controllerName"] == OURS && condition(&parent["conditions"], "Accepted").is_object())
                    .then_some(())
            })
            .await;
        }
        for (kind, plural) in [CLASS, issuers[1].0] {
            lab.objects(kind, plural).delete(&class, &kube::api::DeleteParams::default()).await.unwrap();
        }
    });
}

#[test]
fn what_others_write_at_the_same_time_is_never_lost() {
    with_lab(|lab| async move {
        let mut desk = Desk::new(&lab);
        desk.observe(lab.create(GATEWAY, "edge", edge()).await);
        desk.observe(lab.create(ROUTE, "web", to_edge()).await);
        desk.report(serving(&lab, "edge"));
        let mut lost = 0;
        for round in 1..=40 {
            // As another controller would: read, change one's own, write over the version that was read.
            loop {
                let mut route = lab.read(ROUTE, "web").await;
                let mut parents = route["status"]["parents"].as_array().cloned().unwrap_or_default();
                parents.retain(|parent| parent["controllerName"] == OURS);
                parents.insert(0, json!({"controllerName": "example.com/other", "parentRef": {"name": "edge"},
                    "conditions": [{"type": "Accepted", "status": "True", "reason": format!("Round{round}"), "message": "",
                        "lastTransitionTime": "2026-01-01T00:00:00Z"}]}));
                let version = route["metadata"]["resourceVersion"].take();
                let patch = json!({"metadata": {"resourceVersion": version}, "status": {"parents": parents}});
                match lab.merge_status(ROUTE, "web", patch).await {
                    Ok(_) => break,
                    Err(kube::Error::Api(status)) if status.code == 409 => {}
                    Err(error) => panic!("{error}"),
                }
            }
            let spec = json!({"spec": {"hostnames": [format!("h{round}.example")]}});
            let edited = lab.merge(ROUTE, "web", spec).await;
            desk.observe(edited);
            desk.report(serving(&lab, "edge"));
            let now = lab.read(ROUTE, "web").await;
            let parents = now["status"]["parents"].as_array().cloned().unwrap_or_default();
            let theirs = parents.iter().find(|parent| parent["controllerName"] == "example.com/other");
            lost += usize::from(theirs.is_none_or(|it| it["conditions"][0]["reason"] != format!("Round{round}")));
        }
        assert_eq!(lost, 0);
        let route = eventually("our last word", || async {
            let route = lab.read(ROUTE, "web").await;
            let parents = route["status"]["parents"].as_array()?.clone();
            let ours = parents.iter().find(|parent| parent["controllerName"] == OURS)?;
            (condition(&ours["conditions"], "Accepted")["observedGeneration"] == route["metadata"]["generation"])
                .then_some(route)
        })
        .await;
        assert_eq!(route["status"]["parents"].as_array().unwrap().len(), 2);
    });
}

#[test]
fn foreign_conditions_and_defaults_of_the_crd_are_told_apart() {
    with_lab(|lab| async move {
        let mut desk = Desk::new(&lab);
        lab.create(GATEWAY, "edge", edge()).await;
        let theirs = json!({"type": "example.com/Checked", "status": "True", "reason": "Ok", "message": "m",
            "observedGeneration": 1, "lastTransitionTime": "2020-02-02T02:02:02Z"});
        let gateway = lab.read(GATEWAY, "edge").await;
        let mut list = gateway["status"]["conditions"].as_array().cloned().unwrap_or_default();
        assert!(list.iter().all(|it| it["status"] == "Unknown"), "the CRD's defaults: {list:?}");
        list.push(theirs.clone());
        let listener = json!({"name": "http", "supportedKinds": [], "attachedRoutes": 0, "conditions": [theirs]});
        let patch = json!({"status": {"conditions": list, "listeners": [listener]}});
        desk.observe(lab.merge_status(GATEWAY, "edge", patch).await.unwrap());
        desk.report(serving(&lab, "edge"));
        holds(&lab, GATEWAY, "edge", "/status/conditions", "Programmed").await;
        let mut spec = edge();
        spec["listeners"].as_array_mut().unwrap().push(json!({"name": "more", "port": 8080, "protocol": "HTTP"}));
        desk.observe(lab.merge(GATEWAY, "edge", json!({"spec": spec})).await);
        desk.report(serving(&lab, "edge"));
        let gateway = holds(&lab, GATEWAY, "edge", "/status/conditions", "Programmed").await;
        assert_eq!(gateway["metadata"]["generation"], 2);
        assert_eq!(condition(&gateway["status"]["conditions"], "example.com/Checked"), &theirs);
        assert_eq!(condition(&gateway["status"]["listeners"][0]["conditions"], "example.com/Checked"), &theirs);
        for condition in gateway["status"]["conditions"].as_array().unwrap().iter().filter(|it| **it != theirs) {
            assert_eq!(condition["observedGeneration"], 2, "{condition}");
        }
    });
}

#[test]
fn a_stale_view_is_no_hindrance_and_a_follower_writes_nothing() {
    with_lab(|lab| async move {
        let mut desk = Desk::new(&lab);
        desk.leadership.send_replace(Leadership::Following);
        desk.observe(lab.create(GATEWAY, "edge", edge()).await);
        let stale = lab.create(ROUTE, "web", to_edge()).await;
        let newest = lab.merge(ROUTE, "web", json!({"metadata": {"labels": {"a": "b"}}})).await;
        desk.observe(stale);
        desk.report(serving(&lab, "edge"));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(lab.read(ROUTE, "web").await["metadata"]["resourceVersion"], newest["metadata"]["resourceVersion"]);
        desk.leadership.send_replace(Leadership::Leading { epoch: 2 });
        holds(&lab, ROUTE, "web", "/status/parents/0/conditions", "Accepted").await;
        // What nobody observed is read; what is gone is forgotten.
        let unseen = lab.create(ROUTE, "unseen", to_edge()).await;
        desk.raw.push(unseen);
        let mut gone = lab.create(ROUTE, "gone", to_edge()).await;
        lab.objects(ROUTE.0, ROUTE.1).delete("gone", &kube::api::DeleteParams::default()).await.unwrap();
        gone["metadata"]["resourceVersion"] = "1".into();
        desk.observe(gone);
        desk.report(serving(&lab, "edge"));
        holds(&lab, ROUTE, "unseen", "/status/parents/0/conditions", "Accepted").await;
    });
}

#[test]
fn events_stand_on_the_object_that_is_wrong() {
    with_lab(|lab| async move {
        let mut desk = Desk::new(&lab);
        desk.observe(lab.create(GATEWAY, "edge", edge()).await);
        let spec =
            json!({"parentRefs": [{"name": "edge"}], "rules": [{"backendRefs": [{"name": "nowhere", "port": 80}]}]});
        let route = lab.create(ROUTE, "web", spec).await;
        let uid = route["metadata"]["uid"].clone();
        desk.observe(route);
        desk.report(serving(&lab, "edge"));
        let events = || async {
            let events: kube::Api<k8s_openapi::api::events::v1::Event> =
                kube::Api::namespaced(lab.client.clone(), &lab.namespace);
            events.list(&kube::api::ListParams::default()).await.unwrap().items
        };
        let warning = eventually("BackendNotFound", || async {
            events().await.into_iter().find(|event| event.reason.as_deref() == Some("BackendNotFound"))
        })
        .await;
        let regarding = warning.regarding.unwrap();
        assert_eq!((regarding.kind.as_deref(), regarding.name.as_deref()), (Some("HTTPRoute"), Some("web")));
        assert_eq!(regarding.uid.as_deref(), uid.as_str());
        assert_eq!(warning.type_.as_deref(), Some("Warning"));
        assert!(warning.note.unwrap().contains("nowhere"));
        eventually("Programmed", || async {
            let all = events().await;
            let normal = |reason: &str| {
                all.iter().any(|it| it.reason.as_deref() == Some(reason) && it.type_.as_deref() == Some("Normal"))
            };
            (normal("Programmed") && normal("Accepted")).then_some(())
        })
        .await;
        // The same again is counted, not told anew.
        let before = events().await.len();
        let wiped = lab.merge_status(ROUTE, "web", json!({"status": {"parents": []}})).await.unwrap();
        desk.observe(wiped);
        eventually("a series", || async {
            let again = events().await.into_iter().find(|event| event.reason.as_deref() == Some("BackendNotFound"))?;
            again.series.filter(|series| series.count == 2)
        })
        .await;
        assert_eq!(events().await.len(), before);
    });
}

#[test]
fn three_hundred_routes_are_written_once_each_at_the_rate_that_is_set() {
    with_lab(|lab| async move {
        let mut desk = Desk::new(&lab);
        desk.observe(lab.create(GATEWAY, "edge", edge()).await);
        let mut versions = BTreeMap::new();
        for at in 0..300 {
            let route = lab.create(ROUTE, &format!("r{at}"), to_edge()).await;
            versions.insert(format!("r{at}"), route["metadata"]["resourceVersion"].clone());
            desk.observe(route);
        }
        let begun = Instant::now();
        desk.report(serving(&lab, "edge"));
        let last = eventually("all of them", || async {
            let list = lab.objects(ROUTE.0, ROUTE.1).list(&kube::api::ListParams::default()).await.unwrap();
            let done = list
                .items
                .iter()
                .filter(|route| route.data["status"]["parents"].as_array().is_some_and(|it| it.len() == 1));
            (done.count() == 300).then_some(list)
        })
        .await;
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(1_500), "200 beyond the burst at 100 a second, but it took {took:?}");
        println!("300 routes in {took:?}");
        desk.report(serving(&lab, "edge"));
        tokio::time::sleep(Duration::from_millis(500)).await;
        let gateway = lab.read(GATEWAY, "edge").await;
        assert_eq!(gateway["status"]["listeners"][0]["attachedRoutes"], 300);
        for route in last.items {
            let now = lab.read(ROUTE, route.metadata.name.as_deref().unwrap()).await;
            assert_eq!(now["metadata"]["resourceVersion"].as_str(), route.metadata.resource_version.as_deref());
        }
    });
}
