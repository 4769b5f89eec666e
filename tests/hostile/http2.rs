// SPDX-License-Identifier: Apache-2.0
//! B13–B16: requests of HTTP/2 that must not become requests of HTTP/1. Frames are written by hand, because every
//! library refuses to send them.

use std::time::Duration;

use super::connections::EARLY;
use super::frames::{Client, DATA, END_HEADERS, END_STREAM, Field, Got, HEADERS, block, frame};
use super::oracle::Range;
use super::row::MARKER;

/// Id and the fields of the request.
type Case = (&'static str, Vec<Field<'static>>);

pub(super) fn good<'a>() -> Vec<Field<'a>> {
    vec![
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", b"/case"),
        (b":authority", b"a.example"),
        (MARKER.as_bytes(), b"1"),
    ]
}

/// A good request with one field more.
fn plus(field: Field<'static>) -> Vec<Field<'static>> {
    let mut fields = good();
    fields.push(field);
    fields
}

/// A good request with one pseudo-field changed, doubled or left out.
fn pseudo(name: &'static [u8], value: Option<&'static [u8]>) -> Vec<Field<'static>> {
    let mut fields = good();
    fields.retain(|(field, _)| *field != name);
    if let Some(value) = value {
        fields.insert(0, (name, value));
    }
    fields
}

fn malformed() -> Vec<Case> {
    let mut rows = fields_of_http1();
    rows.extend(pseudo_fields());
    rows.extend(authorities());
    rows
}

fn fields_of_http1() -> Vec<Case> {
    let fields: &[Field<'static>] = &[
        (b"transfer-encoding", b"chunked"),
        (b"connection", b"close"),
        (b"connection", b"x"),
        (b"upgrade", b"h2c"),
        (b"keep-alive", b"1"),
        (b"proxy-connection", b"x"),
        (b"te", b"gzip"),
        (b"te", b"trailers, gzip"),
        (b"X-Upper", b"1"),
        (b"x", b"a\rb"),
        (b"x", b"a\nb"),
        (b"x", b"a\0b"),
        (b"x", b"a\r\nb: c"),
        (b"x y", b"1"),
        (b"x:y", b"1"),
        (b"x\0", b"1"),
        (b"x\r\n", b"1"),
        (b"", b"1"),
        (b"x", b" a"),
        (b"x", b"a "),
        (b"x", b"\ta"),
        (b"x\x7f", b"1"),
        (b"x", b"a\x01"),
        (b"content-length", b"+5"),
        (b"content_length", b"5"),
        (b"transfer_encoding", b"chunked"),
        (b"expect", b"x"),
        (b"x\xff", b"1"),
        (b"(x)", b"1"),
    ];
    fields.iter().map(|field| ("B13", plus(*field))).collect()
}

fn pseudo_fields() -> Vec<Case> {
    let mut rows = Vec::new();
    for name in [&b":method"[..], b":scheme", b":path"] {
        rows.push(("B14", pseudo(name, None)));
        let twice = if name == b":method" {
            &b"GET"[..]
        } else if name == b":scheme" {
            &b"http"[..]
        } else {
            &b"/case"[..]
        };
        let mut fields = good();
        fields.insert(0, (name, twice));
        rows.push(("B14", fields));
        rows.push(("B14", plus((name, twice))));
    }
    rows.push(("B14", plus((b":unknown", b"1"))));
    rows.push(("B14", plus((b":status", b"200"))));
    for path in [
        &b""[..],
        b"*",
        b"http://a.example/",
        b"/a b",
        b"/a\r\nb",
        b"abc",
        b"?x",
        b"/\0",
        b"/%00",
        b"/%zz",
        b"/\xff",
        b"/a\tb",
        b"/%c0%af",
    ] {
        rows.push(("B14", pseudo(b":path", Some(path))));
    }
    for method in [&b"GE T"[..], b"", b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", b"G\0T", b"TRACE", b"G(T"] {
        rows.push(("B14", pseudo(b":method", Some(method))));
    }
    for scheme in [&b"https"[..], b"ftp", b"", b"h t", b"http://x/", b"http\r\n"] {
        rows.push(("B14", pseudo(b":scheme", Some(scheme))));
    }
    rows
}

fn authorities() -> Vec<Case> {
    let mut rows = Vec::new();
    rows.push(("B15", plus((b"host", b"b.example"))));
    rows.push(("B15", plus((b"host", b""))));
    rows.push(("B15", [plus((b"host", b"a.example")), vec![(b"host", b"a.example")]].concat()));
    for authority in [
        &b""[..],
        b"u@a.example",
        b"a.example, b",
        b"a.example/x",
        b"a.example:x",
        b"[::1",
        b"a b",
        b"a.example:99999",
        b"a\0b",
    ] {
        rows.push(("B15", pseudo(b":authority", Some(authority))));
    }
    rows.push(("B15", pseudo(b":authority", None)));
    rows
}

#[test]
fn malformed_requests_of_http2_reach_no_backend() {
    let range = Range::new();
    let mut wrong = Vec::new();
    let rows = malformed();
    for (id, fields) in &rows {
        let before = range.backend.bytes();
        let mut client = Client::open(range.world.http);
        client.send(&frame(1, END_STREAM | END_HEADERS, 1, &block(fields)));
        let got = client.outcome(1);
        let refused = match got {
            Got::Status(status) => status != 200 && (status < 500 || status == 501),
            Got::Reset | Got::GoAway | Got::Closed => true,
            Got::Nothing => false,
        };
        let reached = range.backend.bytes() - before;
        if !refused || reached > 0 {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}: {}", name.escape_ascii(), value.escape_ascii()))
                .collect();
            wrong.push(format!("{id} {got:?}, {reached} bytes forwarded: {fields:?}"));
        }
    }
    let mut client = Client::open(range.world.http);
    client.send(&frame(1, END_STREAM | END_HEADERS, 1, &block(&good())));
    assert_eq!(client.outcome(1), Got::Status(200));
    println!("hostile B13-B15: {} rows, {} wrong", rows.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_early_answer_arrives_and_then_the_upload_is_stopped() {
    let range = Range::with(EARLY);
    let mut fields = pseudo(b":method", Some(b"POST"));
    fields.retain(|(name, _)| *name != b":path");
    fields.insert(0, (b":path", b"/early"));
    for number in 0..20 {
        let mut client = Client::open(range.world.http);
        let body = if number % 2 == 0 { frame(DATA, 0, 1, b"hello") } else { Vec::new() };
        client.send(&[frame(HEADERS, END_HEADERS, 1, &block(&fields)), body].concat());
        // 302 is no status of the static table.
        assert_eq!(client.outcome(1), Got::Status(1), "the answer of connection {number}");
        assert_eq!(client.outcome(1), Got::Reset);
        client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 3, &block(&good())));
        assert_eq!(client.outcome(3), Got::Status(200));
    }
    assert!(range.backend.take().iter().all(|seen| seen.target == "/case"));
    println!("hostile A26: early answers of HTTP/2: 20 rows, 0 wrong");
}

#[test]
fn a_length_that_lies_completes_no_request() {
    let range = Range::new();
    let post = |length: &'static [u8]| {
        let mut fields = pseudo(b":method", Some(b"POST"));
        fields.push((b"content-length", length));
        fields
    };
    let head = |fields: &[Field<'_>]| frame(1, END_HEADERS, 1, &block(fields));
    let doubled = [post(b"5"), vec![(&b"content-length"[..], &b"6"[..])]].concat();
    let rows = [
        [head(&post(b"5")), frame(0, END_STREAM, 1, b"hello!")].concat(),
        [head(&post(b"5")), frame(0, END_STREAM, 1, b"hell")].concat(),
        [head(&post(b"5")), frame(0, 0, 1, b"hello"), frame(0, END_STREAM, 1, b"GET /smuggled HTTP/1.1\r\n\r\n")]
            .concat(),
        [head(&post(b"0")), frame(0, END_STREAM, 1, b"GET /smuggled HTTP/1.1\r\n\r\n")].concat(),
        frame(1, END_STREAM | END_HEADERS, 1, &block(&post(b"5"))),
        [head(&doubled), frame(0, END_STREAM, 1, b"hello")].concat(),
    ];
    for (number, bytes) in rows.iter().enumerate() {
        let mut client = Client::open(range.world.http);
        client.send(bytes);
        let got = client.outcome(1);
        assert!(!matches!(got, Got::Status(200) | Got::Nothing), "B16 {number}: {got:?}");
        // What was passed on before the lie came out must have time to arrive.
        std::thread::sleep(Duration::from_millis(100));
        let seen = range.backend.take();
        assert!(seen.is_empty(), "B16 {number}: {seen:?}");
    }
    println!("hostile B16: {} rows, 0 wrong", rows.len());
}
