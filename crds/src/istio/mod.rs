// SPDX-License-Identifier: Apache-2.0
//! Types of Istio's networking API (Gateway, VirtualService, DestinationRule, ServiceEntry, WorkloadEntry, of the
//! versions v1, v1beta1 and v1alpha3, which have one schema), of its security API (AuthorizationPolicy,
//! RequestAuthentication, PeerAuthentication, of v1 and v1beta1, which have one too) and of its telemetry API (Telemetry,
//! of v1 and v1alpha1). Values of the first are normalised: what protobuf writes as `""` or `0` is `None`, a choice of
//! several fields is an enum, defaults that do not depend on the mesh are filled in. The others are lists of texts, and
//! stay as written.
//!
//! An unknown word of an enum, two fields of one choice, a port, duration, percentage or subnet that is none: such an
//! object is unreadable, as it is for Istio. What can be read and may not be so is told by `problems()` of each kind:
//! the rules of Istio's CRDs and of its webhook about one object by itself. Whether an object with problems is used is
//! translation's to decide; it asks once.
//!
//! Never resolves a host, never looks at another object.

mod duration;

pub mod scalars;

pub mod matching;

pub mod names;

pub mod server_tls;

pub mod gateway;

pub mod fault;

pub mod http_policy;

pub mod http;

pub mod virtual_service;

pub mod load_balancer;

pub mod connection_pool;

pub mod destination_rule;

pub mod service_entry;

pub mod security;

pub mod authorization_policy;

pub mod request_authentication;

pub mod peer_authentication;

pub mod telemetry;

pub mod unevaluated;

pub mod extension_provider;

pub mod mesh_config;

pub(crate) mod ignored;

mod rules;

pub use authorization_policy::AuthorizationPolicy;
pub use destination_rule::DestinationRule;
pub use duration::parse as parse_duration;
pub use gateway::IstioGateway;
pub use mesh_config::MeshConfig;
pub use peer_authentication::PeerAuthentication;
pub use request_authentication::RequestAuthentication;
pub use service_entry::{ServiceEntry, WorkloadEntry};
pub use telemetry::Telemetry;
pub use unevaluated::{EnvoyFilter, ProxyConfig, WasmPlugin};
pub use virtual_service::VirtualService;

/// A duration that need not be given.
type MaybeDuration = Option<std::time::Duration>;

#[cfg(test)]
mod tests;
