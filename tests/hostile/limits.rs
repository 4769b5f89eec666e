// SPDX-License-Identifier: Apache-2.0
//! R05: heads that are too large.

use super::oracle::Range;
use super::row::{Expect, MARKER, Row, get, served};

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |bytes: Vec<u8>, expect: Expect| {
        let mut row = Row::new("R05", "RFC 6585 §5, RFC 9110 §15.5.15", bytes, expect);
        row.what.truncate(60);
        rows.push(row);
    };
    let large = Expect::Refused(&[431]);
    add(get("/case", format!("X: {}\r\n", "a".repeat(64 << 10))), large.clone());
    add(get("/case", format!("X: {}\r\n", "a".repeat(1000)).repeat(70)), large.clone());
    add(get("/case", format!("{}: x\r\n", "a".repeat(64 << 10))), large.clone());
    add(get("/case", "X: a\r\n".repeat(99)), large.clone());
    add(get("/case", "X: a\r\n".repeat(300)), large.clone());
    // Without an end.
    add(format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(66 << 10)).into_bytes(), large.clone());
    add(format!("GET / HTTP/1.1\r\n{}", "X: a\r\n".repeat(12 << 10)).into_bytes(), large);
    let long = "a".repeat(16 << 10);
    add(get(format!("/{long}"), ""), Expect::Refused(&[414]));
    add(get(format!("/?{long}"), ""), Expect::Refused(&[414]));
    add(format!("GET /{long}{long}").into_bytes(), Expect::Refused(&[414]));
    for length in [33, 100, 10_000] {
        let bytes = format!("{} / HTTP/1.1\r\nHost: a.example\r\n{MARKER}: 1\r\n\r\n", "A".repeat(length));
        add(bytes.into_bytes(), Expect::Refused(&[501]));
    }
    let fine = format!("/{}", &long[1..]);
    add(get(&fine, ""), served(&fine, b""));
    add(get("/case", "X: a\r\n".repeat(98)), served("/case", b""));
    add(get("/case", format!("X: {}\r\n", "a".repeat(60 << 10))), served("/case", b""));
    let method = format!("{} /case HTTP/1.1\r\nHost: a.example\r\n{MARKER}: 1\r\n\r\n", "A".repeat(32));
    add(method.into_bytes(), served("/case", b""));
    rows
}

#[test]
fn heads_have_limits_and_each_its_own_answer() {
    Range::new().run("R05", &rows());
}
