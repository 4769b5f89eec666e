// SPDX-License-Identifier: Apache-2.0
//! Torana as its users have it: installed by its charts in a real cluster. They must run where its
//! addresses are reachable and `kubectl` is its administrator; unless `TORANA_INCLUSTER` is set they say that they were
//! skipped. `./dev incluster` sets all that up.

mod acme;

mod certificates;

mod counts;

mod crashing;

mod definitions;

mod endurance;

mod hostile;

mod istio;

mod load;

mod mesh;

mod prometheus;

mod provision;

mod quickstart;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use torana_tests::{Connection, Reply};

/// So long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where the controller lives.
const SYSTEM: &str = "torana-system";
/// How the command line of a controller begins.
const CONTROLLER: &str = "/bin/torana controller";
/// The label of their pods.
const CONTROLLERS: &str = "app.kubernetes.io/name=torana-controller";

/// There is one cluster and one Torana: tests take turns.
static TURN: Mutex<()> = Mutex::new(());

/// A namespace of the cluster, gone with this.
struct Lab {
    namespace: String,
    _turn: MutexGuard<'static, ()>,
}

/// `None`, and says so, where there is no cluster.
fn lab() -> Option<Lab> {
    if std::env::var_os("TORANA_INCLUSTER").is_none() {
        println!("skipped: TORANA_INCLUSTER is not set");
        return None;
    }
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let namespace = format!("torana-test-{:x}", fastrand::u32(..));
    kubectl(&["create", "namespace", &namespace]);
    Some(Lab { namespace, _turn: turn })
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Whatever is in it ends by itself.
        Command::new("kubectl").args(["delete", "namespace", &self.namespace, "--wait=false"]).output().unwrap();
    }
}

/// What `kubectl` says. It must succeed.
fn kubectl(arguments: &[&str]) -> String {
    let output = Command::new("kubectl").args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "kubectl {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// What Helm says. It must succeed.
fn helm(arguments: &[&str]) -> String {
    let program = std::env::var_os("TORANA_HELM").expect("TORANA_HELM says where Helm is: ./dev incluster");
    let folder = tempfile::tempdir().unwrap();
    let folders = ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"].map(|name| (name, folder.path()));
    let output = Command::new(program).args(arguments).envs(folders).output().unwrap();
    assert!(output.status.success(), "helm {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn apply(namespace: &str, manifests: &str) {
    let mut child = Command::new("kubectl")
        .args(["--namespace", namespace, "apply", "--server-side", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(manifests.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "kubectl apply of {manifests}");
}

impl Lab {
    /// `kubectl` in the namespace of the test.
    fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(&[&["--namespace", &self.namespace], arguments].concat())
    }

    fn apply(&self, manifests: &str) {
        apply(&self.namespace, manifests);
    }

    fn get(&self, kind: &str, name: &str) -> Value {
        serde_json::from_str(&self.kubectl(&["get", kind, name, "-o", "json"])).unwrap()
    }

    /// An object, unless there is none.
    fn find(&self, kind: &str, name: &str) -> Option<Value> {
        let found = self.kubectl(&["get", kind, name, "--ignore-not-found", "-o", "json"]);
        (!found.trim().is_empty()).then(|| serde_json::from_str(&found).unwrap())
    }

    /// Names of the pods that serve a Gateway.
    fn proxies(&self, gateway: &str) -> Vec<String> {
        self.of_proxies(gateway, "metadata.name")
    }

    fn proxy_addresses(&self, gateway: &str) -> Vec<String> {
        self.of_proxies(gateway, "status.podIP")
    }

    fn of_proxies(&self, gateway: &str, field: &str) -> Vec<String> {
        let (label, path) =
            (format!("gateway.networking.k8s.io/gateway-name={gateway}"), format!("jsonpath={{.items[*].{field}}}"));
        let found = self.kubectl(&["get", "pods", "-l", &label, "-o", &path]);
        found.split_whitespace().map(str::to_owned).collect()
    }

    fn wait_for(&self, condition: &str, object: &str) {
        self.kubectl(&["wait", &format!("--for={condition}"), object, "--timeout=60s"]);
    }

    /// The address of a Gateway, once it is programmed.
    fn address(&self, gateway: &str) -> String {
        self.wait_for("condition=Programmed", &format!("gateway/{gateway}"));
        let gateway = self.get("gateway", gateway);
        gateway["status"]["addresses"][0]["value"].as_str().unwrap().to_owned()
    }
}

/// Processes of the cluster whose command line begins with `command`.
fn processes(command: &str) -> Vec<String> {
    let found = Command::new("pgrep").args(["-f", &format!("^{command}")]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}

/// The process of a proxy's pod.
fn proxy_process(pod: &str) -> Option<String> {
    process("/bin/torana-gateway", pod)
}

/// The process of a pod whose command line begins with `command`: no argument names the pod, so it is found by its host
/// name.
fn process(command: &str, pod: &str) -> Option<String> {
    let host = format!("HOSTNAME={pod}");
    let is_its = |pid: &String| {
        let environment = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split('\0').any(|variable| variable == host)
    };
    processes(command).into_iter().find(is_its)
}

/// The last `tail` lines of every pod of a selector, or all with -1. While one of them is starting or going, what kubectl
/// says is half of it, and an error: it is asked again.
fn logs(namespace: &str, selector: &str, tail: i32) -> String {
    let mut said = Vec::new();
    until(&format!("every pod of {selector} shows its log"), || {
        let tail = format!("--tail={tail}");
        let arguments = ["--namespace", namespace, "logs", "-l", selector, &tail];
        let output = Command::new("kubectl").args(arguments).output().unwrap();
        said = output.stdout;
        output.status.success()
    });
    String::from_utf8_lossy(&said).into_owned()
}

fn signal(signal: &str, pid: &str) {
    // It may have ended by itself.
    Command::new("kill").args([signal, pid]).output().unwrap();
}

/// The pod of the controller that leads.
fn leader() -> String {
    kubectl(&["-n", SYSTEM, "get", "lease", "torana-controller", "-o", "jsonpath={.spec.holderIdentity}"])
}

/// Waits until every controller is there.
fn controllers_are_there() {
    kubectl(&["-n", SYSTEM, "rollout", "status", "deployment/torana", "--timeout=120s"]);
}

/// What a client gets at `address:80`.
fn ask(address: &str, host: &str, path: &str) -> std::io::Result<Reply> {
    Connection::to(format!("{address}:80").parse().unwrap())?.get(host, path)
}

/// Waits until `is_so`.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A Gateway on port 80, with that many proxies.
fn gateway(name: &str, replicas: u32) -> String {
    format!(
        "
apiVersion: torana.dev/v1alpha1
kind: GatewayParameters
metadata: {{name: {name}}}
spec: {{replicas: {replicas}, workers: 1, resources: {{requests: {{cpu: 5m, memory: 16Mi}}}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec:
  gatewayClassName: torana
  infrastructure: {{parametersRef: {{group: torana.dev, kind: GatewayParameters, name: {name}}}}}
  listeners: [{{name: http, port: 80, protocol: HTTP}}]
---
"
    )
}

/// A route of `gateway` for `host`, to the backend of [`backend`].
fn route(name: &str, gateway: &str, host: &str) -> String {
    format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: {gateway}}}]
  hostnames: [{host}]
  rules: [{{backendRefs: [{{name: echo, port: 80}}]}}]
---
"
    )
}

/// The sample backend of Torana's own image, and its Service.
fn backend(replicas: u32) -> String {
    format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: echo}}
spec: {{selector: {{app: echo}}, ports: [{{port: 80, targetPort: 9001}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: echo}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: echo}}}}
  template:
    metadata: {{labels: {{app: echo}}}}
    spec:
      automountServiceAccountToken: false
      containers:
        - name: echo
          image: torana:{version}
          command: [/bin/torana]
          args: [echo, --port=9001, --name=echo]
          readinessProbe: {{tcpSocket: {{port: 9001}}, periodSeconds: 1}}
          resources: {{requests: {{cpu: 5m, memory: 16Mi}}}}
---
",
        version = env!("CARGO_PKG_VERSION")
    )
}
