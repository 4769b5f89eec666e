// SPDX-License-Identifier: Apache-2.0
//! A10, A11, A16–A18: field names and line ends.

use super::oracle::Range;
use super::row::{BAD, Row, SMUGGLED, get, post, served};

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, value) in [("Transfer-Encoding", "chunked"), ("Content-Length", "5")] {
        let tricks: Vec<Vec<u8>> = vec![
            format!("{name} : {value}\r\n").into(),
            format!("{name}\t: {value}\r\n").into(),
            format!(" {name}: {value}\r\n").into(),
            format!("\t{name}: {value}\r\n").into(),
            format!("{name}\0: {value}\r\n").into(),
            format!("\0{name}: {value}\r\n").into(),
            format!("{name}\x0b: {value}\r\n").into(),
            format!("\x0b{name}: {value}\r\n").into(),
            format!("{name}\x0c: {value}\r\n").into(),
            format!("{name}\r\n: {value}\r\n").into(),
            format!("{name}:\r\n {value}\r\n").into(),
            format!("X: y\r{name}: {value}\r\n").into(),
            format!("X: y\n{name}: {value}\r\n").into(),
            format!("X: y\r\r\n{name}: {value}\r\n").into(),
            format!("{name}\\: {value}\r\n").into(),
            format!("\"{name}\": {value}\r\n").into(),
            format!("({name}): {value}\r\n").into(),
            format!("{name};x: {value}\r\n").into(),
            [name.as_bytes(), b"\xa0: ", value.as_bytes(), b"\r\n"].concat(),
            [b"\xef\xbb\xbf", name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat(),
            format!("{name}\u{200b}: {value}\r\n").into(),
            format!("{name}={value}\r\n").into(),
            format!("{name}\r\n").into(),
            format!(":{name}: {value}\r\n").into(),
            format!("X: a\r\n\x0b{name}: {value}\r\n").into(),
        ];
        for trick in tricks {
            rows.push(Row::new("A10", "RFC 9112 §5.1", post(trick, format!("0\r\n\r\n{SMUGGLED}")), BAD));
        }
    }
    for name in ["Transfer_Encoding", "TRANSFER_ENCODING", "transfer_Encoding", "Content_Length", "content_length"] {
        let value = if name.len() > 14 { "chunked" } else { "5" };
        rows.push(Row::new("A11", "house rule", post(format!("{name}: {value}\r\n"), SMUGGLED), BAD));
    }
    rows.push(Row::new("A11", "house rule", get("/case", "X_Other: 1\r\nX-Fine: 2\r\n"), served("/case", b"")));
    rows.extend(line_ends());
    rows.extend(characters());
    rows
}

fn line_ends() -> Vec<Row> {
    let mut rows = Vec::new();
    let heads: &[&[u8]] = &[
        b"GET /case HTTP/1.1\nHost: a.example\r\n\r\n",
        b"GET /case HTTP/1.1\r\nHost: a.example\n\r\n",
        b"GET /case HTTP/1.1\r\nHost: a.example\r\n\n",
        b"GET /case HTTP/1.1\nHost: a.example\n\n",
        b"GET /case HTTP/1.1\rHost: a.example\r\r",
        b"GET /case HTTP/1.1\r\nHost: a.example\rX: y\r\n\r\n",
        b"GET /case HTTP/1.1\r\nHost: a.ex\rample\r\n\r\n",
        b"GET /ca\rse HTTP/1.1\r\nHost: a.example\r\n\r\n",
        b"GET\r/case HTTP/1.1\r\nHost: a.example\r\n\r\n",
        b"GET /case HTTP/1.1\r\r\nHost: a.example\r\n\r\n",
        b"GET /case HTTP/1.1\r\nX\r: y\r\nHost: a.example\r\n\r\n",
        b"GET /case HTTP/1.1\r\nHost: a.example\r\nX: y\r\n\rz\r\n\r\n",
        b"\nGET /case HTTP/1.1\r\nHost: a.example\r\n\r\n",
        b"\rGET /case HTTP/1.1\r\nHost: a.example\r\n\r\n",
        b"\r\n\r\nGET /case HTTP/1.1\r\nHost: a.example\r\n\r\n",
        b"\r\n\nGET /case HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ];
    for head in heads {
        rows.push(Row::new("A16", "RFC 9112 §2.2", *head, BAD));
    }
    let one = [b"\r\n".to_vec(), get("/case", "")].concat();
    rows.push(Row::new("A16", "RFC 9112 §2.2", one, served("/case", b"")));
    for lines in [
        "X: a\r\n b\r\n",
        "X: a\r\n\tb\r\n",
        "X:\r\n a\r\n",
        "X: a\r\n \r\n",
        "Content-Length: 5\r\n 0\r\n",
        "X: a\r\n Transfer-Encoding: chunked\r\n",
    ] {
        rows.push(Row::new("A17", "RFC 9112 §5.2", post(lines, SMUGGLED), BAD));
    }
    for first in [" X: a\r\n", "\tX: a\r\n", " \r\n", " Host: b.example\r\n"] {
        let head = format!("GET /case HTTP/1.1\r\n{first}Host: a.example\r\n\r\n");
        rows.push(Row::new("A17", "RFC 9112 §2.2", head, BAD));
    }
    rows
}

/// Every control character in a name and in a value, and every separator in a name.
fn characters() -> Vec<Row> {
    let mut rows = Vec::new();
    for byte in (0..=0x1f).chain([0x7f]) {
        // A tab is allowed inside a value; CR and LF are told apart above.
        if !matches!(byte, b'\t' | b'\r' | b'\n') {
            let value = [b"X: a", &[byte][..], b"b\r\n"].concat();
            rows.push(Row::new("A18", "RFC 9110 §5.5", get("/case", value), BAD));
        }
        let name = [b"X", &[byte][..], b"Y: a\r\n"].concat();
        rows.push(Row::new("A18", "RFC 9110 §5.1", get("/case", name), BAD));
    }
    for byte in b"\"(),/;<=>?@[\\]{} \x80\xff" {
        let name = [b"X", &[*byte][..], b"Y: a\r\n"].concat();
        rows.push(Row::new("A18", "RFC 9110 §5.6.2", get("/case", name), BAD));
    }
    let fine = get("/case", b"X-Fine: \xe9\xff a\tb \"(),/:;<=>?@[\\]{}\r\n!#$%&'*+-.^`|~: 1\r\nX-Empty:\r\n");
    rows.push(Row::new("A18", "RFC 9110 §5.5", fine, served("/case", b"")));
    rows
}

#[test]
fn names_are_tokens_and_lines_end_in_crlf() {
    Range::new().run("A10 A11 A16-A18", &rows());
}

#[test]
fn a_name_with_an_underscore_is_dropped_and_counted() {
    let range = Range::new();
    assert_eq!(range.world.raw(&get("/case", "X_User: admin\r\nX-User: me\r\n")).unwrap().status, 200);
    let seen = &range.backend.seen()[0];
    assert_eq!((seen.header("x-user"), seen.header("x_user")), (Some("me"), None));
    let metrics = range.world.health("/metrics").unwrap().text();
    assert!(metrics.contains("torana_fields_dropped_total 1"), "{metrics}");
}
