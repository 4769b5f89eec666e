// SPDX-License-Identifier: Apache-2.0
//! Istio's walk-throughs of traffic management, with its own objects: each gives what its page says. Objects of its
//! samples are read from `TORANA_ISTIO_SAMPLES`; none is kept here.
//!
//! Services run the sample backend instead of bookinfo's images. They call nobody, so what a page shows of one service
//! through another is asked of that service itself: of a Gateway that takes the rules of the mesh.

mod circuit_breaking;

mod fault_injection;

mod gateway;

mod mirroring;

mod request_routing;

mod request_timeouts;

mod traffic_shifting;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, fs};

use torana_tests::{Connection, Reply};

use super::{Lab, counts, edge, ingress, lab, until, until_all_answer};

/// A page of Istio's documentation, and what it says.
type Walk = (&'static str, fn(&Book));

/// Each after the other in one namespace, since pods take longer to come than rules. Every one begins with the rules
/// that its page begins with, and leaves none.
const WALKS: [Walk; 7] = [
    ("the application through its Gateway", gateway::the_product_page_is_reached_from_outside),
    ("request routing", request_routing::everybody_gets_version_1_and_then_jason_version_2),
    ("fault injection", fault_injection::jason_waits_for_ratings_and_then_gets_none),
    ("traffic shifting", traffic_shifting::half_of_the_requests_go_to_version_3_and_then_all),
    ("request timeouts", request_timeouts::a_rule_waits_no_longer_than_it_says),
    ("circuit breaking", circuit_breaking::what_is_too_much_at_once_is_refused),
    ("mirroring", mirroring::version_2_sees_what_version_1_answers),
];

#[test]
fn istio_s_walk_throughs_give_what_their_pages_say() {
    let Some(book) = Book::open() else { return };
    let mut failed = Vec::new();
    for (page, walk) in WALKS {
        let began = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| walk(&book))).is_err() {
            failed.push(page);
        }
        println!("{page}: {:.1} s", began.elapsed().as_secs_f64());
    }
    assert!(failed.is_empty(), "{failed:?}: why is above");
}

/// Bookinfo in a namespace of its own.
struct Book {
    lab: Lab,
    /// The address of the Gateway that takes the rules of the mesh.
    edge: String,
    samples: PathBuf,
}

/// What somebody got, and when.
struct Got {
    reply: Reply,
    took: Duration,
}

impl Got {
    fn status(&self) -> u16 {
        self.reply.status
    }

    /// Who answered.
    fn from(&self) -> Option<&str> {
        self.reply.header("x-echo-name")
    }
}

impl Book {
    fn open() -> Option<Self> {
        let lab = lab()?;
        let samples =
            env::var_os("TORANA_ISTIO_SAMPLES").expect("TORANA_ISTIO_SAMPLES says where they are: ./dev incluster");
        let mut book = Self { lab, edge: String::new(), samples: samples.into() };
        book.lab.apply(&(echoing(&book.sample("bookinfo/platform/kube/bookinfo"), 9080) + &edge()));
        book.is_available();
        book.edge = book.lab.address("edge");
        Some(book)
    }

    /// Waits until all that is deployed is there.
    fn is_available(&self) {
        self.lab.kubectl(&["wait", "--for=condition=Available", "deployment", "--all", "--timeout=120s"]);
    }

    fn sample(&self, name: &str) -> String {
        let file = self.samples.join(format!("{name}.yaml"));
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// `kubectl apply -f samples/bookinfo/networking/NAME.yaml`.
    fn apply(&self, name: &str) {
        self.lab.apply(&self.sample(&format!("bookinfo/networking/{name}")));
    }

    /// Everything goes to version 1: where most pages begin. The versions come first, as their page says.
    fn begin(&self) {
        self.apply("destination-rule-all");
        self.apply("virtual-service-all-v1");
        until_all_answer(&self.edge, "reviews", &["reviews-v1"]);
    }

    /// Removes every rule.
    fn end(&self) {
        self.lab.kubectl(&["delete", "virtualservice,destinationrule", "--all"]);
    }

    /// What anybody gets of a service.
    fn get(&self, host: &str, path: &str) -> Got {
        self.get_as(None, host, path)
    }

    /// What a user gets of a service.
    fn get_as(&self, user: Option<&str>, host: &str, path: &str) -> Got {
        let began = Instant::now();
        let mut connection = Connection::to(format!("{}:80", self.edge).parse().unwrap()).unwrap();
        connection.patience(Duration::from_secs(20)).unwrap();
        let user = user.map(|user| format!("end-user: {user}\r\n")).unwrap_or_default();
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{user}\r\n").as_bytes()).unwrap();
        let reply = connection.reply("GET").unwrap();
        Got { reply, took: began.elapsed() }
    }

    /// Who answers that many requests for `host`, how often.
    fn counts(&self, host: &str, count: usize) -> BTreeMap<String, usize> {
        counts(&self.edge, host, count)
    }
}

/// Manifests of Istio whose containers are the sample backend on that port, named like their image, which says every
/// request that it gets.
fn echoing(manifests: &str, port: u16) -> String {
    let line = |line: &str| {
        let Some((before, image)) = line.split_once("image: ") else { return format!("{line}\n") };
        let name = image.rsplit('/').next().unwrap_or(image).split(':').next().unwrap_or(image);
        let name = name.trim_start_matches("examples-bookinfo-");
        let indent = " ".repeat(before.len());
        format!(
            "{before}image: torana:{version}
{indent}command: [/bin/torana]
{indent}args: [echo, --log, --port={port}, --name={name}]
{indent}readinessProbe: {{tcpSocket: {{port: {port}}}, periodSeconds: 1}}
",
            version = env!("CARGO_PKG_VERSION")
        )
    };
    manifests.lines().map(line).collect()
}
