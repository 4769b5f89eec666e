// SPDX-License-Identifier: Apache-2.0
//! The one form of a message head that gate, router, filters and log see, whatever protocol it came by.
//!
//! Texts lie in one buffer, fields are spans over it, names are in lower case. Nothing here decides what is allowed.

mod claims;
mod fields;
mod known;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

pub(crate) use claims::{claim, says};
pub use fields::{Field, Fields};
pub use known::Known;

/// How the request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no keep-alive unless asked for, no chunked coding.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

impl Version {
    /// As logs and metrics write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// `http` or `https`: what the client used to reach the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Cleartext.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// As a URL writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// How long the body is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    None,
    /// `Content-Length`.
    Exact(u64),
    /// Chunked in HTTP/1.1, open-ended in HTTP/2.
    Unknown,
}

/// A request head after the gate: canonical, unambiguous.
///
/// `host` and framing fields are not in [`Head::fields`]: authority and body length are parts of their own, and each
/// protocol writes them in its own way.
#[derive(Clone)]
pub struct Head {
    /// How it came.
    pub version: Version,
    /// How the client reached us.
    pub scheme: Scheme,
    /// What follows.
    pub body: BodyLength,
    /// An `Upgrade` that may be honoured (token in lower case is in `fields["upgrade"]`).
    pub upgrade: bool,
    /// The client takes trailers, so the backend may send them: some send them to nobody else.
    pub trailers: bool,
    /// The client waits for `100 Continue`.
    pub expects_continue: bool,
    /// All other fields.
    pub fields: Fields,
    /// Method, authority and target one after the other; what a filter replaces them by is appended.
    text: String,
    method_len: usize,
    authority: Range<usize>,
    target: Range<usize>,
    path_len: usize,
    /// The target as it came, if the gate made another of it.
    written: Option<Box<str>>,
    /// Who asks by its token: looked for, and found or not.
    token: Token,
}

/// Whether a request came with a token that is believed.
#[derive(Debug, Clone, Default)]
enum Token {
    #[default]
    Unread,
    Absent,
    Believed(Arc<Value>),
}

/// Room that a rewritten path or host may need.
const REWRITE: usize = 64;

impl Head {
    /// A head without fields. `target` is `path[?query]` and starts with `/` (or is `*`).
    pub fn new(version: Version, scheme: Scheme, method: &str, authority: &str, target: &str) -> Self {
        let mut text = String::with_capacity(method.len() + authority.len() + target.len() + REWRITE);
        text.push_str(method);
        let authority = append(&mut text, authority);
        let path_len = path_len(target);
        let target = append(&mut text, target);
        Self {
            version,
            scheme,
            body: BodyLength::None,
            upgrade: false,
            trailers: false,
            expects_continue: false,
            fields: Fields::default(),
            text,
            method_len: method.len(),
            authority,
            target,
            path_len,
            written: None,
            token: Token::Unread,
        }
    }

    /// Keeps the target as it came: a listener may ask for another form than the one that it has now.
    pub(crate) fn keep_written(&mut self, target: &str) {
        self.written = Some(target.into());
    }

    /// The target as it came, if it is not the one that it has; gives it away.
    pub(crate) fn take_written(&mut self) -> Option<Box<str>> {
        self.written.take()
    }

    /// Tokens were looked for, and this is the payload of the one that is believed.
    pub(crate) fn authenticated(&mut self, claims: Option<Arc<Value>>) {
        self.token = claims.map_or(Token::Absent, Token::Believed);
    }

    /// Whether tokens were looked for.
    pub(crate) fn is_authenticated(&self) -> bool {
        !matches!(self.token, Token::Unread)
    }

    /// The payload of the token that is believed.
    pub fn claims(&self) -> Option<&Value> {
        match &self.token {
            Token::Believed(claims) => Some(claims),
            Token::Unread | Token::Absent => None,
        }
    }

    /// The method, as written.
    pub fn method(&self) -> &str {
        &self.text[..self.method_len]
    }

    /// `host[:port]` in lower case.
    pub fn authority(&self) -> &str {
        &self.text[self.authority.clone()]
    }

    /// The host without port and trailing dot: what listeners and routes compare.
    pub fn host(&self) -> &str {
        torana_ir::hostname_of(self.authority())
    }

    /// `path[?query]`, exactly what is forwarded.
    pub fn target(&self) -> &str {
        &self.text[self.target.clone()]
    }

    /// The canonical path.
    pub fn path(&self) -> &str {
        &self.target()[..self.path_len]
    }

    /// What follows `?`, if there is one.
    pub fn query(&self) -> Option<&str> {
        self.target().get(self.path_len + 1..)
    }

    /// gRPC over HTTP/2: "Content-Type begins with application/grpc".
    pub fn is_grpc(&self) -> bool {
        let kind = self.fields.first("content-type").unwrap_or_default();
        kind.get(..16).is_some_and(|start| start.eq_ignore_ascii_case(b"application/grpc"))
            && matches!(kind.get(16), None | Some(b'+' | b';'))
    }

    /// Replaces the authority (`URLRewrite.hostname`).
    pub fn set_authority(&mut self, authority: &str) {
        self.authority = append(&mut self.text, authority);
    }

    /// Replaces path and query.
    pub fn set_target(&mut self, target: &str) {
        self.target = append(&mut self.text, target);
        self.path_len = path_len(target);
    }

    /// Replaces the path and keeps the query.
    pub fn set_path(&mut self, path: &str) {
        let query = self.target.start + self.path_len..self.target.end;
        let start = append(&mut self.text, path).start;
        self.text.extend_from_within(query);
        self.target = start..self.text.len();
        self.path_len = path.len();
    }

    /// Tells backends by which host the client came.
    pub(crate) fn push_authority(&mut self, name: &[u8]) {
        self.fields.push(name, self.text[self.authority.clone()].as_bytes());
    }
}

/// Where `part` lies in `text` now.
fn append(text: &mut String, part: &str) -> Range<usize> {
    let start = text.len();
    text.push_str(part);
    start..text.len()
}

fn path_len(target: &str) -> usize {
    memchr::memchr(b'?', target.as_bytes()).unwrap_or(target.len())
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}://{}{} {:?}",
            self.method(),
            self.scheme.as_str(),
            self.authority(),
            self.target(),
            self.fields
        )
    }
}

/// A response head after it was judged.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// 100 to 999.
    pub status: u16,
    /// All fields but framing and hop-by-hop ones.
    pub fields: Fields,
    /// What follows.
    pub body: BodyLength,
}

impl ResponseHead {
    /// A head without fields.
    pub fn new(status: u16) -> Self {
        Self { status, fields: Fields::default(), body: BodyLength::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_are_parts_of_one_target() {
        let mut head = Head::new(Version::Http11, Scheme::Http, "GET", "a.com:80", "/a/b?x=1?y");
        assert_eq!((head.path(), head.query(), head.host()), ("/a/b", Some("x=1?y"), "a.com"));
        head.set_path("/longer/than/before");
        assert_eq!(head.target(), "/longer/than/before?x=1?y");
        head.set_target("/none");
        assert_eq!((head.path(), head.query()), ("/none", None));
    }
}
