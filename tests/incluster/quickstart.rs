// SPDX-License-Identifier: Apache-2.0
//! The first minutes of a user: one file, an address, an answer; and what a broken route says.

use crate::house::source::root;

use super::{ask, gateway, kubectl, lab, until};

#[test]
fn the_quickstart_answers_at_the_address_of_its_gateway() {
    let Some(_lab) = lab() else { return };
    let file = root().join("deploy/examples/quickstart.yaml");
    let file = file.to_str().unwrap();
    kubectl(&["apply", "-f", file]);
    kubectl(&["wait", "--for=condition=Programmed", "gateway/quickstart", "--timeout=60s"]);
    let address = kubectl(&["get", "gateway", "quickstart", "-o", "jsonpath={.status.addresses[0].value}"]);
    until("the sample backend is there", || ask(&address, "any.example", "/hello").is_ok_and(|it| it.status == 200));
    let reply = ask(&address, "any.example", "/hello").unwrap();
    assert_eq!(reply.header("x-echo-name"), Some("quickstart"));
    let shown = kubectl(&["get", "gtw", "quickstart"]);
    assert!(shown.contains(&address) && shown.contains("True"), "{shown}");
    kubectl(&["delete", "-f", file, "--wait=false"]);
}

#[test]
fn a_broken_route_says_what_to_repair_and_a_repaired_one_serves() {
    let Some(lab) = lab() else { return };
    lab.apply(&(gateway("edge", 1) + &super::route("web", "edge", "web.example")));
    let address = lab.address("edge");
    until("the route is judged", || lab.kubectl(&["describe", "httproute", "web"]).contains("BackendNotFound"));
    let told = lab.kubectl(&["describe", "httproute", "web"]);
    assert!(told.contains("Service") && told.contains("echo"), "{told}");
    assert_eq!(ask(&address, "web.example", "/").unwrap().status, 500);
    lab.apply(&super::backend(1));
    until("it serves", || ask(&address, "web.example", "/").is_ok_and(|it| it.status == 200));
    until("its status is good", || {
        let route = lab.get("httproute", "web");
        let conditions = route["status"]["parents"][0]["conditions"].as_array().unwrap();
        conditions.iter().all(|condition| condition["status"] == "True")
    });
}
