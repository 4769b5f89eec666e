// SPDX-License-Identifier: Apache-2.0
//! Fields whose values are made anew for each message: `%DOWNSTREAM_REMOTE_ADDRESS%` and its like, in Envoy's words.
//!
//! What is not known is left out of a value, and a value of which nothing is left is not sent. Nothing of a request that
//! the gate would not let through gets into one.

use std::net::SocketAddr;

use torana_ir::{FieldPart, HeaderName, MadeField, MessageField, Variable, is_field_text};

use crate::address::canonical;
use crate::head::{Fields, Head, ResponseHead};

/// Longest value that is made; a longer one is not sent.
const LONGEST: usize = 16 << 10;

/// What is known of a request beside its head, for those rules that ask for it.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The client's socket.
    pub remote: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
    /// The client's protocol: `HTTP/1.1`.
    pub protocol: &'static str,
    /// The name that it asked for in the handshake.
    pub server_name: Option<String>,
    /// `TLSv1.3`.
    pub tls_version: Option<&'static str>,
    /// The endpoint that answers.
    pub upstream: Option<SocketAddr>,
}

/// A message with fields.
pub(super) trait Message {
    /// All of them.
    fn fields(&mut self) -> &mut Fields;
    /// Appends what it says of itself there; nothing if it does not.
    fn say(&self, field: &MessageField, out: &mut Vec<u8>);
    /// Its status, of a response.
    fn status(&self) -> Option<u16>;
}

impl Message for Head {
    fn fields(&mut self) -> &mut Fields {
        &mut self.fields
    }

    fn say(&self, field: &MessageField, out: &mut Vec<u8>) {
        match field {
            MessageField::Named(name) => said(&self.fields, name, out),
            MessageField::Method => out.extend_from_slice(self.method().as_bytes()),
            MessageField::Path => out.extend_from_slice(self.target().as_bytes()),
            MessageField::Authority => out.extend_from_slice(self.authority().as_bytes()),
            MessageField::Scheme => out.extend_from_slice(self.scheme.as_str().as_bytes()),
        }
    }

    fn status(&self) -> Option<u16> {
        None
    }
}

impl Message for ResponseHead {
    fn fields(&mut self) -> &mut Fields {
        &mut self.fields
    }

    fn say(&self, field: &MessageField, out: &mut Vec<u8>) {
        if let MessageField::Named(name) = field {
            said(&self.fields, name, out);
        }
    }

    fn status(&self) -> Option<u16> {
        Some(self.status)
    }
}

fn said(fields: &Fields, name: &HeaderName, out: &mut Vec<u8>) {
    out.extend_from_slice(fields.first(name.as_str()).unwrap_or_default());
}

/// Whether a value of these can be sent at all. A peer may say what no translation writes.
pub(super) fn is_sound(field: &MadeField) -> bool {
    field.value.iter().all(|part| !matches!(part, FieldPart::Text(text) if !is_field_text(text.as_bytes())))
}

/// Makes these fields. Without a scene only what the message says of itself is known.
pub(super) fn apply(made: &[MadeField], message: &mut impl Message, scene: Option<&Scene>) {
    for field in made {
        let mut value = Vec::new();
        for part in &field.value {
            match part {
                FieldPart::Text(text) => value.extend_from_slice(text.as_bytes()),
                FieldPart::Variable(variable) => write(variable, &*message, scene, &mut value),
            }
        }
        let value = value.trim_ascii();
        if value.is_empty() || value.len() > LONGEST {
            continue;
        }
        if field.appends {
            message.fields().push(field.name.as_str().as_bytes(), value);
        } else {
            message.fields().set(field.name.as_str(), value);
        }
    }
}

fn write(variable: &Variable, message: &impl Message, scene: Option<&Scene>, out: &mut Vec<u8>) {
    let remote = scene.map(|scene| canonical(scene.remote));
    let local = scene.map(|scene| canonical(scene.local));
    match variable {
        Variable::ClientSocket => text(remote, out),
        Variable::ClientAddress => text(remote.map(|it| it.ip()), out),
        Variable::ClientPort => text(remote.map(|it| it.port()), out),
        Variable::LocalSocket => text(local, out),
        Variable::LocalAddress => text(local.map(|it| it.ip()), out),
        Variable::LocalPort => text(local.map(|it| it.port()), out),
        Variable::Protocol => text(scene.map(|scene| scene.protocol), out),
        Variable::ServerName => text(scene.and_then(|scene| scene.server_name.as_deref()), out),
        Variable::TlsVersion => text(scene.and_then(|scene| scene.tls_version), out),
        Variable::Upstream => text(scene.and_then(|scene| scene.upstream).map(canonical), out),
        Variable::ResponseCode => text(message.status(), out),
        Variable::Field { field, or, longest } => {
            let begin = out.len();
            message.say(field, out);
            if let (true, Some(or)) = (out.len() == begin, or) {
                message.say(or, out);
            }
            if let Some(longest) = longest {
                out.truncate(begin.saturating_add(*longest as usize));
            }
        }
    }
}

fn text(value: Option<impl std::fmt::Display>, out: &mut Vec<u8>) {
    use std::io::Write as _;
    if let Some(value) = value {
        // To memory, which does not fail.
        write!(out, "{value}").ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{Scheme, Version};

    fn scene() -> Scene {
        Scene {
            remote: "[::ffff:10.0.0.7]:5000".parse().unwrap(),
            local: "[2001:db8::1]:443".parse().unwrap(),
            protocol: "HTTP/2",
            server_name: Some("a.example".to_owned()),
            tls_version: None,
            upstream: Some("10.1.1.1:8080".parse().unwrap()),
        }
    }

    fn named(name: &str) -> MessageField {
        MessageField::Named(HeaderName::new(name).unwrap())
    }

    fn field(field: MessageField, or: Option<MessageField>, longest: Option<u32>) -> Variable {
        Variable::Field { field, or, longest }
    }

    fn made(value: Vec<FieldPart>) -> MadeField {
        MadeField { name: HeaderName::new("x-made").unwrap(), appends: false, value }
    }

    fn of_request(parts: Vec<FieldPart>, scene: Option<&Scene>) -> Option<String> {
        let mut head = Head::new(Version::Http2, Scheme::Https, "GET", "a.example", "/p?q");
        head.fields.push(b"x-user", b"jason");
        apply(&[made(parts)], &mut head, scene);
        head.fields.joined("x-made").map(std::borrow::Cow::into_owned)
    }

    #[test]
    fn each_variable_has_its_value() {
        for (variable, expected) in [
            (Variable::ClientSocket, Some("10.0.0.7:5000")),
            (Variable::ClientAddress, Some("10.0.0.7")),
            (Variable::ClientPort, Some("5000")),
            (Variable::LocalSocket, Some("[2001:db8::1]:443")),
            (Variable::LocalAddress, Some("2001:db8::1")),
            (Variable::LocalPort, Some("443")),
            (Variable::Protocol, Some("HTTP/2")),
            (Variable::ServerName, Some("a.example")),
            (Variable::TlsVersion, None),
            (Variable::Upstream, Some("10.1.1.1:8080")),
            (Variable::ResponseCode, None),
            (field(named("x-user"), None, None), Some("jason")),
            (field(named("x-user"), None, Some(3)), Some("jas")),
            (field(named("x-none"), Some(named("x-user")), None), Some("jason")),
            (field(named("x-none"), None, None), None),
            (field(MessageField::Path, None, None), Some("/p?q")),
            (field(MessageField::Authority, None, None), Some("a.example")),
            (field(MessageField::Method, None, None), Some("GET")),
            (field(MessageField::Scheme, None, None), Some("https")),
        ] {
            let value = of_request(vec![FieldPart::Variable(variable.clone())], Some(&scene()));
            assert_eq!(value.as_deref(), expected, "{variable:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_out_and_nothing_is_not_sent() {
        let parts = |variable: &Variable| vec![FieldPart::Text("ip=".into()), FieldPart::Variable(variable.clone())];
        assert_eq!(of_request(parts(&Variable::ClientAddress), None).as_deref(), Some("ip="));
        assert_eq!(of_request(vec![FieldPart::Variable(Variable::ClientAddress)], None), None);
        assert_eq!(of_request(vec![FieldPart::Text(" ".into())], None), None);
    }

    #[test]
    fn a_response_says_its_status_and_fields() {
        let mut head = ResponseHead::new(404);
        head.fields.push(b"server", b"x");
        let parts = vec![
            FieldPart::Variable(Variable::ResponseCode),
            FieldPart::Text(" by ".into()),
            FieldPart::Variable(field(named("server"), None, None)),
        ];
        apply(&[MadeField { appends: true, ..made(parts) }], &mut head, None);
        assert_eq!(head.fields.joined("x-made").as_deref(), Some("404 by x"));
    }

    #[test]
    fn a_text_that_would_end_a_line_is_not_sound() {
        for (text, sound) in [("a b", true), ("a\r\nb", false), ("\u{7f}", false)] {
            assert_eq!(is_sound(&made(vec![FieldPart::Text(text.to_owned())])), sound, "{text:?}");
        }
    }
}
