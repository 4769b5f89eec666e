// SPDX-License-Identifier: Apache-2.0
//! The feed between a controller's hub and proxies, over real TLS sockets: both halves, and each against a puppet.

mod counted;

mod demand;

mod gather;

mod hostile;

mod hub;

mod process;

mod proxy;

mod puppet;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use torana_controller::clock::now;
use torana_controller::feed::{Authenticate, Ca, Hub, Members, PodIdentity, Programmed, Refusal, Standing, tls};
use torana_controller::store::FleetId;
use torana_ir::{
    Action, Attachment, Delta, Filter, GatewayId, HostPattern, Hostname, Listener, ListenerKey, PathMatch, Redirect,
    RedirectPort, Resource, RouteId, RouteKind, RouteMatch, Rule, RuleKey, Snapshot, Timeouts,
};

/// The name in the feed's certificate.
const NAME: &str = "feed.test";
/// How long anything may take to come true.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whose token it is: the token `POD@ACCOUNT` is that of the pod, unless it was revoked.
#[derive(Default)]
struct Issuer {
    revoked: Mutex<BTreeSet<String>>,
}

fn pod(name: &str, account: &str) -> PodIdentity {
    PodIdentity {
        namespace: "n".to_owned(),
        service_account: account.to_owned(),
        pod_name: name.to_owned(),
        pod_uid: format!("uid-{name}"),
    }
}

impl Authenticate for Issuer {
    async fn identify(&self, token: &str) -> Result<PodIdentity, Refusal> {
        match token.split_once('@') {
            Some((name, account)) if !self.revoked.lock().unwrap().contains(token) => Ok(pod(name, account)),
            _ => Err(Refusal::Invalid("nobody knows it".to_owned())),
        }
    }
}

fn fleet(name: &str) -> FleetId {
    FleetId(name.to_owned())
}

/// A controller that leads: a hub, served. The accounts `edge` and `other` have a fleet of their name.
struct Controller {
    hub: Hub,
    address: SocketAddr,
    ca: String,
    issuer: Arc<Issuer>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Controller {
    async fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), &Ca::new(now()).unwrap()).await
    }

    async fn start_at(address: SocketAddr, ca: &Ca) -> Self {
        let controller = Self::ignorant(address, ca).await;
        controller.hub.members(members(&["edge", "other"]));
        controller
    }

    /// It does not know yet which fleets there are.
    async fn ignorant(address: SocketAddr, ca: &Ca) -> Self {
        let hub = Hub::new();
        let serving = ca.serving_certificate(&[NAME.to_owned()], now()).unwrap();
        let (_, tls) = watch::channel(tls(&serving).unwrap());
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let issuer = Arc::<Issuer>::default();
        let (served, authenticate) = (hub.clone(), Arc::clone(&issuer));
        let task = tokio::spawn(async move {
            let shutdown = async {
                stopped.await.ok();
            };
            served.serve(&listener, tls, authenticate, shutdown).await;
        });
        Self { hub, address, ca: ca.bundle(), issuer, stop: Some(stop), task }
    }

    /// Loses the lease. Its port is free when this returns.
    async fn stop(mut self) -> SocketAddr {
        drop(self.stop.take());
        self.task.await.unwrap();
        self.address
    }

    fn publish(&self, epoch: u64, generation: u64, snapshot: Snapshot) {
        self.hub.publish(epoch, generation, &BTreeMap::from([(fleet("edge"), Arc::new(snapshot))]));
    }

    /// With these pods Ready.
    fn programmed(&self, pods: &[&str]) -> Programmed {
        let ready = pods.iter().map(|pod| format!("uid-{pod}")).collect();
        self.hub.programmed(&fleet("edge"), &ready, Instant::now())
    }

    async fn in_force(&self, pods: &[&str]) {
        eventually("in force", || async { self.programmed(pods).standing == Standing::InForce }).await;
    }
}

fn members(accounts: &[&str]) -> Members {
    accounts.iter().map(|account| (("n".to_owned(), (*account).to_owned()), fleet(account))).collect()
}

async fn eventually<F: Future<Output = bool>>(what: &str, mut is: impl FnMut() -> F) {
    let started = Instant::now();
    while !is().await {
        assert!(started.elapsed() < PATIENCE, "never {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

// === programs ===

fn listener(port: u16) -> Resource {
    let key = listener_key();
    Resource::Listener(Listener { addresses: vec![[127, 0, 0, 1].into()], ..Listener::new(key, port) }.into())
}

fn listener_key() -> ListenerKey {
    let gateway = GatewayId { namespace: "n".to_owned(), name: "edge".to_owned() };
    ListenerKey { gateway, set: None, name: "http".to_owned() }
}

/// Redirects `/NAME` to `host`.
fn rule(name: &str, host: &str) -> Resource {
    let route = RouteId { kind: RouteKind::HttpRoute, namespace: "n".to_owned(), name: name.to_owned() };
    let host = Hostname::new(host).map(Into::into);
    let redirect = Redirect { scheme: None, host, path: None, query: None, port: RedirectPort::Known, status: 302 };
    let path = PathMatch::Prefix(format!("/{name}"));
    let rule = Rule {
        key: RuleKey { route, index: 0 },
        name: None,
        created: 0,
        attachments: vec![Attachment { listener: listener_key(), hostnames: vec![HostPattern::Any] }],
        matches: vec![RouteMatch::of(path)],
        filters: vec![Filter::Redirect(redirect)],
        action: Action::Forward(vec![]),
        timeouts: Timeouts::default(),
        retry: None,
        session: None,
        order: torana_ir::Order::Specific,
        sampling: None,
    };
    Resource::Rule(rule.into())
}

fn snapshot(resources: Vec<Resource>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.apply(Delta { upserts: resources, removals: vec![] });
    snapshot
}

/// One listener and `count` rules `/r0`, `/r1` …
fn many(port: u16, count: usize, host: &str) -> Snapshot {
    snapshot(std::iter::once(listener(port)).chain((0..count).map(|at| rule(&format!("r{at}"), host))).collect())
}
