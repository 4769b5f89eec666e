// SPDX-License-Identifier: Apache-2.0
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::{Value, json};
use torana_crds::gateway::{Gateway, ProtocolType};
use torana_crds::parameters::{GatewayParameters, GatewayParametersSpec};
use torana_ir::{SessionKey, Transport};

use super::*;
use crate::store::{Cluster, Event, Settings};
use crate::translate::parameters::of_gateway;
use crate::translate::{is_ingress, mesh_roots, ports_of_ingress};

const SEPARATOR: &str = "# Output\n";

fn install() -> Install {
    Install {
        image: "registry.example.com/torana:1".into(),
        feed: "torana-feed.torana-system.svc:15012".into(),
        feed_name: "torana-feed.torana-system.svc".into(),
        feed_ca: "PEM\n".into(),
        mesh_roots: String::new(),
        namespace: "torana-system".into(),
        version: "1".into(),
    }
}

/// Asked of cargo when the test runs: two checkouts that share a target folder may share this very binary.
fn folder() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").expect("CARGO_MANIFEST_DIR is not set: run this with cargo test");
    Path::new(&package).join("testdata/provision")
}

fn ports(gateway: &Gateway) -> Vec<Port> {
    let transport = |protocol: &ProtocolType| match protocol {
        ProtocolType::Udp => Transport::Udp,
        _ => Transport::Tcp,
    };
    let listeners = gateway.spec.listeners.iter();
    listeners.map(|it| Port::of_listener(it.port, transport(&it.protocol))).collect()
}

/// The objects of every Gateway and every ingress of a case.
fn provisioned(case: &Path, input: &str) -> Vec<Value> {
    let mut cluster = Cluster::new(Settings::cluster(Vec::new(), SessionKey::new([0; 32]), 0));
    for mut value in serde_saphyr::from_multiple::<Value>(input).unwrap_or_else(|error| panic!("{case:?}: {error}")) {
        let found = torana_crds::schema::admit(&mut value);
        assert!(found.is_empty(), "{case:?}: {found:#?}");
        let object = torana_crds::decode(value, "").content.object().unwrap_or_else(|| panic!("{case:?}"));
        cluster.apply(Event::Applied(object.into()));
    }
    let install = Install { mesh_roots: mesh_roots(cluster.mesh().config()).0, ..install() };
    let each = cluster.all::<Gateway>().flat_map(|gateway| {
        let found = of_gateway(&cluster, gateway).unwrap();
        let parameters = merged(found.class.map(|it| &it.spec), found.own.map(|it| &it.spec));
        let [one, other] = [(); 2].map(|()| desired(Subject::Gateway(gateway), &parameters, &ports(gateway), &install));
        assert_eq!(one, other, "{case:?}: twice");
        one.objects
    });
    let asked = cluster.all::<GatewayParameters>().filter(|parameters| is_ingress(&cluster, parameters));
    let ingresses = asked.flat_map(|parameters| {
        let ports: Vec<_> = ports_of_ingress(&parameters.spec).iter().copied().map(Port::from).collect();
        desired(Subject::Ingress(parameters), &parameters.spec, &ports, &install).objects
    });
    each.chain(ingresses).collect()
}

/// What must hold of every object that is provisioned.
fn lawful(case: &Path, object: &Value) {
    let metadata = &object["metadata"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    assert!(text(&metadata["name"]).len() <= 63 + "-feed-ca".len(), "{case:?}: {metadata}");
    assert_eq!(metadata["ownerReferences"][0]["controller"], true, "{case:?}");
    assert!(metadata["labels"].as_object().unwrap().values().all(|value| text(value).len() <= 63), "{case:?}");
    assert!(!object.to_string().contains("null"), "{case:?}: {object}");
    let template = &object["spec"]["template"];
    if template.is_null() {
        return;
    }
    let labels = &template["metadata"]["labels"];
    for (key, value) in object["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(labels[key], *value, "{case:?}: the pods are not selected");
    }
    assert_eq!(template["spec"]["automountServiceAccountToken"], false, "{case:?}");
}

#[test]
fn gateways_get_what_the_goldens_say() {
    let write = env::var("TORANA_GOLDENS").is_ok_and(|value| value == "write");
    let mut cases: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 8, "only {} cases", cases.len());
    let mut failed = Vec::new();
    for case in cases {
        let text = fs::read_to_string(&case).unwrap();
        assert!(text.starts_with("# "), "{case:?} does not begin with the rule under test");
        let (input, expected) = text.split_once(SEPARATOR).unwrap_or((&text, ""));
        let objects = provisioned(&case, input);
        for object in &objects {
            lawful(&case, object);
        }
        let documents: Vec<_> = objects.iter().map(|object| serde_saphyr::to_string(object).unwrap()).collect();
        let got = documents.join("---\n");
        if write {
            fs::write(&case, format!("{}\n{SEPARATOR}{got}", input.trim_end())).unwrap();
        } else if got != expected {
            failed.push(case);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}\nTORANA_GOLDENS=write writes them anew");
}

fn gateway(name: &str) -> Gateway {
    let listener = json!({"name": "http", "port": 80, "protocol": "HTTP"});
    let json = json!({"metadata": {"namespace": "infra", "name": name, "uid": "u"},
        "spec": {"gatewayClassName": "torana", "listeners": [listener]}});
    serde_json::from_value(json).unwrap()
}

#[test]
fn names_of_every_length_can_be_had() {
    for length in [1, 50, 55, 56, 57, 62, 63, 64, 100, 253] {
        let gateway = gateway(&"n".repeat(length));
        let desired =
            desired(Subject::Gateway(&gateway), &GatewayParametersSpec::default(), &ports(&gateway), &install());
        for object in &desired.objects {
            lawful(Path::new(&length.to_string()), object);
        }
        assert!(desired.objects.len() >= 5);
    }
}

#[test]
fn without_a_listener_nothing_is_desired() {
    let gateway = gateway("edge");
    assert_eq!(
        desired(Subject::Gateway(&gateway), &GatewayParametersSpec::default(), &[], &install()),
        Desired::default()
    );
}

#[test]
fn a_patch_cannot_take_the_pods_away_from_their_gateway() {
    let gateway = gateway("edge");
    for patch in [
        json!({"metadata": {"labels": {GATEWAY_NAME: "other", "team": "a"}}}),
        json!({"metadata": {"$patch": "delete"}}),
        json!({"metadata": 1}),
        json!({"metadata": {"labels": []}}),
    ] {
        let parameters: GatewayParametersSpec = serde_json::from_value(json!({"podPatch": patch})).unwrap();
        let desired = desired(Subject::Gateway(&gateway), &parameters, &ports(&gateway), &install());
        for object in &desired.objects {
            lawful(Path::new("patch"), object);
        }
    }
}
