// SPDX-License-Identifier: Apache-2.0
//! What a Gateway gets, by what its parameters and its spec say, and that nobody else changes it for long.

use serde_json::{Value, json};

use super::{Lab, ask, backend, gateway, lab, route, until};

const HOST: &str = "web.example";
/// What [`gateway`] names its proxies' objects.
const NAME: &str = "edge-torana";

/// A Gateway `edge` whose parameters are these, and beside the usual these fields in its spec.
fn edge(parameters: &str, fields: &str) -> String {
    let plain = gateway("edge", 1).replacen("replicas: 1,", parameters, 1);
    plain.replacen("  gatewayClassName: torana\n", &format!("  gatewayClassName: torana\n{fields}"), 1)
}

/// Status and reason of a condition.
fn condition(lab: &Lab, kind: &str) -> (String, String) {
    let gateway = lab.get("gateway", "edge");
    let conditions = gateway["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = conditions.iter().find(|condition| condition["type"] == kind);
    found.map(|it| (text(&it["status"]), text(&it["reason"]))).unwrap_or_default()
}

/// Waits for a condition.
fn until_it_says(lab: &Lab, kind: &str, status: &str, reason: &str) {
    until(&format!("{kind}={status}, {reason}"), || condition(lab, kind) == (status.to_owned(), reason.to_owned()));
}

fn serves(address: &str) -> bool {
    ask(address, HOST, "/").is_ok_and(|reply| reply.status == 200)
}

/// The address of the node.
pub(super) fn node(lab: &Lab) -> String {
    let path = "jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}";
    lab.kubectl(&["get", "nodes", "-o", path])
}

/// The address once it is of the Gateway, and it serves there.
fn served_at(lab: &Lab) -> String {
    let address = lab.address("edge");
    until("it serves", || serves(&address));
    address
}

#[test]
fn what_others_change_or_delete_comes_back() {
    let Some(lab) = lab() else { return };
    lab.apply(&(backend(1) + &gateway("edge", 1) + &route("web", "edge", HOST)));
    served_at(&lab);
    let wrong_port = r#"{"spec": {"ports": [{"name": "x", "port": 81}]}}"#;
    lab.kubectl(&["patch", "service", NAME, "--type=merge", "-p", wrong_port]);
    until("its port is right again", || lab.get("service", NAME)["spec"]["ports"][0]["port"] == 80);
    lab.kubectl(&["set", "image", &format!("deployment/{NAME}"), "*=example.com/theirs:1"]);
    let image = || lab.get("deployment", NAME)["spec"]["template"]["spec"]["containers"][0]["image"].to_string();
    until("its image is right again", || image().contains("torana:"));
    for kind in ["serviceaccount", "configmap", "service", "deployment", "poddisruptionbudget"] {
        let name = if kind == "configmap" { format!("{NAME}-feed-ca") } else { NAME.to_owned() };
        let Some(before) = lab.find(kind, &name) else {
            assert_eq!(kind, "poddisruptionbudget", "one proxy has no budget, but there is everything else");
            continue;
        };
        lab.kubectl(&["delete", kind, &name]);
        let uid = |object: &Value| object["metadata"]["uid"].clone();
        until(&format!("{kind} is back"), || lab.find(kind, &name).is_some_and(|it| uid(&it) != uid(&before)));
    }
    served_at(&lab);
}

#[test]
fn the_number_of_proxies_is_what_the_parameters_say_or_an_autoscaler_decides() {
    let Some(lab) = lab() else { return };
    lab.apply(&edge("replicas: 2,", ""));
    lab.address("edge");
    let proxies = || lab.get("deployment", NAME)["spec"]["replicas"].clone();
    assert_eq!(proxies(), 2);
    assert_eq!(lab.get("poddisruptionbudget", NAME)["spec"]["maxUnavailable"], 1);
    lab.apply(&edge("autoscaling: {minReplicas: 2, maxReplicas: 4, targetCpuUtilization: 70},", ""));
    until("there is an autoscaler", || lab.find("horizontalpodautoscaler", NAME).is_some());
    let scaler = lab.get("horizontalpodautoscaler", NAME);
    assert_eq!((&scaler["spec"]["minReplicas"], &scaler["spec"]["maxReplicas"]), (&json!(2), &json!(4)));
    assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], NAME);
    // As it would.
    lab.kubectl(&["scale", &format!("deployment/{NAME}"), "--replicas=3"]);
    lab.kubectl(&["label", "gateway", "edge", "touched=yes"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(proxies(), 3, "the autoscaler's number is its own");
    lab.apply(&edge("replicas: 1,", ""));
    until("there is none", || lab.find("horizontalpodautoscaler", NAME).is_none());
    until("one proxy", || proxies() == 1);
    until("one proxy has no budget", || lab.find("poddisruptionbudget", NAME).is_none());
}

#[test]
fn a_daemon_set_on_the_network_of_the_nodes_is_reached_at_theirs() {
    let Some(lab) = lab() else { return };
    lab.apply(&(backend(1) + &edge("mode: DaemonSet, hostNetwork: true,", "") + &route("web", "edge", HOST)));
    assert_eq!(served_at(&lab), node(&lab));
    assert!(lab.find("deployment", NAME).is_none());
    assert_eq!(lab.get("daemonset", NAME)["spec"]["template"]["spec"]["hostNetwork"], true);
    assert_eq!(lab.get("service", NAME)["spec"]["type"], "ClusterIP");
    lab.apply(&edge("replicas: 1,", ""));
    until("the DaemonSet is gone", || lab.find("daemonset", NAME).is_none());
    until("it has an address of its own", || lab.address("edge") != node(&lab));
    served_at(&lab);
}

#[test]
fn the_type_of_the_service_decides_where_a_gateway_is_reached() {
    let Some(lab) = lab() else { return };
    lab.apply(&(backend(1) + &edge("replicas: 1, service: {type: ClusterIP},", "") + &route("web", "edge", HOST)));
    let address = served_at(&lab);
    assert_eq!(lab.get("service", NAME)["spec"]["clusterIP"], address);
    lab.apply(&edge("replicas: 1, service: {type: NodePort},", ""));
    until("it is that of the node", || lab.address("edge") == node(&lab));
    let port = lab.get("service", NAME)["spec"]["ports"][0]["nodePort"].to_string();
    let at_node = format!("{}:{port}", node(&lab)).parse().unwrap();
    until("it serves at the node's port", || {
        torana_tests::Connection::to(at_node).and_then(|mut it| it.get(HOST, "/")).is_ok_and(|it| it.status == 200)
    });
    lab.apply(&edge("replicas: 1,", ""));
    until("it is the load balancer's", || lab.address("edge").starts_with("198.18.128."));
    served_at(&lab);
}

#[test]
fn an_address_that_is_asked_for_is_given_or_it_is_said_why_not() {
    let Some(lab) = lab() else { return };
    let asking = |address: &str| edge("replicas: 1,", &format!("  addresses: [{address}]\n"));
    let usable = "{type: IPAddress, value: 198.18.128.201}";
    lab.apply(&(backend(1) + &asking(usable) + &route("web", "edge", HOST)));
    assert_eq!(served_at(&lab), "198.18.128.201");
    lab.apply(&asking("{type: IPAddress, value: 192.0.2.1}"));
    until_it_says(&lab, "Programmed", "False", "AddressNotUsable");
    assert_eq!(condition(&lab, "Accepted").0, "True");
    lab.apply(&asking("{type: example.com/what, value: something}"));
    until_it_says(&lab, "Accepted", "False", "UnsupportedAddress");
    lab.apply(&asking(usable));
    until_it_says(&lab, "Programmed", "True", "Programmed");
    assert_eq!(served_at(&lab), "198.18.128.201");
}

#[test]
fn names_as_long_as_they_may_be_are_served() {
    let Some(lab) = lab() else { return };
    let names = [63, 253].map(|length| "n".repeat(length));
    let manifests = names.iter().map(|name| {
        let parameters = gateway(name, 1)
            .replace(&format!("kind: GatewayParameters, name: {name}"), "kind: GatewayParameters, name: p");
        parameters.replacen(&format!("metadata: {{name: {name}}}"), "metadata: {name: p}", 1)
            + &route(&format!("{name:.60}-{}", name.len()), name, HOST)
    });
    lab.apply(&(backend(1) + &manifests.collect::<String>()));
    for name in &names {
        let address = lab.address(name);
        until("it serves", || serves(&address));
    }
}

#[test]
fn labels_and_annotations_of_the_infrastructure_are_on_everything_and_go_again() {
    let Some(lab) = lab() else { return };
    let marks = "  infrastructure:\n    labels: {example.com/team: edge}\n    annotations: {example.com/note: seen}\n    \
                 parametersRef: {group: torana.dev, kind: GatewayParameters, name: edge}\n";
    let plain = edge("replicas: 2,", "");
    let line = plain.lines().find(|line| line.trim_start().starts_with("infrastructure:")).unwrap().to_owned() + "\n";
    lab.apply(&plain.replacen(&line, marks, 1));
    lab.address("edge");
    let feed_ca = format!("{NAME}-feed-ca");
    let marked = |kind: &str, name: &str| {
        let metadata = lab.get(kind, name)["metadata"].clone();
        (metadata["labels"]["example.com/team"] == "edge", metadata["annotations"]["example.com/note"] == "seen")
    };
    let all = [
        ("serviceaccount", NAME),
        ("configmap", &feed_ca),
        ("service", NAME),
        ("deployment", NAME),
        ("poddisruptionbudget", NAME),
    ];
    for (kind, name) in all {
        assert_eq!(marked(kind, name), (true, true), "{kind}");
    }
    let pods = || lab.kubectl(&["get", "pods", "-l", "example.com/team=edge", "-o", "name"]);
    assert!(pods().contains(NAME), "{}", pods());
    lab.apply(&plain);
    for (kind, name) in all {
        until(&format!("{kind} has neither"), || marked(kind, name) == (false, false));
    }
    until("pods have neither", || pods().trim().is_empty());
    // What others add is theirs.
    lab.kubectl(&["label", "service", NAME, "example.com/theirs=1"]);
    lab.apply(&plain.replacen("port: 80", "port: 8080", 1));
    until("the port has changed", || lab.get("service", NAME)["spec"]["ports"][0]["port"] == 8080);
    assert_eq!(lab.get("service", NAME)["metadata"]["labels"]["example.com/theirs"], "1");
}
