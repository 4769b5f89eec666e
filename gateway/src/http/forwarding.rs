// SPDX-License-Identifier: Apache-2.0
//! The fields by which an edge tells backends about the client. What a client claims is dropped by the gate; tracing
//! fields (`traceparent`, `tracestate`, B3) pass untouched.

use crate::head::{Head, Known};

/// Longest request id that is taken over from a client.
const MAX_REQUEST_ID: usize = 128;

/// Writes `X-Forwarded-For`, `-Proto`, `-Host` and, where it is absent or unusable, `X-Request-Id`. `client` is the
/// client's address; of its `certificate` there is a field only where the listener says so (`X-Forwarded-Client-Cert`).
pub(crate) fn stamp(head: &mut Head, client: &str, certificate: Option<&str>) {
    let usable = |id: &[u8]| !id.is_empty() && id.len() <= MAX_REQUEST_ID && id.iter().all(u8::is_ascii_graphic);
    match head.fields.first_known(Known::RequestId).map(usable) {
        Some(true) => {}
        Some(false) => {
            head.fields.remove("x-request-id");
            new_id(head);
        }
        None => new_id(head),
    }
    head.fields.push(b"x-forwarded-for", client.as_bytes());
    head.fields.push(b"x-forwarded-proto", head.scheme.as_str().as_bytes());
    head.push_authority(b"x-forwarded-host");
    if let Some(certificate) = certificate {
        head.fields.push(b"x-forwarded-client-cert", certificate.as_bytes());
    }
}

/// A random UUID (RFC 9562 §5.4), unique enough to find a request by; not a secret.
fn new_id(head: &mut Head) {
    let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid();
    let mut text = uuid::Uuid::encode_buffer();
    head.fields.push(b"x-request-id", id.hyphenated().encode_lower(&mut text).as_bytes());
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
        let mut head = head();
        stamp(&mut head, "10.0.0.7", Some("Hash=1"));
        assert_eq!(head.fields.joined("x-forwarded-for").as_deref(), Some("10.0.0.7"));
        assert_eq!(head.fields.joined("x-forwarded-proto").as_deref(), Some("https"));
        assert_eq!(head.fields.joined("x-forwarded-host").as_deref(), Some("a.com:8443"));
        assert_eq!(head.fields.joined("x-forwarded-client-cert").as_deref(), Some("Hash=1"));
        let id = head.fields.first("x-request-id").unwrap();
        assert_eq!((id.len(), id[14]), (36, b'4'));
    }

    #[test]
    fn a_usable_id_is_kept_and_another_is_replaced() {
        let mut kept = head();
        kept.fields.push(b"x-request-id", b"abc-1");
        stamp(&mut kept, "127.0.0.1", None);
        assert_eq!(kept.fields.values("x-request-id").collect::<Vec<_>>(), [b"abc-1"]);
        let mut replaced = head();
        replaced.fields.push(b"x-request-id", b"a b");
        stamp(&mut replaced, "127.0.0.1", None);
        assert_eq!(replaced.fields.values("x-request-id").map(<[u8]>::len).collect::<Vec<_>>(), [36]);
    }
}
