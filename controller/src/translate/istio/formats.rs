// SPDX-License-Identifier: Apache-2.0
//! Values of header fields that may hold `%VARIABLES%`, in the words of Envoy's access log. Never knows what they stand for.

use torana_ir::{FieldPart, HeaderName, MessageField, Variable};

/// Whose field it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    Request,
    Response,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    /// Always the same.
    Text(String),
    /// Made for each message.
    Made(Vec<FieldPart>),
}

impl Format {
    /// Reads a value of a field of such a message; `%%` is a percent sign. An error says what of it is not understood.
    pub(super) fn read(value: &str, of: Message) -> Result<Self, String> {
        let (mut parts, mut text, mut rest) = (Vec::new(), String::new(), value);
        while let Some((before, after)) = rest.split_once('%') {
            text.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                text.push('%');
                rest = after;
                continue;
            }
            let (variable, after) = variable(after, of)?;
            if !text.is_empty() {
                parts.push(FieldPart::Text(std::mem::take(&mut text)));
            }
            parts.push(FieldPart::Variable(variable));
            rest = after;
        }
        text.push_str(rest);
        if parts.is_empty() {
            return Ok(Self::Text(text));
        }
        if !text.is_empty() {
            parts.push(FieldPart::Text(text));
        }
        Ok(Self::Made(parts))
    }
}

/// What stands behind a percent sign, up to the next, and what follows.
fn variable(text: &str, of: Message) -> Result<(Variable, &str), String> {
    // Names of fields have no percent sign in them that could be taken for the end: `(` … `)` ends first.
    let end = text.find(['(', '%']).ok_or_else(|| "has a % without another one".to_owned())?;
    let (name, rest) = text.split_at(end);
    let (arguments, rest) = match rest.strip_prefix('(') {
        None => (None, rest),
        Some(rest) => {
            let (arguments, rest) = rest.split_once(')').ok_or_else(|| format!("has no ) behind %{name}("))?;
            (Some(arguments), rest)
        }
    };
    let (longest, rest) = match rest.strip_prefix(':') {
        None => (None, rest),
        Some(rest) => {
            let (number, _) = rest.split_once('%').ok_or_else(|| format!("has no % behind %{name}"))?;
            let longest = number.parse().map_err(|_| format!("has no number behind %{name}:"))?;
            (Some(longest), rest.trim_start_matches(|it: char| it != '%'))
        }
    };
    let rest = rest.strip_prefix('%').ok_or_else(|| format!("has no % behind %{name}"))?;
    let variable = match (name, arguments, of) {
        ("REQ", Some(arguments), Message::Request) | ("RESP", Some(arguments), Message::Response) => {
            let (first, second) = arguments.split_once('?').map_or((arguments, None), |(one, two)| (one, Some(two)));
            Variable::Field { field: field(first)?, or: second.map(field).transpose()?, longest }
        }
        (name, None, of) if longest.is_none() => plain(name, of).ok_or_else(|| unknown(name))?,
        (name, ..) => return Err(unknown(name)),
    };
    Ok((variable, rest))
}

fn unknown(name: &str) -> String {
    format!("has %{name}%, which is not known here")
}

fn plain(name: &str, of: Message) -> Option<Variable> {
    // Nobody stands between the client and the proxy as far as that knows.
    Some(match name {
        "DOWNSTREAM_REMOTE_ADDRESS" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Variable::ClientSocket,
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => {
            Variable::ClientAddress
        }
        "DOWNSTREAM_REMOTE_PORT" | "DOWNSTREAM_DIRECT_REMOTE_PORT" => Variable::ClientPort,
        "DOWNSTREAM_LOCAL_ADDRESS" | "DOWNSTREAM_DIRECT_LOCAL_ADDRESS" => Variable::LocalSocket,
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" | "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT" => {
            Variable::LocalAddress
        }
        "DOWNSTREAM_LOCAL_PORT" | "DOWNSTREAM_DIRECT_LOCAL_PORT" => Variable::LocalPort,
        "PROTOCOL" => Variable::Protocol,
        "REQUESTED_SERVER_NAME" => Variable::ServerName,
        "DOWNSTREAM_TLS_VERSION" => Variable::TlsVersion,
        "UPSTREAM_HOST" if of == Message::Response => Variable::Upstream,
        "RESPONSE_CODE" if of == Message::Response => Variable::ResponseCode,
        _ => return None,
    })
}

fn field(name: &str) -> Result<MessageField, String> {
    Ok(match &*name.to_ascii_lowercase() {
        ":authority" | "host" => MessageField::Authority,
        ":path" => MessageField::Path,
        ":method" => MessageField::Method,
        ":scheme" => MessageField::Scheme,
        name => MessageField::Named(HeaderName::new(name).map_err(|error| error.to_string())?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> FieldPart {
        FieldPart::Text(text.to_owned())
    }

    fn named(name: &str) -> MessageField {
        MessageField::Named(HeaderName::new(name).unwrap())
    }

    fn of_field(field: MessageField, or: Option<MessageField>, longest: Option<u32>) -> FieldPart {
        FieldPart::Variable(Variable::Field { field, or, longest })
    }

    #[test]
    fn two_percent_signs_are_one() {
        for (value, expected) in [("a", "a"), ("100%%", "100%"), ("%%%%", "%%"), ("", "")] {
            assert_eq!(Format::read(value, Message::Request), Ok(Format::Text(expected.to_owned())), "{value}");
        }
    }

    #[test]
    fn a_value_is_text_and_variables() {
        let client = || FieldPart::Variable(Variable::ClientAddress);
        for (value, expected) in [
            ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", vec![client()]),
            ("a %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%%% b", vec![text("a "), client(), text("% b")]),
            ("%REQ(X-User)%", vec![of_field(named("x-user"), None, None)]),
            (
                "%REQ(X-A?:authority):12%!",
                vec![of_field(named("x-a"), Some(MessageField::Authority), Some(12)), text("!")],
            ),
            (
                "%PROTOCOL%%REQ(:path)%",
                vec![FieldPart::Variable(Variable::Protocol), of_field(MessageField::Path, None, None)],
            ),
        ] {
            assert_eq!(Format::read(value, Message::Request), Ok(Format::Made(expected)), "{value}");
        }
        let code = Format::Made(vec![FieldPart::Variable(Variable::ResponseCode)]);
        assert_eq!(Format::read("%RESPONSE_CODE%", Message::Response), Ok(code));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (value, of, why) in [
            ("100%", Message::Request, "has a % without another one"),
            ("50% off", Message::Request, "has a % without another one"),
            ("%NOPE%", Message::Request, "has %NOPE%, which is not known here"),
            ("%REQ(x%", Message::Request, "has no ) behind %REQ("),
            ("%REQ(x)", Message::Request, "has no % behind %REQ"),
            ("%REQ(x):y%", Message::Request, "has no number behind %REQ:"),
            ("%REQ(x)%", Message::Response, "has %REQ%, which is not known here"),
            ("%RESPONSE_CODE%", Message::Request, "has %RESPONSE_CODE%, which is not known here"),
            ("%PROTOCOL(x)%", Message::Request, "has %PROTOCOL%, which is not known here"),
        ] {
            assert_eq!(Format::read(value, of), Err(why.to_owned()), "{value}");
        }
    }
}
