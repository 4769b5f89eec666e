// SPDX-License-Identifier: Apache-2.0
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use torana_ir::{Backend, BackendKey, HeaderName, ProviderKey, Share, Tag, TagValue, Tracing};

use super::*;
use crate::fault::Fault;
use crate::head::{Fields, Head, Scheme, Version};
use crate::observe::{Metrics, Nouns, RouteNouns};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SHORT: &str = "a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn tracing(percent: u32) -> Tracing {
    Tracing {
        collector: ProviderKey("c".into()),
        sampling: Share::new(percent * 10_000).unwrap(),
        tags: vec![],
        disable_reporting: false,
    }
}

fn tracer(percent: u32) -> Arc<Tracer> {
    Arc::new(Tracer::compile(&tracing(percent), |_| None))
}

fn head(fields: &[(&str, &str)]) -> Head {
    let mut head = Head::new(Version::Http11, Scheme::Http, "GET", "shop.example:8080", "/cart?token=secret");
    for (name, value) in fields {
        head.fields.push(name.as_bytes(), value.as_bytes());
    }
    head
}

fn clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1000)
}

fn came() -> Came {
    Came { client: LOCAL, peer: SocketAddr::new(LOCAL, 4711), started: Instant::now(), clock }
}

fn begun(percent: u32, fields: &[(&str, &str)]) -> (Head, Begun) {
    let mut head = head(fields);
    let begun = tracer(percent).begin(&mut head, None, came());
    (head, begun)
}

fn field(fields: &Fields, name: &str) -> String {
    fields.joined(name).unwrap_or_default().into_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn text(id: ids::TraceId) -> String {
    String::from_utf8(id.text().to_vec()).unwrap()
}

fn parent(version: &str, flags: &str, rest: &str) -> String {
    format!("{version}-{TRACE}-{SPAN}-{flags}{rest}")
}

#[test]
fn a_traceparent_is_as_the_standard_has_it_or_it_is_nothing() {
    let zero = |from: &str| "0".repeat(from.len());
    let rows = [
        ("whole", parent("00", "01", ""), Some(true)),
        ("not sampled", parent("00", "00", ""), Some(false)),
        ("flags that are not known", parent("00", "ff", ""), Some(true)),
        ("one of them, and not the one", parent("00", "02", ""), Some(false)),
        ("version 00 has nothing behind it", parent("00", "01", "-00"), None),
        ("not even a dash", parent("00", "01", "-"), None),
        ("a later version may have more", parent("01", "01", "-what-ever"), Some(true)),
        ("or nothing", parent("cc", "00", ""), Some(false)),
        ("but it begins with a dash", parent("01", "01", "x"), None),
        ("version ff is forbidden", parent("ff", "01", ""), None),
        ("upper case version", parent("0A", "01", ""), None),
        ("upper case flags", parent("00", "0B", ""), None),
        ("upper case id", parent("00", "01", "").replace('b', "B"), None),
        ("no digit", parent("00", "01", "").replace("4bf9", "4bg9"), None),
        ("trace of zeros", parent("00", "01", "").replace(TRACE, &zero(TRACE)), None),
        ("span of zeros", parent("00", "01", "").replace(SPAN, &zero(SPAN)), None),
        ("too short", parent("00", "01", "")[..54].to_owned(), None),
        ("too short trace", parent("00", "01", "-").replace(TRACE, &TRACE[1..]), None),
        ("other separators", parent("00", "01", "").replace('-', "_"), None),
        ("empty", String::new(), None),
        ("blanks", format!(" {}", parent("00", "01", "")), None),
        ("huge", parent("00", "01", &"-0".repeat(5000)), None),
        ("not UTF-8", "\u{fffd}".repeat(30), None),
    ];
    for (name, value, sampled) in rows {
        let found = w3c::parse(value.as_bytes());
        assert_eq!(found.map(|it| it.sampled), sampled, "{name}: {value}");
        if let Some(found) = found {
            assert_eq!((text(found.trace).as_str(), hex(&found.span.bytes()).as_str()), (TRACE, SPAN), "{name}");
        }
    }
}

#[test]
fn a_tracestate_is_a_list_of_members() {
    let many = |count: usize| vec!["a=1"; count].join(",");
    let rows = [
        ("", Some(0)),
        ("a=1", Some(1)),
        ("a=1,b=2", Some(2)),
        (" a=1 ,\tb=2 ,, ", Some(2)),
        ("fw529a3039@dt=FfAAAAEB", Some(1)),
        ("0tenant@sys=x", Some(1)),
        ("a_-*/0=!\"#$%&'()*+-./:;<>?@[]^_`{|}~", Some(1)),
        ("a=b=c", None),
        ("a", None),
        ("=1", None),
        ("a=", None),
        ("A=1", None),
        ("_a=1", None),
        ("a@=1", None),
        ("a@b@c=1", None),
        ("a@0b=1", None),
        ("a=\u{e9}", None),
        ("a=\u{7}", None),
    ];
    for (value, members) in rows {
        assert_eq!(w3c::members(value.as_bytes()), members, "{value:?}");
    }
    assert_eq!(w3c::members(many(32).as_bytes()), Some(32));
    assert_eq!(w3c::members(many(33).as_bytes()), None);
    assert_eq!(w3c::members(format!("{}=1", "k".repeat(256)).as_bytes()), Some(1));
    assert_eq!(w3c::members(format!("{}=1", "k".repeat(257)).as_bytes()), None);
    assert_eq!(w3c::members(format!("k={}", "v".repeat(257)).as_bytes()), None);
}

#[test]
fn b3_in_one_field_is_whole_or_a_decision_alone() {
    let long = format!("{TRACE}-{SPAN}");
    // Trace, sampled, debug, short.
    let rows = [
        (long.clone(), Some((true, None, false, false))),
        (format!("{SHORT}-{SPAN}"), Some((true, None, false, true))),
        (format!("{long}-1"), Some((true, Some(true), false, false))),
        (format!("{long}-0"), Some((true, Some(false), false, false))),
        (format!("{long}-d"), Some((true, Some(true), true, false))),
        (format!("{long}-1-{SPAN}"), Some((true, Some(true), false, false))),
        ("0".to_owned(), Some((false, Some(false), false, false))),
        ("1".to_owned(), Some((false, Some(true), false, false))),
        ("d".to_owned(), Some((false, Some(true), true, false))),
        (format!("{long}-1-x"), None),
        (format!("{long}-1-{SPAN}-1"), None),
        (format!("{long}-2"), None),
        (format!("{long}-"), None),
        (TRACE.to_owned(), None),
        (format!("{}-{SPAN}", &TRACE[..31]), None),
        (format!("{}-{SPAN}", TRACE.to_uppercase()), None),
        (format!("{}-{SPAN}", "0".repeat(32)), None),
        (format!("{TRACE}-{}", "0".repeat(16)), None),
        (format!("{TRACE}-{SPAN}0"), None),
        ("true".to_owned(), None),
        (String::new(), None),
        ("-".repeat(9000), None),
    ];
    for (value, expected) in rows {
        let found = b3::single(value.as_bytes());
        let found = found.map(|it| (it.ids.is_some(), it.sampled, it.debug, it.is_short));
        assert_eq!(found, expected, "{value}");
    }
}

/// Name, fields, whether the trace goes on, and whether it is followed where nobody is by chance.
type Row<'r> = (&'r str, Vec<(&'r str, &'r str)>, Option<&'r str>, bool);

#[test]
fn what_came_goes_on_in_the_forms_in_which_it_came() {
    let w3c = parent("00", "01", "");
    let trace = ("x-b3-traceid", TRACE);
    let (span, yes) = (("x-b3-spanid", SPAN), ("x-b3-sampled", "1"));
    let single = format!("{TRACE}-{SPAN}-1");
    let other = format!("{}-{SPAN}-1", TRACE.replace('4', "5"));
    let rows: Vec<Row<'_>> = vec![
        ("nothing", vec![], None, false),
        ("w3c", vec![("traceparent", &w3c)], Some(TRACE), true),
        ("twice is nothing", vec![("traceparent", &w3c), ("traceparent", &w3c)], None, false),
        ("a broken one is not there: b3 holds", vec![("traceparent", "x"), ("b3", &single)], Some(TRACE), true),
        ("w3c before b3", vec![("b3", &other), ("traceparent", &w3c)], Some(TRACE), true),
        ("single", vec![("b3", &single)], Some(TRACE), true),
        ("single twice", vec![("b3", &single), ("b3", &single)], None, false),
        ("multi", vec![trace, span, yes], Some(TRACE), true),
        ("multi with words", vec![trace, span, ("x-b3-sampled", "true")], Some(TRACE), true),
        ("multi, debug", vec![trace, span, ("x-b3-flags", "1")], Some(TRACE), true),
        ("multi without a decision", vec![trace, span], Some(TRACE), false),
        ("multi with a wrong one", vec![trace, span, ("x-b3-sampled", "2")], None, false),
        ("multi twice", vec![trace, trace, span, yes], None, false),
        ("half of it", vec![trace, yes], None, false),
        ("a decision alone", vec![yes], None, true),
        ("a decision alone, in one field", vec![("b3", "1")], None, true),
        ("single before multi", vec![("b3", "0"), trace, span, yes], None, false),
        ("no trace", vec![("x-b3-parentspanid", SPAN)], None, false),
    ];
    for (name, fields, goes_on, followed) in rows {
        let (head, begun) = begun(0, &fields);
        let (trace, is_followed) = (text(begun.trace), begun.followed.is_some());
        assert_eq!(goes_on.is_none_or(|it| it == trace), goes_on.is_some() || trace != TRACE, "{name}");
        assert_eq!(is_followed, followed, "{name}");
        let parent = field(&head.fields, "traceparent");
        let written = w3c::parse(parent.as_bytes()).unwrap_or_else(|| panic!("{name}: {parent}"));
        assert_eq!((text(written.trace), written.sampled), (trace.clone(), followed), "{name}");
        // Somebody whom nobody follows is not in the way: the span of the client stays.
        let span = hex(&written.span.bytes());
        assert_eq!(span == SPAN, goes_on.is_some() && !followed, "{name}");
        let had = |wanted: &[&str]| fields.iter().any(|(field, _)| wanted.contains(field));
        assert_eq!(head.fields.values("b3").count(), usize::from(had(&["b3"])), "{name}");
        if had(&["b3"]) {
            let expected = format!("{trace}-{span}-{}", u8::from(followed));
            assert_eq!(field(&head.fields, "b3"), expected, "{name}");
        }
        let multi = had(&["x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags"]);
        assert_eq!(field(&head.fields, "x-b3-traceid"), if multi { trace.as_str() } else { "" }, "{name}");
        assert_eq!(field(&head.fields, "x-b3-spanid"), if multi { span.as_str() } else { "" }, "{name}");
        assert_eq!(!field(&head.fields, "x-b3-flags").is_empty(), had(&["x-b3-flags"]), "{name}");
        assert_eq!(!field(&head.fields, "x-b3-sampled").is_empty(), multi && !had(&["x-b3-flags"]), "{name}");
    }
}

#[test]
fn a_short_id_of_b3_stays_short_where_it_was_and_is_whole_elsewhere() {
    let came = format!("{SHORT}-{SPAN}-1");
    let (head, begun) = begun(0, &[("b3", &came)]);
    let whole = format!("{}{SHORT}", "0".repeat(16));
    assert_eq!(text(begun.trace), whole);
    assert!(field(&head.fields, "b3").starts_with(&format!("{SHORT}-")), "{head:?}");
    assert!(field(&head.fields, "traceparent").starts_with(&format!("00-{whole}-")), "{head:?}");
}

#[test]
fn a_tracestate_goes_with_its_traceparent_and_only_whole() {
    let parent = parent("00", "01", "");
    let huge = format!("a={}", "x".repeat(60_000));
    let (parent, huge) = (parent.as_str(), huge.as_str());
    let rows = [
        ("kept", vec![("traceparent", parent), ("tracestate", "a=1,b=2")], "a=1,b=2", Some("a=1,b=2")),
        (
            "of two fields",
            vec![("traceparent", parent), ("tracestate", "a=1"), ("tracestate", "b=2")],
            "a=1,b=2",
            Some("a=1,b=2"),
        ),
        ("broken", vec![("traceparent", parent), ("tracestate", "a")], "", None),
        ("one of two is broken", vec![("traceparent", parent), ("tracestate", "a=1"), ("tracestate", "b")], "", None),
        ("huge", vec![("traceparent", parent), ("tracestate", huge)], "", None),
        ("of nothing", vec![("tracestate", "a=1")], "", None),
    ];
    for (name, fields, goes_on, told) in rows {
        let (head, begun) = begun(100, &fields);
        assert_eq!(field(&head.fields, "tracestate"), goes_on, "{name}");
        let span = begun.followed.unwrap().served(Served::default(), Instant::now());
        assert_eq!(span.state.as_deref(), told, "{name}");
    }
}

#[test]
fn a_client_decides_then_the_rule_then_the_listener() {
    let (yes, no) = (parent("00", "01", ""), parent("00", "00", ""));
    let all = Some(Share::ALL);
    let none = Some(Share::new(0).unwrap());
    for (fields, listener, rule, followed) in [
        (vec![], 0, None, false),
        (vec![], 100, None, true),
        (vec![], 0, all, true),
        (vec![], 100, none, false),
        (vec![("traceparent", yes.as_str())], 0, none, true),
        (vec![("traceparent", no.as_str())], 100, all, false),
    ] {
        let mut head = head(&fields);
        let begun = tracer(listener).begin(&mut head, rule, came());
        assert_eq!(begun.followed.is_some(), followed, "{fields:?} {listener} {rule:?}");
    }
}

#[test]
fn where_nobody_is_told_a_client_stays_the_parent() {
    let tracer = Arc::new(Tracer::compile(&Tracing { disable_reporting: true, ..tracing(100) }, |_| None));
    let came_in = parent("00", "01", "");
    let mut with = head(&[("traceparent", &came_in), ("tracestate", "a=1")]);
    assert!(tracer.begin(&mut with, None, came()).followed.is_none());
    assert_eq!(field(&with.fields, "traceparent"), came_in);
    assert_eq!(field(&with.fields, "tracestate"), "a=1");
    let mut without = head(&[]);
    assert!(tracer.begin(&mut without, None, came()).followed.is_none());
    assert!(w3c::parse(field(&without.fields, "traceparent").as_bytes()).unwrap().sampled);
}

#[test]
fn every_try_and_every_question_has_a_span_of_its_own() {
    let came_in = parent("00", "01", "");
    let (head, begun) = begun(0, &[("traceparent", &came_in), ("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)]);
    let followed = begun.followed.unwrap();
    assert_eq!(field(&head.fields, "x-b3-spanid"), hex(&followed.first().bytes()));
    let (second, again) = followed.again(&head);
    assert_ne!(second, followed.first());
    assert_eq!(field(&again.fields, "traceparent"), format!("00-{TRACE}-{}-01", hex(&second.bytes())));
    assert_eq!(field(&again.fields, "x-b3-spanid"), hex(&second.bytes()));
    let mut question = Fields::default();
    question.push(b"b3", b"0");
    let third = followed.question(&mut question);
    assert_eq!(field(&question, "traceparent"), format!("00-{TRACE}-{}-01", hex(&third.bytes())));
    assert_eq!(question.len(), 1);
    let mut silent = head;
    silent.fields.remove("traceparent");
    silent.fields.remove("x-b3-spanid");
    assert_eq!(followed.again(&silent).1.fields.first("traceparent"), None, "a rule took it away");
}

fn value(span: &Span, name: &str) -> Option<String> {
    let found: Vec<_> = span.attributes().into_iter().filter(|(it, _)| *it == name).collect();
    assert!(found.len() < 2, "{name} is there twice");
    found.into_iter().next().map(|(_, value)| match value {
        Value::Text(text) => text.into_owned(),
        Value::Number(number) => number.to_string(),
    })
}

#[test]
fn a_request_is_told_of_in_the_words_of_the_conventions() {
    let mut head = head(&[("user-agent", "curl/8"), ("x-request-id", "id-1")]);
    let mut followed = tracer(100).begin(&mut head, None, came()).followed.unwrap();
    followed.stamped(&head.fields);
    let route = RouteNouns { kind: "HTTPRoute", namespace: "shop".into(), name: "cart".into(), rule: "pay".into() };
    let nouns = Nouns { gateway: "infra/edge".into(), listener: "web".into(), route: Some(route) };
    let mut backend = Backend::new(BackendKey::tcp("shop", "carts", 80));
    backend.key.subset = Some("v2".into());
    let served = Served {
        nouns: Some(Arc::new(nouns)),
        backend: Some(Arc::new(backend)),
        status: 504,
        fault: Some(Fault::RequestTimeout),
        sent: 3,
        ..Served::default()
    };
    let span = followed.served(served, Instant::now() + Duration::from_secs(2));
    assert_eq!((span.name().as_ref(), span.kind()), ("GET shop/cart", Kind::Server));
    assert!(span.start == clock() && span.end >= span.start + Duration::from_secs(2));
    for (name, expected) in [
        ("http.request.method", "GET"),
        ("url.path", "/cart"),
        ("url.scheme", "http"),
        ("server.address", "shop.example"),
        ("server.port", "8080"),
        ("client.address", "127.0.0.1"),
        ("network.peer.port", "4711"),
        ("user_agent.original", "curl/8"),
        ("http.response.status_code", "504"),
        ("network.protocol.version", "1.1"),
        ("error.type", Fault::RequestTimeout.reason()),
        ("response_flags", "UT"),
        ("guid:x-request-id", "id-1"),
        ("torana.gateway", "infra/edge"),
        ("torana.listener", "web"),
        ("torana.route", "HTTPRoute/shop/cart"),
        ("torana.rule", "pay"),
        ("torana.backend", "shop/carts:80 subset v2"),
        ("upstream_cluster", "outbound|80|v2|carts.shop.svc.cluster.local"),
        ("http.response.body.size", "3"),
    ] {
        assert_eq!(value(&span, name).as_deref(), Some(expected), "{name}");
    }
    let secret =
        span.attributes().iter().any(|(_, value)| matches!(value, Value::Text(text) if text.contains("secret")));
    assert!(!secret, "a query is not told");
}

#[test]
fn what_a_client_sends_names_no_span_and_takes_bounded_room() {
    let long = "x".repeat(9000);
    let mut odd = Head::new(Version::Http2, Scheme::Https, "BREW", "a", &format!("/{}\u{e9}", "y".repeat(1022)));
    odd.fields.push(b"user-agent", long.as_bytes());
    let followed = tracer(100).begin(&mut odd, None, came()).followed.unwrap();
    let span = followed.served(Served { status: 404, ..Served::default() }, Instant::now());
    assert_eq!((span.name().as_ref(), span.error()), ("HTTP", None));
    assert_eq!(value(&span, "http.request.method").as_deref(), Some("_OTHER"));
    assert_eq!(value(&span, "http.request.method_original").as_deref(), Some("BREW"));
    assert_eq!(value(&span, "server.port").as_deref(), Some("443"));
    assert_eq!(value(&span, "user_agent.original").unwrap().len(), 256);
    assert!(value(&span, "url.path").unwrap().len() <= 1024);
}

#[test]
fn what_went_wrong_through_no_fault_of_the_client_is_an_error() {
    let rows = [
        (200, None, None),
        (404, None, None),
        (503, None, Some("503")),
        (404, Some(Fault::NoRoute), None),
        (403, Some(Fault::PolicyDenied), None),
        (499, Some(Fault::ClientGone), None),
        (200, Some(Fault::UpstreamCut), Some(Fault::UpstreamCut.reason())),
        (500, Some(Fault::InvalidConfig), Some(Fault::InvalidConfig.reason())),
        (503, Some(Fault::Connect), Some(Fault::Connect.reason())),
    ];
    for (status, fault, expected) in rows {
        let followed = tracer(100).begin(&mut head(&[]), None, came()).followed.unwrap();
        let span = followed.served(Served { status, fault, ..Served::default() }, Instant::now());
        assert_eq!(span.error().as_deref(), expected, "{status} {fault:?}");
    }
}

#[test]
fn tags_come_from_here_from_the_environment_and_from_the_request() {
    let name = |name: &str| HeaderName::new(name).unwrap();
    let tag = |name: &str, value| Tag { name: name.to_owned(), value };
    let spec = Tracing {
        tags: vec![
            tag("twice", TagValue::Literal("first".into())),
            tag("twice", TagValue::Literal("last".into())),
            tag("component", TagValue::Literal("edge".into())),
            tag("env", TagValue::Environment { name: "SET".into(), default: None }),
            tag("unset", TagValue::Environment { name: "UNSET".into(), default: Some("default".into()) }),
            tag("nowhere", TagValue::Environment { name: "UNSET".into(), default: None }),
            tag("user", TagValue::Header { name: name("x-user"), default: None }),
            tag("tier", TagValue::Header { name: name("x-tier"), default: Some("free".into()) }),
            tag("none", TagValue::Header { name: name("x-none"), default: None }),
        ],
        ..tracing(100)
    };
    let tracer = Arc::new(Tracer::compile(&spec, |name| (name == "SET").then(|| "value".to_owned())));
    let mut head = head(&[("x-user", &"u".repeat(1000))]);
    let followed = tracer.begin(&mut head, None, came()).followed.unwrap();
    // What a filter does to it later changes nothing.
    head.fields.set("x-user", b"other");
    let tried = Tried {
        backend: Arc::new(Backend::new(BackendKey::tcp("n", "b", 80))),
        endpoint: None,
        number: 2,
        http2: true,
        status: 0,
        fault: Some(Fault::Connect),
        is_question: false,
    };
    let now = Instant::now();
    let of_try = followed.tried(followed.first(), &head, tried, (now, now));
    assert_eq!((of_try.name().as_ref(), of_try.kind()), ("GET", Kind::Client));
    assert_eq!(value(&of_try, "http.request.resend_count").as_deref(), Some("1"));
    assert_eq!(value(&of_try, "url.full").as_deref(), Some("http://shop.example:8080/cart"));
    for span in [followed.served(Served::default(), now), of_try] {
        for (name, expected) in [
            ("twice", Some("last")),
            ("component", Some("edge")),
            ("env", Some("value")),
            ("unset", Some("default")),
            ("nowhere", None),
            ("user", Some("u".repeat(256).as_str())),
            ("tier", Some("free")),
            ("none", None),
        ] {
            assert_eq!(value(&span, name).as_deref(), expected, "{name}");
        }
    }
}

#[tokio::test]
async fn a_full_queue_drops_and_counts_and_nobody_waits() {
    let metrics = Metrics::new();
    let (spans, mut arrivals) = Spans::with_length(2, &metrics);
    let span = || {
        let followed = tracer(100).begin(&mut head(&[]), None, came()).followed.unwrap();
        followed.served(Served::default(), Instant::now())
    };
    (0..5).for_each(|_| spans.tell(span()));
    assert_eq!(metrics.spans("dropped").get(), 3);
    assert!(matches!(arrivals.recv().await, Some(Item::Span(_))));
    spans.tell(span());
    assert_eq!(metrics.spans("dropped").get(), 3);
    let started = Instant::now();
    spans.flush(Duration::from_millis(50)).await;
    assert!(started.elapsed() < Duration::from_secs(2), "a flush has an end");
    drop(arrivals);
    spans.flush(Duration::from_mins(1)).await;
    assert!(started.elapsed() < Duration::from_secs(5), "nobody is there to wait for");
}
