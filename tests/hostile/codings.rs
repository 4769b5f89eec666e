// SPDX-License-Identifier: Apache-2.0
//! A06–A09: `Transfer-Encoding` in every wrong form.

use super::oracle::Range;
use super::row::{BAD, BAD_OR_UNKNOWN_CODING, Expect, Row, SMUGGLED, post, served};

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let body = format!("0\r\n\r\n{SMUGGLED}");
    let mut add =
        |id, clause, lines: &[u8], expect: Expect| rows.push(Row::new(id, clause, post(lines, &body), expect));
    for coding in
        ["gzip, chunked", "foo, chunked", "gzip", "deflate", "compress", "br", "foo", "gzip, deflate, chunked"]
    {
        let line = format!("Transfer-Encoding: {coding}\r\n");
        add("A06", "RFC 9112 §6.1", line.as_bytes(), Expect::Refused(&[501]));
    }
    for coding in
        ["chunked, gzip", "chunked, identity", "chunked, foo", "chunked,", "chunked, chunked, gzip", "chunked , x"]
    {
        let line = format!("Transfer-Encoding: {coding}\r\n");
        add("A07", "RFC 9112 §6.3 (4)", line.as_bytes(), BAD);
    }
    for lines in [
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
        "Transfer-Encoding: chunked\r\nX: 1\r\ntransfer-encoding: identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: \r\n",
    ] {
        add("A08", "RFC 9112 §6.1", lines.as_bytes(), BAD_OR_UNKNOWN_CODING);
    }
    let values: &[&[u8]] = &[
        b"\x0bchunked",
        b"chunked\x0b",
        b"\x0cchunked",
        b"chunked\x0c",
        b"\0chunked",
        b"chunked\0",
        b"chu\0nked",
        b"\"chunked\"",
        b"'chunked'",
        b"xchunked",
        b"chunkedx",
        b",chunked",
        b"chunked;q=1",
        b"chunked; a=b",
        b";chunked",
        b"\xa0chunked",
        b"chunked\xa0",
        b"\xc2\xa0chunked",
        b"\r\n chunked",
        b"x\r\n chunked",
        b"chunked\r\n ",
        b"\n chunked",
        b"identity",
        b"",
        b"chunked chunked",
        b"chunk",
        b"{chunked}",
        b"cow",
        b"\x1fchunked",
        b"chunked\x7f",
        b"\r chunked",
        b"chunked\r",
        b"chun\rked",
        b"chun\nked",
        b"\xe2\x80\x83chunked",
        b"chun\xc4\xb1ked",
        b"\xef\xbc\xa3hunked",
    ];
    for value in values {
        let line = [b"Transfer-Encoding: ", *value, b"\r\n"].concat();
        add("A09", "RFC 9112 §6.1", &line, BAD_OR_UNKNOWN_CODING);
    }
    for coding in ["chunked", "Chunked", "CHUNKED", " \tchunked \t"] {
        let line = format!("Transfer-Encoding: {coding}\r\n");
        rows.push(Row::new("A06", "RFC 9112 §7", post(line, "5\r\nhello\r\n0\r\n\r\n"), served("/case", b"hello")));
    }
    rows
}

#[test]
fn the_only_coding_is_chunked_and_only_once() {
    Range::new().run("A06-A09", &rows());
}
