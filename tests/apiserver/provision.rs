// SPDX-License-Identifier: Apache-2.0
//! What is provisioned, as a real API server takes it, and what becomes of it there.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::time::timeout;
use torana_controller::provision::desired::{self, Install, Port};
use torana_controller::provision::{Provisioned, Provisioner};
use torana_crds::gateway::Gateway;
use torana_crds::parameters::GatewayParametersSpec;
use torana_ir::{GatewayId, Transport};

use super::{Lab, PATIENCE, eventually, value, with_lab};
use crate::house::source::root;

const PORT: Port = Port::of_listener(80, Transport::Tcp);
/// Where the kinds are that are provisioned.
const GROUPS: [(&str, &str, &str); 7] = [
    ("ServiceAccount", "", "v1"),
    ("ConfigMap", "", "v1"),
    ("Service", "", "v1"),
    ("PodDisruptionBudget", "policy", "v1"),
    ("Deployment", "apps", "v1"),
    ("DaemonSet", "apps", "v1"),
    ("HorizontalPodAutoscaler", "autoscaling", "v2"),
];

impl Lab {
    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let (_, group, version) = GROUPS.into_iter().find(|(it, ..)| *it == kind).unwrap();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    async fn gateway(&self, name: &str) -> Gateway {
        let listener = json!({"name": "http", "port": 80, "protocol": "HTTP"});
        let spec = json!({"gatewayClassName": "live", "listeners": [listener]});
        let mut made = self.create(("Gateway", "gateways"), name, spec).await;
        made["apiVersion"] = "gateway.networking.k8s.io/v1".into();
        made["kind"] = "Gateway".into();
        match torana_crds::decode(made, "").content.object() {
            Some(torana_crds::Object::Gateway(gateway)) => gateway,
            other => panic!("{other:?}"),
        }
    }

    async fn find(&self, kind: &str, name: &str) -> Option<Value> {
        self.api(kind).get_opt(name).await.unwrap().map(value)
    }

    /// Waits until it is so.
    async fn until(&self, kind: &str, name: &str, what: &str, holds: impl Fn(Option<&Value>) -> bool) {
        eventually(&format!("{kind} {name}: {what}"), async || {
            holds(self.find(kind, name).await.as_ref()).then_some(())
        })
        .await;
    }

    async fn change(&self, kind: &str, name: &str, patch: Value) {
        self.api(kind).patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    async fn delete(&self, kind: &str, name: &str) {
        let _gone = self.api(kind).delete(name, &DeleteParams::background()).await.unwrap();
    }
}

fn install() -> Install {
    let text = |text: &str| text.to_owned();
    Install {
        image: text("torana:live"),
        feed: text("torana-feed.torana-system.svc:15012"),
        feed_name: text("torana-feed.torana-system.svc"),
        feed_ca: text("PEM\n"),
        mesh_roots: String::new(),
        namespace: "torana-system".to_owned(),
        version: text("live"),
    }
}

fn want(provisioner: &Provisioner, gateway: &Gateway, parameters: Value, ports: &[Port]) {
    let parameters: GatewayParametersSpec = serde_json::from_value(parameters).unwrap();
    let desired = desired::desired(desired::Subject::Gateway(gateway), &parameters, ports, &install());
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

#[test]
fn what_others_change_is_put_right_and_what_is_surplus_goes() {
    with_lab(async |lab| {
        let provisioner = Provisioner::start(lab.client.clone());
        let gateway = lab.gateway("edge").await;
        let name = desired::Subject::Gateway(&gateway).name();
        want(&provisioner, &gateway, json!({"replicas": 0}), &[PORT]);
        settled(&provisioner, &gateway).await;
        lab.change("Service", &name, json!({"spec": {"ports": [{"name": "x", "port": 81}]}})).await;
        lab.until("Service", &name, "put right", |it| it.is_some_and(|it| it["spec"]["ports"][0]["port"] == 80)).await;
        lab.delete("ServiceAccount", &name).await;
        lab.until("ServiceAccount", &name, "back", |it| it.is_some()).await;
        // What nobody desires is nobody's business, and neither is what was right all the time.
        lab.change("ConfigMap", &format!("{name}-feed-ca"), json!({"metadata": {"labels": {"theirs": "1"}}})).await;
        settled(&provisioner, &gateway).await;
        assert_eq!(
            lab.find("ConfigMap", &format!("{name}-feed-ca")).await.unwrap()["metadata"]["labels"]["theirs"],
            "1"
        );

        want(&provisioner, &gateway, json!({"mode": "DaemonSet", "nodeSelector": {"no": "node"}}), &[PORT]);
        lab.until("Deployment", &name, "gone", |it| it.is_none()).await;
        assert!(lab.find("DaemonSet", &name).await.is_some());
        // Nothing to serve: the Service and its address stay.
        want(&provisioner, &gateway, json!({}), &[]);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(lab.find("Service", &name).await.is_some());
    });
}

#[test]
fn a_new_controller_writes_nothing() {
    with_lab(async |lab| {
        let gateway = lab.gateway("edge").await;
        let mut versions: Vec<BTreeMap<String, Value>> = Vec::new();
        for _ in 0..2 {
            let provisioner = Provisioner::start(lab.client.clone());
            want(&provisioner, &gateway, json!({"replicas": 0}), &[PORT]);
            settled(&provisioner, &gateway).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            let mut found = BTreeMap::new();
            for kind in ["ServiceAccount", "Service", "ConfigMap", "Deployment"] {
                let name =
                    desired::Subject::Gateway(&gateway).name() + if kind == "ConfigMap" { "-feed-ca" } else { "" };
                let object = lab.find(kind, &name).await.unwrap();
                let ours = object["metadata"]["managedFields"].as_array().unwrap().iter();
                let ours = ours.filter(|it| it["manager"] == "torana").map(|it| it["time"].clone());
                found.insert(kind.to_owned(), ours.collect());
            }
            versions.push(found);
        }
        assert_eq!(versions[0], versions[1]);
    });
}

#[test]
fn a_number_of_proxies_survives_its_way_to_an_autoscaler() {
    with_lab(async |lab| {
        let provisioner = Provisioner::start(lab.client.clone());
        let gateway = lab.gateway("edge").await;
        let name = desired::Subject::Gateway(&gateway).name();
        let nowhere = json!({"no": "node"});
        want(&provisioner, &gateway, json!({"replicas": 5, "nodeSelector": nowhere}), &[PORT]);
        settled(&provisioner, &gateway).await;
        let scaled = json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 9}, "nodeSelector": nowhere});
        want(&provisioner, &gateway, scaled, &[PORT]);
        lab.until("HorizontalPodAutoscaler", &name, "there", |it| it.is_some()).await;
        settled(&provisioner, &gateway).await;
        assert_eq!(lab.find("Deployment", &name).await.unwrap()["spec"]["replicas"], 5);
        want(&provisioner, &gateway, json!({"replicas": 1, "nodeSelector": nowhere}), &[PORT]);
        lab.until("HorizontalPodAutoscaler", &name, "gone", |it| it.is_none()).await;
        lab.until("Deployment", &name, "one", |it| it.is_some_and(|it| it["spec"]["replicas"] == 1)).await;
    });
}

#[test]
fn what_is_not_ours_is_left_alone_and_said() {
    with_lab(async |lab| {
        let provisioner = Provisioner::start(lab.client.clone());
        let gateway = lab.gateway("edge").await;
        let name = format!("{}-feed-ca", desired::Subject::Gateway(&gateway).name());
        let theirs = json!({"metadata": {"name": name}, "data": {"a": "b"}});
        lab.api("ConfigMap").create(&PostParams::default(), &serde_json::from_value(theirs).unwrap()).await.unwrap();
        want(&provisioner, &gateway, json!({"replicas": 0}), &[PORT]);
        let said = |it: &Provisioned| it.problems.iter().any(|problem| problem.contains("is not Torana's"));
        until(&provisioner, &gateway, "said", said).await;
        assert_eq!(lab.find("ConfigMap", &name).await.unwrap()["data"], json!({"a": "b"}));
        assert!(
            lab.find("Deployment", &desired::Subject::Gateway(&gateway).name()).await.is_some(),
            "the rest is there"
        );
        lab.delete("ConfigMap", &name).await;
        settled(&provisioner, &gateway).await;

        let refused = lab.gateway("refused").await;
        let impossible = json!({"replicas": 0, "podPatch": {"spec": {"restartPolicy": "Sometimes"}}});
        want(&provisioner, &refused, impossible, &[PORT]);
        let said =
            |it: &Provisioned| it.problems.iter().any(|it| it.contains("is refused") && it.contains("Sometimes"));
        until(&provisioner, &refused, "said", said).await;
    });
}

#[test]
fn the_api_server_takes_every_object_of_the_goldens_and_names_of_every_length() {
    with_lab(async |lab| {
        let dry = PatchParams { dry_run: true, ..PatchParams::apply("torana").force() };
        let mut objects: Vec<Value> = Vec::new();
        for entry in fs::read_dir(root().join("controller/testdata/provision")).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            objects.extend(serde_saphyr::from_multiple::<Value>(text.split_once("# Output\n").unwrap().1).unwrap());
        }
        assert!(objects.len() > 30, "{}", objects.len());
        for mut object in objects {
            object["metadata"]["namespace"] = lab.namespace.clone().into();
            let (kind, name) = (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
            let answer = lab.api(kind).patch(name, &dry, &Patch::Apply(&object)).await;
            let answer = answer.unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
            assert_eq!(answer.name_any(), name);
        }
        let provisioner = Provisioner::start(lab.client.clone());
        for length in [1, 51, 52, 57, 63, 64, 253] {
            let gateway = lab.gateway(&"n".repeat(length)).await;
            want(&provisioner, &gateway, json!({"replicas": 0}), &[PORT]);
            settled(&provisioner, &gateway).await;
        }
    });
}
