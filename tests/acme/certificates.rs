// SPDX-License-Identifier: Apache-2.0
//! One annotation to HTTPS: Torana by itself, and Pebble.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConfig;
use tempfile::TempDir;
use torana_tests::{Backend, Connection, World, eventually, ports, torana};

use super::pebble::{Manner, Pebble};

const HOST: &str = "shop.torana.example";

/// Ports of a Gateway, and where what it obtains is kept.
struct Site {
    http: u16,
    https: u16,
    data: TempDir,
}

impl Site {
    fn new() -> Self {
        Self { http: ports::free(), https: ports::free(), data: TempDir::new().unwrap() }
    }

    fn start(&self, manifests: &str) -> World {
        World::start_with(manifests, &["--data", &self.data.path().display().to_string()])
    }

    /// A Gateway with the annotation and an HTTPS listener for each of `hosts`; with a plain one beside.
    fn gateway(&self, hosts: &[&str]) -> String {
        let plain = format!("  - {{name: http, port: {}, protocol: HTTP}}\n", self.http);
        format!("{}{plain}---\n", self.secure(hosts))
    }

    fn secure(&self, hosts: &[&str]) -> String {
        let listener = |(at, host): (usize, &&str)| {
            format!(
                "  - {{name: l{at}, port: {}, protocol: HTTPS, hostname: {host:?}, tls: {{certificateRefs: [{{name: \
                 shop-tls}}]}}}}\n",
                self.https
            )
        };
        let listeners: String = hosts.iter().enumerate().map(listener).collect();
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: default, \
             annotations: {{torana.dev/acme: pebble}}}}\nspec:\n  gatewayClassName: torana\n  listeners:\n{listeners}"
        )
    }

    fn answers(&self, host: &str, client: &Arc<ClientConfig>) -> bool {
        let connection = Connection::tls(self.https, host, client);
        connection.and_then(|mut it| it.get(host, "/")).is_ok_and(|reply| reply.status == 200)
    }
}

fn route(backend: &Backend) -> String {
    World::service("app", backend.port) + &World::catch_all("all", "app")
}

/// Holds that a handshake that everybody may trust follows soon.
fn served(site: &Site, (world, pebble): (&World, &Pebble), hosts: &[&str]) {
    let (client, began) = (pebble.client(), Instant::now());
    for host in hosts {
        assert!(eventually(|| site.answers(host, &client)), "{host}: {}\n{}", world.log(), pebble.log());
    }
    println!("{} s", began.elapsed().as_secs_f32());
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

#[test]
fn a_listener_gets_its_certificate_by_http_01_and_keeps_it_over_a_restart() {
    let (site, backend) = (Site::new(), Backend::named("app"));
    let pebble = Pebble::start(site.http, site.https);
    let manifests = site.gateway(&[HOST]) + &pebble.issuer("pebble", "") + &route(&backend);
    let world = site.start(&manifests);
    served(&site, (&world, &pebble), &[HOST]);
    assert_eq!(pebble.orders(), 1);
    let kept = files(site.data.path());
    assert!(kept.contains(&"default_shop-tls.yaml".to_owned()) && kept.len() == 3, "{kept:?}");
    drop(world);
    let world = site.start(&manifests);
    assert!(site.answers(HOST, &pebble.client()), "at once: {}", world.log());
    assert_eq!(pebble.orders(), 1, "it had one already");
}

#[test]
fn without_a_plain_listener_it_comes_by_tls_alpn_01() {
    let (site, backend) = (Site::new(), Backend::named("app"));
    let pebble = Pebble::start(site.http, site.https);
    let world = site.start(&(site.secure(&[HOST]) + "---\n" + &pebble.issuer("pebble", "") + &route(&backend)));
    served(&site, (&world, &pebble), &[HOST]);
}

#[test]
fn a_wildcard_comes_by_dns_01() {
    let (site, backend) = (Site::new(), Backend::named("app"));
    let pebble = Pebble::start(site.http, site.https);
    let program = pebble.program();
    let dns = format!(
        ", challenges: [{{type: DNS01, dns01: {{exec: {{command: [{program:?}]}}, nameservers: [\"127.0.0.1:{}\"]}}}}]",
        pebble.dns
    );
    let manifests = site.gateway(&["*.torana.example"]) + &pebble.issuer("pebble", &dns) + &route(&backend);
    let world = site.start(&manifests);
    served(&site, (&world, &pebble), &["a.torana.example", "b.torana.example"]);
}

#[test]
fn listeners_that_share_a_secret_share_a_certificate_and_half_of_all_nonces_may_be_bad() {
    let (site, backend) = (Site::new(), Backend::named("app"));
    let pebble = Pebble::with(site.http, site.https, Manner { bad_nonces: 50, ..Manner::default() });
    let hosts = ["a.torana.example", "b.torana.example", "c.torana.example"];
    let world = site.start(&(site.gateway(&hosts) + &pebble.issuer("pebble", "") + &route(&backend)));
    served(&site, (&world, &pebble), &hosts);
}

#[test]
fn an_authority_for_customers_only_is_told_which_one_asks() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let (site, backend) = (Site::new(), Backend::named("app"));
    let manner = Manner { external: Some(("kid-1", KEY)), ..Manner::default() };
    let pebble = Pebble::with(site.http, site.https, manner);
    let binding = ", externalAccountBinding: {keyID: kid-1, secretRef: {namespace: default, name: eab}}";
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: eab, namespace: default}}\nstringData: {{hmac: {KEY}}}\n---\n"
    );
    let manifests = site.gateway(&[HOST]) + &pebble.issuer("pebble", binding) + &secret + &route(&backend);
    let world = site.start(&manifests);
    served(&site, (&world, &pebble), &[HOST]);
}

#[test]
fn until_then_the_listener_shows_a_placeholder_and_plain_requests_are_served() {
    let (site, backend) = (Site::new(), Backend::named("app"));
    // Nobody answers at the ports that it asks at.
    let pebble = Pebble::start(ports::free(), ports::free());
    let world = site.start(&(site.gateway(&[HOST]) + &pebble.issuer("pebble", "") + &route(&backend)));
    assert_eq!(Connection::open(site.http).unwrap().get(HOST, "/").unwrap().status, 200);
    let error = Connection::tls(site.https, HOST, &pebble.client()).err().expect("nobody vouches for it").to_string();
    assert!(error.contains("UnknownIssuer"), "{error}");
    let told = "http-01 for shop.torana.example";
    assert!(eventually(|| world.log().contains(told) && world.log().contains("next try")), "{}", world.log());
    assert_eq!(pebble.orders(), 1, "{}", world.log());
}

#[test]
fn a_route_cannot_take_the_path_of_challenges_and_they_do_not_reach_its_backend() {
    let (site, backend) = (Site::new(), Backend::named("app"));
    let pebble = Pebble::start(site.http, site.https);
    let world = site.start(&(site.gateway(&[HOST]) + &pebble.issuer("pebble", "") + &route(&backend)));
    served(&site, (&world, &pebble), &[HOST]);
    drop(backend.take());
    let status = |host: &str, path: &str| Connection::open(site.http).unwrap().get(host, path).unwrap().status;
    let path = "/.well-known/acme-challenge/stolen";
    assert_eq!(status(HOST, path), 404);
    assert_eq!(backend.take().len(), 0, "{}", world.log());
    assert_eq!(status("other.torana.example", path), 200, "others obtain theirs in their own way");
    assert_eq!(status(HOST, "/.well-known/other"), 200);
}

#[test]
fn certs_lists_it_and_has_it_renewed_with_a_new_key_while_connections_live_on() {
    let (site, backend) = (Site::new(), Backend::named("app"));
    let pebble = Pebble::start(site.http, site.https);
    let world = site.start(&(site.gateway(&[HOST]) + &pebble.issuer("pebble", "") + &route(&backend)));
    served(&site, (&world, &pebble), &[HOST]);
    let certs = |more: &[&str]| {
        let data = site.data.path().display().to_string();
        torana([&["certs", "--data", &data], more].concat())
    };
    let listed = certs(&["-o", "json"]);
    let all: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!((&all[0]["hosts"][0], &all[0]["state"], listed.code), (&HOST.into(), &"Ready".into(), Some(0)), "{all}");
    assert_eq!(all[0]["challenges"][0], "http-01");
    let client = pebble.client();
    let mut kept = Connection::tls(site.https, HOST, &client).unwrap();
    let key = |connection: &Connection| {
        let leaf = connection.session().unwrap().peer_certificates().unwrap()[0].clone();
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).unwrap();
        parsed.public_key().raw.to_vec()
    };
    let before = key(&kept);
    assert_ne!(certs(&["renew", "nobody.torana.example"]).code, Some(0));
    assert_eq!(certs(&["renew", HOST]).code, Some(0));
    let renewed = || Connection::tls(site.https, HOST, &client).is_ok_and(|connection| key(&connection) != before);
    assert!(eventually(renewed), "{}", world.log());
    assert_eq!(pebble.orders(), 2, "{}", world.log());
    assert_eq!(kept.get(HOST, "/").unwrap().status, 200);
}
