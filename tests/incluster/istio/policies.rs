// SPDX-License-Identifier: Apache-2.0
//! Policies in a cluster: obeyed by what they are for and by nothing else, and revoked at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use torana_tests::{Authority, Connection};

use super::super::{Lab, backend, gateway, route};
use super::{ask, kubectl, lab, until};
use crate::blackbox::policy::issuer::{Issuer, NAME, but, claims};

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
    lab.apply(&(backend(1) + &gateway("edge", 1) + &route("web", "edge", host)));
    let address = lab.address("edge");
    let answers = |status: u16| ask(&address, host, "/").is_ok_and(|reply| reply.status == status);
    until("it serves", || answers(200));
    let root = Root::new();
    super::super::apply("istio-system", NOBODY);
    until("it is closed", || answers(403));
    drop(root);
    until("it serves again", || answers(200));
}

const HOST: &str = "web.example";

/// A Gateway `edge` with a route and a backend; its address, once it serves.
fn served(lab: &Lab) -> String {
    lab.apply(&(backend(1) + &gateway("edge", 2) + &route("web", "edge", HOST)));
    let address = lab.address("edge");
    until("it serves", || ask(&address, HOST, "/").is_ok_and(|reply| reply.status == 200));
    address
}

/// A policy for it.
fn policy(spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p}}\nspec:\n  targetRefs: \
         [{{group: gateway.networking.k8s.io, kind: Gateway, name: edge}}]\n  {spec}\n---\n"
    )
}

/// Statuses of a request to each path, with this in its head.
fn statuses(address: &str, paths: &[&str], fields: &str) -> Vec<u16> {
    let status = |path: &&str| {
        let mut connection = Connection::to(format!("{address}:80").parse().unwrap()).ok()?;
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n").as_bytes()).ok()?;
        connection.reply("GET").ok().map(|reply| reply.status)
    };
    paths.iter().map(|path| status(path).unwrap_or_default()).collect()
}

#[test]
fn each_kind_of_policy_is_obeyed_by_every_proxy() {
    let Some(lab) = lab() else { return };
    let address = served(&lab);
    // Of this client, as backends are told.
    let told: Value = serde_json::from_str(&ask(&address, HOST, "/").unwrap().text()).unwrap();
    let own = told["headers"]["x-forwarded-for"][0].as_str().map(str::to_owned);
    let own = own.unwrap_or_else(|| panic!("{told}"));
    let templates = "rules: [{to: [{operation: {paths: ['/users/{*}/orders', '/files/{**}']}}]}]";
    let remote = |address: &str| format!("rules: [{{from: [{{source: {{remoteIpBlocks: [{address}]}}}}]}}]");
    let paths = ["/users/7/orders", "/users/7/8/orders", "/files/a/b", "/"];
    for (spec, expected) in [
        ("{}".to_owned(), [403, 403, 403, 403]),
        (templates.to_owned(), [200, 403, 200, 403]),
        (remote(&own), [200, 200, 200, 200]),
        (remote("192.0.2.1"), [403, 403, 403, 403]),
        ("action: DENY\n  rules: [{to: [{operation: {paths: [/files/a/b]}}]}]".to_owned(), [200, 200, 403, 200]),
    ] {
        let spec = if spec == "{}" { String::new() } else { spec };
        lab.apply(&policy(&spec));
        until(&spec, || statuses(&address, &paths, "") == expected);
        for _ in 0..20 {
            assert_eq!(statuses(&address, &paths, ""), expected, "{spec}: each proxy says the same");
        }
    }
    let found = lab.get("authorizationpolicy", "p");
    assert_eq!(found["status"]["conditions"][0]["status"], "True", "{found}");
}

#[test]
fn a_claim_of_a_token_lets_through_and_a_bad_token_does_not() {
    let Some(lab) = lab() else { return };
    let address = served(&lab);
    let issuer = Issuer::rsa("own");
    let believed = format!(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: tokens}}\nspec:\n  targetRefs: \
         [{{group: gateway.networking.k8s.io, kind: Gateway, name: edge}}]\n  jwtRules: [{{issuer: '{NAME}', jwks: '{}'}}]\n---\n",
        Issuer::jwks(&[&issuer])
    );
    lab.apply(&(believed + &policy("rules: [{when: [{key: 'request.auth.claims[groups]', values: [admin]}]}]")));
    let bearing = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let rows = [
        (String::new(), 403),
        (bearing(&issuer.signs(&claims())), 200),
        (bearing(&issuer.signs(&but("groups", "staff".into()))), 403),
        (bearing(&Issuer::rsa("own").signs(&claims())), 401),
    ];
    until("it is obeyed", || rows.iter().all(|(fields, status)| statuses(&address, &["/"], fields) == [*status]));
}

#[test]
fn the_namespace_of_a_peer_is_what_its_certificate_says() {
    let Some(lab) = lab() else { return };
    let authority = Authority::new();
    let listeners = "listeners:\n  - {name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: served}]}}\n  \
                     tls: {frontend: {default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}}}}\n";
    let edge = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge}}\nspec:\n  gatewayClassName: \
         torana\n  {listeners}---\n"
    );
    let material = authority.bundle("ca") + &authority.secret("served", &[HOST]);
    lab.apply(&(backend(1) + &edge + &material.replace(", namespace: default", "") + &route("web", "edge", HOST)));
    let address = lab.address("edge");
    let [shop, other] =
        ["shop", "other"].map(|name| authority.issue(name, &[&format!("spiffe://cluster.local/ns/{name}/sa/web")]));
    let status = |shown| {
        let config = authority.client_with(&["http/1.1"], Some(shown));
        let connection = Connection::tls_to(format!("{address}:443").parse().unwrap(), HOST, &config);
        connection.and_then(|mut connection| connection.get(HOST, "/")).map_or(0, |reply| reply.status)
    };
    until("it serves both", || (status(&shop), status(&other)) == (200, 200));
    lab.apply(&policy("rules: [{from: [{source: {namespaces: [shop]}}]}]"));
    until("one is let through", || (status(&shop), status(&other)) == (200, 403));
}

#[test]
fn what_is_revoked_under_load_is_gone_within_a_second_and_no_answer_is_wrong() {
    let Some(lab) = lab() else { return };
    let address = served(&lab);
    lab.apply(&policy("rules: [{}]"));
    until("it is obeyed", || lab.get("authorizationpolicy", "p")["status"]["conditions"][0]["status"] == "True");
    let (over, revoked) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let client = |_| {
            scope.spawn(|| {
                let (mut last, mut asked) = (Instant::now(), 0_u32);
                let mut connection = Connection::to(format!("{address}:80").parse().unwrap()).unwrap();
                while !over.load(Ordering::Relaxed) {
                    let was_revoked = revoked.load(Ordering::SeqCst);
                    match connection.get(HOST, "/").unwrap().status {
                        200 => last = Instant::now(),
                        403 => assert!(was_revoked || revoked.load(Ordering::SeqCst), "nobody has revoked it yet"),
                        other => panic!("{other}"),
                    }
                    asked += 1;
                    thread::sleep(Duration::from_millis(2));
                }
                (last, asked)
            })
        };
        let clients: Vec<_> = (0..8).map(client).collect();
        thread::sleep(Duration::from_secs(1));
        revoked.store(true, Ordering::SeqCst);
        lab.apply(&policy("rules: [{to: [{operation: {paths: [/other]}}]}]"));
        // From when the API server has it: what kubectl takes is not ours.
        let changed = Instant::now();
        thread::sleep(Duration::from_secs(3));
        over.store(true, Ordering::Relaxed);
        for client in clients {
            let (last, asked) = client.join().unwrap();
            let late = last.saturating_duration_since(changed);
            assert!(asked > 100 && late < Duration::from_secs(1), "{asked} asked, the last let through after {late:?}");
        }
    });
}
