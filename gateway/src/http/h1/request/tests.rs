// SPDX-License-Identifier: Apache-2.0
//! Raw heads and what becomes of them.

use proptest::prelude::*;

use super::*;
use crate::head::BodyLength;
use crate::http::h1::write;

/// Text, status, word.
type Refusal = (&'static str, u16, &'static str);

fn parsed(bytes: &[u8]) -> Parsed {
    parse(bytes, Scheme::Http, &Limits::default())
}

fn accepted(text: &str) -> Passed {
    match parsed(text.as_bytes()) {
        Parsed::Complete { passed, used } => {
            assert_eq!(used, text.len(), "{text:?}");
            passed
        }
        other => panic!("{text:?}: {other:?}"),
    }
}

fn refused(bytes: &[u8]) -> (u16, &'static str) {
    match parsed(bytes) {
        Parsed::Bad(reject) => (reject.status, reject.reason),
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}

/// What would be sent to a backend.
fn forwarded(text: &str) -> String {
    let mut out = Vec::new();
    write::request(&mut out, &accepted(text).head);
    String::from_utf8(out).unwrap()
}

/// `GET / HTTP/1.1` with a Host and these lines.
fn with(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[test]
fn a_head_becomes_canonical() {
    let text = "GET http://A.com/x/../%61?q HTTP/1.1\r\nHOST: a.com\r\nX-A:  b c \r\nConnection: x-hop, keep-alive\r\n\
                X-Hop: 1\r\nTE: trailers\r\nX_U: 1\r\nX-Forwarded-For: 1.2.3.4\r\nx-envoy-internal: 1\r\n\
                Transfer-Encoding: CHUNKED\r\nExpect: 100-Continue\r\n\r\n";
    let canonical = "GET /a?q HTTP/1.1\r\nhost: a.com\r\nx-a: b c\r\ntransfer-encoding: chunked\r\nte: trailers\r\n\
                     connection: te\r\n\r\n";
    assert_eq!(forwarded(text), canonical);
    let passed = accepted(text);
    assert!(passed.keep_alive && passed.head.expects_continue && !passed.asterisk);
    assert_eq!(passed.dropped_names, 1);
}

#[test]
fn lengths_and_codings_are_told_apart() {
    let rows = [
        ("", BodyLength::None),
        ("Content-Length: 0\r\n", BodyLength::Exact(0)),
        ("Content-Length: 5\r\n", BodyLength::Exact(5)),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", BodyLength::Exact(5)),
        ("Transfer-Encoding: chunked\r\n", BodyLength::Unknown),
    ];
    for (lines, body) in rows {
        assert_eq!(accepted(&with(lines)).head.body, body, "{lines:?}");
    }
}

#[test]
fn every_refusal_has_its_status_and_word() {
    let lines: &[Refusal] = &[
        ("Content-Length: +5\r\n", 400, "bad_content_length"),
        ("Content-Length: 5, 5\r\n", 400, "bad_content_length"),
        ("Content-Length: \r\n", 400, "bad_content_length"),
        ("Content-Length: 5\r\nContent-Length: 05\r\n", 400, "bad_content_length"),
        ("Content-Length: 18446744073709551616\r\n", 400, "bad_content_length"),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400, "length_and_coding"),
        ("Transfer-Encoding: gzip, chunked\r\n", 501, "unknown_transfer_coding"),
        ("Transfer-Encoding: xchunked\r\n", 501, "unknown_transfer_coding"),
        ("Transfer-Encoding: chunked, gzip\r\n", 400, "bad_transfer_encoding"),
        ("Transfer-Encoding: chunked, chunked\r\n", 400, "bad_transfer_encoding"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400, "bad_transfer_encoding"),
        ("Transfer-Encoding: ,chunked\r\n", 400, "bad_transfer_encoding"),
        ("Transfer-Encoding: chunked;q=1\r\n", 400, "bad_transfer_encoding"),
        ("Transfer_Encoding: chunked\r\n", 400, "underscore_in_framing_field"),
        ("content_LENGTH: 5\r\n", 400, "underscore_in_framing_field"),
        ("Content-Length : 5\r\n", 400, "bad_field_name"),
        (" Content-Length: 5\r\n", 400, "bad_field_name"),
        ("X: a\r\n b\r\n", 400, "bad_field_name"),
        ("X: a\nY: b\r\n", 400, "bad_line_end"),
        ("X: a\rb\r\n", 400, "bad_field_value"),
        ("X: a\0\r\n", 400, "bad_field_value"),
        ("X: a\x7f\r\n", 400, "bad_field_value"),
        ("X: a\x0b\r\n", 400, "bad_field_value"),
        ("X\0: a\r\n", 400, "bad_field_name"),
        ("X\u{e9}: a\r\n", 400, "bad_field_name"),
        (": a\r\n", 400, "bad_field_name"),
        ("Host: a\r\n", 400, "bad_host"),
        ("Connection: host\r\n", 400, "bad_connection_option"),
        ("Expect: a\r\n", 417, "unknown_expectation"),
    ];
    for (line, status, reason) in lines {
        assert_eq!(refused(with(line).as_bytes()), (*status, *reason), "{line:?}");
    }
    let heads: &[Refusal] = &[
        ("GET / HTTP/1.1\r\n\r\n", 400, "missing_host"),
        ("GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "bad_transfer_encoding"),
        ("GET /\r\n\r\n", 400, "bad_request_line"),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
        ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 505, "unknown_http_version"),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "bad_line_end"),
        ("GET / HTTP/1.1\nHost: a\n\n", 400, "bad_request_line"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "unknown_http_version"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "unexpected_http2_preface"),
        ("INVALID CONNECTION PREFACE\r\n\r\n", 400, "not_http"),
        ("GET / SIP/2.0\r\n\r\n", 400, "not_http"),
        ("GET /a b HTTP/1.1\r\n\r\n", 505, "unknown_http_version"),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method_not_allowed"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method_not_allowed"),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
        ("GET abc HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
        ("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "scheme_mismatch"),
        ("GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "scheme_mismatch"),
        ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_host"),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "host_mismatch"),
        ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_host"),
        ("GET http://a#x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
        ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "fragment_in_target"),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
        ("\x16\x03\x01\x02\0\x01", 400, "bad_request_line"),
    ];
    for (head, status, reason) in heads {
        assert_eq!(refused(head.as_bytes()), (*status, *reason), "{head:?}");
    }
}

#[test]
fn limits_have_their_own_answers() {
    let many = with(&"X: 1\r\n".repeat(100));
    assert_eq!(refused(many.as_bytes()), (431, "too_many_fields"));
    let fine = with(&"X: 1\r\n".repeat(99));
    assert_eq!(accepted(&fine).head.fields.len(), 99);
    assert_eq!(refused(with(&"X: 1\r\n".repeat(300)).as_bytes()), (431, "too_many_fields"));
    assert_eq!(refused(with(&format!("X: {}\r\n", "a".repeat(65536))).as_bytes()), (431, "head_too_long"));
    assert_eq!(refused(format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(65536)).as_bytes()), (431, "head_too_long"));
    let long = "a".repeat(16 << 10);
    assert_eq!(refused(format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()), (414, "target_too_long"));
    assert_eq!(refused(format!("GET /{long}{long}").as_bytes()), (414, "target_too_long"));
    assert_eq!(
        refused(format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "A".repeat(33)).as_bytes()),
        (501, "method_too_long")
    );
    assert_eq!(refused("A".repeat(33).as_bytes()), (501, "method_too_long"));
}

#[test]
fn one_empty_line_before_the_head_is_ignored() {
    let text = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert!(forwarded(text).starts_with("GET / HTTP/1.1\r\n"));
    assert!(matches!(parsed(b"\r"), Parsed::Partial));
    assert!(matches!(parsed(b"\r\n"), Parsed::Partial));
}

#[test]
fn every_beginning_of_a_good_head_is_partial() {
    let text = with("X-A: b\r\nContent-Length: 5\r\n");
    for end in 0..text.len() {
        assert!(matches!(parsed(&text.as_bytes()[..end]), Parsed::Partial), "{end}");
    }
}

#[test]
fn only_a_websocket_is_upgraded_to() {
    let upgrade = |lines: &str| accepted(&with(lines)).head.upgrade;
    assert!(upgrade("Connection: Upgrade\r\nUpgrade: WebSocket\r\n"));
    assert!(
        forwarded(&with("Connection: Upgrade\r\nUpgrade: WebSocket\r\n"))
            .ends_with("connection: upgrade\r\nupgrade: websocket\r\n\r\n")
    );
    assert!(!upgrade("Upgrade: websocket\r\n"));
    assert!(!upgrade("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"));
    assert!(!upgrade("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n"));
    let http10 = "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert!(!accepted(http10).head.upgrade);
    assert_eq!(forwarded(http10), "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
}

#[test]
fn http10_closes_and_ignores_expectations() {
    let passed = accepted("POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert!(!passed.keep_alive && !passed.head.expects_continue);
    assert!(accepted("GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
}

#[test]
fn the_asterisk_is_for_the_gateway_itself() {
    assert!(accepted("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").asterisk);
    assert!(accepted("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n").asterisk);
    assert!(!accepted("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n").asterisk);
}

#[test]
fn an_absolute_target_is_taken_apart() {
    for (target, expected) in
        [("http://a", "/"), ("HTTP://A:80/x?y", "/x?y"), ("http://a?x", "/?x"), ("http://a/..", "/")]
    {
        let passed = accepted(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!((passed.head.target(), passed.head.host()), (expected, "a"), "{target}");
    }
}

proptest! {
    #[test]
    fn what_passes_is_written_so_that_it_passes_again(
        target in "/[!-~]{0,12}",
        lines in proptest::collection::vec("(X-[A-Za-z_]{1,4}|Connection|Cookie|Upgrade|TE|Content-Length): [ -~]{0,8}\r\n", 0..5),
    ) {
        let text = format!("POST {target} HTTP/1.1\r\nHost: a\r\n{}\r\n", lines.concat());
        if let Parsed::Complete { passed, .. } = parsed(text.as_bytes()) {
            let mut once = Vec::new();
            write::request(&mut once, &passed.head);
            let Parsed::Complete { passed: again, used } = parsed(&once) else {
                panic!("{:?} of {text:?}", String::from_utf8_lossy(&once));
            };
            prop_assert_eq!(used, once.len());
            let mut twice = Vec::new();
            write::request(&mut twice, &again.head);
            prop_assert_eq!(String::from_utf8(once), String::from_utf8(twice));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let text = format!("{:?}", parsed(&bytes));
        prop_assert!(!text.is_empty());
    }
}
