// SPDX-License-Identifier: Apache-2.0
//! `ExternalAuth` (experimental channel).
//!
//! Spec: "HTTPExternalAuthFilter defines a filter that modifies requests by sending request details to an external
//! authorization server." What is asked and what an answer means is here; `http` asks. Whatever is no clear yes is a no.

use std::time::Duration;

use bytes::Bytes;
use torana_ir::{AuthProtocol, NamePattern, OnError, PathMode};

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
    /// Whom the client's certificate says that it is, if that was verified.
    pub principal: Option<&'c str>,
    /// The body, if it is sent along.
    pub body: &'c [u8],
    /// There is more of it.
    pub is_part: bool,
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

    /// Whether compiling `spec` would give this again, if the backend is the same.
    pub(crate) fn is_of(&self, spec: &torana_ir::ExternalAuth) -> bool {
        self.spec == *spec
    }

    /// Whether routes are looked at again after a yes, which may have changed the request.
    pub fn routes_anew(&self) -> bool {
        self.spec.routes_anew
    }

    /// Bytes of the request's body that are wanted; 0: none.
    pub fn body(&self) -> u32 {
        self.spec.body
    }

    /// Whether so many bytes of a larger body are enough.
    pub fn takes_part(&self) -> bool {
        self.spec.takes_part
    }

    /// An answer is waited for so long.
    pub fn timeout(&self) -> Duration {
        self.spec.timeout
    }

    /// What becomes of requests of which no answer says anything.
    pub fn on_error(&self) -> OnError {
        self.spec.on_error
    }

    /// What to ask about `head`.
    pub fn question(&self, head: &Head, about: Circumstances<'_>) -> Question {
        match &self.spec.protocol {
            AuthProtocol::Http { prefix, headers, added, .. } => {
                // No expression is among what may be put before a path.
                let path = replaced(prefix, head.path(), 0, PathMode::Base).unwrap_or_default();
                let target = head.query().map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
                let mut asked = Head::new(Version::Http11, head.scheme, head.method(), head.authority(), &target);
                for (known, name, value) in head.fields.iter() {
                    let sent = name == b"authorization" || takes(headers, name);
                    if sent && !known.hop_by_hop() && known != Known::Expect {
                        asked.fields.push(name, value);
                    }
                }
                for (name, value) in added {
                    asked.fields.remove(name.as_str());
                    asked.fields.push(name.as_str().as_bytes(), value.as_str().as_bytes());
                }
                if self.spec.takes_part && self.spec.body > 0 {
                    asked.fields.remove(PARTIAL);
                    asked.fields.push(PARTIAL.as_bytes(), if about.is_part { b"true" } else { b"false" });
                }
                asked.body = match about.body.len() {
                    // "`Content-Length` must always be sent."
                    0 => BodyLength::Exact(0),
                    length => BodyLength::Exact(length as u64),
                };
                Question { head: asked, body: Bytes::copy_from_slice(about.body), grpc: false }
            }
            AuthProtocol::Grpc { headers } => {
                let body = check::request(head, about, (headers.as_deref(), self.spec.as_bytes));
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
            AuthProtocol::Http { copied, shown, refused, .. } => {
                http(reply, (copied.as_deref(), shown, refused.as_deref()))
            }
            AuthProtocol::Grpc { .. } => check::ruling(&reply),
        }
    }
}

/// Says whether a body is there in part (Envoy).
const PARTIAL: &str = "x-envoy-auth-partial-body";

/// Every refusal may need these.
const REFUSING: [&[u8]; 3] = [b"www-authenticate", b"proxy-authenticate", b"location"];

fn takes(patterns: &[NamePattern], name: &[u8]) -> bool {
    patterns.iter().any(|pattern| pattern.takes(name))
}

/// Which fields of an answer go where: with the request, with the response, with a refusal.
type Passing<'p> = (Option<&'p [NamePattern]>, &'p [NamePattern], Option<&'p [NamePattern]>);

/// "Each backend must respond with a `200` status code in on a successful authorization. Any other code is considered an
/// authorization failure." The client gets what the server answers, unless the server itself has failed.
fn http(reply: Reply, (copied, shown, refused): Passing<'_>) -> Ruling {
    match reply.head.status {
        200 => {
            let mut edit = Edit::default();
            for (known, name, value) in reply.head.fields.iter().filter(|(known, name, _)| passes(*known, name)) {
                if copied.is_none_or(|copied| takes(copied, name)) && known != Known::Date {
                    edit.set.push(name, value);
                }
                if takes(shown, name) {
                    edit.response.push(name, value);
                }
            }
            Ruling::Allowed(edit)
        }
        500.. => Ruling::Unclear("the server failed"),
        // It is no yes, and would not tell a client no.
        ..300 => Ruling::Denied(Answer { status: 403, fields: Fields::default(), body: Bytes::new() }),
        status => {
            let mut fields = Fields::default();
            // What describes the body goes with it.
            let describes = |name: &[u8]| matches!(name, b"content-type" | b"content-encoding" | b"content-language");
            let wanted = |name: &[u8]| refused.is_none_or(|refused| takes(refused, name) || REFUSING.contains(&name));
            let is_passing = |known, name: &[u8]| (passes(known, name) && wanted(name)) || describes(name);
            let passing = reply.head.fields.iter().filter(|(known, name, _)| is_passing(*known, name));
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
    use torana_ir::{AUTH_PATIENCE, Invalid, PathRewrite, Target};

    fn auth(headers: &[&str], copied: Option<&[&str]>) -> ExternalAuth<()> {
        let protocol = AuthProtocol::Http {
            prefix: PathRewrite::Prefix("/auth/".into()),
            headers: names(headers),
            copied: copied.map(names),
            added: Vec::new(),
            shown: Vec::new(),
            refused: None,
        };
        ExternalAuth::compile(&spec(protocol), Some(()))
    }

    fn names(names: &[&str]) -> Vec<NamePattern> {
        names.iter().map(|name| NamePattern::new(name).unwrap()).collect()
    }

    fn spec(protocol: AuthProtocol) -> torana_ir::ExternalAuth {
        torana_ir::ExternalAuth {
            target: Target::Invalid(Invalid { reason: "unused".into(), message: String::new() }),
            protocol,
            body: 0,
            takes_part: false,
            as_bytes: false,
            timeout: AUTH_PATIENCE,
            on_error: OnError::default(),
            routes_anew: false,
        }
    }

    /// As Istio's provider that names what goes where.
    fn provider() -> ExternalAuth<()> {
        let value = |text: &str| torana_ir::HeaderValue::new(text).unwrap();
        let protocol = AuthProtocol::Http {
            prefix: PathRewrite::Text("/check".into()),
            headers: names(&["x-in-*"]),
            copied: Some(names(&["x-up"])),
            added: vec![(torana_ir::HeaderName::new("x-in-2").unwrap(), value("ours"))],
            shown: names(&["*-seen"]),
            refused: Some(names(&["x-why"])),
        };
        ExternalAuth::compile(&torana_ir::ExternalAuth { body: 4, takes_part: true, ..spec(protocol) }, Some(()))
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
        let about = Circumstances { client: address, local: address, principal: None, body: b"", is_part: false };
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
        for status in [500, 503] {
            assert!(matches!(auth(&[], None).ruling(reply(status, &[])), Ruling::Unclear(_)), "{status}");
        }
        for status in [201, 204] {
            let Ruling::Denied(answer) = auth(&[], None).ruling(reply(status, &[("x-a", "1")])) else {
                panic!("{status}")
            };
            assert_eq!((answer.status, answer.fields.len(), answer.body.len()), (403, 0, 0), "{status}");
        }
    }

    #[test]
    fn a_provider_is_shown_and_believed_what_it_names() {
        let mut head = request();
        for (name, value) in [("x-in-1", "client"), ("x-in-2", "client"), (PARTIAL, "client")] {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        let address = ([127, 0, 0, 1], 1).into();
        let about = Circumstances { client: address, local: address, principal: None, body: b"part", is_part: true };
        let asked = provider().question(&head, about).head;
        let shown: Vec<_> = asked.fields.iter().map(|(_, name, value)| [name, b"=", value].concat()).collect();
        let shown: Vec<_> = shown.iter().map(|it| String::from_utf8_lossy(it)).collect();
        assert_eq!(shown, ["authorization=me", "x-in-1=client", "x-in-2=ours", "x-envoy-auth-partial-body=true"]);
        assert_eq!((asked.target(), asked.body), ("/check/x?y=1", BodyLength::Exact(4)));
        let fields = [("x-up", "1"), ("x-seen", "2"), ("x-why", "3"), ("www-authenticate", "Basic")];
        let Ruling::Allowed(edit) = provider().ruling(reply(200, &fields)) else { panic!("allowed") };
        assert_eq!((edit.set.len(), edit.set.first("x-up")), (1, Some(&b"1"[..])));
        assert_eq!((edit.response.len(), edit.response.first("x-seen")), (1, Some(&b"2"[..])));
        let Ruling::Denied(answer) = provider().ruling(reply(401, &fields)) else { panic!("denied") };
        let shown: Vec<_> = answer.fields.iter().map(|(_, name, _)| String::from_utf8_lossy(name)).collect();
        assert_eq!(shown, ["x-why", "www-authenticate"]);
    }
}
