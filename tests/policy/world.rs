// SPDX-License-Identifier: Apache-2.0
//! What serves, as far as policies need it: objects through the door, translated, sent, compiled.

use std::sync::Arc;

use serde_json::{Value, json};
use torana_controller::store::{Cluster, Event, Ingress, Settings};
use torana_controller::translate::translate;
use torana_gateway::access::{Access, Facts, Verdict};
use torana_gateway::head::Scheme;
use torana_gateway::table::{Bind, BindTable, Routed, Table, imagine};
use torana_ir::{Delta, GatewayId, Snapshot, Transport, wire};

use super::asked::Asked;
use super::reference::{Policy, Said};

/// The trust domain of the mesh, and its alias.
pub(super) const DOMAINS: [&str; 2] = ["td.one", "old-td"];
/// Ports of a listener of requests and of one of streams.
const PORTS: [u16; 2] = [8080, 9000];

/// A gateway that policies guard.
pub(super) struct World {
    table: Table,
}

impl World {
    pub(super) fn new(policies: &[Policy]) -> Self {
        let id = GatewayId { namespace: "foo".to_owned(), name: "edge".to_owned() };
        let labels = [("app", "httpbin"), ("version", "v1")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let ingress = Ingress { id, labels: labels.into(), ports: None };
        let mut cluster = Cluster::new(Settings { ingress: Some(ingress), ..Settings::standalone(0) });
        for object in objects().into_iter().chain(policies.iter().enumerate().map(|(at, it)| written(at, it))) {
            let decoded = torana_crds::decode(object.clone(), "foo");
            let object = decoded.content.object().unwrap_or_else(|| panic!("{object} cannot be read"));
            cluster.apply(Event::Applied(Arc::new(object)));
        }
        let snapshot = translate(&cluster).snapshots.into_values().next().unwrap();
        Self { table: Table::compile(&sent(&snapshot), &Table::empty()) }
    }

    /// What policies say of it, and how it looks to them; `None` if the gate lets it in nowhere.
    pub(super) fn says(&self, mut asked: Asked) -> Option<(Asked, Said)> {
        asked.local.set_port(PORTS[usize::from(!asked.http)]);
        let bind = self.bind(asked.local.port());
        if !asked.http {
            let said = said(bind.stream()?.access.as_deref()?, &facts(&asked));
            return Some((asked, said));
        }
        let host = [("host", asked.authority.as_str())];
        let fields: Vec<_> =
            host.into_iter().chain(asked.fields.iter().map(|(name, value)| (&**name, &**value))).collect();
        let mut head = imagine(Scheme::Http, &asked.method, &asked.target, &fields).ok()?;
        let (Routed::Plan { guard, .. } | Routed::Fault { guard, .. }) = bind.route(&mut head, None) else {
            return None;
        };
        head.target().clone_into(&mut asked.target);
        let said = said(guard.access.as_deref()?, &Facts { head: Some(&head), ..facts(&asked) });
        Some((asked, said))
    }

    fn bind(&self, port: u16) -> &BindTable {
        self.table.bind(&Bind { address: None, port, transport: Transport::Tcp }).expect("it listens")
    }
}

fn facts(asked: &Asked) -> Facts<'_> {
    Facts {
        peer: asked.peer,
        client: asked.client,
        local: asked.local,
        server_name: asked.server_name.as_deref(),
        names: &asked.names,
        head: None,
        claims: asked.claims.as_ref(),
    }
}

fn said(access: &Access, facts: &Facts<'_>) -> Said {
    let judgement = access.judge(facts);
    let allows = |verdict: &Verdict| matches!(verdict, Verdict::Allowed(_));
    Said { allowed: allows(&judgement.verdict), would: judgement.would.as_ref().map(allows) }
}

/// The program as a proxy gets it.
fn sent(snapshot: &Snapshot) -> Snapshot {
    let mut received = Snapshot::default();
    let resources = Snapshot::default().diff(snapshot).upserts;
    let upserts = resources.iter().map(|it| wire::decode(&wire::encode(it)).unwrap()).collect();
    received.apply(Delta { upserts, removals: Vec::new() });
    received
}

fn objects() -> Vec<Value> {
    let [requests, streams] = PORTS;
    let mesh = format!("{{trustDomain: {}, trustDomainAliases: [{}]}}", DOMAINS[0], DOMAINS[1]);
    vec![
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "istio-system", "name": "istio"},
            "data": {"mesh": mesh}}),
        json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"namespace": "foo", "name": "edge"},
            "spec": {"selector": {"app": "httpbin"}, "servers": [
                {"port": {"number": requests, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]},
                {"port": {"number": streams, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]}]}}),
    ]
}

fn written(at: usize, policy: &Policy) -> Value {
    let annotations = if policy.dry_run { json!({"istio.io/dry-run": "true"}) } else { json!({}) };
    json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {"namespace": policy.namespace, "name": format!("p{at}"), "annotations": annotations},
        "spec": policy.spec})
}
