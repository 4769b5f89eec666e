// SPDX-License-Identifier: Apache-2.0
//! Against a real API server, which alone knows what it accepts and what becomes of it. Needs one with the CRDs of
//! Gateway API: `KUBECONFIG=… cargo test --profile ci --workspace --lib -- --ignored provision::live`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::timeout;
use torana_crds::gateway::Gateway;
use torana_crds::parameters::GatewayParametersSpec;
use torana_ir::{GatewayId, Transport};

use crate::provision::desired::{self, Install, Port};
use crate::provision::kinds::Place;
use crate::provision::{Provisioned, Provisioner};

const PATIENCE: Duration = Duration::from_mins(1);
const PORT: Port = Port { number: 80, transport: Transport::Tcp };

/// A namespace of its own, gone at the end.
struct World {
    client: Client,
    namespace: String,
}

impl World {
    async fn new(name: &str) -> Self {
        let client = Client::try_default().await.expect("KUBECONFIG names a cluster");
        let namespace = format!("torana-live-{name}-{:x}", fastrand::u32(..));
        let world = Self { client, namespace };
        let namespaces = Api::<DynamicObject>::all_with(world.client.clone(), &resource("", "v1", "Namespace"));
        let namespace = json!({"metadata": {"name": world.namespace}});
        namespaces.create(&PostParams::default(), &serde_json::from_value(namespace).unwrap()).await.unwrap();
        world
    }

    async fn end(self) {
        let namespaces = Api::<DynamicObject>::all_with(self.client, &resource("", "v1", "Namespace"));
        let _gone = namespaces.delete(&self.namespace, &DeleteParams::background()).await.unwrap();
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let place = Place { kind: kind.to_owned(), namespace: String::new(), name: String::new() };
        let resource = place.resource().unwrap_or_else(|| resource("gateway.networking.k8s.io", "v1", kind));
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    async fn gateway(&self, name: &str) -> Gateway {
        let listener = json!({"name": "http", "port": 80, "protocol": "HTTP"});
        let object = json!({"metadata": {"name": name}, "spec": {"gatewayClassName": "live", "listeners": [listener]}});
        let made = self.api("Gateway").create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await;
        let mut value = serde_json::to_value(made.unwrap()).unwrap();
        value["apiVersion"] = "gateway.networking.k8s.io/v1".into();
        value["kind"] = "Gateway".into();
        match torana_crds::decode(value, "").content.object() {
            Some(torana_crds::Object::Gateway(gateway)) => gateway,
            other => panic!("{other:?}"),
        }
    }

    async fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let found = self.api(kind).get_opt(name).await.unwrap();
        found.map(|object| serde_json::to_value(object).unwrap())
    }

    /// Waits until it is so.
    async fn until(&self, kind: &str, name: &str, what: &str, holds: impl Fn(Option<&Value>) -> bool) {
        let wait = async {
            while !holds(self.get(kind, name).await.as_ref()) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{kind} {name}: never {what}"));
    }

    async fn merge(&self, kind: &str, name: &str, patch: Value) {
        self.api(kind).patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    async fn delete(&self, kind: &str, name: &str) {
        let _gone = self.api(kind).delete(name, &DeleteParams::background()).await.unwrap();
    }
}

fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

fn install() -> Install {
    let text = |text: &str| text.to_owned();
    Install {
        image: text("torana:live"),
        feed: text("torana-feed.torana-system.svc:15012"),
        feed_name: text("torana-feed.torana-system.svc"),
        feed_ca: text("PEM\n"),
        version: text("live"),
    }
}

fn want(provisioner: &Provisioner, gateway: &Gateway, parameters: Value, ports: &[Port]) {
    let parameters: GatewayParametersSpec = serde_json::from_value(parameters).unwrap();
    let desired = desired::desired(gateway, &parameters, ports, &install());
    provisioner.want(id(gateway), &gateway.meta.uid, &desired);
}

fn id(gateway: &Gateway) -> GatewayId {
    GatewayId { namespace: gateway.meta.namespace.clone(), name: gateway.meta.name.clone() }
}

async fn until(provisioner: &Provisioner, gateway: &Gateway, what: &str, holds: impl Fn(&Provisioned) -> bool) {
    let mut fleets = provisioner.fleets();
    let wait = fleets.wait_for(|fleets| fleets.get(&id(gateway)).is_some_and(&holds));
    let found = timeout(PATIENCE, wait).await.map(|_| ());
    assert!(found.is_ok(), "{}: never {what}: {:?}", gateway.meta.name, provisioner.fleets().borrow());
}

async fn settled(provisioner: &Provisioner, gateway: &Gateway) {
    until(provisioner, gateway, "settled", |it| it.settled && it.service.is_some()).await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn what_others_change_is_put_right_and_what_is_surplus_goes() {
    let world = World::new("drift").await;
    let provisioner = Provisioner::start(world.client.clone());
    let gateway = world.gateway("edge").await;
    let name = desired::name(&gateway);
    want(&provisioner, &gateway, json!({"replicas": 0}), &[PORT]);
    settled(&provisioner, &gateway).await;
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    let before = world.get("Deployment", &name).await.unwrap();

    world.merge("Service", &name, json!({"spec": {"ports": [{"name": "x", "port": 81}]}})).await;
    world.until("Service", &name, "put right", |it| it.is_some_and(|it| it["spec"]["ports"][0]["port"] == 80)).await;
    world.delete("ServiceAccount", &name).await;
    world.until("ServiceAccount", &name, "back", |it| it.is_some()).await;
    // What nobody desires is nobody's business, and neither is what was right all the time.
    world.merge("ConfigMap", &format!("{name}-feed-ca"), json!({"metadata": {"labels": {"theirs": "1"}}})).await;
    settled(&provisioner, &gateway).await;
    assert_eq!(world.get("ConfigMap", &format!("{name}-feed-ca")).await.unwrap()["metadata"]["labels"]["theirs"], "1");

    want(&provisioner, &gateway, json!({"mode": "DaemonSet", "nodeSelector": {"no": "node"}}), &[PORT]);
    world.until("Deployment", &name, "gone", |it| it.is_none()).await;
    assert!(world.get("DaemonSet", &name).await.is_some());
    // Nothing to serve: the Service and its address stay.
    want(&provisioner, &gateway, json!({}), &[]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(world.get("Service", &name).await.is_some());
    assert_ne!(version(&before), Value::Null);
    world.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_new_controller_writes_nothing() {
    let world = World::new("restart").await;
    let gateway = world.gateway("edge").await;
    let mut versions: Vec<BTreeMap<String, Value>> = Vec::new();
    for _ in 0..2 {
        let provisioner = Provisioner::start(world.client.clone());
        want(&provisioner, &gateway, json!({"replicas": 0}), &[PORT]);
        settled(&provisioner, &gateway).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut found = BTreeMap::new();
        for kind in ["ServiceAccount", "Service", "ConfigMap", "Deployment"] {
            let name = desired::name(&gateway) + if kind == "ConfigMap" { "-feed-ca" } else { "" };
            let object = world.get(kind, &name).await.unwrap();
            let ours = object["metadata"]["managedFields"].as_array().unwrap().iter();
            let ours = ours.filter(|it| it["manager"] == "torana").map(|it| it["time"].clone());
            found.insert(kind.to_owned(), ours.collect());
        }
        versions.push(found);
    }
    assert_eq!(versions[0], versions[1]);
    world.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_number_of_proxies_survives_its_way_to_an_autoscaler() {
    let world = World::new("scale").await;
    let provisioner = Provisioner::start(world.client.clone());
    let gateway = world.gateway("edge").await;
    let name = desired::name(&gateway);
    let nowhere = json!({"no": "node"});
    want(&provisioner, &gateway, json!({"replicas": 5, "nodeSelector": nowhere}), &[PORT]);
    settled(&provisioner, &gateway).await;
    let scaled = json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 9}, "nodeSelector": nowhere});
    want(&provisioner, &gateway, scaled, &[PORT]);
    world.until("HorizontalPodAutoscaler", &name, "there", |it| it.is_some()).await;
    settled(&provisioner, &gateway).await;
    assert_eq!(world.get("Deployment", &name).await.unwrap()["spec"]["replicas"], 5);
    want(&provisioner, &gateway, json!({"replicas": 1, "nodeSelector": nowhere}), &[PORT]);
    world.until("HorizontalPodAutoscaler", &name, "gone", |it| it.is_none()).await;
    world.until("Deployment", &name, "one", |it| it.is_some_and(|it| it["spec"]["replicas"] == 1)).await;
    world.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn what_is_not_ours_is_left_alone_and_said() {
    let world = World::new("foreign").await;
    let provisioner = Provisioner::start(world.client.clone());
    let gateway = world.gateway("edge").await;
    let name = format!("{}-feed-ca", desired::name(&gateway));
    let theirs = json!({"metadata": {"name": name}, "data": {"a": "b"}});
    world.api("ConfigMap").create(&PostParams::default(), &serde_json::from_value(theirs).unwrap()).await.unwrap();
    want(&provisioner, &gateway, json!({"replicas": 0}), &[PORT]);
    let said = |it: &Provisioned| it.problems.iter().any(|problem| problem.contains("is not Torana's"));
    until(&provisioner, &gateway, "said", said).await;
    assert_eq!(world.get("ConfigMap", &name).await.unwrap()["data"], json!({"a": "b"}));
    assert!(world.get("Deployment", &desired::name(&gateway)).await.is_some(), "the rest is there");
    world.delete("ConfigMap", &name).await;
    settled(&provisioner, &gateway).await;

    let refused = world.gateway("refused").await;
    let impossible = json!({"replicas": 0, "podPatch": {"spec": {"restartPolicy": "Sometimes"}}});
    want(&provisioner, &refused, impossible, &[PORT]);
    let said = |it: &Provisioned| it.problems.iter().any(|it| it.contains("is refused") && it.contains("Sometimes"));
    until(&provisioner, &refused, "said", said).await;
    world.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn the_api_server_takes_every_object_of_the_goldens_and_names_of_every_length() {
    let world = World::new("goldens").await;
    let package = env::var_os("CARGO_MANIFEST_DIR").expect("run this with cargo test");
    let dry = PatchParams { dry_run: true, ..PatchParams::apply("torana").force() };
    let mut objects: Vec<Value> = Vec::new();
    for entry in fs::read_dir(Path::new(&package).join("testdata/provision")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        objects.extend(serde_saphyr::from_multiple::<Value>(text.split_once("# Output\n").unwrap().1).unwrap());
    }
    assert!(objects.len() > 30, "{}", objects.len());
    for mut object in objects {
        object["metadata"]["namespace"] = world.namespace.clone().into();
        let place = Place::of(&object);
        let answer = world.api(&place.kind).patch(&place.name, &dry, &Patch::Apply(&object)).await;
        let answer = answer.unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_eq!(answer.name_any(), place.name);
    }
    let provisioner = Provisioner::start(world.client.clone());
    for length in [1, 51, 52, 57, 63, 64, 253] {
        let gateway = world.gateway(&"n".repeat(length)).await;
        want(&provisioner, &gateway, json!({"replicas": 0}), &[PORT]);
        settled(&provisioner, &gateway).await;
    }
    world.end().await;
}
