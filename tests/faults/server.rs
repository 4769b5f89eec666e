// SPDX-License-Identifier: Apache-2.0
//! A real API server: etcd and kube-apiserver as plain processes on loopback ports. They can be stopped, compacted, filled
//! and taken back in time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use kube::Client;
use rcgen::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;
use torana_controller::api::access;
use torana_tests::{Authority, Connection, ports};

use super::process::Process;
use super::{PATIENCE, until};

/// Whose certificate everybody who plays API server shows.
pub(super) const NAME: &str = "localhost";
const ADMIN: &str = "admin-of-the-test";

/// How it is started.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options {
    /// Bytes that the store may have.
    pub(super) quota: Option<u64>,
}

/// etcd and kube-apiserver, in a folder of their own.
pub(super) struct Server {
    pub(super) folder: TempDir,
    pub(super) authority: Authority,
    /// Where the API is served.
    pub(super) port: u16,
    /// As an administrator, by no other way than straight.
    pub(super) client: Client,
    kubernetes: PathBuf,
    options: Options,
    store: [u16; 2],
    etcd: Option<Process>,
    api: Option<Process>,
}

impl Server {
    /// Starts it empty, and installs what Torana's charts install.
    pub(super) async fn start(kubernetes: PathBuf, options: Options) -> Self {
        // In memory if there is such a place: etcd waits for its disk.
        let folder = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        let (authority, port) = (Authority::new(), ports::free());
        identities(folder.path(), &authority);
        let admin = kubeconfig(folder.path(), "admin", &format!("token: {ADMIN}"), port, &authority);
        let client = access(Some(&admin)).await.unwrap().client;
        let store = [ports::free(), ports::free()];
        let mut server = Self { folder, authority, port, client, kubernetes, options, store, etcd: None, api: None };
        server.store();
        server.serve().await;
        let root = root();
        server.kubectl(&["apply", "--server-side", "-f", &root("deploy/crds/gateway-api")]);
        server.kubectl(&["apply", "--server-side", "-f", &root("deploy/crds/torana.dev")]);
        server.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"]);
        server.kubectl(&["apply", "--server-side", "-f", &root("deploy/install.yaml")]);
        server
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs kubectl as an administrator.
    pub(super) fn kubectl(&self, arguments: &[&str]) -> String {
        let output = Command::new(self.kubernetes.join("kubectl"))
            .arg("--kubeconfig")
            .arg(self.file("admin.kubeconfig"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts the store.
    pub(super) fn store(&mut self) {
        let [client, peer] = self.store.map(|port| format!("http://127.0.0.1:{port}"));
        let mut command = Command::new(self.kubernetes.join("etcd"));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("default={peer}")]).arg("--data-dir").arg(self.file("etcd"));
        if let Some(quota) = self.options.quota {
            command.args(["--quota-backend-bytes", &quota.to_string()]);
        }
        self.etcd = Some(Process::start(&mut command, &self.file("etcd.log")));
    }

    /// Starts the API server, and waits until it is ready.
    pub(super) async fn serve(&mut self) {
        let file = |name: &str| self.file(name).display().to_string();
        let mut command = Command::new(self.kubernetes.join("kube-apiserver"));
        command.arg(format!("--etcd-servers=http://127.0.0.1:{}", self.store[0]));
        command.args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"]);
        command.arg(format!("--secure-port={}", self.port)).arg("--service-cluster-ip-range=198.19.0.0/20");
        command.arg("--authorization-mode=RBAC").arg(format!("--token-auth-file={}", file("tokens")));
        command.arg(format!("--tls-cert-file={}", file("api.crt")));
        command.arg(format!("--tls-private-key-file={}", file("api.key")));
        command.arg("--service-account-issuer=https://kubernetes.default.svc");
        command.arg(format!("--service-account-key-file={}", file("accounts.pub")));
        command.arg(format!("--service-account-signing-key-file={}", file("accounts.key")));
        // Nothing is compacted but by the tests.
        command.arg("--etcd-compaction-interval=0").arg("--profiling=false");
        self.api = Some(Process::start(&mut command, &self.file("api.log")));
        let begun = Instant::now();
        while !self.is_ready().await {
            assert!(!self.api.as_mut().is_some_and(Process::ended), "kube-apiserver has ended");
            assert!(begun.elapsed() < PATIENCE, "kube-apiserver is not ready");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn is_ready(&self) -> bool {
        let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
        let asked = tokio::time::timeout(Duration::from_secs(2), self.client.request_text(request)).await;
        asked.is_ok_and(|answer| answer.is_ok())
    }

    /// Kills the API server; the store stays.
    pub(super) fn vanish(&mut self) {
        drop(self.api.take());
    }

    /// Ends both.
    pub(super) fn stop(&mut self) {
        drop(self.api.take());
        if let Some(etcd) = self.etcd.take() {
            etcd.terminate();
        }
    }

    /// Asks the store itself.
    pub(super) fn etcd(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let request = format!(
            "POST /v3/{path} HTTP/1.1\r\nHost: etcd\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut connection = Connection::open(self.store[0]).unwrap();
        connection.patience(PATIENCE).unwrap();
        connection.send(request.as_bytes()).unwrap();
        serde_json::from_str(&connection.reply("POST").unwrap().text()).unwrap()
    }

    /// Forgets every version but the newest, as Kubernetes does every five minutes.
    pub(super) fn compact(&self) {
        let newest = self.etcd("kv/range", &json!({"key": "YQ=="}))["header"]["revision"].clone();
        let answer = self.etcd("kv/compaction", &json!({"revision": newest, "physical": true}));
        // Nothing was written since the last time.
        let is_done = answer["error"].as_str().is_some_and(|error| error.contains("has been compacted"));
        assert!(answer["error"].is_null() || is_done, "{answer}");
    }

    /// Says that there is room again, which the store does not find out by itself.
    pub(super) fn disarm(&self) {
        let alarms = self.etcd("maintenance/alarm", &json!({"action": "GET"}));
        for alarm in alarms["alarms"].as_array().into_iter().flatten() {
            let disarmed = json!({"action": "DEACTIVATE", "alarm": alarm["alarm"], "memberID": alarm["memberID"]});
            self.etcd("maintenance/alarm", &disarmed);
        }
    }

    /// Keeps what is stored now.
    pub(super) async fn keep(&mut self) {
        self.stop();
        copy(&self.file("etcd"), &self.file("kept"));
        self.store();
        self.serve().await;
    }

    /// Takes the store back to what was kept.
    pub(super) async fn restore(&mut self) {
        self.stop();
        fs::remove_dir_all(self.file("etcd")).unwrap();
        copy(&self.file("kept"), &self.file("etcd"));
        self.store();
        self.serve().await;
    }

    /// How to reach the API at `port` as `user` says, as a file.
    pub(super) fn kubeconfig(&self, name: &str, user: &str, port: u16) -> PathBuf {
        kubeconfig(self.folder.path(), name, user, port, &self.authority)
    }

    /// Waits until the store takes no more, or does again.
    pub(super) async fn is_full(&self, full: bool) {
        until(PATIENCE, if full { "the store is full" } else { "the store has room" }, || {
            let alarms = self.etcd("maintenance/alarm", &json!({"action": "GET"}));
            alarms["alarms"].as_array().is_some_and(|alarms| !alarms.is_empty()) == full
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The API server first: it takes long to say goodbye to a store that is gone.
        drop(self.api.take());
    }
}

/// Files of the checkout.
fn root() -> impl Fn(&str) -> String {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("run this with cargo test");
    move |path| Path::new(&package).parent().unwrap().join(path).display().to_string()
}

fn identities(folder: &Path, authority: &Authority) {
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    let api = authority.issue("kube-apiserver", &[NAME]);
    write("api.crt", &api.chain);
    write("api.key", &api.key);
    let accounts = KeyPair::generate().unwrap();
    write("accounts.key", &accounts.serialize_pem());
    write("accounts.pub", &accounts.public_key_pem());
    write("tokens", &format!("{ADMIN},admin,admin,system:masters\n"));
}

fn kubeconfig(folder: &Path, name: &str, user: &str, port: u16, authority: &Authority) -> PathBuf {
    let path = folder.join(format!("{name}.kubeconfig"));
    let root = authority.root_file();
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
         clusters: [{{name: it, cluster: {{server: 'https://127.0.0.1:{port}', tls-server-name: {NAME}, \
         certificate-authority: {}}}}}]\n\
         users: [{{name: it, user: {{{user}}}}}]\ncontexts: [{{name: it, context: {{cluster: it, user: it}}}}]\n",
        root.display()
    );
    fs::write(&path, text).unwrap();
    path
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}
