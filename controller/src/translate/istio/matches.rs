// SPDX-License-Identifier: Apache-2.0
//! `HTTPMatchRequest`: first whether a match is for this gateway, port and these pods at all, then what it asks of a
//! request. A match that cannot be read matches nothing, and that is said.
//!
//! Never orders matches.

use torana_crds::istio::http::HttpMatch;
use torana_crds::istio::matching::{HeaderMatch, MatchKey, StringMatch};
use torana_ir::{FieldMatch, HeaderName, LineMatch, LinePart, PathMatch, Regex, RouteMatch, TextMatch};

use crate::report::Remark;
use crate::translate::istio::bindings::Binding;
use crate::translate::servers::INVALID;

/// What every rule without matches asks for: nothing.
pub(super) fn everything() -> RouteMatch {
    RouteMatch::of(PathMatch::Text { text: "/".to_owned(), any_case: false })
}

/// Whether the match is for this place. Where it names gateways, nothing is asked of the pods.
pub(super) fn is_for(one: &HttpMatch, home: &str, place: &Binding<'_>) -> bool {
    one.port.is_none_or(|port| port == place.port)
        && if one.gateways.is_empty() {
            let namespace = one.source_namespace.as_deref().filter(|namespace| !namespace.is_empty());
            place.proxies.have(&one.source_labels)
                && namespace.is_none_or(|namespace| namespace == place.proxies.namespace)
        } else {
            names(&one.gateways, home, place)
        }
}

/// Whether the place is one of those gateways, seen from namespace `home`.
pub(super) fn names(gateways: &[torana_crds::istio::names::GatewayName], home: &str, place: &Binding<'_>) -> bool {
    gateways.iter().any(|gateway| {
        if gateway.is_mesh() {
            return place.gateway == torana_crds::istio::names::GatewayName::MESH;
        }
        let (namespace, name) = gateway.target(home);
        place.gateway.split_once('/') == Some((namespace, name))
    })
}

/// What a match asks of a request; what is wrong with it goes to `faults`.
pub(super) fn of(one: &HttpMatch, at: &str, faults: &mut Vec<Remark>) -> Option<RouteMatch> {
    let mut reader = Reader { at, faults, failed: false };
    let mut asked = RouteMatch::of(reader.path(one));
    for (part, field, value) in [
        (LinePart::Method, "method", &one.method),
        (LinePart::Authority, "authority", &one.authority),
        (LinePart::Scheme, "scheme", &one.scheme),
    ] {
        if let Some(value) = value {
            asked.line.extend(reader.text(value, field).map(|value| LineMatch { part, value, inverted: false }));
        }
    }
    for (list, field, inverted) in [(&one.headers, "headers", false), (&one.without_headers, "withoutHeaders", true)] {
        for header in list {
            reader.header(header, (field, inverted), &mut asked);
        }
    }
    for (name, value) in &one.query {
        let value = reader.text(value, &format!("queryParams.{name}"));
        asked.query.extend(value.map(|value| FieldMatch::new(name.clone(), value)));
    }
    (!reader.failed).then_some(asked)
}

struct Reader<'r> {
    at: &'r str,
    faults: &'r mut Vec<Remark>,
    failed: bool,
}

impl Reader<'_> {
    /// Istio refuses the whole object for it.
    fn fail(&mut self, field: &str, message: &str, remedy: &str) {
        let message = format!("{message}: Istio refuses the object, so it has no effect");
        self.faults.push(Remark::error(INVALID, &format!("{}.{field}", self.at), message, remedy));
        self.failed = true;
    }

    fn path(&mut self, one: &HttpMatch) -> PathMatch {
        let any_case = one.ignore_uri_case;
        let cased = |text: &str| if any_case { text.to_ascii_lowercase() } else { text.to_owned() };
        match &one.uri {
            None | Some(StringMatch::Any) => PathMatch::Text { text: "/".to_owned(), any_case },
            Some(StringMatch::Prefix(prefix)) => PathMatch::Text { text: cased(prefix), any_case },
            Some(StringMatch::Exact(exact)) if any_case => PathMatch::ExactAnyCase(cased(exact)),
            Some(StringMatch::Exact(exact)) => PathMatch::Exact(exact.clone()),
            Some(StringMatch::Regex(pattern)) => match Regex::new(pattern) {
                Ok(regex) => PathMatch::Regex(regex),
                Err(error) => {
                    self.fail("uri.regex", &error.to_string(), "correct the expression");
                    PathMatch::Exact(String::new())
                }
            },
        }
    }

    fn text(&mut self, value: &StringMatch, field: &str) -> Option<TextMatch> {
        Some(match value {
            StringMatch::Any => TextMatch::Present,
            StringMatch::Exact(exact) => TextMatch::Exact(exact.clone()),
            StringMatch::Prefix(prefix) => TextMatch::Prefix(prefix.clone()),
            StringMatch::Regex(pattern) => match Regex::new(pattern) {
                Ok(regex) => TextMatch::Regex(regex),
                Err(error) => {
                    self.fail(&format!("{field}.regex"), &error.to_string(), "correct the expression");
                    return None;
                }
            },
        })
    }

    fn header(&mut self, header: &HeaderMatch, (list, inverted): (&str, bool), asked: &mut RouteMatch) {
        let field = format!("{list}.{}", header.key.written());
        let Some(value) = self.text(&header.value, &field) else { return };
        let name = match &header.key {
            MatchKey::Header(name) => name,
            MatchKey::Claim(path) => {
                asked.claims.push(FieldMatch { name: path.clone(), value, inverted });
                return;
            }
        };
        let part = match name.as_str() {
            ":method" => Some(LinePart::Method),
            ":scheme" => Some(LinePart::Scheme),
            ":authority" | "host" => Some(LinePart::Authority),
            ":path" => Some(LinePart::Path),
            _ => None,
        };
        if let Some(part) = part {
            asked.line.push(LineMatch { part, value, inverted });
            return;
        }
        match HeaderName::new(name) {
            Ok(name) => asked.headers.push(FieldMatch { name, value, inverted }),
            Err(error) => self.fail(&field, &error.to_string(), "correct the name"),
        }
    }
}
