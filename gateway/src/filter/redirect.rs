// SPDX-License-Identifier: Apache-2.0
//! `RequestRedirect`.
//!
//! Spec: "HTTPRequestRedirectFilter defines a filter that redirects a request. This filter MUST NOT be used on the same
//! Route rule as a HTTPURLRewrite filter." The `Location` is absolute, so a path of `//evil` names no host.

use torana_ir::{Authority, PathMode, PathRewrite, RedirectPort, hostname_of};

use super::path::{escape, replaced};
use crate::answer::Answer;
use crate::fault::Reject;
use crate::head::Head;

/// Answers with a `Location`.
#[derive(Debug)]
pub struct Redirect {
    scheme: Option<&'static str>,
    host: Option<Authority>,
    path: Option<PathRewrite>,
    query: Option<String>,
    /// `None`: the port is kept.
    port: Option<u16>,
    status: u16,
    mode: PathMode,
}

impl Redirect {
    /// Prepares `redirect` for a listener on that port, with paths of that mode.
    pub fn compile(redirect: &torana_ir::Redirect, (listener_port, mode): (u16, PathMode)) -> Self {
        let of_scheme = redirect.scheme.and_then(well_known);
        Self {
            scheme: redirect.scheme,
            host: redirect.host.clone(),
            path: redirect.path.clone(),
            query: redirect.query.clone(),
            port: match redirect.port {
                RedirectPort::Known => Some(of_scheme.unwrap_or(listener_port)),
                RedirectPort::Number(port) => Some(port),
                RedirectPort::Kept => None,
            },
            status: redirect.status,
            mode,
        }
    }

    /// The answer to `head`, of whose path `prefix_len` bytes were matched.
    pub fn apply(&self, head: &Head, prefix_len: usize) -> Result<Answer, Reject> {
        let scheme = self.scheme.unwrap_or(head.scheme.as_str());
        let path = match &self.path {
            Some(rewrite) => replaced(rewrite, head.path(), prefix_len, self.mode)?,
            None if head.path().starts_with('/') => head.path().to_owned(),
            // `OPTIONS *` has no path.
            None => "/".to_owned(),
        };
        let mut location = String::with_capacity(64 + path.len());
        if self.host.is_none() && head.host().is_empty() {
            // HTTP/1.0 without Host: all that can be named is a path, which must not be read as `//host`.
            push_safe(&mut location, &format!("/{}", path.trim_start_matches('/')));
        } else {
            location.push_str(scheme);
            location.push_str("://");
            self.place(head, scheme, &mut location);
            push_safe(&mut location, &path);
        }
        if let Some(query) = self.query.as_deref().or(head.query()) {
            location.push('?');
            push_safe(&mut location, query);
        }
        Ok(Answer::new(self.status).with("location", location.as_bytes()))
    }

    /// Host and port.
    fn place(&self, head: &Head, scheme: &str, location: &mut String) {
        let authority = self.host.as_ref().map_or(head.authority(), Authority::as_str);
        let host = if self.host.is_some() { hostname_of(authority) } else { head.host() };
        let Some(port) = self.port else {
            // The request's own port goes without saying where it was its scheme's, and would mislead under another.
            let of_old =
                well_known(head.scheme.as_str()).filter(|_| self.host.is_none() && scheme != head.scheme.as_str());
            let kept = port_of(authority).filter(|port| Some(*port) != of_old);
            push_safe(location, host);
            push_port(kept, location);
            return;
        };
        push_safe(location, host);
        push_port(Some(port).filter(|port| well_known(scheme) != Some(*port)), location);
    }
}

/// The port of an authority as it came.
fn port_of(authority: &str) -> Option<u16> {
    authority.get(hostname_of(authority).len()..)?.trim_start_matches('.').strip_prefix(':')?.parse().ok()
}

fn push_port(port: Option<u16>, location: &mut String) {
    if let Some(port) = port {
        location.push(':');
        location.push_str(itoa::Buffer::new().format(port));
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
            location.extend(escape(byte));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{Scheme, Version};

    const PLAIN: torana_ir::Redirect = torana_ir::Redirect {
        scheme: None,
        host: None,
        path: None,
        query: None,
        port: RedirectPort::Known,
        status: 302,
    };

    fn location(redirect: &torana_ir::Redirect, listener: (Scheme, u16), authority: &str, target: &str) -> String {
        let head = Head::new(Version::Http11, listener.0, "GET", authority, target);
        let answer = Redirect::compile(redirect, (listener.1, PathMode::Base)).apply(&head, "/a".len()).unwrap();
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
            let port = port.map(RedirectPort::Number).unwrap_or_default();
            let redirect = torana_ir::Redirect { scheme, port, ..PLAIN };
            assert_eq!(location(&redirect, listener, "a.com:9999", "/a?q"), expected);
        }
    }

    #[test]
    fn a_port_that_is_kept_is_the_client_s_or_the_new_host_s() {
        let kept = torana_ir::Redirect { port: RedirectPort::Kept, ..PLAIN };
        let rows = [
            (None, None, Scheme::Http, "a.com", "http://a.com/a"),
            (None, None, Scheme::Http, "a.com:80", "http://a.com:80/a"),
            (None, None, Scheme::Http, "a.com:8080", "http://a.com:8080/a"),
            (Some("https"), None, Scheme::Http, "a.com:80", "https://a.com/a"),
            (Some("https"), None, Scheme::Http, "a.com:8080", "https://a.com:8080/a"),
            (Some("https"), None, Scheme::Https, "a.com:443", "https://a.com:443/a"),
            (Some("http"), None, Scheme::Https, "[::1]:443", "http://[::1]/a"),
            (None, Some("b.com"), Scheme::Http, "a.com:8080", "http://b.com/a"),
            (None, Some("b.com:81"), Scheme::Http, "a.com:8080", "http://b.com:81/a"),
        ];
        for (scheme, host, came, authority, expected) in rows {
            let host = host.map(|host| Authority::new(host).unwrap());
            let redirect = torana_ir::Redirect { scheme, host, ..kept.clone() };
            assert_eq!(location(&redirect, (came, 9), authority, "/a"), expected);
        }
    }

    #[test]
    fn a_query_that_is_given_is_instead_of_the_client_s() {
        let path = Some(PathRewrite::Full("/new".into()));
        let given = torana_ir::Redirect { path, query: Some("z=1".to_owned()), ..PLAIN };
        assert_eq!(location(&given, (Scheme::Http, 80), "a.com", "/a?q=1"), "http://a.com/new?z=1");
    }

    #[test]
    fn host_and_path_are_replaced() {
        let host = torana_ir::Redirect { host: Authority::new("b.com").ok(), status: 301, ..PLAIN };
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
