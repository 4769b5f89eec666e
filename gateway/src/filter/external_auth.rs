// SPDX-License-Identifier: Apache-2.0
//! `ExternalAuth` (experimental channel).
//!
//! Spec: "HTTPExternalAuthFilter defines a filter that modifies requests by sending request details to an external
//! authorization server." What is asked and what an answer means is here; `http` asks. Whatever is no clear yes is a no.

use bytes::Bytes;
use torana_ir::{AuthProtocol, HeaderName, PathMode};

use super::check;
use super::path::replaced;
use crate::answer::Answer;
use crate::head::{BodyLength, Fields, Head, Known, ResponseHead, Version};

/// Asks somebody else about each request.
#[derive(Debug)]
pub struct ExternalAuth<B> {
    /// Who is asked; `None`: nobody can be, so nothing goes on.
    pub backend: Option<B>,
    spec: torana_ir::ExternalAuth,
}

/// What is known of a request besides its head.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'c> {
    /// The client.
    pub client: std::net::SocketAddr,
    /// Where it came in.
    pub local: std::net::SocketAddr,
    /// The body, if it is sent along.
    pub body: &'c [u8],
}

/// What is sent to the server.
#[derive(Debug)]
pub struct Question {
    /// Its head.
    pub head: Head,
    /// Its body.
    pub body: Bytes,
    /// It is gRPC, which needs HTTP/2.
    pub grpc: bool,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// Its head.
    pub head: ResponseHead,
    /// Its body.
    pub body: Bytes,
    /// Its trailers.
    pub trailers: Option<Fields>,
}

/// What an answer means.
#[derive(Debug)]
pub enum Ruling {
    /// The request goes on, edited.
    Allowed(Edit),
    /// This is the response.
    Denied(Answer),
    /// It is no answer.
    Unclear(&'static str),
}

/// What a server changes in a request that it lets go on.
#[derive(Debug, Default)]
pub struct Edit {
    /// Fields that take the place of those of their names.
    pub set: Fields,
    /// Fields that are added.
    pub add: Fields,
    /// Names in lower case of fields that go.
    pub remove: Vec<String>,
    /// Fields for the response.
    pub response: Fields,
}

impl<B> ExternalAuth<B> {
    /// Prepares `spec`, whose target is `backend`.
    pub fn compile(spec: &torana_ir::ExternalAuth, backend: Option<B>) -> Self {
        Self { backend, spec: spec.clone() }
    }

    /// Bytes of the request's body that are wanted; 0: none.
    pub fn body(&self) -> u32 {
        self.spec.body
    }

    /// What to ask about `head`.
    pub fn question(&self, head: &Head, about: Circumstances<'_>) -> Question {
        match &self.spec.protocol {
            AuthProtocol::Http { prefix, headers, .. } => {
                // No expression is among what may be put before a path.
                let path = replaced(prefix, head.path(), 0, PathMode::Base).unwrap_or_default();
                let target = head.query().map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
                let mut asked = Head::new(Version::Http11, head.scheme, head.method(), head.authority(), &target);
                for (known, name, value) in head.fields.iter() {
                    let sent = name == b"authorization" || headers.iter().any(|it| it.as_str().as_bytes() == name);
                    if sent && !known.hop_by_hop() && known != Known::Expect {
                        asked.fields.push(name, value);
                    }
                }
                asked.body = match about.body.len() {
                    // "`Content-Length` must always be sent."
                    0 => BodyLength::Exact(0),
                    length => BodyLength::Exact(length as u64),
                };
                Question { head: asked, body: Bytes::copy_from_slice(about.body), grpc: false }
            }
            AuthProtocol::Grpc { headers } => {
                let body = check::request(head, about, headers.as_deref());
                let mut asked = Head::new(Version::Http2, head.scheme, "POST", head.authority(), check::PATH);
                asked.fields.push(b"content-type", b"application/grpc");
                asked.trailers = true;
                asked.body = BodyLength::Exact(body.len() as u64);
                Question { head: asked, body, grpc: true }
            }
        }
    }

    /// What the server's answer means.
    pub fn ruling(&self, reply: Reply) -> Ruling {
        match &self.spec.protocol {
            AuthProtocol::Http { copied, .. } => http(reply, copied.as_deref()),
            AuthProtocol::Grpc { .. } => check::ruling(&reply),
        }
    }
}

/// "Each backend must respond with a `200` status code in on a successful authorization. Any other code is considered an
/// authorization failure." The client gets what the server answers, unless the server itself has failed.
fn http(reply: Reply, copied: Option<&[HeaderName]>) -> Ruling {
    match reply.head.status {
        200 => {
            let mut edit = Edit::default();
            for (known, name, value) in reply.head.fields.iter().filter(|(known, name, _)| passes(*known, name)) {
                let wanted = copied.is_none_or(|copied| copied.iter().any(|it| it.as_str().as_bytes() == name));
                if wanted && known != Known::Date {
                    edit.set.push(name, value);
                }
            }
            Ruling::Allowed(edit)
        }
        // Neither a yes nor something that would tell a client no.
        ..300 | 500.. => Ruling::Unclear("neither 200 nor a refusal"),
        status => {
            let mut fields = Fields::default();
            // What describes the body goes with it.
            let describes = |name: &[u8]| matches!(name, b"content-type" | b"content-encoding" | b"content-language");
            let passing = reply.head.fields.iter().filter(|(known, name, _)| passes(*known, name) || describes(name));
            for (_, name, value) in passing {
                fields.push(name, value);
            }
            Ruling::Denied(Answer { status, fields, body: reply.body })
        }
    }
}

/// What may be taken from the server's message: nothing that frames or describes that message itself, and no `Host`.
pub(super) fn passes(known: Known, name: &[u8]) -> bool {
    let own = known.hop_by_hop()
        || matches!(known, Known::Host | Known::ContentLength | Known::Date | Known::Expect)
        || name.starts_with(b"content-")
        || name.starts_with(b":");
    !own && name != b"server"
}

impl Edit {
    /// Edits the request; what is for the response is added to `response`.
    pub fn apply(&self, head: &mut Head, response: &mut Fields) {
        for (_, name, value) in self.response.iter() {
            response.push(name, value);
        }
        for name in &self.remove {
            head.fields.remove(name);
        }
        let set: Vec<&[u8]> = self.set.iter().map(|(_, name, _)| name).collect();
        head.fields.retain(|_, name, _| !set.contains(&name));
        for (_, name, value) in self.set.iter().chain(self.add.iter()) {
            head.fields.push(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Scheme;
    use torana_ir::{Invalid, PathRewrite, Target};

    fn auth(headers: &[&str], copied: Option<&[&str]>) -> ExternalAuth<()> {
        let names = |names: &[&str]| names.iter().map(|name| HeaderName::new(name).unwrap()).collect::<Vec<_>>();
        let prefix = PathRewrite::Prefix("/auth/".into());
        let protocol = AuthProtocol::Http { prefix, headers: names(headers), copied: copied.map(names) };
        let target = Target::Invalid(Invalid { reason: "unused".into(), message: String::new() });
        ExternalAuth::compile(&torana_ir::ExternalAuth { target, protocol, body: 0 }, Some(()))
    }

    fn reply(status: u16, fields: &[(&str, &str)]) -> Reply {
        let mut head = ResponseHead::new(status);
        for (name, value) in fields {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        Reply { head, body: Bytes::from_static(b"no"), trailers: None }
    }

    fn request() -> Head {
        let mut head = Head::new(Version::Http2, Scheme::Https, "PUT", "a.com", "/x?y=1");
        for (name, value) in [("authorization", "me"), ("cookie", "c"), ("x-user", "forged"), ("accept", "*/*")] {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        head
    }

    #[test]
    fn the_server_is_asked_with_the_fields_that_it_may_see() {
        let address = ([127, 0, 0, 1], 1).into();
        let about = Circumstances { client: address, local: address, body: b"" };
        let question = auth(&["Cookie"], None).question(&request(), about);
        let head = question.head;
        assert_eq!((head.method(), head.authority(), head.target()), ("PUT", "a.com", "/auth/x?y=1"));
        let names: Vec<_> = head.fields.iter().map(|(_, name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!((names, head.body), (vec!["authorization".to_owned(), "cookie".to_owned()], BodyLength::Exact(0)));
    }

    #[test]
    fn what_the_server_says_goes_on_in_place_of_what_the_client_said() {
        let answer =
            [("x-user", "me"), ("x-more", "1"), ("content-type", "a/b"), ("host", "b"), ("connection", "close")];
        for (copied, expected) in [(None, Some(&b"1"[..])), (Some(&["X-User"][..]), None)] {
            let Ruling::Allowed(edit) = auth(&[], copied).ruling(reply(200, &answer)) else { panic!("allowed") };
            let mut head = request();
            edit.apply(&mut head, &mut Fields::default());
            assert_eq!(head.fields.values("x-user").collect::<Vec<_>>(), [b"me"]);
            assert_eq!(head.fields.first("x-more"), expected);
            assert!(head.fields.first("content-type").is_none() && head.fields.first("host").is_none());
        }
    }

    #[test]
    fn everything_but_200_is_a_no() {
        for status in [302, 401, 403, 404] {
            let Ruling::Denied(answer) = auth(&[], None).ruling(reply(status, &[("www-authenticate", "Basic")])) else {
                panic!("{status} is denied")
            };
            assert_eq!(answer.status, status);
            assert_eq!(answer.fields.first("www-authenticate"), Some(&b"Basic"[..]));
        }
        for status in [201, 204, 500, 503] {
            assert!(matches!(auth(&[], None).ruling(reply(status, &[])), Ruling::Unclear(_)), "{status}");
        }
    }
}
