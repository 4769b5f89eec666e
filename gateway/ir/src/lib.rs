// SPDX-License-Identifier: Apache-2.0
//! The language that Torana's proxies are programmed in.
//!
//! Plain data, no behaviour beyond [`Snapshot::diff`] and [`Snapshot::apply`]. Objects are keyed and point **up** (a
//! [`Rule`] names its listeners), so an edited rule is one small delta. What can be malformed (regexes, certificates
//! with their keys, header names, hostnames) comes only from checked constructors here, so an IR that exists compiles.
//! What a user got wrong is a variant ([`Invalid`]) that answers 500, never an absent object. [`wire`] is how all of it
//! travels between processes, through the same constructors.
//!
//! This crate never does I/O, reads no clock, and knows no Kubernetes client.
//!
//! # Glossary
//! * **listener**: one port + hostname + protocol of a Gateway; what a client connects to.
//! * **route**: one user object (HTTPRoute, TCPRoute …); **rule**: one entry of it; **match**: one alternative of a rule.
//! * **stream**: a client's bytes that are passed on unread: a TCP connection, with its TLS or without, or a UDP flow.
//! * **backend**: what a rule sends to (a Service port); **endpoint**: one address of a backend.
//! * **bind**: a socket address and its transport; several listeners may share one.

mod exact;

mod key;

mod digest;

mod pem;

mod atom;

mod pattern;

mod attribute;

mod expression;

mod telemetry;

mod host;

mod acme;

mod authority;

mod certificate;

mod trust;

mod target;

mod demand;

mod percent;

mod tracing;

mod listener;

mod origination;

mod access;

mod token;

mod rewrite;

mod external_auth;

mod filter;

mod session;

mod provider;

mod balance;

mod health;

mod check;

mod locality;

mod mesh;

mod endpoint;

mod connection;

mod backend;

mod rule;

mod stream;

mod shared;

mod snapshot;

pub mod wire;

pub use access::{AccessAction, AccessPolicy, AccessRule, Condition, SubjectTest, Terms, TextTest};
pub use acme::{AcmeHost, AcmeHostError, MOST_ANSWERS};
pub use atom::{AtomError, HeaderName, HeaderValue, Method, is_field_text};
pub use attribute::Attribute;
pub use authority::{Authority, AuthorityError};
pub use backend::{Backend, UpstreamProtocol};
pub use balance::{HashOn, LoadBalance, MOST_POINTS, TableSize, TableSizeError, WarmUp};
pub use certificate::{Certificate, CertificateError, PrivateKey};
pub use check::{HealthCheck, HttpProbe, Probe, ProbeMethod, ProbeTarget, ProbeTargetError, StatusRange};
pub use connection::{ConnectionPolicy, Keepalive, ProxyProtocol, Tunnel};
pub use demand::Demand;
pub use digest::{Sha256, sha256};
pub use endpoint::{Endpoint, Endpoints, NamedEndpoint};
pub use expression::{Expression, ExpressionError, Fact, LONGEST_EXPRESSION};
pub use external_auth::{AUTH_PATIENCE, AuthProtocol, ExternalAuth, MOST_AUTH_BODY, NamePattern, OnError};
pub use filter::{
    Abort, AbortWith, Cors, Delay, DirectResponse, FieldPart, Filter, HeaderEdit, MOST_DIRECT_BODY, MadeField,
    MessageField, Mirror, OriginPattern, Redirect, RedirectPort, Rewrite, Unmatched, Variable,
};
pub use health::{Caps, OutlierDetection, RetryCap, Unanswered};
pub use host::{HostPattern, Hostname, HostnameError, hostname_of};
pub use key::{
    AcmeHostKey, BackendKey, CertificateKey, GatewayId, ListenerKey, PolicyKey, ProviderKey, RouteId, RouteKind,
    RuleKey, Transport, TrustBundleKey, TrustSource,
};
pub use listener::{
    CipherSuite, ClientValidation, ClientValidationMode, Limits, Listener, MeshClients, PathMode, Protocol, Tls,
    TlsVersion,
};
pub use locality::{CommonLabel, Locality, LocalityPattern, LocalityPolicy, LocalityShares, RegionFailover};
pub use mesh::{HBONE_PORT, MeshPeer, MeshTransport, spiffe_id};
pub use origination::{BackendTls, DnsName, DnsNameError, Origination, PeerName, Trust};
pub use pattern::{LONGEST_REWRITE, REGEX_SIZE_LIMIT, Regex, RegexError, RegexRewrite};
pub use percent::{Percent, PercentError, Share, ShareError};
pub use provider::{Provider, Purpose};
pub use rewrite::PathRewrite;
pub use rule::{
    Action, Attachment, FieldMatch, LineMatch, LinePart, Order, PathMatch, Retry, RouteMatch, Rule, TextMatch,
    Timeouts, WeightedBackend,
};
pub use session::{CookieName, CookiePath, Session, SessionCarrier, SessionKey};
pub use shared::{Change, SharedMap};
pub use snapshot::{Delta, Resource, ResourceKey, Snapshot};
pub use stream::{StreamBackend, StreamRule};
pub use target::{Invalid, Target};
pub use telemetry::{IstioMetric, LabelValue, LogPolicy, MetricChange, MetricPolicy};
pub use token::{
    ClaimField, KeyPlace, KeySet, KeySource, KeyUrl, KeysError, LARGEST_KEY_SET, MOST_KEYS, TokenPlace, TokenPolicy,
    TokenRule,
};
pub use tracing::{Collector, CollectorProtocol, Tag, TagValue, Tracing};
pub use trust::{TrustBundle, TrustError, authorities};
