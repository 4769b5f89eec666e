// SPDX-License-Identifier: Apache-2.0
//! A12–A15: the chunked coding.

use super::oracle::Range;
use super::row::{CUT, Expect, Row, SMUGGLED, chunked, served};

fn sizes(rows: &mut Vec<Row>) {
    let lines: &[&str] = &[
        "+5\r\n",
        "-5\r\n",
        "0x5\r\n",
        "0X5\r\n",
        "5_\r\n",
        "_5\r\n",
        "5,5\r\n",
        "g\r\n",
        "\"5\"\r\n",
        "'5'\r\n",
        "\r\n",
        " 5\r\n",
        "5 \r\n",
        "\t5\r\n",
        "5\t\r\n",
        "5.\r\n",
        "5h\r\n",
        "\x0b5\r\n",
        "5\x0b\r\n",
        "5\0\r\n",
        "\u{665}\r\n",
        "00000000000000005\r\n",
        "10000000000000005\r\n",
        "fffffffffffffffff\r\n",
        "100000000000000000000005\r\n",
        "5\n",
        "5\r",
        "5\n\r\n",
        "5\r\r\n",
        "\n5\r\n",
        "-1\r\n",
        "5 5\r\n",
        "five\r\n",
    ];
    for line in lines {
        let bytes = chunked(format!("{line}hello\r\n0\r\n\r\n{SMUGGLED}"));
        rows.push(Row::new("A12", "RFC 9112 §7.1", bytes, CUT));
        // Behind a good chunk, so that the head has surely been passed on.
        let bytes = chunked(format!("1\r\nx\r\n{line}hello\r\n0\r\n\r\n{SMUGGLED}"));
        rows.push(Row::new("A12", "RFC 9112 §7.1", bytes, CUT));
    }
    for (size, body) in
        [("5", "hello"), ("05", "hello"), ("0000000000000005", "hello"), ("A", "0123456789"), ("a", "0123456789")]
    {
        let bytes = chunked(format!("{size}\r\n{body}\r\n0\r\n\r\n"));
        rows.push(Row::new("A12", "RFC 9112 §7.1", bytes, served("/case", body.as_bytes())));
    }
    rows.push(Row::new("A12", "RFC 9112 §7.1", chunked("0000\r\n\r\n"), served("/case", b"")));
}

fn extensions(rows: &mut Vec<Row>) {
    let bad: &[&[u8]] = &[
        b";\r\n",
        b";a\0\r\n",
        b";a\n",
        b";a=b\n",
        b";a\rb\r\n",
        b";a=\"\n\"\r\n",
        b";a=\"\r\"\r\n",
        b";a=\"\0\"\r\n",
        b";a b\r\n",
        b";a=\r\n",
        b";=b\r\n",
        b";a==b\r\n",
        b";\"a\"\r\n",
        b";a=\"b\r\n",
        b";a=\"b\"c\r\n",
        b";a;\r\n",
        b"; \r\n",
        b";a\x7f\r\n",
        b";a=b\x0b\r\n",
        b";\xff\r\n",
        b";a=\"\x7f\"\r\n",
        b";a=\"\x01\"\r\n",
    ];
    for extension in bad {
        let body = [b"5", *extension, b"hello\r\n0\r\n\r\n", SMUGGLED.as_bytes()].concat();
        rows.push(Row::new("A13", "RFC 9112 §7.1.1", chunked(body), CUT));
        let last = [b"5\r\nhello\r\n0", *extension, b"\r\n", SMUGGLED.as_bytes()].concat();
        rows.push(Row::new("A13", "RFC 9112 §7.1.1", chunked(last), CUT));
    }
    let sum = format!("1;a={}\r\nx\r\n", "b".repeat(1000)).repeat(5);
    rows.push(Row::new("A13", "RFC 9112 §7.1.1", chunked(format!("{sum}0\r\n\r\n")), CUT));
    rows.push(Row::new("A13", "RFC 9112 §7.1.1", chunked(format!("0;{}\r\n\r\n", "a".repeat(4100))), CUT));
    for extension in ["a", "a=b", "a=\"b\"", "a=\"\\\"\"", "a;b;c=d", "a=\"b;c\\\\\"", "a=\"GET /smuggled HTTP/1.1\""] {
        let bytes = chunked(format!("5;{extension}\r\nhello\r\n0;{extension}\r\n\r\n"));
        rows.push(Row::new("A13", "RFC 9112 §7.1.1", bytes, served("/case", b"hello")));
    }
}

fn ends(rows: &mut Vec<Row>) {
    for body in [
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello\r\r\n0\r\n\r\n",
        "5\r\nhello\n\r0\r\n\r\n",
        "5\r\nhello\r\nX0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n",
        "0\n\r\n",
        "0\r\n\n",
        "0\n\n",
        "0\r\r",
        "0\r\n\rX",
        "5\r\nhello\r\n0\r\nX",
        "5;a\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "5\r\nhello  \r\n0\r\n\r\n",
        "5\r\nhello;a\r\n0\r\n\r\n",
        // The terminator spills into an extension and back.
        "2\r\nxx;\r\n0\r\n\r\n",
        "5;\nhello\r\n0\r\n\r\n",
    ] {
        // A body that waits for more is completed by something that cannot be part of it.
        let bytes = chunked(format!("{body}\r\n\r\n{SMUGGLED}"));
        rows.push(Row::new("A14", "RFC 9112 §7.1", bytes, CUT));
    }
}

fn trailers(rows: &mut Vec<Row>) {
    let bad: &[&[u8]] = &[
        b"bad name: x",
        b"name : x",
        b" name: x",
        b"x",
        b": x",
        b"a: b\0",
        b"a: b\rc",
        b"a: b\nc: d",
        b"a: b\r\n c",
        b"a: b\r\n\tc",
        b"a\0: b",
        b"a: \x7f",
        b"\xff: x",
        b"a(b): c",
        b"a: b\x0b",
    ];
    for trailer in bad {
        let body = [b"5\r\nhello\r\n0\r\n", *trailer, b"\r\n\r\n", SMUGGLED.as_bytes()].concat();
        rows.push(Row::new("A15", "RFC 9112 §7.1.2", chunked(body), CUT));
    }
    for trailer in [
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Host: evil",
        "Authorization: evil",
        "Cookie: evil",
        "Connection: close",
        "X-Forwarded-For: evil",
        "Expect: 100-continue",
        "Content-Encoding: gzip",
        "X_Evil: 1",
        "Upgrade: h2c",
        "Trailer: x",
    ] {
        let bytes = chunked(format!("5\r\nhello\r\n0\r\n{trailer}\r\n\r\n"));
        rows.push(Row::new("A15", "RFC 9110 §6.5.1", bytes, served("/case", b"hello")));
    }
    let cut = Expect::Aborted(&[400, 431]);
    let many = chunked(format!("0\r\n{}\r\n", "a: b\r\n".repeat(33)));
    rows.push(Row::new("A15", "RFC 9112 §7.1.2", many, cut.clone()));
    let long = chunked(format!("0\r\na: {}\r\n\r\n", "b".repeat(9000)));
    rows.push(Row::new("A15", "RFC 9112 §7.1.2", long, cut));
}

#[test]
fn chunks_are_framed_by_digits_and_crlf_only() {
    let mut rows = Vec::new();
    sizes(&mut rows);
    extensions(&mut rows);
    ends(&mut rows);
    trailers(&mut rows);
    Range::new().run("A12-A15", &rows);
}

#[test]
fn forbidden_trailers_reach_nobody() {
    let range = Range::new();
    let trailers = "Host: evil\r\nAuthorization: evil\r\nContent-Length: 9\r\nX-Marker: evil\r\nX-Sum: fine\r\n";
    let reply = range.world.raw(&chunked(format!("5\r\nhello\r\n0\r\n{trailers}\r\n"))).unwrap();
    let seen = range.backend.seen();
    assert_eq!((reply.status, seen.len()), (200, 1));
    assert!(!format!("{:?}", seen[0].headers).contains("evil"), "merged into the head: {:?}", seen[0]);
    let names: Vec<&str> = seen[0].trailers.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.iter().all(|name| ["x-sum", "x-marker"].contains(name)), "{names:?}");
}
