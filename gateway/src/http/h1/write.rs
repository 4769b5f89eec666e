// SPDX-License-Identifier: Apache-2.0
//! Heads and chunk framing into bytes, in the one canonical form. Nothing is allocated but the buffer's own growth.

use crate::gate;
use crate::head::{BodyLength, Fields, Head, Known, ResponseHead, Version};
use crate::http::h1::date;

/// Appends a request head for a backend: origin form, HTTP/1.1, one framing field.
pub(crate) fn request(out: &mut Vec<u8>, head: &Head) {
    out.reserve(head.fields.text_len() + 4 * head.fields.len() + head.target().len() + head.authority().len() + 96);
    out.extend_from_slice(head.method().as_bytes());
    out.push(b' ');
    target(out, head.target());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    field(out, b"host", head.authority().as_bytes());
    fields(out, &head.fields, |known| !hop_or_frame(known));
    match head.body {
        // RFC 9110 §8.6: a method that usually has content says so when it has none.
        BodyLength::None if matches!(head.method(), "POST" | "PUT" | "PATCH") => content_length(out, 0),
        BodyLength::None => {}
        BodyLength::Exact(length) => content_length(out, length),
        BodyLength::Unknown => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    if head.upgrade {
        upgrade(out, &head.fields);
    } else if head.trailers {
        out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends an interim response (1xx but 101).
pub(crate) fn interim(out: &mut Vec<u8>, head: &ResponseHead) {
    status_line(out, head.status);
    fields(out, &head.fields, |known| !hop_or_frame(known));
    out.extend_from_slice(b"\r\n");
}

/// How a response is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sending {
    /// Of the request: HTTP/1.0 has to be told that the connection lives.
    pub(crate) version: Version,
    /// The body is framed in chunks.
    pub(crate) chunked: bool,
    /// The connection lives after this response.
    pub(crate) keep_alive: bool,
}

/// Appends a response head for a client. A body of unknown length that is not chunked ends with the connection.
pub(crate) fn response(out: &mut Vec<u8>, head: &ResponseHead, sending: Sending) {
    out.reserve(head.fields.text_len() + 4 * head.fields.len() + 160);
    status_line(out, head.status);
    fields(out, &head.fields, |known| !hop_or_frame(known));
    if head.fields.first_known(Known::Date).is_none() {
        out.extend_from_slice(b"date: ");
        date::append(out);
        out.extend_from_slice(b"\r\n");
    }
    if head.status == 101 {
        upgrade(out, &head.fields);
        out.extend_from_slice(b"\r\n");
        return;
    }
    match head.body {
        _ if sending.chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        BodyLength::Exact(length) if head.status != 204 => content_length(out, length),
        _ => {}
    }
    if !sending.keep_alive {
        out.extend_from_slice(b"connection: close\r\n");
    } else if sending.version == Version::Http10 {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the size line of a chunk of `len` bytes, which must not be 0; the data and CRLF follow.
pub(crate) fn chunk_start(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len > 0, "an empty chunk would end the body");
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        let nibble = len >> (4 * digit) & 0xf;
        out.push(b"0123456789abcdef"[nibble]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a chunk of `data`, which must not be empty.
pub(crate) fn chunk(out: &mut Vec<u8>, data: &[u8]) {
    chunk_start(out, data.len());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk and the trailer section.
pub(crate) fn last_chunk(out: &mut Vec<u8>, trailers: Option<&Fields>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        for (_, name, value) in trailers.iter().filter(|(_, name, _)| !gate::forbidden_in_trailers(name)) {
            field(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn hop_or_frame(known: Known) -> bool {
    known.hop_by_hop() || matches!(known, Known::Host | Known::ContentLength)
}

fn fields(out: &mut Vec<u8>, fields: &Fields, keep: impl Fn(Known) -> bool) {
    for (known, name, value) in fields.iter() {
        if keep(known) {
            field(out, name, value);
        }
    }
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn content_length(out: &mut Vec<u8>, length: u64) {
    field(out, b"content-length", itoa::Buffer::new().format(length).as_bytes());
}

fn upgrade(out: &mut Vec<u8>, fields: &Fields) {
    if let Some(protocol) = fields.first_known(Known::Upgrade) {
        out.extend_from_slice(b"connection: upgrade\r\n");
        field(out, b"upgrade", protocol);
    }
}

/// A target that a filter wrote may hold what the gate would have refused; it must not end the line.
fn target(out: &mut Vec<u8>, target: &str) {
    if target.bytes().fold(true, |fine, byte| fine & byte.is_ascii_graphic()) {
        return out.extend_from_slice(target.as_bytes());
    }
    for byte in target.bytes() {
        if byte.is_ascii_graphic() {
            out.push(byte);
        } else {
            let hex = b"0123456789ABCDEF";
            out.extend_from_slice(&[b'%', hex[usize::from(byte >> 4)], hex[usize::from(byte & 0xf)]]);
        }
    }
}

fn status_line(out: &mut Vec<u8>, status: u16) {
    if status == 200 {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    let reason = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    out.extend_from_slice(reason.unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Scheme;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn head(method: &str, target: &str) -> Head {
        Head::new(Version::Http11, Scheme::Http, method, "a.com:80", target)
    }

    #[test]
    fn a_request_has_one_host_and_one_framing_field() {
        let mut get = head("GET", "/a?b");
        for (name, value) in
            [("x-a", "1"), ("host", "evil"), ("content-length", "9"), ("te", "trailers"), ("keep-alive", "1")]
        {
            get.fields.push(name.as_bytes(), value.as_bytes());
        }
        assert_eq!(written(|out| request(out, &get)), "GET /a?b HTTP/1.1\r\nhost: a.com:80\r\nx-a: 1\r\n\r\n");
        let rows = [
            ("POST", BodyLength::None, "content-length: 0\r\n"),
            ("DELETE", BodyLength::None, ""),
            ("PUT", BodyLength::Exact(u64::MAX), "content-length: 18446744073709551615\r\n"),
            ("POST", BodyLength::Unknown, "transfer-encoding: chunked\r\n"),
        ];
        for (method, body, framing) in rows {
            let mut head = head(method, "/");
            head.body = body;
            let expected = format!("{method} / HTTP/1.1\r\nhost: a.com:80\r\n{framing}\r\n");
            assert_eq!(written(|out| request(out, &head)), expected);
        }
    }

    #[test]
    fn an_upgrade_is_named_in_connection_only_when_it_may_be_honoured() {
        let mut head = head("GET", "/");
        head.fields.push(b"upgrade", b"websocket");
        assert!(!written(|out| request(out, &head)).contains("upgrade"));
        head.upgrade = true;
        assert!(written(|out| request(out, &head)).ends_with("connection: upgrade\r\nupgrade: websocket\r\n\r\n"));
    }

    #[test]
    fn a_backend_is_told_of_a_client_that_takes_trailers() {
        let mut head = head("GET", "/");
        head.trailers = true;
        assert!(written(|out| request(out, &head)).ends_with("te: trailers\r\nconnection: te\r\n\r\n"));
    }

    #[test]
    fn a_rewritten_target_cannot_split_the_message() {
        let head = head("GET", "/a b\r\nx: \u{e9}");
        assert!(written(|out| request(out, &head)).starts_with("GET /a%20b%0D%0Ax:%20%C3%A9 HTTP/1.1\r\n"));
    }

    #[test]
    fn a_response_says_how_it_ends_and_when_it_was_made() {
        let sending = |chunked, keep_alive, version| Sending { version, chunked, keep_alive };
        let mut head = ResponseHead::new(200);
        head.fields.push(b"date", b"now");
        let start = "HTTP/1.1 200 OK\r\ndate: now\r\n";
        let rows = [
            (BodyLength::Exact(5), sending(false, true, Version::Http11), "content-length: 5\r\n\r\n"),
            (BodyLength::Unknown, sending(true, true, Version::Http11), "transfer-encoding: chunked\r\n\r\n"),
            (BodyLength::Unknown, sending(false, false, Version::Http10), "connection: close\r\n\r\n"),
            (
                BodyLength::Exact(0),
                sending(false, true, Version::Http10),
                "content-length: 0\r\nconnection: keep-alive\r\n\r\n",
            ),
            (BodyLength::None, sending(false, true, Version::Http11), "\r\n"),
        ];
        for (body, sending, end) in rows {
            head.body = body;
            assert_eq!(written(|out| response(out, &head, sending)), format!("{start}{end}"));
        }
        let dateless = written(|out| response(out, &ResponseHead::new(404), sending(false, true, Version::Http11)));
        assert!(dateless.starts_with("HTTP/1.1 404 Not Found\r\ndate: ") && dateless.ends_with(" GMT\r\n\r\n"));
    }

    #[test]
    fn switching_protocols_names_the_protocol() {
        let mut head = ResponseHead::new(101);
        head.fields.push(b"date", b"now");
        head.fields.push(b"upgrade", b"websocket");
        let sending = Sending { version: Version::Http11, chunked: false, keep_alive: false };
        let expected =
            "HTTP/1.1 101 Switching Protocols\r\ndate: now\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        assert_eq!(written(|out| response(out, &head, sending)), expected);
    }

    #[test]
    fn chunk_sizes_are_hexadecimal() {
        for len in [1, 9, 10, 15, 16, 255, 256, 4096, 65535, usize::MAX] {
            assert_eq!(written(|out| chunk_start(out, len)), format!("{len:x}\r\n"));
        }
    }

    #[test]
    fn trailers_cannot_frame() {
        let mut trailers = Fields::default();
        trailers.push(b"grpc-status", b"0");
        trailers.push(b"content-length", b"5");
        assert_eq!(written(|out| last_chunk(out, Some(&trailers))), "0\r\ngrpc-status: 0\r\n\r\n");
        assert_eq!(written(|out| last_chunk(out, None)), "0\r\n\r\n");
    }
}
