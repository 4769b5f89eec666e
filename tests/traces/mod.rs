// SPDX-License-Identifier: Apache-2.0
//! Whether a trace arrives whole, by the word of Jaeger: from a client through Torana to a backend that traces too.
//! The Jaeger is one that `./dev traces` builds; without it nothing is tested, and that is said.

mod jaeger;

mod plane;

use std::time::{Duration, Instant};

use torana_tests::eventually;

use jaeger::{Jaeger, Span};
use plane::{By, Plane};

/// The one span of this service and kind.
fn only<'s>(spans: &'s [Span], service: &str, kind: &str) -> &'s Span {
    let found: Vec<_> = spans.iter().filter(|span| span.service == service && span.tag("span.kind") == kind).collect();
    assert_eq!(found.len(), 1, "{service} {kind}: {spans:#?}");
    found[0]
}

fn one_trace_goes_through(by: By) {
    let Some(jaeger) = Jaeger::start() else { return };
    let plane = Plane::start(&jaeger, by);
    let trace = plane.visit("/shop/cart?token=secret");
    let mut spans = Vec::new();
    assert!(
        eventually(|| {
            spans = jaeger.trace(&trace);
            spans.len() == 4
        }),
        "{spans:#?}\n{}",
        jaeger.log()
    );
    let (client, backend) = (only(&spans, "client", "client"), only(&spans, "backend", "server"));
    let (served, tried) = (only(&spans, "torana-gateway", "server"), only(&spans, "torana-gateway", "client"));
    assert_eq!(client.parent, None);
    assert_eq!(served.parent.as_ref(), Some(&client.id));
    assert_eq!(tried.parent.as_ref(), Some(&served.id));
    assert_eq!(backend.parent.as_ref(), Some(&tried.id));
    assert_eq!((served.name.as_str(), tried.name.as_str()), ("GET default/cart", "GET"));
    for (name, value) in
        [("http.response.status_code", "200"), ("url.path", "/shop/cart"), ("torana.route", "HTTPRoute/default/cart")]
    {
        assert_eq!(served.tag(name), value, "{served:#?}");
    }
    assert_eq!(tried.tag("torana.backend"), "default/carts:80");
    assert!(eventually(|| plane.count("exported") >= 2.0));
}

#[test]
fn one_trace_goes_through_by_grpc() {
    one_trace_goes_through(By::Grpc);
}

#[test]
fn one_trace_goes_through_by_http() {
    one_trace_goes_through(By::Http);
}

#[test]
fn without_jaeger_traffic_goes_on_spans_are_counted_and_it_is_found_again() {
    for by in [By::Grpc, By::Http] {
        let Some(mut jaeger) = Jaeger::start() else { return };
        let plane = Plane::start(&jaeger, by);
        plane.visit("/shop");
        assert!(eventually(|| plane.count("exported") >= 2.0), "{}", jaeger.log());
        jaeger.stop();
        let began = Instant::now();
        for _ in 0..20 {
            plane.visit("/shop");
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(eventually(|| plane.count("failed") + plane.count("dropped") >= 40.0));
        jaeger.again();
        let trace = plane.visit("/shop");
        assert!(eventually(|| jaeger.trace(&trace).len() == 4), "{}", jaeger.log());
        // It may tell others before it answers us.
        assert!(eventually(|| plane.count("exported") >= 4.0));
    }
}
