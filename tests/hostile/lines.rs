// SPDX-License-Identifier: Apache-2.0
//! A19, A23, A24: start lines, methods, and what is not HTTP/1 at all.

use super::oracle::Range;
use super::row::{Expect, MARKER, Row, get};

const BAD_LINE: Expect = Expect::Refused(&[400, 505]);

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let host = format!("Host: a.example\r\n{MARKER}: 1\r\n\r\n");
    let starts: &[&[u8]] = &[
        b"GET /\r\n",
        b"GET\r\n",
        b"GET  / HTTP/1.1\r\n",
        b"GET /  HTTP/1.1\r\n",
        b"GET\t/ HTTP/1.1\r\n",
        b"GET /\tHTTP/1.1\r\n",
        b"GET / HTTP/1.1 \r\n",
        b" GET / HTTP/1.1\r\n",
        b"GET / HTTP/2.0\r\n",
        b"GET / http/1.1\r\n",
        b"GET / HTTP/1.10\r\n",
        b"GET / HTTP/1\r\n",
        b"GET / HTTP/1.\r\n",
        b"GET / HTTP/11\r\n",
        b"GET / HTTP/01.1\r\n",
        b"GET / HTTP/1.2\r\n",
        b"GET / HTTP/3.0\r\n",
        b"GET / HTTP/0.9\r\n",
        b"GET / HTTP 1.1\r\n",
        b"GET / HTTP/1,1\r\n",
        b"GET / HTTPS/1.1\r\n",
        b"GET / HTTP/1.1x\r\n",
        b"GET / HTTP/-1.1\r\n",
        b"GET / HTTP/+1.1\r\n",
        b"GET /a b HTTP/1.1\r\n",
        b"GET /a\tb HTTP/1.1\r\n",
        b"GET /a\0b HTTP/1.1\r\n",
        b"GET /\x01 HTTP/1.1\r\n",
        b"GET /\x7f HTTP/1.1\r\n",
        b"GET /\xff HTTP/1.1\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\n",
        b"G\0ET / HTTP/1.1\r\n",
        b"G(T / HTTP/1.1\r\n",
        b"GE:T / HTTP/1.1\r\n",
        b"G\xc9T / HTTP/1.1\r\n",
        b" / HTTP/1.1\r\n",
        b"/ HTTP/1.1\r\n",
        b"GET HTTP/1.1\r\n",
        b"\0GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\n\r",
        b"GET /\x0bHTTP/1.1\r\n",
        b"GET / HTTP/1.1 HTTP/1.1\r\n",
        b"\"GET\" / HTTP/1.1\r\n",
        b"GET / HTTP/\xd9\xa1.1\r\n",
        b"GET \"/\" HTTP/1.1\r\n",
    ];
    for start in starts {
        let bytes = [*start, host.as_bytes()].concat();
        rows.push(Row::new("A19", "RFC 9112 §3", bytes, BAD_LINE));
    }
    rows.extend(strangers(&host));
    rows.push(Row::new("A19", "RFC 9112 §3", get("/fine", ""), super::row::served("/fine", b"")));
    rows
}

/// Methods that are not for an edge, and other protocols.
fn strangers(host: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for (method, target) in
        [("CONNECT", "a.example:80"), ("CONNECT", "/"), ("TRACE", "/"), ("TRACE", "*"), ("CONNECT", "a.example")]
    {
        rows.push(Row::new(
            "A23",
            "RFC 9110 §9.3.6",
            format!("{method} {target} HTTP/1.1\r\n{host}"),
            Expect::Refused(&[405, 501]),
        ));
    }
    let strangers: &[&[u8]] = &[
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n",
        b"\x80\x2e\x01\x03\x01\0",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\0\0\0\0\0\0\0\0",
        b"EHLO a.example\r\n",
        b"{\"jsonrpc\": \"2.0\"}\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x0d\x0a\x0d\x0a\x00\x0d\x0aQUIT\x0a\x21\x11",
        b"PRI * HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n",
        b"PRI / HTTP/2.0\r\n\r\n",
    ];
    for bytes in strangers {
        rows.push(Row::new("A24", "house rule", *bytes, BAD_LINE));
    }
    // Lines that name another protocol, or none: an answer of HTTP/1 would be noise to their sender.
    let closed = Expect::Refused(&[0]);
    for bytes in [
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET / HTTP/1.1\r\n\r\n",
        "INVALID CONNECTION PREFACE\r\n\r\n",
        "OPTIONS sip:a SIP/2.0\r\n\r\n",
        "DESCRIBE rtsp://a RTSP/1.0\r\n\r\n",
    ] {
        rows.push(Row::new("A24", "RFC 9113 §3.4", bytes, closed.clone()));
    }
    rows
}

#[test]
fn a_method_that_is_refused_is_told_which_are_not() {
    let range = Range::new();
    for method in ["CONNECT a:80", "TRACE /"] {
        let mut connection = range.connect();
        connection.send(format!("{method} HTTP/1.1\r\nHost: a:80\r\n\r\n").as_bytes()).unwrap();
        let reply = connection.reply("GET").unwrap();
        let allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)), "{method}");
    }
}

#[test]
fn a_start_line_is_three_words_with_one_blank_between() {
    Range::new().run("A19 A23 A24", &rows());
}
