// SPDX-License-Identifier: Apache-2.0
//! Policies that are not evaluated close what they are for, and nothing else.

use super::{ask, kubectl, lab, until};

/// In the root namespace it is for the whole mesh.
const NOBODY: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody}
spec: {}
";

/// The root namespace, as long as this lives.
struct Root {
    is_new: bool,
}

impl Root {
    fn new() -> Self {
        let there = kubectl(&["get", "namespace", "istio-system", "--ignore-not-found", "-o", "name"]);
        let is_new = there.trim().is_empty();
        if is_new {
            kubectl(&["create", "namespace", "istio-system"]);
        }
        Self { is_new }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let (kind, name) = if self.is_new { ("namespace", "istio-system") } else { ("authorizationpolicy", "nobody") };
        std::process::Command::new("kubectl")
            .args(["-n", "istio-system", "delete", kind, name, "--wait=true"])
            .output()
            .unwrap();
    }
}

#[test]
fn a_policy_that_lets_nobody_through_closes_every_listener_until_it_is_gone() {
    let Some(lab) = lab() else { return };
    let host = "web.example";
    lab.apply(
        &(super::super::backend(1) + &super::super::gateway("edge", 1) + &super::super::route("web", "edge", host)),
    );
    let address = lab.address("edge");
    let answers = |status: u16| ask(&address, host, "/").is_ok_and(|reply| reply.status == status);
    until("it serves", || answers(200));
    let root = Root::new();
    super::super::apply("istio-system", NOBODY);
    until("it is closed", || answers(403));
    drop(root);
    until("it serves again", || answers(200));
}
