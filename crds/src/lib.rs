// SPDX-License-Identifier: Apache-2.0
//! Every Kubernetes type that Torana speaks, and the one door they come through.
//!
//! [`decode`] turns raw JSON into [`Decoded`]: an [`Object`] of our own normalised types, or where and why it is
//! unreadable, plus the paths of unknown fields. In standalone mode, where no API server checks and completes objects,
//! [`schema::admit`] does both first, from the CRDs that `deploy/crds` ships.
//!
//! This crate has no client, does no I/O, and makes no Gateway API decision.
//!
//! # Types on one screen
//! * Identity: [`Kind`], [`ObjectRef`] `{ group, kind, namespace, name }`, [`ObjectMeta`]. Every object is
//!   `{ meta: ObjectMeta, spec: …Spec }` as in YAML, and [`Object`] has one variant for each kind.
//! * References, one type for each meaning: [`ParentRef`], [`BackendRef`] (with weight and filters), [`SecretRef`],
//!   [`LocalRef`], [`NamespacedRef`]; `.target(local_namespace)` gives the [`ObjectRef`] meant. Defaults are filled in.
//! * [`gateway`]: GatewayClass, Gateway, ListenerSet, one [`gateway::Listener`] for both.
//! * [`route`]: HttpRoute, GrpcRoute, TlsRoute, TcpRoute, UdpRoute; [`filter`]: one [`Filter`] for all of them.
//! * [`policy`]: ReferenceGrant (`permits`), BackendTlsPolicy. [`mod@core`]: Service, EndpointSlice, Secret, ConfigMap,
//!   Namespace. [`parameters`]: GatewayParameters, [`traffic_policy`]: TrafficPolicy, [`issuer`]: AcmeIssuer
//!   and ClusterAcmeIssuer with one spec, our own; [`definitions`] are the CRDs that follow from such types.
//! * [`istio`]: Gateway, VirtualService, DestinationRule, ServiceEntry, WorkloadEntry, AuthorizationPolicy,
//!   RequestAuthentication, PeerAuthentication, Telemetry, of EnvoyFilter, WasmPlugin and ProxyConfig whom they are for, and MeshConfig, which is no object but a text in a ConfigMap
//!   ([`parse_mesh_config`]). There an unknown enum value, or two of one choice, make the object unreadable, as Istio's
//!   own decoder has it; `.problems()` are its webhook's rules.
//! * In all others an enum value, filter type or union that this version does not know is data (`Other`, `Unknown`,
//!   `Malformed`): the rest of the object stays usable. A value of a wrong type makes the object unreadable.

mod duration;

mod shape;

mod violation;

mod kind;

mod meta;

mod refs;

pub mod core;

pub mod filter;

pub mod gateway;

pub mod route;

pub mod policy;

pub mod parameters;

pub mod traffic_policy;

pub mod issuer;

pub mod istio;

mod object;

mod decode;

mod mesh;

mod definition;

pub mod schema;

pub use decode::{Content, Decoded, Ignored, Unreadable, decode, reference};
pub use definition::definitions;
pub use duration::parse as parse_duration;
pub use filter::{BackendRef, Filter};
pub use kind::{
    EXTENSIONS_GROUP, GATEWAY_GROUP, ISTIO_GROUP, ISTIO_GROUPS, Kind, ObjectRef, SECURITY_GROUP, TELEMETRY_GROUP,
    TORANA_GROUP,
};
pub use mesh::{parse_mesh_config, read_mesh_config};
pub use meta::{LabelOperator, LabelRequirement, LabelSelector, ObjectMeta, StringMap};
pub use object::{Object, Spoken};
pub use refs::{LocalRef, NamespacedRef, ParentRef, SecretRef};
pub use violation::{Severity, Violation};
