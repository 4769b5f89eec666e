// SPDX-License-Identifier: Apache-2.0
//! A Gateway with three proxies, two controllers, Pebble, and the relay between them.

use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use serde_json::Value;
use torana_tests::Connection;

use super::super::provision::node;
use super::super::{
    CONTROLLER, CONTROLLERS, Lab, PATIENCE, SYSTEM, backend, controllers_are_there, gateway, kubectl, lab, leader,
    logs, process, route, signal,
};
use super::relay::Relay;
use crate::acme::pebble::{Manner, Pebble};

/// A listener's host, by its name.
pub(super) fn host(listener: &str) -> String {
    format!("{listener}.torana.example")
}

/// All that takes part.
pub(super) struct Site {
    pub(super) lab: Lab,
    pub(super) pebble: Pebble,
    pub(super) relay: Relay,
    /// Where the Gateway is reached.
    pub(super) address: String,
    /// Where each of its proxies is.
    pub(super) pods: Vec<String>,
}

impl Site {
    /// One without a certificate; `None`, and says so, where there is no cluster.
    pub(super) fn new() -> Option<Self> {
        let lab = lab()?;
        controllers_are_there();
        lab.apply(&(backend(1) + &gateway("edge", 3) + &route("web", "edge", "'*.torana.example'")));
        lab.kubectl(&["rollout", "status", "deployment/echo", "--timeout=60s"]);
        let address = lab.address("edge");
        lab.kubectl(&["rollout", "status", "deployment/edge-torana", "--timeout=60s"]);
        let pods = lab.proxy_addresses("edge");
        assert_eq!(pods.len(), 3, "{pods:?}");
        let manner = Manner { address: Some(address.parse().unwrap()), ..Manner::default() };
        let pebble = Pebble::with(80, 443, &manner);
        let relay = Relay::start(&pebble, &node(&lab));
        // No pod knows the names: only Pebble's own name server does.
        lab.apply(&format!(
            "apiVersion: torana.dev/v1alpha1\nkind: AcmeIssuer\nmetadata: {{name: pebble}}\nspec: {{directory: {:?}, \
             selfCheck: Skip, caBundle: {:?}}}\n---\n",
            relay.directory,
            pebble.authority.root_pem()
        ));
        Some(Self { lab, pebble, relay, address, pods })
    }

    /// Lets the Gateway have HTTPS listeners of these names, each with a host and a Secret of its own, whose certificates
    /// Pebble is to sign.
    pub(super) fn want(&self, listeners: &[&str]) {
        let secure = |name: &&str| {
            let host = host(name);
            format!(
                ", {{name: {name}, port: 443, protocol: HTTPS, hostname: {host}, tls: {{certificateRefs: [{{name: \
                 {name}}}]}}}}"
            )
        };
        let plain = "{name: http, port: 80, protocol: HTTP}";
        let (meta, more) = ("kind: Gateway\nmetadata: {name: edge", ", annotations: {torana.dev/acme: pebble}");
        let manifests = gateway("edge", 3)
            .replace(plain, &(plain.to_owned() + &listeners.iter().map(secure).collect::<String>()))
            .replace(meta, &format!("{meta}{more}"));
        self.lab.apply(&manifests);
    }

    /// How the certificate in a Secret stands, as whoever leads keeps it.
    pub(super) fn state(&self, secret: &str) -> Option<Value> {
        let kept = kubectl(&["-n", SYSTEM, "get", "secrets", "-l", "torana.dev/acme=state", "-o", "json"]);
        let kept: Value = serde_json::from_str(&kept).unwrap();
        let of = self.named(secret);
        let its = |it: &&Value| it["metadata"]["annotations"]["torana.dev/certificate"] == of;
        let found = kept["items"].as_array().unwrap().iter().find(its)?;
        assert_eq!(found["type"], "torana.dev/acme");
        let text = STANDARD.decode(found["data"]["state.json"].as_str().unwrap()).unwrap();
        Some(serde_json::from_slice(&text).unwrap())
    }

    /// A Secret with its namespace.
    pub(super) fn named(&self, secret: &str) -> String {
        format!("{}/{secret}", self.lab.namespace)
    }

    /// Waits until every proxy, and whoever the Gateway's address leads to, shows a certificate for the listener's host
    /// that everybody may trust.
    pub(super) fn serves(&self, listener: &str) {
        let client = self.pebble.client();
        self.until(&format!("a certificate for {listener} is served everywhere"), || {
            self.pods.iter().chain([&self.address]).all(|place| is_secure(place, &host(listener), &client))
        });
    }

    /// Waits until `is_so`.
    pub(super) fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}\n{}", self.told());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// What controllers and Pebble have said.
    pub(super) fn told(&self) -> String {
        format!("{}\n{}", logs(SYSTEM, CONTROLLERS, 60), self.pebble.log())
    }

    /// Kills the controller that leads, and takes its pod away: started again under this name it would lead again at once.
    /// Gives who led.
    pub(super) fn kill_the_leader(&self) -> String {
        let leader = leader();
        let pid = process(CONTROLLER, &leader).unwrap_or_else(|| panic!("no process of {leader}: {}", self.told()));
        signal("-KILL", &pid);
        kubectl(&["-n", SYSTEM, "delete", "pod", &leader, "--force", "--grace-period=0"]);
        leader
    }
}

fn is_secure(place: &str, host: &str, client: &Arc<ClientConfig>) -> bool {
    let connection = Connection::tls_to(format!("{place}:443").parse().unwrap(), host, client);
    connection.and_then(|mut it| it.get(host, "/")).is_ok_and(|reply| reply.status == 200)
}
