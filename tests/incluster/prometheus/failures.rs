// SPDX-License-Identifier: Apache-2.0
//! What must fail before there is anything to see, and how it is made to fail.

use std::any::Any;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use torana_tests::Connection;

use super::super::endurance::{Back, Stopped};
use super::super::{CONTROLLERS, Lab, SYSTEM, ask, controllers_are_there, gateway, kubectl, proxy_process, until};

/// The Gateway whose every answer is an error.
const BROKEN: &str = "broken";
/// As many lines as certainly fill a pipe, what is written at once, and the queue of the access log.
const LINES: usize = 8_000;

/// One thing that fails.
pub(super) struct Failure {
    pub(super) what: &'static str,
    /// The alert that must tell.
    pub(super) alert: &'static str,
    /// Panels that show nothing unless this fails.
    pub(super) panels: &'static [&'static str],
    /// Makes it fail, until what is returned is dropped.
    pub(super) make: fn(&Lab) -> Box<dyn Any>,
}

/// In an order in which none hides another.
pub(super) const FAILURES: [Failure; 10] = [
    Failure { what: "answers are errors", alert: "ToranaServerErrors", panels: &[], make: errors },
    Failure { what: "a certificate ends in five days", alert: "ToranaCertificateExpires", panels: &[], make: ending },
    Failure { what: "an authority is away", alert: "ToranaCertificateNotObtained", panels: &[], make: unsigned },
    Failure { what: "a Secret is missing", alert: "ToranaMeshIdentityMissing", panels: &[], make: nobody },
    Failure { what: "a port is taken", alert: "ToranaConfigRejected", panels: &["Rejected parts"], make: taken },
    Failure { what: "nobody reads the log", alert: "ToranaLogLinesDropped", panels: &[], make: unread },
    Failure { what: "a client floods", alert: "ToranaConnectionsRefused", panels: &[], make: flood },
    Failure { what: "a proxy is cut off", alert: "ToranaProxyBehind", panels: &[], make: cut },
    Failure { what: "a right is taken", alert: "ToranaWatchFails", panels: &[], make: forbidden },
    Failure { what: "no controller", alert: "ToranaNoLeader", panels: &[], make: headless },
];

/// Nothing to put right.
fn nothing() -> Box<dyn Any> {
    Box::new(())
}

fn ask_in_vain(lab: &Lab, times: usize) {
    let mut connection = Connection::to(format!("{}:80", lab.address(BROKEN)).parse().unwrap()).unwrap();
    for _ in 0..times {
        assert_eq!(connection.get("nowhere.example", "/").unwrap().status, 500);
    }
}

fn errors(lab: &Lab) -> Box<dyn Any> {
    ask_in_vain(lab, 10);
    std::thread::sleep(std::time::Duration::from_secs(2));
    ask_in_vain(lab, 10);
    nothing()
}

fn ending(lab: &Lab) -> Box<dyn Any> {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "5"])
        .args(["-subj", "/CN=ending.example", "-addext", "subjectAltName=DNS:ending.example"])
        .args(["-keyout", &file("key"), "-out", &file("crt")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (key, certificate) = (format!("--key={}", file("key")), format!("--cert={}", file("crt")));
    lab.kubectl(&["create", "secret", "tls", "ending", &key, &certificate]);
    let listener = r#"[{"op": "add", "path": "/spec/listeners/-", "value":
        {"name": "ending", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "ending"}]}}}]"#;
    lab.kubectl(&["patch", "gateway", BROKEN, "--type=json", "-p", listener]);
    nothing()
}

/// Until it is wanted no more.
fn unsigned(lab: &Lab) -> Box<dyn Any> {
    lab.apply(
        "apiVersion: torana.dev/v1alpha1\nkind: AcmeIssuer\nmetadata: {name: away}\nspec: {directory: \"https://127.0.0.1:1/\"}",
    );
    let listener = "[{name: http, port: 80, protocol: HTTP}, {name: unsigned, port: 443, protocol: HTTPS, \
                    hostname: unsigned.example, tls: {certificateRefs: [{name: unsigned}]}}]";
    let unsigned = gateway("unsigned", 1)
        .replace("[{name: http, port: 80, protocol: HTTP}]", listener)
        .replace("kind: Gateway\nmetadata: {", "kind: Gateway\nmetadata: {annotations: {torana.dev/acme: away}, ");
    lab.apply(&unsigned);
    nothing()
}

/// Who is to be somebody in a mesh by a Secret that is not there.
fn nobody(lab: &Lab) -> Box<dyn Any> {
    lab.apply(
        &gateway("nobody", 1).replace("replicas: 1,", "replicas: 1, mesh: {identity: Secret, secretName: nowhere},"),
    );
    nothing()
}

/// On the network of the node, where the API server has it.
fn taken(lab: &Lab) -> Box<dyn Any> {
    let manifest = gateway("taken", 1)
        .replace("replicas: 1,", "mode: DaemonSet, hostNetwork: true,")
        .replace("port: 80", "port: 6443");
    lab.apply(&manifest);
    nothing()
}

/// Whoever carries the output of the container on does nothing.
fn unread(lab: &Lab) -> Box<dyn Any> {
    let [pod] = lab.proxies(BROKEN).try_into().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy_process(&pod).unwrap())).unwrap();
    let carrier = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim();
    let stopped = Stopped::stop(carrier);
    ask_in_vain(lab, LINES);
    std::thread::sleep(std::time::Duration::from_secs(2));
    ask_in_vain(lab, LINES / 10);
    Box::new(stopped)
}

/// PINGs without end, again and again, until the address is refused.
fn flood(lab: &Lab) -> Box<dyn Any> {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    let pings = b"\0\0\x08\x06\0\0\0\0\0torana!!".repeat(2_000);
    let address = format!("{}:80", lab.address(BROKEN)).parse().unwrap();
    for _ in 0..60 {
        let mut connection = Connection::to(address).unwrap();
        // The gateway may close before it has read everything.
        drop(connection.send(&[preface.as_slice(), &pings].concat()));
        drop(connection.rest());
    }
    assert!(ask(&lab.address(BROKEN), "nowhere.example", "/").is_err(), "it is still served");
    nothing()
}

/// Nothing comes from the controller to one proxy of two.
fn cut(lab: &Lab) -> Box<dyn Any> {
    let pid = proxy_process(&lab.proxies("edge")[0]).unwrap();
    in_network_of(
        &pid,
        "add table inet cut; add chain inet cut in { type filter hook input priority 0; }; \
                         add rule inet cut in tcp sport 15012 drop",
    );
    Box::new(Cut(pid))
}

struct Cut(String);

impl Drop for Cut {
    fn drop(&mut self) {
        in_network_of(&self.0, "delete table inet cut");
    }
}

fn in_network_of(pid: &str, rules: &str) {
    let output = Command::new("nsenter").args(["--target", pid, "--net", "nft", rules]).output().unwrap();
    assert!(output.status.success(), "nft {rules}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Controllers that start may not list one kind any more.
fn forbidden(_: &Lab) -> Box<dyn Any> {
    let role: Value = serde_json::from_str(&kubectl(&["get", "clusterrole", "torana", "-o", "json"])).unwrap();
    let mut less = role.clone();
    let kinds = less["rules"][0]["resources"].as_array_mut().unwrap();
    kinds.retain(|kind| kind != "backendtlspolicies");
    put(&less);
    restart();
    Box::new(Allowed(role))
}

struct Allowed(Value);

impl Drop for Allowed {
    fn drop(&mut self) {
        put(&self.0);
        restart();
        controllers_are_there();
    }
}

fn restart() {
    kubectl(&["-n", SYSTEM, "delete", "pod", "-l", CONTROLLERS, "--force"]);
}

fn put(role: &Value) {
    let mut role = role.clone();
    role["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let mut child = Command::new("kubectl").args(["replace", "-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(role.to_string().as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn headless(_: &Lab) -> Box<dyn Any> {
    kubectl(&["-n", SYSTEM, "scale", "deployment/torana", "--replicas=0"]);
    until("the controllers are gone", || kubectl(&["-n", SYSTEM, "get", "pods", "-o", "name"]).trim().is_empty());
    Box::new(Back)
}
