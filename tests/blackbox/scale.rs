// SPDX-License-Identifier: Apache-2.0
//! E07: many hosts, routes, certificates and endpoints. How long a start takes, and a change; printed, not judged, for
//! machines differ. `TORANA_SCALE=full` is 10,000 hosts with ten rules each, 5,000 Secrets and 50,000 endpoints; it is a
//! fiftieth without.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use rcgen::PKCS_ECDSA_P256_SHA256;
use tempfile::TempDir;
use torana_tests::{Backend, Connection, Credential, KeyForm, World, client, eventually};

use super::manifests::{object, to};

/// Rules of a route.
const RULES: usize = 10;
/// Endpoints of a Service.
const ENDPOINTS: usize = 5;
/// Listeners of a Gateway or ListenerSet, of which each has a certificate.
const LISTENERS: usize = 50;

/// Hosts in one file.
const PART: usize = 1_000;

/// How many hosts there are.
fn hosts() -> usize {
    if std::env::var("TORANA_SCALE").is_ok_and(|it| it == "full") { 10_000 } else { 200 }
}

/// A route with a Service of its own. Its last rule is served by `backend`; the endpoints of the rest are not asked.
fn host(number: usize, backend: u16, version: &str) -> String {
    let rules: String = (1..RULES).fold(String::new(), |mut rules, rule| {
        write!(rules, "{{matches: [{{path: {{value: /{rule}}}}}], {}}}, ", to(&format!("s{number}"))).unwrap();
        rules
    });
    let answer = format!(
        "filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: version, value: \
         '{version}'}}]}}}}]"
    );
    let spec = format!(
        "parentRefs: [{{name: edge}}], hostnames: [h{number}.example], rules: [{rules}{{{answer}, {}}}]",
        to(&format!("s{number}"))
    );
    let slice = World::service(&format!("s{number}"), backend);
    let addresses: Vec<String> = (1..=ENDPOINTS).map(|at| format!("{{addresses: [127.0.0.{at}]}}")).collect();
    let one = "{addresses: [127.0.0.1], conditions: {ready: true}}";
    object("gateway.networking.k8s.io/v1", "HTTPRoute", &format!("r{number}"), &spec)
        + &slice.replace(one, &addresses.join(", "))
}

/// ListenerSets with an HTTPS listener each for half of the hosts.
fn sets(secrets: usize) -> String {
    let numbers: Vec<usize> = (0..secrets).collect();
    let set = |(at, numbers): (usize, &[usize])| {
        let listeners: Vec<String> = numbers
            .iter()
            .map(|number| {
                format!(
                    "{{name: l{number}, port: ${{HTTPS}}, protocol: HTTPS, hostname: h{number}.example, tls: \
                     {{certificateRefs: [{{name: c{number}}}]}}}}"
                )
            })
            .collect();
        let spec = format!("parentRef: {{name: edge}}, listeners: [{}]", listeners.join(", "));
        object("gateway.networking.k8s.io/v1", "ListenerSet", &format!("set{at}"), &spec)
    };
    numbers.chunks(LISTENERS).enumerate().map(set).collect()
}

#[test]
fn many_hosts_are_served_and_a_change_among_them_is() {
    let backend = Backend::at((Ipv4Addr::UNSPECIFIED, 0).into(), "ok").unwrap();
    let (hosts, secrets) = (hosts(), hosts() / 2);
    let credential = Credential::new(&PKCS_ECDSA_P256_SHA256, &["example"]).secret("NAME", KeyForm::Pkcs8);
    let mut manifests = World::gateway().replace("spec:\n", "spec:\n  allowedListeners: {namespaces: {from: All}}\n");
    manifests += &sets(secrets);
    // No file is larger than Torana reads.
    let folder = TempDir::new().unwrap();
    for first in (0..hosts).step_by(PART) {
        let numbers = first..hosts.min(first + PART);
        let certificates = numbers.clone().filter(|number| *number < secrets);
        let mut part: String =
            certificates.map(|number| credential.replace("name: NAME", &format!("name: c{number}"))).collect();
        numbers.for_each(|number| part += &host(number, backend.port, "1"));
        fs::write(folder.path().join(format!("{first}.yaml")), part).unwrap();
    }
    let begin = Instant::now();
    let world = World::start_with(&manifests, &["--access-log", "off", "-f", folder.path().to_str().unwrap()]);
    let version = |number: usize| {
        let reply = world.get(&format!("h{number}.example"), "/").ok()?;
        reply.header("version").map(str::to_owned)
    };
    assert!(eventually(|| version(hosts - 1).as_deref() == Some("1")), "{}", world.log());
    println!(
        "{hosts} hosts of {RULES} rules, {secrets} certificates, {} endpoints: {:?} from the start to the last host",
        hosts * ENDPOINTS,
        begin.elapsed()
    );
    for number in [0, hosts / 3, hosts / 2] {
        assert_eq!(version(number).as_deref(), Some("1"), "h{number}");
    }
    let config = client(&[], rustls::DEFAULT_VERSIONS);
    let open =
        |number: usize| Connection::tls(world.https, &format!("h{number}.example"), &Arc::clone(&config)).is_ok();
    assert!(open(0) && open(secrets - 1) && !open(secrets), "each host has a listener, or none");
    // A file of its own, as one object of a cluster is.
    world.apply("other.yaml", &host(hosts, backend.port, "1"));
    assert!(eventually(|| version(hosts).as_deref() == Some("1")), "{}", world.log());
    let begin = Instant::now();
    world.apply("other.yaml", &host(hosts, backend.port, "2"));
    assert!(eventually(|| version(hosts).as_deref() == Some("2")), "{}", world.log());
    println!("a change is in force after {:?}", begin.elapsed());
    assert_eq!(version(0).as_deref(), Some("1"));
}
