// SPDX-License-Identifier: Apache-2.0
//! `CUSTOM`: Istio's own sample of an authorization server is asked, by HTTP and by gRPC.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use torana_tests::Connection;

use super::{Workload, ask, lab, until};
use crate::incluster::{Lab, apply, backend, gateway, kubectl, route};

const HOST: &str = "web.example";

/// The mesh's providers, as long as this lives.
struct Providers;

impl Providers {
    fn new(lab: &Lab) -> Self {
        let service = format!("ext-authz.{}.svc.cluster.local", lab.namespace);
        let map = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio-user}}\ndata:\n  mesh: |\n    extensionProviders:\n    \
             - {{name: by-http, envoyExtAuthzHttp: {{service: {service}, port: 8000, includeRequestHeadersInCheck: \
             [x-ext-authz], headersToUpstreamOnAllow: [x-ext-authz-check-result], headersToDownstreamOnDeny: \
             [x-ext-authz-check-result]}}}}\n    - {{name: by-grpc, envoyExtAuthzGrpc: {{service: {service}, port: 9000}}}}\n"
        );
        apply("istio-system", &map);
        Self
    }
}

impl Drop for Providers {
    fn drop(&mut self) {
        kubectl(&["-n", "istio-system", "delete", "configmap", "istio-user", "--ignore-not-found"]);
    }
}

/// Has the provider asked about what is under `/asked`.
fn policy(provider: &str, path: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: custom}}\nspec:\n  targetRefs: \
         [{{group: gateway.networking.k8s.io, kind: Gateway, name: edge}}]\n  action: CUSTOM\n  provider: {{name: \
         {provider}}}\n  rules: [{{to: [{{operation: {{paths: ['{path}*']}}}}]}}]\n---\n"
    )
}

/// Status, what the client is told of the check, and what the backend is.
fn answer(address: &str, path: &str, said: &str) -> (u16, String, bool) {
    let mut connection = Connection::to(format!("{address}:80").parse().unwrap()).unwrap();
    let fields = if said.is_empty() { String::new() } else { format!("x-ext-authz: {said}\r\n") };
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n").as_bytes()).unwrap();
    let reply = connection.reply("GET").unwrap();
    let told = reply.header("x-ext-authz-check-result").unwrap_or_default().to_owned();
    (reply.status, told, reply.text().contains("x-ext-authz-check-result"))
}

#[test]
fn istios_sample_is_asked_by_http_and_by_grpc_and_what_is_revoked_is_gone_within_a_second() {
    let Some(lab) = lab() else { return };
    let _server = Workload::start(&lab, "ext-authz");
    let _providers = Providers::new(&lab);
    lab.apply(&(backend(1) + &gateway("edge", 2) + &route("web", "edge", HOST)));
    let address = lab.address("edge");
    until("it serves", || ask(&address, HOST, "/").is_ok_and(|reply| reply.status == 200));
    for provider in ["by-http", "by-grpc"] {
        lab.apply(&policy(provider, "/asked"));
        let yes = (200, String::new(), true);
        let no = (403, "denied".to_owned(), false);
        until(provider, || answer(&address, "/asked", "allow") == yes);
        until(provider, || answer(&address, "/asked", "") == no);
        for _ in 0..20 {
            assert_eq!(answer(&address, "/asked", "allow"), yes, "{provider}: each proxy asks");
            assert_eq!(answer(&address, "/asked", "deny"), no, "{provider}");
            assert_eq!(answer(&address, "/free", ""), (200, String::new(), false), "{provider}: nobody is asked");
        }
        assert_eq!(lab.get("authorizationpolicy", "custom")["status"]["conditions"][0]["status"], "True");
    }
    revoked(&lab, &address);
    lab.apply(&policy("by-http", "/asked"));
    until("nobody is asked about others again", || answer(&address, "/free", "").0 == 200);
    lab.kubectl(&["scale", "deployment/ext-authz", "--replicas=0"]);
    until("nobody says yes", || answer(&address, "/asked", "allow").0 == 403);
    assert_eq!(answer(&address, "/free", "").0, 200);
}

/// What nobody was asked about is asked about now, under load.
fn revoked(lab: &Lab, address: &str) {
    let (over, is_revoked) = (AtomicBool::new(false), AtomicBool::new(false));
    let client = || {
        let (mut last, mut connection) =
            (Instant::now(), Connection::to(format!("{address}:80").parse().unwrap()).unwrap());
        while !over.load(Ordering::Relaxed) {
            match connection.get(HOST, "/free").unwrap().status {
                200 => last = Instant::now(),
                403 => assert!(is_revoked.load(Ordering::SeqCst), "nobody has revoked it yet"),
                other => panic!("{other}"),
            }
            thread::sleep(Duration::from_millis(2));
        }
        last
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(client)).collect();
        thread::sleep(Duration::from_secs(1));
        is_revoked.store(true, Ordering::SeqCst);
        lab.apply(&policy("by-http", "/"));
        let changed = Instant::now();
        thread::sleep(Duration::from_secs(3));
        over.store(true, Ordering::Relaxed);
        for client in clients {
            let late = client.join().unwrap().saturating_duration_since(changed);
            assert!(late < Duration::from_secs(1), "it was let through for {late:?}");
        }
    });
}
