// SPDX-License-Identifier: Apache-2.0
//! One annotation to HTTPS: Torana by itself, and Pebble.

use std::path::Path;

use torana_tests::{Backend, Connection, World, eventually, ports};

use super::pebble::{Manner, Pebble};
use super::site::{HOST, Leaf, Site, route, served};

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
    let pebble = Pebble::with(site.http, site.https, &Manner { bad_nonces: 50, ..Manner::default() });
    let hosts = ["a.torana.example", "b.torana.example", "c.torana.example"];
    let world = site.start(&(site.gateway(&hosts) + &pebble.issuer("pebble", "") + &route(&backend)));
    served(&site, (&world, &pebble), &hosts);
}

#[test]
fn a_listener_for_every_host_gets_one_for_each_host_of_its_routes_also_of_later_ones() {
    let (site, backend) = (Site::new(), Backend::named("app"));
    let pebble = Pebble::start(site.http, site.https);
    let gateway = site.gateway(&[""]).replacen("hostname: \"\", ", "", 1);
    let gateway = gateway.replacen("pebble}", "pebble, torana.dev/acme-from-routes: \"true\"}", 1);
    let [first, later] = ["a.torana.example", "b.torana.example"];
    let routes = World::service("app", backend.port) + &World::route("first", first, "app");
    let world = site.start(&(gateway + &pebble.issuer("pebble", "") + &routes));
    served(&site, (&world, &pebble), &[first]);
    world.apply("later.yaml", &World::route("later", later, "app"));
    served(&site, (&world, &pebble), &[first, later]);
    assert_eq!(pebble.orders(), 2, "each has its own: {}", pebble.log());
}

#[test]
fn an_authority_for_customers_only_is_told_which_one_asks() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let (site, backend) = (Site::new(), Backend::named("app"));
    let manner = Manner { external: Some(("kid-1", KEY)), ..Manner::default() };
    let pebble = Pebble::with(site.http, site.https, &manner);
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
    let (listed, code) = site.certs();
    assert_eq!(
        (&listed[0]["hosts"][0], &listed[0]["state"], code),
        (&HOST.into(), &"Ready".into(), Some(0)),
        "{listed}"
    );
    assert_eq!(listed[0]["challenges"][0], "http-01");
    let client = pebble.client();
    let mut kept = Connection::tls(site.https, HOST, &client).unwrap();
    let before = Leaf::of(&kept);
    assert_ne!(site.renew("nobody.torana.example"), Some(0));
    assert_eq!(site.renew(HOST), Some(0));
    assert!(eventually(|| site.leaf(&client).is_some_and(|leaf| leaf.key != before.key)), "{}", world.log());
    assert_eq!(pebble.orders(), 2, "{}", world.log());
    assert_eq!(kept.get(HOST, "/").unwrap().status, 200);
    let told = site.debug(HOST);
    assert!(told.contains("Secret default/shop-tls") && told.contains("CAA: ") && told.contains(HOST), "{told}");
}
