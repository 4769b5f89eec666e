// SPDX-License-Identifier: Apache-2.0
//! The fields by which an edge tells backends about the client. What a client claims is dropped by the gate. Fields of
//! traces (`traceparent`, `tracestate`, B3) are the tracer's, and pass untouched where there is none. Where proxies stand
//! before this one, as many of them are believed as its listener says.

use crate::client::Client;
use crate::head::{Head, Known};

/// Longest request id that is taken over from a client.
const MAX_REQUEST_ID: usize = 128;

/// Writes `X-Forwarded-For`, `-Proto`, `-Host` and, where it is absent or unusable, `X-Request-Id`. `peer` is the address at
/// the other end of the connection; of a `certificate` there is a field only where the listener says so
/// (`X-Forwarded-Client-Cert`).
pub(crate) fn stamp(head: &mut Head, client: &Client, peer: &str, certificate: Option<&str>) {
    let usable = |id: &[u8]| !id.is_empty() && id.len() <= MAX_REQUEST_ID && id.iter().all(u8::is_ascii_graphic);
    match head.fields.first_known(Known::RequestId).map(usable) {
        Some(true) => {}
        Some(false) => {
            head.fields.remove("x-request-id");
            new_id(head);
        }
        None => new_id(head),
    }
    let told = client.told.as_deref();
    head.fields.push_with(b"x-forwarded-for", |value| {
        for address in told.iter().flat_map(|told| &told.chain) {
            value.extend_from_slice(format!("{address}, ").as_bytes());
        }
        value.extend_from_slice(peer.as_bytes());
    });
    let scheme = told.and_then(|told| told.scheme).unwrap_or(head.scheme);
    head.fields.push(b"x-forwarded-proto", scheme.as_str().as_bytes());
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

    fn alone(address: &str) -> Client {
        Client { address: address.parse().unwrap(), told: None }
    }

    /// Who the client is when these fields come through `hops` proxies from 10.9.9.9, and what backends are told.
    fn told(hops: u8, fields: &[(&str, &str)]) -> [String; 3] {
        let mut head = head();
        for (name, value) in fields {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        let client = Client::of(&mut head, hops, "::ffff:10.9.9.9".parse().unwrap());
        assert!(head.fields.first_known(Known::Forwarding).is_none(), "routes and filters see nothing of it");
        stamp(&mut head, &client, "10.9.9.9", None);
        let field = |name: &str| head.fields.joined(name).unwrap().into_owned();
        [client.address.to_string(), field("x-forwarded-for"), field("x-forwarded-proto")]
    }

    #[test]
    fn of_the_proxies_before_as_many_are_believed_as_there_are() {
        let forged = "6.6.6.6, 203.0.113.7, 10.1.1.1";
        for (hops, said, client, chain) in [
            (0, forged, "10.9.9.9", "10.9.9.9"),
            (1, forged, "10.1.1.1", "10.1.1.1, 10.9.9.9"),
            (2, forged, "203.0.113.7", "203.0.113.7, 10.1.1.1, 10.9.9.9"),
            (4, forged, "10.9.9.9", "10.9.9.9"),
            (2, "evil, 10.1.1.1", "10.9.9.9", "10.9.9.9"),
            (1, "203.0.113.7, unknown", "10.9.9.9", "10.9.9.9"),
            (1, "", "10.9.9.9", "10.9.9.9"),
            (1, " 203.0.113.7:4711 ", "203.0.113.7", "203.0.113.7, 10.9.9.9"),
            (1, "[2001:db8::7]:443", "2001:db8::7", "2001:db8::7, 10.9.9.9"),
            (1, "::ffff:203.0.113.7", "203.0.113.7", "203.0.113.7, 10.9.9.9"),
        ] {
            let expected = [client.to_owned(), chain.to_owned(), "https".to_owned()];
            assert_eq!(told(hops, &[("x-forwarded-for", said)]), expected, "{hops} {said}");
        }
        let twice = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "203.0.113.7")];
        assert_eq!(told(1, &twice)[0], "203.0.113.7", "fields of one name are one list");
    }

    #[test]
    fn how_the_client_came_is_what_the_nearest_proxy_says() {
        for (hops, said, scheme) in
            [(0, "http", "https"), (1, "http", "http"), (1, "https", "https"), (1, "gopher", "https"), (1, "", "https")]
        {
            assert_eq!(told(hops, &[("x-forwarded-proto", said)])[2], scheme, "{hops} {said}");
        }
    }

    #[test]
    fn the_client_is_named_and_an_id_is_given() {
        let mut head = head();
        stamp(&mut head, &alone("10.0.0.7"), "10.0.0.7", Some("Hash=1"));
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
        stamp(&mut kept, &alone("127.0.0.1"), "127.0.0.1", None);
        assert_eq!(kept.fields.values("x-request-id").collect::<Vec<_>>(), [b"abc-1"]);
        let mut replaced = head();
        replaced.fields.push(b"x-request-id", b"a b");
        stamp(&mut replaced, &alone("127.0.0.1"), "127.0.0.1", None);
        assert_eq!(replaced.fields.values("x-request-id").map(<[u8]>::len).collect::<Vec<_>>(), [36]);
    }
}
