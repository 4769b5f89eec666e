// SPDX-License-Identifier: Apache-2.0
//! What expressions may ask of a request or a stream, by the names that Envoy has for it. Never a value.

use crate::atom::HeaderName;

/// One attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// `request.method`.
    Method,
    /// `request.scheme`.
    Scheme,
    /// `request.host`.
    Host,
    /// `request.path`: with the query.
    Path,
    /// `request.url_path`: without it.
    UrlPath,
    /// `request.query`: without the `?`.
    Query,
    /// `request.id`.
    RequestId,
    /// `request.protocol`: `HTTP/1.1`.
    Protocol,
    /// `request.headers['x']`, `request.useragent`, `request.referer`: as the client sent it.
    Header(HeaderName),
    /// `request.duration`.
    Duration,
    /// `request.size`: bytes of its body.
    RequestSize,
    /// `response.code`.
    Code,
    /// `response.grpc_status`.
    GrpcStatus,
    /// `response.flags`: Envoy's bits.
    Flags,
    /// `response.size`: bytes of its body.
    ResponseSize,
    /// `connection.mtls`: the client showed a certificate.
    Mutual,
    /// `connection.requested_server_name`.
    ServerName,
    /// `connection.tls_version`.
    TlsVersion,
    /// `source.address`, with a port.
    SourceAddress,
    /// `source.port`.
    SourcePort,
    /// `destination.address`, with a port.
    LocalAddress,
    /// `destination.port`.
    LocalPort,
    /// `upstream.address`, with a port.
    UpstreamAddress,
    /// `upstream.port`.
    UpstreamPort,
}

/// The map among them: what is in it is an attribute, it is none.
const HEADERS: [&str; 2] = ["request", "headers"];

impl Attribute {
    /// All with names of their own.
    pub const NAMES: [&str; 25] = [
        "request.method",
        "request.scheme",
        "request.host",
        "request.path",
        "request.url_path",
        "request.query",
        "request.id",
        "request.protocol",
        "request.useragent",
        "request.referer",
        "request.duration",
        "request.size",
        "response.code",
        "response.grpc_status",
        "response.flags",
        "response.size",
        "connection.mtls",
        "connection.requested_server_name",
        "connection.tls_version",
        "source.address",
        "source.port",
        "destination.address",
        "destination.port",
        "upstream.address",
        "upstream.port",
    ];

    /// The attribute of these words: `request.host`, `request.headers.x`.
    pub(crate) fn of(words: &[&str]) -> Option<Self> {
        if let [first, second, name] = words {
            return (HEADERS == [*first, *second]).then(|| Self::header(name)).flatten();
        }
        let [first, second] = words else { return None };
        Some(match (*first, *second) {
            ("request", "method") => Self::Method,
            ("request", "scheme") => Self::Scheme,
            ("request", "host") => Self::Host,
            ("request", "path") => Self::Path,
            ("request", "url_path") => Self::UrlPath,
            ("request", "query") => Self::Query,
            ("request", "id") => Self::RequestId,
            ("request", "protocol") => Self::Protocol,
            ("request", "useragent") => return Self::header("user-agent"),
            ("request", "referer") => return Self::header("referer"),
            ("request", "duration") => Self::Duration,
            ("request", "size") => Self::RequestSize,
            ("response", "code") => Self::Code,
            ("response", "grpc_status") => Self::GrpcStatus,
            ("response", "flags") => Self::Flags,
            ("response", "size") => Self::ResponseSize,
            ("connection", "mtls") => Self::Mutual,
            ("connection", "requested_server_name") => Self::ServerName,
            ("connection", "tls_version") => Self::TlsVersion,
            ("source", "address") => Self::SourceAddress,
            ("source", "port") => Self::SourcePort,
            ("destination", "address") => Self::LocalAddress,
            ("destination", "port") => Self::LocalPort,
            ("upstream", "address") => Self::UpstreamAddress,
            ("upstream", "port") => Self::UpstreamPort,
            _ => return None,
        })
    }

    /// Whether these words name the map of headers.
    pub(crate) fn are_headers(words: &[&str]) -> bool {
        *words == HEADERS
    }

    /// The field of a request of that name, in any case. Pseudo-headers are those of Envoy.
    pub(crate) fn header(name: &str) -> Option<Self> {
        Some(match name {
            ":method" => Self::Method,
            ":authority" => Self::Host,
            ":path" => Self::Path,
            ":scheme" => Self::Scheme,
            name => Self::Header(HeaderName::new(name).ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_of_an_attribute_and_no_other_is() {
        for name in Attribute::NAMES {
            assert!(Attribute::of(&name.split('.').collect::<Vec<_>>()).is_some(), "{name}");
        }
        for name in ["request", "request.headers", "response.code_details", "xds.node", "request.host.a"] {
            assert_eq!(Attribute::of(&name.split('.').collect::<Vec<_>>()), None, "{name}");
        }
        assert_eq!(Attribute::of(&["request", "headers", ":path"]), Some(Attribute::Path));
        assert_eq!(Attribute::header("a b"), None);
    }
}
