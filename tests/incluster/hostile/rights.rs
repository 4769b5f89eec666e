// SPDX-License-Identifier: Apache-2.0
//! E09: the controllers lose their rights. Nothing is withdrawn because a list is refused; what is known stays in force.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::{CONTROLLERS, SYSTEM, controllers_are_there, logs};
use super::{Neighbour, kubectl, route, status, until};

const ROLE: &str = "torana";

/// The rule that lets the controllers see Gateways and routes, taken away until this is gone.
struct Revoked {
    rule: Value,
    at: usize,
}

impl Revoked {
    fn now() -> Self {
        let role: Value = serde_json::from_str(&kubectl(&["get", "clusterrole", ROLE, "-o", "json"])).unwrap();
        let rules = role["rules"].as_array().unwrap();
        let lists = |rule: &Value| ["httproutes", "list"].iter().all(|word| rule.to_string().contains(word));
        let at = rules.iter().position(lists).unwrap();
        patch(&json!([{"op": "remove", "path": format!("/rules/{at}")}]));
        Self { rule: rules[at].clone(), at }
    }
}

impl Drop for Revoked {
    fn drop(&mut self) {
        patch(&json!([{"op": "add", "path": format!("/rules/{}", self.at), "value": self.rule}]));
    }
}

fn patch(patch: &Value) {
    kubectl(&["patch", "clusterrole", ROLE, "--type=json", "-p", &patch.to_string()]);
}

#[test]
fn without_rights_what_was_in_force_stays_and_a_controller_says_what_it_cannot_see() {
    let Some(lab) = super::super::lab() else { return };
    let neighbour = Neighbour::settle(&lab, 1, "", "");
    let revoked = Revoked::now();
    // Lists begin anew: every one of them is refused.
    kubectl(&["-n", SYSTEM, "delete", "pod", "-l", CONTROLLERS, "--force", "--grace-period=0"]);
    until("what cannot be listed is named", || {
        let told = logs(SYSTEM, CONTROLLERS, 200);
        ["HTTPRoute", "Gateway", "ReferenceGrant"].iter().all(|kind| {
            told.lines()
                .any(|line| line.contains("cannot be watched") && line.contains(kind) && line.contains("forbidden"))
        })
    });
    lab.apply(&route("later", "edge", "later.example"));
    sleep(Duration::from_secs(3));
    let ready = "jsonpath={.items[*].status.containerStatuses[*].ready}";
    let ready = kubectl(&["-n", SYSTEM, "get", "pods", "-l", CONTROLLERS, "-o", ready]);
    assert!(!ready.contains("true"), "a controller that sees nothing is not ready: {ready}");
    assert_eq!(status(&neighbour.address, "later.example"), Some(404), "nobody can know of it");
    drop(revoked);
    until("what came meanwhile is in force", || status(&neighbour.address, "later.example") == Some(200));
    controllers_are_there();
    neighbour.must_be_unharmed();
}
