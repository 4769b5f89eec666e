// SPDX-License-Identifier: Apache-2.0
//! Torana at a real API server: controllers behind a line that breaks, a proxy that one of them programs, a backend.
//!
//! There is no kubelet and no cloud: the test says that the proxy's pod is Ready, and which address its Service has.

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use torana_controller::feed::AUDIENCE;
use torana_tests::{Backend, Connection, Reply, ports, program};

use super::line::Line;
use super::process::Process;
use super::server::Server;
use super::{PATIENCE, until, within};

pub(super) const SYSTEM: &str = "torana-system";
/// Hosts of the routes that are there from the beginning.
pub(super) const HOSTS: [&str; 3] = ["one.example", "two.example", "three.example"];
const NAMESPACE: &str = "default";

/// A controller, and its line.
pub(super) struct Controller {
    pub(super) name: String,
    pub(super) line: Line,
    pub(super) feed: u16,
    health: u16,
    process: Option<Process>,
}

/// All of it.
pub(super) struct Lab {
    pub(super) server: Server,
    pub(super) controller: Controller,
    /// Port of the Gateway's listener.
    pub(super) http: u16,
    gateway: Option<Process>,
    health: u16,
    _backend: Backend,
}

impl Lab {
    /// Starts everything, and waits until the Gateway is programmed and serves.
    pub(super) async fn start(server: Server) -> Self {
        let address = own_address();
        let http = ports::free();
        let backend = (0..20).find_map(|_| Backend::at((address, ports::free()).into(), "backend")).unwrap();
        let controller = Controller::new(&server, "torana-0").await;
        let mut lab =
            Self { server, controller, http, gateway: None, health: ports::free(), _backend: backend.clone() };
        lab.apply(gateway(http)).await;
        lab.backend(address, backend.port).await;
        for host in HOSTS {
            lab.route(host, "0").await;
        }
        lab.controller.start(&lab.server);
        lab.proxy_is_scheduled(address).await;
        lab.start_gateway();
        for host in HOSTS {
            lab.serves(host, "0", PATIENCE).await;
        }
        lab.is_programmed().await;
        lab
    }

    /// Puts an object there, as somebody else than Torana.
    pub(super) async fn apply(&self, object: Value) -> Value {
        let api = self.api(&object);
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let params = PatchParams::apply("the-test").force();
        serde_json::to_value(api.patch(&name, &params, &Patch::Apply(&object)).await.unwrap()).unwrap()
    }

    pub(super) async fn merge_status(&self, object: &Value, status: Value) {
        let name = object["metadata"]["name"].as_str().unwrap();
        let patch = Patch::Merge(json!({"status": status}));
        self.api(object).patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// The object that `like` names, as it is now.
    pub(super) async fn read(&self, like: &Value) -> Option<Value> {
        let name = like["metadata"]["name"].as_str().unwrap();
        self.api(like).get_opt(name).await.unwrap().map(|object| serde_json::to_value(object).unwrap())
    }

    pub(super) fn api(&self, object: &Value) -> Api<DynamicObject> {
        let (group, version) = object["apiVersion"].as_str().unwrap().rsplit_once('/').unwrap_or(("", "v1"));
        let kind = GroupVersionKind::gvk(group, version, object["kind"].as_str().unwrap());
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or(NAMESPACE);
        Api::namespaced_with(self.server.client.clone(), namespace, &ApiResource::from_gvk(&kind))
    }

    /// A route of `host` whose answers bear `edit`.
    pub(super) async fn route(&self, host: &str, edit: &str) -> Value {
        self.apply(route(host, edit)).await
    }

    pub(super) async fn delete_route(&self, host: &str) {
        self.api(&route(host, "")).delete(&name(host), &kube::api::DeleteParams::default()).await.unwrap();
    }

    async fn backend(&self, address: IpAddr, port: u16) {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "backend"},
            "spec": {"ports": [{"name": "http", "port": 80, "targetPort": port}]}});
        let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "backend-1", "labels": {"kubernetes.io/service-name": "backend"}},
            "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
            "endpoints": [{"addresses": [address.to_string()], "conditions": {"ready": true}}]});
        self.apply(service).await;
        self.apply(slice).await;
    }

    /// What a kubelet and a cloud would say of what was provisioned.
    async fn proxy_is_scheduled(&self, address: IpAddr) {
        let of = |kind: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "edge-torana"}});
        for kind in ["ServiceAccount", "Service"] {
            let object = of(kind);
            within(PATIENCE, &format!("the {kind} of the proxies"), || self.read(&object)).await;
        }
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "edge-1", "labels": {
            "app.kubernetes.io/managed-by": "torana", "app.kubernetes.io/name": "torana-gateway"}},
            "spec": {"serviceAccountName": "edge-torana", "containers": [{"name": "proxy", "image": "none"}]}});
        let made = self.apply(pod.clone()).await;
        let ready = json!({"type": "Ready", "status": "True"});
        self.merge_status(&pod, json!({"phase": "Running", "conditions": [ready]})).await;
        let balanced = json!({"loadBalancer": {"ingress": [{"ip": address.to_string()}]}});
        self.merge_status(&of("Service"), balanced).await;
        let uid = made["metadata"]["uid"].as_str().unwrap();
        let token = token(&self.server, (NAMESPACE, "edge-torana"), Some(("edge-1", uid)), AUDIENCE).await;
        fs::write(self.server.file("proxy.token"), token).unwrap();
        let secrets: Api<Secret> = Api::namespaced(self.server.client.clone(), SYSTEM);
        let authority = secrets.get("torana-feed-authority").await.unwrap().data.unwrap()["ca.crt"].clone();
        fs::write(self.server.file("feed-ca.crt"), authority.0).unwrap();
    }

    /// Starts the proxy: as another container of the same pod, if there was one.
    pub(super) fn start_gateway(&mut self) {
        let mut command = Command::new(program::binary().with_file_name("torana-gateway"));
        command.args(["--feed", &format!("127.0.0.1:{}", self.controller.feed), "--workers", "1", "--admin", "off"]);
        command.args(["--feed-name", &format!("torana-feed.{SYSTEM}.svc"), "--access-log", "off"]);
        command.args(["--health", &format!("127.0.0.1:{}", self.health), "--pod-name", "edge-1"]);
        command.arg("--feed-ca").arg(self.server.file("feed-ca.crt"));
        command.arg("--feed-token").arg(self.server.file("proxy.token"));
        command.arg("--state-dir").arg(self.server.file("state"));
        self.gateway = Some(Process::start(&mut command, &self.server.file("gateway.log")));
    }

    /// Its container dies.
    pub(super) fn kill_gateway(&mut self) {
        drop(self.gateway.take());
    }

    pub(super) fn get(&self, host: &str) -> std::io::Result<Reply> {
        Connection::open(self.http)?.get(host, "/")
    }

    /// Which edit of its route `host` is answered with.
    pub(super) fn edit(&self, host: &str) -> Option<String> {
        self.get(host).ok().filter(|reply| reply.status == 200)?.header("x-edit").map(str::to_owned)
    }

    /// Waits until the edit is in force.
    pub(super) async fn serves(&self, host: &str, edit: &str, limit: Duration) {
        until(limit, &format!("{host} serves edit {edit}"), || self.edit(host).as_deref() == Some(edit)).await;
    }

    /// Waits until the Gateway says so.
    pub(super) async fn is_programmed(&self) {
        within(PATIENCE, "the Gateway is programmed", || async {
            let gateway = self.read(&gateway(self.http)).await?;
            let conditions = gateway["status"]["conditions"].as_array()?;
            conditions.iter().find(|it| it["type"] == "Programmed" && it["status"] == "True").map(drop)
        })
        .await;
    }

    /// Waits until nothing was written for a second.
    pub(super) async fn settles(&self) {
        let quiet = Duration::from_secs(1);
        within(PATIENCE, "nothing is written", || async {
            let begun = Instant::now();
            tokio::time::sleep(quiet).await;
            self.controller.line.writes(begun).is_empty().then_some(())
        })
        .await;
    }

    /// The version of what was provisioned.
    pub(super) async fn provisioned(&self) -> Value {
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "edge-torana"}});
        self.read(&deployment).await.unwrap()["metadata"]["resourceVersion"].clone()
    }

    /// A number that the proxy tells.
    pub(super) fn proxy_metric(&self, series: &str) -> Option<f64> {
        metric(self.health, series)
    }
}

impl Controller {
    /// Not started yet.
    pub(super) async fn new(server: &Server, name: &str) -> Self {
        let line = Line::start(server).await;
        let controller =
            Self { name: name.to_owned(), line, feed: ports::free(), health: ports::free(), process: None };
        controller.renew_token(server).await;
        controller
    }

    /// Writes a new token into its file, as a kubelet does; returns it.
    pub(super) async fn renew_token(&self, server: &Server) -> String {
        let token = token(server, (SYSTEM, "torana"), None, "https://kubernetes.default.svc").await;
        let (file, beside) = (self.token_file(server), server.file("token.new"));
        fs::write(&beside, &token).unwrap();
        fs::rename(beside, file).unwrap();
        token
    }

    pub(super) fn token_file(&self, server: &Server) -> PathBuf {
        server.file(&format!("{}.token", self.name))
    }

    pub(super) fn start(&mut self, server: &Server) {
        self.start_with(server, &[]);
    }

    /// With more in its environment.
    pub(super) fn start_with(&mut self, server: &Server, environment: &[(&str, String)]) {
        let user = format!("tokenFile: '{}'", self.token_file(server).display());
        let kubeconfig = server.kubeconfig(&self.name, &user, self.line.port);
        let mut command = Command::new(program::binary());
        command.args(["controller", "--namespace", SYSTEM, "--pod-name", &self.name, "--proxy-image", "torana:test"]);
        command.args([
            "--feed",
            &format!("127.0.0.1:{}", self.feed),
            "--health",
            &format!("127.0.0.1:{}", self.health),
        ]);
        command.arg("--kubeconfig").arg(kubeconfig).envs(environment.iter().map(|(name, value)| (name, value)));
        self.process = Some(Process::start(&mut command, &server.file(&format!("{}.log", self.name))));
    }

    /// Without a word of warning.
    pub(super) fn kill(&mut self) {
        drop(self.process.take());
    }

    /// A number that it tells.
    pub(super) fn metric(&self, series: &str) -> f64 {
        metric(self.health, series).unwrap_or_default()
    }

    /// All numbers of a family together.
    pub(super) fn metrics(&self, family: &str) -> f64 {
        let page = page(self.health).unwrap_or_default();
        let lines = page.lines().filter(|line| line.starts_with(family));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    pub(super) fn leads(&self) -> bool {
        self.metric("torana_controller_leader") > 0.0
    }

    pub(super) fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }
}

fn metric(health: u16, series: &str) -> Option<f64> {
    page(health)?.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

fn page(health: u16) -> Option<String> {
    Some(Connection::open(health).ok()?.get("localhost", "/metrics").ok()?.text())
}

pub(super) async fn token(server: &Server, account: (&str, &str), pod: Option<(&str, &str)>, audience: &str) -> String {
    let bound_object_ref = pod.map(|(name, uid)| BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(name.to_owned()),
        uid: Some(uid.to_owned()),
    });
    // Good for so long that no clock of a test matters to it.
    let expiration_seconds = Some(100 * 86_400);
    let spec = TokenRequestSpec { audiences: vec![audience.to_owned()], bound_object_ref, expiration_seconds };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let accounts: Api<ServiceAccount> = Api::namespaced(server.client.clone(), account.0);
    let made = accounts.create_token_request(account.1, &PostParams::default(), &request).await.unwrap();
    made.status.unwrap().token
}

/// An address of this machine that Kubernetes takes for an endpoint's: not a loopback one. Nothing is sent.
fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").expect("a route out: endpoints on the loopback address are not allowed");
    socket.local_addr().unwrap().ip()
}

fn name(host: &str) -> String {
    host.replace('.', "-")
}

pub(super) fn gateway(port: u16) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "edge"},
        "spec": {"gatewayClassName": "torana", "listeners": [{"name": "http", "port": port, "protocol": "HTTP"}]}})
}

pub(super) fn route(host: &str, edit: &str) -> Value {
    let header = json!({"type": "ResponseHeaderModifier",
        "responseHeaderModifier": {"set": [{"name": "x-edit", "value": edit}]}});
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": name(host)},
        "spec": {"parentRefs": [{"name": "edge"}], "hostnames": [host],
            "rules": [{"filters": [header], "backendRefs": [{"name": "backend", "port": 80}]}]}})
}
