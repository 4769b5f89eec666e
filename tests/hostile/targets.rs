// SPDX-License-Identifier: Apache-2.0
//! A20–A22: who is asked, and for what.

use super::oracle::Range;
use super::row::{BAD, Expect, MARKER, Row, get, served};

/// A GET for `/case` whose Host lines are these.
fn hosted(lines: &[u8]) -> Vec<u8> {
    let marker = format!("{MARKER}: 1\r\n\r\n");
    [b"GET /case HTTP/1.1\r\n", lines, marker.as_bytes()].concat()
}

fn host_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let lines: &[&[u8]] = &[
        b"",
        b"Host: a.example\r\nHost: b.example\r\n",
        b"Host: a.example\r\nHost: a.example\r\n",
        b"Host: a.example\r\nX: y\r\nhost: b.example\r\n",
        b"Host: a.example, b.example\r\n",
        b"Host: a.example,\r\n",
        b"Host: u@a.example\r\n",
        b"Host: u:p@a.example\r\n",
        b"Host: a.example/x\r\n",
        b"Host: a.example?x\r\n",
        b"Host: a.example#x\r\n",
        b"Host: a.example\\x\r\n",
        b"Host: a. example\r\n",
        b"Host: a.\texample\r\n",
        b"Host: [::1\r\n",
        b"Host: ::1\r\n",
        b"Host: [::1]x\r\n",
        b"Host: [::g]\r\n",
        b"Host: [::1%25eth0]\r\n",
        b"Host: []\r\n",
        b"Host: \xff.example\r\n",
        b"Host: b\xc3\xbccher.example\r\n",
        b"Host: a.example:80x\r\n",
        b"Host: a.example:99999\r\n",
        b"Host: a.example:65536\r\n",
        b"Host: a.example:-1\r\n",
        b"Host: a.example:\r\n",
        b"Host: a.example:8 0\r\n",
        b"Host: a.example:80:80\r\n",
        b"Host: \r\n",
        b"Host:\r\n",
        b"Host: .\r\n",
        b"Host: a..example\r\n",
        b"Host: .example\r\n",
        b"Host: a.example\0\r\n",
        b"Host: a.example%00\r\n",
        b"Host: a.example\x0b\r\n",
        b"Host: \"a.example\"\r\n",
        b"Host: http://a.example\r\n",
        b"Host: *\r\n",
        b"Host: a.example;x\r\n",
        b"Host: a.example&x\r\n",
        b"Host: a.example'\r\n",
        b"Host: (a.example)\r\n",
        b"Host: a.example:0x50\r\n",
        b"Host : a.example\r\n",
        b" Host: a.example\r\n",
        b"Host\0: a.example\r\n",
        b"Host: a.example\r\n b.example\r\n",
        b"Host: a.example:080\r\n",
        b"Host: <a>\r\n",
        b"Host: a.example\r\nHost:\r\n",
        b"Host: a.example\r\nHost : a.example\r\n",
    ];
    for lines in lines {
        rows.push(Row::new("A20", "RFC 9112 §3.2", hosted(lines), BAD));
    }
    rows.extend(spellings());
    rows
}

/// One host in all its spellings.
fn spellings() -> Vec<Row> {
    let mut rows = Vec::new();
    let fine = [
        "a.example",
        "A.EXAMPLE",
        "a.example:8080",
        "a.example.",
        "[::1]",
        "[::1]:80",
        "127.0.0.1:1",
        "xn--bcher-kva.example",
        "a_b.example",
        "a",
    ];
    for host in fine {
        rows.push(Row::new(
            "D03",
            "RFC 9110 §4.2.3",
            hosted(format!("Host: {host}\r\n").as_bytes()),
            served("/case", b""),
        ));
    }
    for host in [&b"evil.com%00.good"[..], b"b\xc3\xbccher.example", b"a.example\0", b"a.example.."] {
        rows.push(Row::new("D03", "RFC 3986 §3.2.2", hosted(&[b"HOST: ", host, b"\r\n"].concat()), BAD));
    }
    rows
}

fn target_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (target, seen) in [
        ("http://a.example/case", "/case"),
        ("HTTP://A.EXAMPLE/case", "/case"),
        ("http://a.example", "/"),
        ("http://a.example?q", "/?q"),
        ("http://a.example:80/case", "/case"),
        ("http://a.example/x/../case", "/case"),
    ] {
        rows.push(Row::new("A21", "RFC 9112 §3.2.2", get(target, ""), served(seen, b"")));
    }
    for target in [
        "http://b.example/case",
        "http://u@a.example/",
        "https://a.example/",
        "ftp://a.example/",
        "http:///case",
        "http:/case",
        "http:case",
        "http://",
        "http://a.example#x",
        "http://a.example\\x",
        "http://a.example:x/",
        "http://a.example:99999/",
        "http://a.example,b.example/",
        "http://[::1/",
        "//",
        "ws://a.example/",
        "http://a.example:81/",
    ] {
        let expect = if target == "//" { served("//", b"") } else { BAD };
        rows.push(Row::new("A21", "RFC 9112 §3.2.2", get(target, ""), expect));
    }
    for target in [
        "*", "abc", "a:80", "?q", "#x", "/#frag", "/x#", "/x?a#b", "%2f", "a/b", ";x", ".", "..", "../x", "*x", ":80",
        "@a",
    ] {
        rows.push(Row::new("A22", "RFC 9112 §3.2.3", get(target, ""), BAD));
    }
    let options = |target: &str| format!("OPTIONS {target} HTTP/1.1\r\nHost: a.example\r\n{MARKER}: 1\r\n\r\n");
    rows.push(Row::new("A22", "RFC 9112 §3.2.4", options("*"), Expect::Answered(204)));
    rows.push(Row::new("A22", "RFC 9112 §3.2.4", options("http://a.example"), Expect::Answered(204)));
    rows.push(Row::new("A22", "RFC 9112 §3.2.4", options("/"), served("/", b"")));
    rows
}

#[test]
fn a_host_is_one_valid_name() {
    Range::new().run("A20 D03", &host_rows());
}

#[test]
fn a_target_is_a_path_or_names_the_host_that_was_meant() {
    Range::new().run("A21 A22", &target_rows());
}
