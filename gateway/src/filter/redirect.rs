// SPDX-License-Identifier: Apache-2.0
//! `RequestRedirect`.
//!
//! Spec: "HTTPRequestRedirectFilter defines a filter that redirects a request. This filter MUST NOT be used on the same
//! Route rule as a HTTPURLRewrite filter." The `Location` is absolute, so a path of `//evil` names no host.

use torana_ir::PathRewrite;

use super::path::replaced;
use crate::answer::Answer;
use crate::head::{Head, Scheme};

/// Answers with a `Location`.
#[derive(Debug)]
pub struct Redirect {
    scheme: Option<&'static str>,
    hostname: Option<String>,
    path: Option<PathRewrite>,
    /// Given, or else the well-known port of a given scheme, or else the listener's.
    port: u16,
    status: u16,
}

impl Redirect {
    /// Prepares `redirect` for a listener on `listener_port`.
    pub fn compile(redirect: &torana_ir::Redirect, listener_port: u16) -> Self {
        let of_scheme = redirect.scheme.and_then(well_known);
        Self {
            scheme: redirect.scheme,
            hostname: redirect.hostname.as_ref().map(|name| name.as_str().to_owned()),
            path: redirect.path.clone(),
            port: redirect.port.or(of_scheme).unwrap_or(listener_port),
            status: redirect.status,
        }
    }

    /// The answer to `head`, of whose path `prefix_len` bytes were matched.
    pub fn apply(&self, head: &Head, prefix_len: usize) -> Answer {
        let scheme = self.scheme.unwrap_or(match head.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        });
        let host = self.hostname.as_deref().unwrap_or(head.host());
        let path = match &self.path {
            Some(rewrite) => replaced(rewrite, head.path(), prefix_len),
            None if head.path().starts_with('/') => head.path().to_owned(),
            // `OPTIONS *` has no path.
            None => "/".to_owned(),
        };
        let mut location = String::with_capacity(64 + path.len());
        if host.is_empty() {
            // HTTP/1.0 without Host: all that can be named is a path, which must not be read as `//host`.
            push_safe(&mut location, &format!("/{}", path.trim_start_matches('/')));
        } else {
            location.push_str(scheme);
            location.push_str("://");
            push_safe(&mut location, host);
            if well_known(scheme) != Some(self.port) {
                location.push(':');
                location.push_str(itoa::Buffer::new().format(self.port));
            }
            push_safe(&mut location, &path);
        }
        if let Some(query) = head.query() {
            location.push('?');
            push_safe(&mut location, query);
        }
        Answer::new(self.status).with("location", location.as_bytes())
    }
}

fn well_known(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Appends `text`; what cannot stand in a field value or would end the URL's part is escaped.
fn push_safe(location: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\' | b'"' | b'<' | b'>') {
            location.push(char::from(byte));
        } else {
            location.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

fn digit(nibble: u8) -> char {
    char::from(b"0123456789ABCDEF"[usize::from(nibble & 15)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Version;
    use torana_ir::Hostname;

    const PLAIN: torana_ir::Redirect =
        torana_ir::Redirect { scheme: None, hostname: None, path: None, port: None, status: 302 };

    fn location(redirect: &torana_ir::Redirect, listener: (Scheme, u16), authority: &str, target: &str) -> String {
        let head = Head::new(Version::Http11, listener.0, "GET", authority, target);
        let answer = Redirect::compile(redirect, listener.1).apply(&head, "/a".len());
        assert_eq!((answer.status, answer.fields.len()), (redirect.status, 1));
        String::from_utf8(answer.fields.first("location").unwrap().to_vec()).unwrap()
    }

    #[test]
    fn the_port_is_given_or_of_the_scheme_or_of_the_listener() {
        let rows = [
            (None, None, (Scheme::Http, 80), "http://a.com/a?q"),
            (None, None, (Scheme::Http, 8080), "http://a.com:8080/a?q"),
            (None, None, (Scheme::Https, 443), "https://a.com/a?q"),
            (None, None, (Scheme::Https, 80), "https://a.com:80/a?q"),
            (Some("https"), None, (Scheme::Http, 80), "https://a.com/a?q"),
            (Some("http"), None, (Scheme::Https, 8443), "http://a.com/a?q"),
            (Some("https"), Some(8443), (Scheme::Http, 80), "https://a.com:8443/a?q"),
            (Some("https"), Some(443), (Scheme::Http, 80), "https://a.com/a?q"),
            (Some("http"), Some(443), (Scheme::Http, 80), "http://a.com:443/a?q"),
            (None, Some(80), (Scheme::Http, 8080), "http://a.com/a?q"),
        ];
        for (scheme, port, listener, expected) in rows {
            let redirect = torana_ir::Redirect { scheme, port, ..PLAIN };
            assert_eq!(location(&redirect, listener, "a.com:9999", "/a?q"), expected);
        }
    }

    #[test]
    fn host_and_path_are_replaced() {
        let host = torana_ir::Redirect { hostname: Hostname::new("b.com"), status: 301, ..PLAIN };
        assert_eq!(location(&host, (Scheme::Http, 80), "a.com", "/a/b?x=1"), "http://b.com/a/b?x=1");
        let full = torana_ir::Redirect { path: Some(PathRewrite::Full("/new".into())), status: 308, ..PLAIN };
        assert_eq!(location(&full, (Scheme::Http, 80), "a.com", "/a/b?x=1"), "http://a.com/new?x=1");
        let prefix = torana_ir::Redirect { path: Some(PathRewrite::Prefix("/new".into())), ..PLAIN };
        assert_eq!(location(&prefix, (Scheme::Http, 80), "a.com", "/a/b?x=1"), "http://a.com/new/b?x=1");
        assert_eq!(location(&PLAIN, (Scheme::Http, 80), "[::1]:80", "/"), "http://[::1]/");
    }

    #[test]
    fn no_path_can_name_another_host() {
        assert_eq!(location(&PLAIN, (Scheme::Http, 80), "a.com", "//evil/x"), "http://a.com//evil/x");
        assert_eq!(location(&PLAIN, (Scheme::Http, 80), "", "//evil/x"), "/evil/x");
        let empty = torana_ir::Redirect { path: Some(PathRewrite::Prefix(String::new())), ..PLAIN };
        assert_eq!(location(&empty, (Scheme::Http, 80), "a.com", "/a//evil"), "http://a.com//evil");
        assert_eq!(location(&empty, (Scheme::Http, 80), "", "/a//evil"), "/evil");
    }

    #[test]
    fn what_cannot_stand_in_a_location_is_escaped() {
        assert_eq!(
            location(&PLAIN, (Scheme::Http, 80), "a.com", "/ä\r\n?\"<\\"),
            "http://a.com/%C3%A4%0D%0A?%22%3C%5C"
        );
        assert_eq!(location(&PLAIN, (Scheme::Http, 80), "a.com", "*"), "http://a.com/");
    }
}
