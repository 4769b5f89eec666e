// SPDX-License-Identifier: Apache-2.0
//! The fields by which an edge tells backends about the client. What a client claims is dropped by the gate; tracing
//! fields (`traceparent`, `tracestate`, B3) pass untouched.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::head::{Head, Known};

/// Longest request id that is taken over from a client.
const MAX_REQUEST_ID: usize = 128;

/// Writes `X-Forwarded-For`, `-Proto`, `-Host` and, where it is absent or unusable, `X-Request-Id`. Gives the id.
pub(crate) fn stamp(head: &mut Head, client: SocketAddr, id: &mut String) {
    id.clear();
    match head.fields.first_known(Known::RequestId) {
        Some(given) if !given.is_empty() && given.len() <= MAX_REQUEST_ID && given.iter().all(u8::is_ascii_graphic) => {
            id.push_str(&String::from_utf8_lossy(given));
        }
        _ => {
            new_id(id);
            head.fields.set("x-request-id", id.as_bytes());
        }
    }
    let mut address = String::with_capacity(40);
    // Writing to a String cannot fail; IPv4 clients of a dual-stack socket are written as IPv4.
    let _ = write!(address, "{}", client.ip().to_canonical()).is_ok();
    head.fields.push(b"x-forwarded-for", address.as_bytes());
    head.fields.push(b"x-forwarded-proto", head.scheme.as_str().as_bytes());
    let host = head.authority().to_owned();
    head.fields.push(b"x-forwarded-host", host.as_bytes());
}

/// A random UUID (RFC 9562 §5.4), unique enough to find a request by; not a secret.
fn new_id(id: &mut String) {
    let random = (fastrand::u128(..) & !(0xf << 76 | 0x3 << 62)) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{random:032x}");
    for (at, part) in [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)].into_iter().enumerate() {
        if at > 0 {
            id.push('-');
        }
        id.push_str(&hex[part.0..part.1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{Scheme, Version};

    fn head() -> Head {
        Head::new(Version::Http11, Scheme::Https, "GET", "a.com:8443", "/")
    }

    #[test]
    fn the_client_is_named_and_an_id_is_given() {
        let (mut head, mut id) = (head(), String::new());
        stamp(&mut head, "[::ffff:10.0.0.7]:999".parse().unwrap(), &mut id);
        assert_eq!(head.fields.joined("x-forwarded-for").as_deref(), Some("10.0.0.7"));
        assert_eq!(head.fields.joined("x-forwarded-proto").as_deref(), Some("https"));
        assert_eq!(head.fields.joined("x-forwarded-host").as_deref(), Some("a.com:8443"));
        assert_eq!(head.fields.joined("x-request-id").as_deref(), Some(id.as_str()));
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
    }

    #[test]
    fn a_usable_id_is_kept_and_another_is_replaced() {
        let mut id = String::new();
        let mut kept = head();
        kept.fields.push(b"x-request-id", b"abc-1");
        stamp(&mut kept, "127.0.0.1:1".parse().unwrap(), &mut id);
        assert_eq!((id.as_str(), kept.fields.values("x-request-id").count()), ("abc-1", 1));
        let mut replaced = head();
        replaced.fields.push(b"x-request-id", b"a b");
        stamp(&mut replaced, "127.0.0.1:1".parse().unwrap(), &mut id);
        assert_eq!((id.len(), replaced.fields.values("x-request-id").count()), (36, 1));
    }
}
