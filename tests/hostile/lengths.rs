// SPDX-License-Identifier: Apache-2.0
//! A01–A05, A28: `Content-Length` in every wrong form.

use super::oracle::Range;
use super::row::{BAD, Expect, MARKER, Row, SMUGGLED, post, served};

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let values: &[&[u8]] = &[
        b"+5",
        b"-5",
        b"-0",
        b"0x5",
        b"0o5",
        b"5_0",
        b"5.0",
        b"5 5",
        b"5e0",
        b"\"5\"",
        b"5;",
        b"",
        b"\x0b5",
        b"5\x0b",
        b"\x005",
        b"5\0",
        b"\xd9\xa5",
        b"\xff5",
        b"5,",
        b",5",
        b"5, 5",
        b"5,6",
        b"18446744073709551616",
        b"99999999999999999999999",
        b"\x0c5",
        b"5\x0c",
        b"5\r",
        b"five",
        b"'5'",
        b"5\\",
        b"(5)",
        b"5 ;q=1",
        b"0b101",
        b"1_000",
        b"\xe2\x80\x8b5",
    ];
    for value in values {
        let line = [b"Content-Length: ", *value, b"\r\n"].concat();
        rows.push(Row::new("A01", "RFC 9112 §6.3 (5)", post(line, "hello"), BAD));
    }
    for (first, second) in [("5", "6"), ("6", "5"), ("5", "05"), ("05", "5"), ("0", "5"), ("5", ""), ("5", "+5")] {
        let lines = format!("Content-Length: {first}\r\nContent-Length: {second}\r\n");
        rows.push(Row::new("A02", "RFC 9110 §8.6", post(lines, format!("hello{SMUGGLED}")), BAD));
        let parted = format!("Content-Length: {first}\r\nX-A: b\r\ncontent-length: {second}\r\n");
        rows.push(Row::new("A02", "RFC 9110 §8.6", post(parted, format!("hello{SMUGGLED}")), BAD));
    }
    let same = post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello");
    rows.push(Row::new("A03", "RFC 9110 §8.6", same, served("/case", b"hello")));
    for list in ["5, 5", "5,5", "5 , 5"] {
        let line = format!("Content-Length: {list}\r\n");
        rows.push(Row::new("A03", "RFC 9110 §8.6", post(line, "hello"), BAD));
    }
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "content-length: 5\r\nX: 1\r\ntransfer-encoding: Chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
    ] {
        let expect = Expect::Refused(&[400, 501]);
        rows.push(Row::new("A04", "RFC 9112 §6.1", post(lines, format!("0\r\n\r\n{SMUGGLED}")), expect));
    }
    for lines in ["", "Connection: keep-alive\r\n", "Content-Length: 5\r\n"] {
        let head = format!("POST /case HTTP/1.0\r\nHost: a.example\r\n{MARKER}: 1\r\nTransfer-Encoding: chunked\r\n");
        let bytes = format!("{head}{lines}\r\n0\r\n\r\n{SMUGGLED}");
        rows.push(Row::new("A05", "RFC 9112 §6.1", bytes, BAD));
    }
    rows.extend(methods());
    rows
}

/// A body is framed by its fields, whatever the method.
fn methods() -> Vec<Row> {
    let mut rows = Vec::new();
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "FOO", "get", "PATCH"] {
        let head = format!("{method} /case HTTP/1.1\r\nHost: a.example\r\n{MARKER}: 1\r\n");
        let body = SMUGGLED.as_bytes();
        let length = format!("{head}Content-Length: {}\r\n\r\n{SMUGGLED}", body.len());
        rows.push(Row::new("A28", "RFC 9112 §6.3", length, served("/case", body)));
        let chunks = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", body.len());
        rows.push(Row::new("A28", "RFC 9112 §6.3", chunks, served("/case", body)));
    }
    let fine = [("5", "hello"), ("0", ""), ("00005", "hello")];
    for (length, body) in fine {
        let line = format!("Content-Length: {length}\r\n");
        rows.push(Row::new("A01", "RFC 9110 §8.6", post(line, body), served("/case", body.as_bytes())));
    }
    let padded = post("Content-Length: \t 5 \t\r\n", "hello");
    rows.push(Row::new("A01", "RFC 9112 §5.1", padded, served("/case", b"hello")));
    rows
}

#[test]
fn a_length_is_digits_and_there_is_one() {
    Range::new().run("A01-A05 A28", &rows());
}
