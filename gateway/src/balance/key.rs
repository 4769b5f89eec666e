// SPDX-License-Identifier: Apache-2.0
//! The property of a request that decides where it goes, as a number; and the cookie that gives it to a client that has
//! none.

use std::net::IpAddr;
use std::time::Duration;

use torana_ir::{CookieName, CookiePath, HashOn, LoadBalance};

use super::scramble::{hash, hash_ip};
use crate::head::Head;

/// What a request is balanced by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Key {
    /// For [`super::Draw::key`].
    pub number: Option<u64>,
    /// What the client is given with the answer, so that it comes back.
    pub cookie: Option<String>,
}

impl Key {
    /// Of a request of `client`. `random` becomes the value of a cookie, where one is set.
    pub fn of_request(balance: &LoadBalance, head: &Head, client: IpAddr, random: impl FnOnce() -> u64) -> Self {
        let number = match balance.hash_on() {
            None => None,
            Some(HashOn::SourceIp) => Some(hash_ip(client)),
            Some(HashOn::Header(name)) => head.fields.first(name.as_str()).map(hash),
            Some(HashOn::Query(name)) => parameter(head.query().unwrap_or_default(), name).map(hash),
            Some(HashOn::Cookie { name, path, ttl }) => match (brought(head, name), ttl) {
                (Some(value), _) => Some(hash(value)),
                (None, None) => None,
                (None, Some(ttl)) => {
                    let value = format!("{:016x}", random());
                    let number = Some(hash(value.as_bytes()));
                    return Self { number, cookie: Some(cookie(name, &value, path.as_ref(), *ttl)) };
                }
            },
        };
        Self { number, cookie: None }
    }

    /// Of a stream of `client`: it has nothing else.
    pub fn of_stream(balance: &LoadBalance, client: IpAddr) -> Option<u64> {
        matches!(balance.hash_on(), Some(HashOn::SourceIp)).then(|| hash_ip(client))
    }
}

/// The first value of a parameter, as written; of `a` and `a=` it is empty.
fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q [u8]> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value.as_bytes())
}

/// The first value of a cookie, without quotes around it.
fn brought<'h>(head: &'h Head, name: &CookieName) -> Option<&'h [u8]> {
    let mut pairs = head.fields.values("cookie").flat_map(|value| value.split(|byte| *byte == b';'));
    let value = pairs.find_map(|pair| {
        let rest = pair.trim_ascii().strip_prefix(name.as_str().as_bytes())?;
        rest.strip_prefix(b"=")
    })?;
    Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
}

/// As Envoy writes it, without quotes. A `ttl` of zero is until the browser ends.
fn cookie(name: &CookieName, value: &str, path: Option<&CookiePath>, ttl: Duration) -> String {
    let mut text = format!("{}={value}", name.as_str());
    if !ttl.is_zero() {
        text.push_str("; Max-Age=");
        text.push_str(&ttl.as_secs().max(1).to_string());
    }
    if let Some(path) = path {
        text.push_str("; Path=");
        text.push_str(path.as_str());
    }
    text.push_str("; HttpOnly");
    text
}

#[cfg(test)]
mod tests {
    use torana_ir::HeaderName;

    use super::*;
    use crate::head::{Scheme, Version};

    const CLIENT: [u8; 4] = [192, 0, 2, 1];

    fn by(on: HashOn) -> LoadBalance {
        LoadBalance::RingHash { on, least: 1024 }
    }

    fn head(target: &str, fields: &[(&str, &str)]) -> Head {
        let mut head = Head::new(Version::Http11, Scheme::Http, "GET", "a.com", target);
        for (name, value) in fields {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        head
    }

    fn number(on: &HashOn, target: &str, fields: &[(&str, &str)]) -> Option<u64> {
        Key::of_request(&by(on.clone()), &head(target, fields), CLIENT.into(), || 1).number
    }

    fn name() -> CookieName {
        CookieName::new("c").unwrap()
    }

    #[test]
    fn a_request_is_known_by_what_the_backend_asks_for() {
        let header = HashOn::Header(HeaderName::new("X-User").unwrap());
        let query = HashOn::Query("u".to_owned());
        let cookie = HashOn::Cookie { name: name(), path: None, ttl: None };
        let value = Some(hash(b"v"));
        for (on, target, fields, expected) in [
            (&header, "/", vec![("x-user", "v"), ("x-user", "w")], value),
            (&header, "/?u=v", vec![("x-use", "v")], None),
            (&query, "/?t=w&u=v&u=w", vec![], value),
            (&query, "/?uu=v&U=v", vec![], None),
            (&query, "/u=v", vec![], None),
            (&query, "/?u", vec![], Some(hash(b""))),
            (&cookie, "/", vec![("cookie", "cc=w; d=c=w;c=v; c=w")], value),
            (&cookie, "/", vec![("cookie", "d=1"), ("cookie", "c=\"v\"")], value),
            (&cookie, "/", vec![("cookie", "c")], None),
            (&HashOn::SourceIp, "/", vec![], Some(hash(&CLIENT))),
        ] {
            assert_eq!(number(on, target, &fields), expected, "{on:?} {target} {fields:?}");
        }
        let unasked = Key::of_request(&LoadBalance::LeastRequest, &head("/", &[]), CLIENT.into(), || 1);
        assert_eq!(unasked, Key::default());
    }

    #[test]
    fn a_client_without_the_cookie_is_given_one_that_leads_to_the_same_endpoint() {
        for (path, ttl, expected) in [
            (Some("/a"), 60, "c=00000000000000ff; Max-Age=60; Path=/a; HttpOnly"),
            (None, 0, "c=00000000000000ff; HttpOnly"),
        ] {
            let path = path.map(|path| CookiePath::new(path).unwrap());
            let on = HashOn::Cookie { name: name(), path, ttl: Some(Duration::from_secs(ttl)) };
            let given = Key::of_request(&by(on.clone()), &head("/", &[]), CLIENT.into(), || 255);
            assert_eq!(given.cookie.as_deref(), Some(expected));
            let brought = [("cookie", given.cookie.as_ref().unwrap().split(';').next().unwrap())];
            let again = Key::of_request(&by(on), &head("/", &brought), CLIENT.into(), || 7);
            assert_eq!(again, Key { number: given.number, cookie: None });
        }
    }

    #[test]
    fn a_stream_is_known_by_its_client_or_not_at_all() {
        assert_eq!(Key::of_stream(&by(HashOn::SourceIp), CLIENT.into()), Some(hash(&CLIENT)));
        assert_eq!(Key::of_stream(&by(HashOn::Query("u".to_owned())), CLIENT.into()), None);
        assert_eq!(Key::of_stream(&LoadBalance::Random, CLIENT.into()), None);
    }
}
