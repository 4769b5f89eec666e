// SPDX-License-Identifier: Apache-2.0
//! Certificates that are obtained when clients ask for their names, once somebody has agreed to each.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use torana_tests::{Backend, Connection, eventually};

use super::pebble::Pebble;
use super::site::{Site, route, served};

const AGREED: &str = "www.customer.example";
const LATER: &str = "www.another.example";
const REFUSED: &str = "www.stranger.example";

/// Knows its customers, and remembers the names that it was asked about.
struct Judge {
    service: Backend,
    customers: Arc<Mutex<Vec<&'static str>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Judge {
    fn new() -> Self {
        let (customers, asked) = (Arc::new(Mutex::new(vec![AGREED])), Arc::<Mutex<Vec<String>>>::default());
        let (known, heard) = (Arc::clone(&customers), Arc::clone(&asked));
        let service = Backend::scripted(move |seen| {
            let name = seen.target.strip_prefix("/may?domain=").unwrap_or_default();
            heard.lock().unwrap().push(name.to_owned());
            let status = if known.lock().unwrap().contains(&name) { "200 OK" } else { "404 Not Found" };
            format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").into_bytes()
        });
        Self { service, customers, asked }
    }

    /// What an issuer says of it.
    fn field(&self) -> String {
        format!(", onDemand: {{ask: {{url: \"http://127.0.0.1:{}/may\"}}}}", self.service.port)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn manifests(site: &Site, pebble: &Pebble, judge: &Judge, backend: &Backend) -> String {
    let gateway = site.gateway(&[""]).replacen("hostname: \"\", ", "", 1);
    let gateway = gateway.replacen("pebble}", "pebble, torana.dev/acme-on-demand: \"true\"}", 1);
    gateway + &pebble.issuer("pebble", &judge.field()) + &route(backend)
}

#[test]
fn a_name_that_is_agreed_to_gets_a_certificate_and_a_stranger_none() {
    let (site, backend, judge) = (Site::new(), Backend::named("app"), Judge::new());
    let pebble = Pebble::start(site.http, site.https);
    let world = site.start(&manifests(&site, &pebble, &judge, &backend));
    let client = pebble.client();
    assert!(eventually(|| Connection::open(site.http).is_ok_and(|mut it| it.get(AGREED, "/").is_ok())));
    served(&site, (&world, &pebble), &[AGREED]);
    assert_eq!((judge.asked(), pebble.orders()), (vec![AGREED.to_owned()], 1), "{}", world.log());
    for _ in 0..2 {
        let error = Connection::tls(site.https, REFUSED, &client).err().expect("it has no certificate").to_string();
        assert!(!error.contains("certificate not valid for name"), "it is not shown another's: {error}");
    }
    assert_eq!((judge.asked(), pebble.orders()), (vec![AGREED.to_owned(), REFUSED.to_owned()], 1), "once each");
    drop(world);
    judge.customers.lock().unwrap().push(LATER);
    let world = site.start(&manifests(&site, &pebble, &judge, &backend));
    served(&site, (&world, &pebble), &[AGREED]);
    assert_eq!((judge.asked().len(), pebble.orders()), (2, 1), "what was agreed to, and signed, is kept");
    served(&site, (&world, &pebble), &[AGREED, LATER]);
    let (listed, code) = site.certs();
    let hosts: BTreeSet<_> = listed.as_array().unwrap().iter().filter_map(|it| it["hosts"][0].as_str()).collect();
    assert_eq!((hosts, code), ([LATER, AGREED].into(), Some(0)), "{listed}");
}

#[test]
fn nobody_agrees_where_nobody_is_there_to_ask() {
    let (site, backend, judge) = (Site::new(), Backend::named("app"), Judge::new());
    let pebble = Pebble::start(site.http, site.https);
    let text = manifests(&site, &pebble, &judge, &backend);
    let world = site.start(&text.replace(&format!(":{}/may", judge.service.port), ":1/may"));
    let client = pebble.client();
    assert!(eventually(|| Connection::open(site.http).is_ok_and(|mut it| it.get(AGREED, "/").is_ok())));
    assert!(Connection::tls(site.https, AGREED, &client).is_err());
    assert!(
        eventually(|| world.log().contains("nobody says whether a name may have a certificate")),
        "{}",
        world.log()
    );
    assert_eq!(pebble.orders(), 0);
}
