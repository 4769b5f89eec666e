// SPDX-License-Identifier: Apache-2.0
//! How Istio's objects name each other, and whom they are for. Never resolves a name.

use serde::{Deserialize, Serialize};

use crate::istio::scalars::{maybe_selected, text};

/// One entry of `exportTo`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(from = "String")]
pub enum Export {
    /// `*`: every namespace.
    All,
    /// `.`: that of the object.
    Own,
    /// `~`: none. Of a ServiceEntry only.
    Nobody,
    /// That one.
    Namespace(String),
}

impl From<String> for Export {
    fn from(text: String) -> Self {
        match text.as_str() {
            "*" => Self::All,
            "." => Self::Own,
            "~" => Self::Nobody,
            _ => Self::Namespace(text),
        }
    }
}

/// A Gateway as a VirtualService names it: `mesh`, `namespace/name`, `./name`, `name`, or the form of old,
/// `name.namespace.svc.cluster.local`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GatewayName(pub String);

impl GatewayName {
    /// The word for all sidecars.
    pub const MESH: &str = "mesh";

    /// Whether the sidecars are meant, and no Gateway.
    pub fn is_mesh(&self) -> bool {
        self.0 == Self::MESH
    }

    /// Whether it is written in the form of old.
    pub fn is_legacy(&self) -> bool {
        !self.0.contains('/') && self.0.contains('.')
    }

    /// Namespace and name of the Gateway meant, seen from namespace `local`.
    pub fn target<'a>(&'a self, local: &'a str) -> (&'a str, &'a str) {
        match self.0.split_once('/') {
            Some((".", name)) => (local, name),
            Some(both) => both,
            None => match self.0.split_once('.') {
                Some((name, rest)) => (rest.split('.').next().unwrap_or_default(), name),
                None => (local, &self.0),
            },
        }
    }
}

/// `Destination`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Destination {
    /// As written; a name without a dot is of the namespace of the rule.
    pub host: String,
    /// A subset of the DestinationRule of the host.
    #[serde(default, deserialize_with = "text")]
    pub subset: Option<String>,
    /// `None`: the only port of the service.
    #[serde(default, deserialize_with = "maybe_selected")]
    pub port: Option<u16>,
}

/// Whose VirtualServices a server takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostScope {
    /// `*`, or nothing: of every namespace.
    Any,
    /// `.`: of the namespace of the Gateway.
    Own,
    /// Of that namespace.
    Namespace(String),
}

/// One entry of `servers[].hosts`: `[namespace/]dnsName`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(from = "String")]
pub struct ServerHost {
    /// Whose VirtualServices.
    pub scope: HostScope,
    /// A DNS name, `*.suffix`, `*`, or an IP address.
    pub dns_name: String,
}

impl From<String> for ServerHost {
    fn from(text: String) -> Self {
        match text.split_once('/') {
            None => Self { scope: HostScope::Any, dns_name: text },
            Some((scope, name)) => {
                let scope = match scope {
                    "*" => HostScope::Any,
                    "." => HostScope::Own,
                    namespace => HostScope::Namespace(namespace.to_owned()),
                };
                Self { scope, dns_name: name.to_owned() }
            }
        }
    }
}

/// What is spoken at a port; in any case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(from = "String")]
pub enum Protocol {
    /// Not said: found out by looking (Istio sniffs).
    #[default]
    Unspecified,
    /// HTTP/1.1.
    Http,
    /// HTTP/2.
    Http2,
    /// HTTP of a forward proxy.
    HttpProxy,
    /// gRPC.
    Grpc,
    /// gRPC-Web.
    GrpcWeb,
    /// HTTP within TLS.
    Https,
    /// TLS.
    Tls,
    /// Bytes.
    Tcp,
    /// Datagrams.
    Udp,
    /// MongoDB.
    Mongo,
    /// Redis.
    Redis,
    /// MySQL.
    MySql,
    /// Not one of Istio's.
    Other(String),
}

impl From<String> for Protocol {
    fn from(text: String) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "" => Self::Unspecified,
            "http" => Self::Http,
            "http2" => Self::Http2,
            "http_proxy" => Self::HttpProxy,
            "grpc" => Self::Grpc,
            "grpc-web" => Self::GrpcWeb,
            "https" => Self::Https,
            "tls" => Self::Tls,
            "tcp" => Self::Tcp,
            "udp" => Self::Udp,
            "mongo" => Self::Mongo,
            "redis" => Self::Redis,
            "mysql" => Self::MySql,
            _ => Self::Other(text),
        }
    }
}

impl Protocol {
    /// Requests, in the clear.
    pub fn is_http(&self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::HttpProxy | Self::Grpc | Self::GrpcWeb)
    }

    /// Something within TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_seen_from_the_namespace_of_the_rule() {
        for (text, target) in [
            ("infra/edge", ("infra", "edge")),
            ("./edge", ("web", "edge")),
            ("edge", ("web", "edge")),
            ("edge.infra.svc.cluster.local", ("infra", "edge")),
            ("edge.infra", ("infra", "edge")),
            ("infra/edge.of.all", ("infra", "edge.of.all")),
            ("edge.", ("", "edge")),
        ] {
            let name = GatewayName(text.to_owned());
            assert_eq!(name.target("web"), target, "{text}");
            assert!(!name.is_mesh());
        }
        assert!(GatewayName("mesh".to_owned()).is_mesh());
    }

    #[test]
    fn a_host_of_a_server_may_name_a_namespace() {
        let host = |text: &str| ServerHost::from(text.to_owned());
        let (any, own) = (HostScope::Any, HostScope::Own);
        for (text, scope, name) in [
            ("a.example", any.clone(), "a.example"),
            ("*/a.example", any, "a.example"),
            ("./*", own, "*"),
            ("team/*.a.example", HostScope::Namespace("team".into()), "*.a.example"),
        ] {
            assert_eq!(host(text), ServerHost { scope, dns_name: name.to_owned() });
        }
    }
}
