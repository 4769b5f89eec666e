// SPDX-License-Identifier: Apache-2.0
//! Listeners: where clients connect, and what is expected of their bytes.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::exact::exact;
use crate::host::HostPattern;
use crate::key::{CertificateKey, ListenerKey, PolicyKey, Transport, TrustBundleKey};
use crate::target::Invalid;
use crate::telemetry::{LogPolicy, MetricPolicy};
use crate::tracing::Tracing;

/// One port + hostname + protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Who it is.
    pub key: ListenerKey,
    /// Addresses to bind; empty means every address, IPv4 and IPv6.
    pub addresses: Vec<IpAddr>,
    /// Port to bind.
    pub port: u16,
    /// What is spoken.
    pub protocol: Protocol,
    /// Hosts that belong to this listener. The most specific listener of a port wins (listener isolation).
    pub hostname: HostPattern,
    /// How request paths are normalised before routing and before they are forwarded.
    pub path_mode: PathMode,
    /// Limits and deadlines.
    pub limits: Limits,
    /// Shown to backends that ask for a certificate, on behalf of what came in here.
    pub identity: Option<CertificateKey>,
    /// Connections begin with a header of the PROXY protocol, version 1 or 2, that says who connects; those that do not are
    /// closed. Of UDP there is none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proxy_protocol: bool,
    /// Why nobody is let through, requests get 403 and streams are closed, by proxies that know nothing of `policies` and
    /// `tokens`: where there are some, they decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Invalid>,
    /// Whom it is guarded by. Whoever one of these is absent for is let through by none.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "exact")]
    pub policies: Vec<PolicyKey>,
    /// Whose tokens are believed, in the order in which they are looked for. Whoever one of these is absent for is let
    /// through by none.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "exact")]
    pub tokens: Vec<PolicyKey>,
    /// How its requests are traced, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
    /// Which of its requests and streams have a line in the access log; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogPolicy>,
    /// What becomes of Istio's metrics; `None`: they are as always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricPolicy>,
    /// The server of Istio's Gateway that it is one host of. TLS that was set up for one host of a server is good for its
    /// others, too; listeners of none stand for themselves (RFC 9110, 7.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

impl Listener {
    /// A listener with the defaults: cleartext, on every address, for every host.
    pub fn new(key: ListenerKey, port: u16) -> Self {
        Self {
            key,
            addresses: Vec::new(),
            port,
            protocol: Protocol::Http,
            hostname: HostPattern::Any,
            path_mode: PathMode::Base,
            limits: Limits::default(),
            identity: None,
            proxy_protocol: false,
            closed: None,
            policies: Vec::new(),
            tokens: Vec::new(),
            tracing: None,
            log: None,
            metrics: None,
            server: None,
        }
    }
}

/// What a listener speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// Cleartext HTTP/1.1, HTTP/1.0 and HTTP/2 with prior knowledge.
    Http,
    /// TLS terminated here, HTTP/1.1 or HTTP/2 by ALPN.
    Https(Tls),
    /// TLS that ends at the backend. The server name of the handshake decides where that is; nothing else is read.
    TlsPassthrough,
    /// TLS terminated here; what is inside goes on as it comes. The server name decides where to.
    TlsTerminate(Tls),
    /// Connections, passed on as they come.
    Tcp,
    /// Datagrams, passed on as they come.
    Udp,
}

impl Protocol {
    /// What carries it.
    pub fn transport(&self) -> Transport {
        match self {
            Self::Udp => Transport::Udp,
            _ => Transport::Tcp,
        }
    }

    /// How TLS is terminated, if it is.
    pub fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Https(tls) | Self::TlsTerminate(tls) => Some(tls),
            Self::Http | Self::TlsPassthrough | Self::Tcp | Self::Udp => None,
        }
    }

    /// Whether its bytes are requests; others are streams.
    pub fn is_http(&self) -> bool {
        matches!(self, Self::Http | Self::Https(_))
    }

    /// Whether a client begins with a TLS handshake. Listeners that do may share a port, whoever ends the handshake.
    pub fn begins_with_tls(&self) -> bool {
        matches!(self, Self::Https(_) | Self::TlsPassthrough | Self::TlsTerminate(_))
    }

    /// `http`, `https`, `tls`, `tcp` or `udp`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https(_) => "https",
            Self::TlsPassthrough | Self::TlsTerminate(_) => "tls",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// TLS termination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// Certificates that may be served, in the user's order: the first whose key type and names suit the client wins;
    /// with none suiting by name the first is served. A key absent from the snapshot is skipped; with none left the
    /// handshake is refused, but for `placeholder`.
    pub certificates: Vec<CertificateKey>,
    /// Lowest version accepted.
    pub min_version: TlsVersion,
    /// Highest version accepted; `None`: the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_version: Option<TlsVersion>,
    /// Suites of TLS 1.2 that are accepted; `None`: all that there are. Those of TLS 1.3 are always accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suites: Option<Vec<CipherSuite>>,
    /// Whether clients are asked for a certificate.
    pub client: Option<ClientValidation>,
    /// In place of all that: the proxy is who it is in its mesh, and so must clients be (`ISTIO_MUTUAL`). Without an identity
    /// every handshake is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<MeshClients>,
    /// There is no certificate yet and one is on its way: until then the proxy shows one that it makes for itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub placeholder: bool,
    /// Certificates are obtained when clients ask for their names: whoever programs the proxy is told of a name that none
    /// of `certificates` is for, its client waits a little, and is served no other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_demand: bool,
}

/// Who of a mesh is let in: whom its authorities vouch for, of the proxy's own trust domain or of one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshClients {
    /// Trust domains that count as the proxy's own.
    pub aliases: Vec<String>,
    /// Backends are told of the certificate (`X-Forwarded-Client-Cert`).
    pub forwarded: bool,
}

impl Tls {
    /// With these certificates; TLS 1.2 and newer with all suites, and no client is asked for a certificate.
    pub fn new(certificates: Vec<CertificateKey>) -> Self {
        Self {
            certificates,
            min_version: TlsVersion::V1_2,
            max_version: None,
            suites: None,
            client: None,
            mesh: None,
            placeholder: false,
            on_demand: false,
        }
    }

    /// Whether a version may be spoken.
    pub fn accepts(&self, version: TlsVersion) -> bool {
        let has_suite = version == TlsVersion::V1_3 || self.suites.as_ref().is_none_or(|suites| !suites.is_empty());
        version >= self.min_version && self.max_version.is_none_or(|max| version <= max) && has_suite
    }
}

/// A cipher suite of TLS 1.2: those that are sound, by the names that OpenSSL has for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CipherSuite {
    /// `ECDHE-ECDSA-AES128-GCM-SHA256`.
    EcdsaAes128,
    /// `ECDHE-ECDSA-AES256-GCM-SHA384`.
    EcdsaAes256,
    /// `ECDHE-ECDSA-CHACHA20-POLY1305`.
    EcdsaChaCha20,
    /// `ECDHE-RSA-AES128-GCM-SHA256`.
    RsaAes128,
    /// `ECDHE-RSA-AES256-GCM-SHA384`.
    RsaAes256,
    /// `ECDHE-RSA-CHACHA20-POLY1305`.
    RsaChaCha20,
}

impl CipherSuite {
    /// The suite of that name, if it is one of these.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ECDHE-ECDSA-AES128-GCM-SHA256" => Self::EcdsaAes128,
            "ECDHE-ECDSA-AES256-GCM-SHA384" => Self::EcdsaAes256,
            "ECDHE-ECDSA-CHACHA20-POLY1305" => Self::EcdsaChaCha20,
            "ECDHE-RSA-AES128-GCM-SHA256" => Self::RsaAes128,
            "ECDHE-RSA-AES256-GCM-SHA384" => Self::RsaAes256,
            "ECDHE-RSA-CHACHA20-POLY1305" => Self::RsaChaCha20,
            _ => return None,
        })
    }
}

/// What is asked of clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientValidation {
    /// What follows from the answer.
    pub mode: ClientValidationMode,
    /// Who must have signed their certificates. With none of these in the snapshot every handshake is refused.
    pub bundles: Vec<TrustBundleKey>,
    /// Backends are told of a certificate that was verified (`X-Forwarded-Client-Cert`), as Istio's gateways do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forwarded: bool,
}

impl ClientValidation {
    /// Whether a client that shows a certificate is whom it names.
    pub fn is_verified(&self) -> bool {
        self.mode != ClientValidationMode::AllowInsecureFallback
    }

    /// Whether backends are told of certificates: of those only that were verified.
    pub fn is_told(&self) -> bool {
        self.forwarded && self.is_verified()
    }
}

/// `FrontendValidationModeType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientValidationMode {
    /// Only clients with a valid certificate get in.
    AllowValidOnly,
    /// A certificate is asked for; whether one comes, and which, changes nothing.
    AllowInsecureFallback,
    /// A certificate is asked for; a client that shows none gets in, one that shows an invalid one does not (Istio,
    /// `OPTIONAL_MUTUAL`).
    AllowValidOrNone,
}

/// TLS protocol versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// Path normalisation; the names are Istio's (`pathNormalization`). Whatever the mode, routes, policies and backends see
/// the same path, and what cannot be read in one way (`%00`, a bad escape) is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum PathMode {
    /// Nothing is changed: `/a/../b` is a path of its own.
    None,
    /// Dot segments resolved, escaped unreserved characters decoded once, `\` → `/`. `%2F`, `%5C` and `//` untouched.
    #[default]
    Base,
    /// `Base`, and of several slashes in a row one stays.
    MergeSlashes,
    /// `%2F` and `%5C` are slashes before anything else is looked at; then `MergeSlashes`.
    DecodeAndMergeSlashes,
}

/// Limits and deadlines of a listener. Durations are wall time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// From the first byte of a head to its last.
    pub head_deadline: Duration,
    /// Bytes of a head, start line included.
    pub head_bytes: usize,
    /// Fields of a head.
    pub head_fields: usize,
    /// Bytes of the request target.
    pub target_bytes: usize,
    /// From accept to the end of the TLS handshake.
    pub handshake_deadline: Duration,
    /// A connection without a request is closed after this.
    pub idle: Duration,
    /// A request in flight with no byte moved in either direction is cut after this.
    pub stream_idle: Duration,
    /// A client may be waited for so long while it sends a body, plus one second for each `body_rate` bytes.
    pub body_grace: Duration,
    /// The same while it reads a response.
    pub read_grace: Duration,
    /// Bytes a second below which a client is too slow.
    pub body_rate: u32,
    /// HTTP/2 streams a connection, running ones that the client has reset included.
    pub streams: u32,
    /// A TCP or TLS connection that is passed on is cut after this long without a byte in either direction.
    pub tcp_idle: Duration,
    /// A UDP flow is over after this long without a datagram in either direction.
    pub udp_idle: Duration,
    /// Proxies before this one that add to `X-Forwarded-For` whom they were asked by: so many of its last addresses are
    /// believed, and the first of them is the client. 0: none, the field is written anew.
    #[serde(default, skip_serializing_if = "is_none")]
    pub trusted_hops: u8,
}

/// Nobody is believed.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_none(hops: &u8) -> bool {
    *hops == 0
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_deadline: Duration::from_secs(10),
            head_bytes: 64 << 10,
            head_fields: 100,
            target_bytes: 16 << 10,
            handshake_deadline: Duration::from_secs(10),
            idle: Duration::from_mins(1),
            stream_idle: Duration::from_mins(5),
            body_grace: Duration::from_secs(20),
            read_grace: Duration::from_mins(1),
            body_rate: 500,
            streams: 100,
            tcp_idle: Duration::from_hours(1),
            udp_idle: Duration::from_mins(1),
            trusted_hops: 0,
        }
    }
}
