// SPDX-License-Identifier: Apache-2.0
//! A response head out of a backend's bytes. A backend that frames ambiguously gets no second guess: 502
//! (RFC 9112 §6.3, RFC 9110 §15.6.3).

use std::mem::MaybeUninit;

use crate::fault::Reject;
use crate::gate::{self, Options};
use crate::head::{BodyLength, Fields, Known, ResponseHead, Version};
use crate::http::h1::request::has_bare_lf;

/// Longest head.
const MAX_HEAD: usize = 64 << 10;
/// Most fields.
const MAX_FIELDS: usize = 256;

/// What the request was, as far as it decides how its response is framed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// HEAD: whatever the fields say, no body follows.
    pub(crate) head: bool,
    /// An upgrade was offered, so 101 may come.
    pub(crate) upgrade: bool,
}

/// How the end of the body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body.
    None,
    /// After so many bytes.
    Exact(u64),
    /// In chunks.
    Chunked,
    /// At the end of the connection: a response without a length, or a tunnel after 101.
    Close,
}

/// What the bytes are.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// The beginning of a head.
    Partial,
    /// A whole head, interim ones (1xx) included.
    Complete {
        /// Without framing and hop-by-hop fields. `body` is what the fields say, also where nothing follows: the
        /// length of an answer to HEAD, of a 304.
        head: ResponseHead,
        /// What really follows.
        framing: Framing,
        /// Bytes of the head.
        used: usize,
        /// The connection may carry another request once the body is read to its end.
        keep_alive: bool,
    },
    /// No valid response; a fixed word why.
    Bad(&'static str),
}

/// Head, framing, and whether the connection lives.
type Judged = (ResponseHead, Framing, bool);

/// Looks for a whole head at the front of `bytes`.
pub(crate) fn parse(bytes: &[u8], asked: Asked) -> Parsed {
    let mut fields = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    if matches!(bytes.first(), Some(b'\r' | b'\n')) {
        return Parsed::Bad("bad_status_line");
    }
    let config = httparse::ParserConfig::default();
    let used = match config.parse_response_with_uninit_headers(&mut response, bytes, &mut fields) {
        Ok(httparse::Status::Complete(used)) if used <= MAX_HEAD => used,
        Ok(httparse::Status::Partial) if bytes.len() <= MAX_HEAD => return Parsed::Partial,
        Ok(_) => return Parsed::Bad("head_too_long"),
        Err(_) => return Parsed::Bad("bad_head"),
    };
    if has_bare_lf(&bytes[..used]) {
        return Parsed::Bad("bad_line_end");
    }
    match judge(&response, used, asked) {
        Ok((head, framing, keep_alive)) => Parsed::Complete { head, framing, used, keep_alive },
        Err(reason) => Parsed::Bad(reason),
    }
}

fn judge(response: &httparse::Response<'_, '_>, bytes: usize, asked: Asked) -> Result<Judged, &'static str> {
    let version = if response.version == Some(0) { Version::Http10 } else { Version::Http11 };
    let mut head = ResponseHead::new(response.code.unwrap_or_default());
    // Room for what filters add, in one allocation each.
    head.fields = Fields::with_capacity(bytes + 128, response.headers.len() + 4);
    if head.status < 100 || (head.status == 101 && !asked.upgrade) {
        return Err("bad_status");
    }
    let mut connection = Options::default();
    for field in response.headers.iter() {
        let (name, value) = (field.name.as_bytes(), field.value);
        if !gate::is_value(value) {
            return Err("bad_field_value");
        }
        let switching = head.status == 101;
        let keep = |known: Known, _: &[u8]| match known {
            Known::Upgrade => switching,
            // A response to HTTP/1.1 may announce its trailers; `Trailer` is dropped with the other hop-by-hop fields.
            known => !known.hop_by_hop() && known != Known::ContentLength,
        };
        match head.fields.push_if(name, value, keep) {
            Known::ContentLength => length(&mut head, value)?,
            Known::TransferEncoding => coding(&mut head, version, value)?,
            Known::Connection => connection.read(value).map_err(|reject: Reject| reject.reason)?,
            _ => {}
        }
    }
    connection.strip(&mut head.fields);
    let framing = framing(&mut head, asked);
    let keep_alive = connection.keep_alive(version) && framing != Framing::Close;
    Ok((head, framing, keep_alive))
}

fn length(head: &mut ResponseHead, value: &[u8]) -> Result<(), &'static str> {
    let length = gate::content_length(value).ok_or("bad_content_length")?;
    if head.body != BodyLength::None {
        return Err("doubled_framing");
    }
    head.body = BodyLength::Exact(length);
    Ok(())
}

fn coding(head: &mut ResponseHead, version: Version, value: &[u8]) -> Result<(), &'static str> {
    if !value.eq_ignore_ascii_case(b"chunked") || version == Version::Http10 {
        return Err("bad_transfer_encoding");
    }
    if head.body != BodyLength::None {
        return Err("doubled_framing");
    }
    head.body = BodyLength::Unknown;
    Ok(())
}

/// RFC 9112 §6.3 (1), (2), (4), (6), (8).
fn framing(head: &mut ResponseHead, asked: Asked) -> Framing {
    match (head.status, head.body) {
        (101, _) => {
            head.body = BodyLength::Unknown;
            Framing::Close
        }
        (100..=199 | 204, _) => {
            head.body = BodyLength::None;
            Framing::None
        }
        (304, _) => Framing::None,
        _ if asked.head => Framing::None,
        (_, BodyLength::Exact(0)) => Framing::None,
        (_, BodyLength::Exact(length)) => Framing::Exact(length),
        (_, BodyLength::Unknown) => Framing::Chunked,
        (_, BodyLength::None) => {
            head.body = BodyLength::Unknown;
            Framing::Close
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Asked = Asked { head: false, upgrade: false };
    const HEAD: Asked = Asked { head: true, upgrade: false };
    const UPGRADE: Asked = Asked { head: false, upgrade: true };

    fn complete(text: &str, asked: Asked) -> (ResponseHead, Framing, bool) {
        match parse(text.as_bytes(), asked) {
            Parsed::Complete { head, framing, used, keep_alive } => {
                assert_eq!(used, text.find("\r\n\r\n").unwrap() + 4);
                (head, framing, keep_alive)
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn the_body_ends_where_the_rfc_says() {
        use BodyLength as L;
        use Framing as F;
        let rows = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", GET, L::Exact(5), F::Exact(5), true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", GET, L::Exact(0), F::None, true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", GET, L::Unknown, F::Chunked, true),
            ("HTTP/1.1 200 OK\r\n\r\n", GET, L::Unknown, F::Close, false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", GET, L::Exact(5), F::Exact(5), false),
            (
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n",
                GET,
                L::Exact(5),
                F::Exact(5),
                true,
            ),
            ("HTTP/1.1 200\r\nConnection: close\r\nContent-Length: 5\r\n\r\n", GET, L::Exact(5), F::Exact(5), false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HEAD, L::Exact(5), F::None, true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HEAD, L::Unknown, F::None, true),
            ("HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", GET, L::Exact(5), F::None, true),
            ("HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\n", GET, L::None, F::None, true),
            ("HTTP/1.1 103 X\r\nLink: </a>\r\n\r\n", GET, L::None, F::None, true),
            (
                "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
                UPGRADE,
                L::Unknown,
                F::Close,
                false,
            ),
        ];
        for (text, asked, length, framing, keep_alive) in rows {
            let got = complete(text, asked);
            assert_eq!((got.0.body, got.1, got.2), (length, framing, keep_alive), "{text:?}");
        }
    }

    #[test]
    fn fields_of_this_hop_stay_here() {
        let (head, ..) = complete(
            "HTTP/1.1 200 OK\r\nServer: x\r\nKeep-Alive: timeout=5\r\nConnection: keep-alive, X-Hop\r\nx-hop: 1\r\n\
             Upgrade: h2c\r\nContent-Length: 1\r\n\r\n",
            GET,
        );
        let names: Vec<_> = head.fields.iter().map(|(_, name, _)| name.to_vec()).collect();
        assert_eq!(names, [b"server"]);
        let (head, ..) = complete("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", UPGRADE);
        assert_eq!(head.fields.first("upgrade"), Some(&b"websocket"[..]));
    }

    #[test]
    fn ambiguous_responses_are_refused() {
        let rows = [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n",
            "HTTP/1.1 200 OK\nContent-Length: 5\n\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n",
        ];
        for text in rows {
            assert!(matches!(parse(text.as_bytes(), GET), Parsed::Bad(_)), "{text:?}");
        }
    }

    #[test]
    fn a_head_may_come_in_parts_but_not_for_ever() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        for end in 0..text.len() {
            assert!(matches!(parse(&text.as_bytes()[..end], GET), Parsed::Partial), "{end}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(MAX_HEAD));
        assert!(matches!(parse(endless.as_bytes(), GET), Parsed::Bad("head_too_long")));
    }
}
