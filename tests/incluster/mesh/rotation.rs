// SPDX-License-Identifier: Apache-2.0
//! Certificates are replaced while requests run, and while nobody can replace them.

use std::thread;
use std::time::{Duration, Instant};

use super::super::load::Load;
use super::capture::Capture;
use super::outage::Outage;
use super::{Lab, Workload, lab, route, script, status, until};

pub(super) const HOST: &str = "app.example";
/// `TORANA_MESH_ROTATIONS` says another.
const ROTATIONS: usize = 50;
/// Life of a certificate, in seconds, of which half passes before it is replaced.
pub(super) const SHORT: u32 = 8;
/// Long enough to see what is left of it when istiod has ended.
const LONGER: u32 = 20;
/// The least that a token is good for, in seconds; the kubelet replaces it at four fifths of that.
const TOKEN: u32 = 600;

/// A Gateway whose proxies want certificates for that many seconds; `more` is said of their pods.
pub(super) fn edge(lifetime: u32, more: &str) -> String {
    let variable = format!("{{name: TORANA_MESH_LIFETIME, value: {lifetime}s}}");
    let patch = format!("podPatch: {{spec: {{containers: [{{name: torana, env: [{variable}]}}]{more}}}}}");
    super::super::gateway("edge", 1).replace("workers: 1,", &format!("workers: 1, {patch},"))
}

/// An application behind its proxy, and a Gateway before it.
fn served(name: &str, lifetime: u32) -> Option<(Lab, Workload, Capture, String)> {
    served_by((name, 0), &edge(lifetime, ""))
}

/// The same with this Gateway. The application's own certificate lives for that many seconds, 0: for as long as istiod likes.
fn served_by((name, lasts): (&str, u32), edge: &str) -> Option<(Lab, Workload, Capture, String)> {
    let lab = lab()?;
    let manifest = script("mesh.sh", &["manifest", name]);
    assert!(manifest.contains("--lifetime=0s"));
    let app = Workload::start_as(&lab, name, &manifest.replace("--lifetime=0s", &format!("--lifetime={lasts}s")));
    let capture = Capture::start(&app);
    lab.apply(&(front(name) + edge));
    let address = lab.address("edge");
    until("the app answers", || status(&address, HOST) == Some(200));
    Some((lab, app, capture, address))
}

/// A Service of the application, and a route to it.
pub(super) fn front(app: &str) -> String {
    let service = format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: front}}
spec: {{selector: {{app: {app}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
"
    );
    service + &route("HTTPRoute", HOST, "front", 80)
}

/// How many certificates of Torana the proxy before the application has seen.
fn certificates(app: &Workload) -> usize {
    app.seen("serials").len()
}

/// Waits for `count` further certificates; how long one took.
pub(super) fn rotations(app: &Workload, lifetime: u32, count: usize) -> Duration {
    let (before, begin) = (certificates(app), Instant::now());
    let longest = Duration::from_secs(lifetime.into()) * u32::try_from(count).unwrap();
    while certificates(app) < before + count {
        assert!(begin.elapsed() < longest, "{} of {count} within {longest:?}", certificates(app) - before);
        thread::sleep(Duration::from_millis(200));
    }
    begin.elapsed() / u32::try_from(count).unwrap()
}

/// Of both ends: what is behind the proxy has a certificate as short as ours.
fn no_request_fails_over_rotations(name: &str) {
    let Some((_lab, app, capture, address)) = served_by((name, SHORT), &edge(SHORT, "")) else { return };
    let count = std::env::var("TORANA_MESH_ROTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROTATIONS);
    let load = Load::start(&address, HOST, 8, 200);
    let each = rotations(&app, SHORT, count);
    let seen = load.stop();
    println!("{name}: {count} rotations, one in {each:?}; {} requests, {} broken", seen.served, seen.broken);
    assert!(seen.failures.is_empty() && seen.broken == 0, "{seen:?}");
    assert!(seen.served > 0);
    capture.ends_with_tls_only(&[if name == "my-app" { 8080 } else { 15008 }]);
}

#[test]
fn fifty_rotations_lose_no_request_to_a_sidecar() {
    no_request_fails_over_rotations("my-app");
}

#[test]
fn fifty_rotations_lose_no_request_in_tunnels() {
    no_request_fails_over_rotations("ambient-app");
}

#[test]
fn istiod_that_is_started_anew_is_not_noticed() {
    let Some((_lab, app, _capture, address)) = served("my-app", SHORT) else { return };
    let load = Load::start(&address, HOST, 8, 200);
    script("mesh.sh", &["istiod", "restart"]);
    rotations(&app, SHORT, 2);
    let seen = load.stop();
    assert!(seen.failures.is_empty() && seen.served > 0, "{seen:?}");
}

/// istiod asks the API server about each token, and takes none that has ended. Ten minutes are too long for a part of the
/// suite, which says how many rotations it wants.
#[test]
fn a_token_that_ends_is_replaced_by_the_next_and_no_request_fails() {
    if std::env::var_os("TORANA_MESH_ROTATIONS").is_some() {
        println!("skipped: TORANA_MESH_ROTATIONS is set");
        return;
    }
    let token = format!("serviceAccountToken: {{audience: istio-ca, expirationSeconds: {TOKEN}, path: token}}");
    let volumes = format!(", volumes: [{{name: mesh-token, projected: {{sources: [{{{token}}}]}}}}]");
    let Some((lab, app, capture, address)) = served_by(("my-app", 0), &edge(LONGER, &volumes)) else { return };
    let pods = lab.of_proxies(
        "edge",
        "spec.volumes[?(@.name==\"mesh-token\")].projected.sources[0].serviceAccountToken.expirationSeconds",
    );
    assert_eq!(pods, [TOKEN.to_string()]);
    let load = Load::start(&address, HOST, 2, 20);
    thread::sleep(Duration::from_secs((TOKEN + 2 * LONGER).into()));
    rotations(&app, LONGER, 2);
    let seen = load.stop();
    assert!(seen.failures.is_empty() && seen.broken == 0 && seen.served > 0, "{seen:?}");
    capture.ends_with_tls_only(&[8080]);
}

/// A certificate is replaced at half of its life: without istiod the last one is good for one to two intervals. After
/// three it is not, and nobody is asked without it.
#[test]
fn without_istiod_a_certificate_serves_to_its_end_then_nothing_does_until_istiod_is_back() {
    let Some((_lab, app, capture, address)) = served("my-app", LONGER) else { return };
    let load = Load::start(&address, HOST, 1, 10);
    let each = rotations(&app, LONGER, 3);
    drop(load.stop());
    let (begin, outage) = (Instant::now(), Outage::begin());
    let mut answers = Vec::new();
    while begin.elapsed() < 3 * each {
        answers.push((begin.elapsed(), status(&address, HOST)));
        thread::sleep(Duration::from_millis(50));
    }
    let good = answers.iter().take_while(|(_, status)| *status == Some(200)).count();
    let (last, rest) = (answers[..good].last().map(|(at, _)| *at), &answers[good..]);
    println!("one rotation in {each:?}; it served for {last:?}");
    assert!(last.is_some_and(|last| last >= each * 9 / 10), "it ends before its certificate: {last:?}");
    assert!(!rest.is_empty() && rest.iter().all(|(_, status)| *status == Some(503)), "{rest:?}");
    outage.end();
    until("it serves again", || status(&address, HOST) == Some(200));
    capture.ends_with_tls_only(&[8080, 8081]);
}
