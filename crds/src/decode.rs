// SPDX-License-Identifier: Apache-2.0
//! The door: raw JSON becomes one object, or says where and why it cannot. One bad object never fails another, and a
//! value of a Secret never appears in a message. Applies the defaults of the API, checks no schema.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::{Value, json};

use crate::core::WorkloadStatus;
use crate::istio::ignored;
use crate::kind::{ISTIO_GROUPS, Kind, ObjectRef};
use crate::object::Object;
use crate::shape::Shaped;

/// Unknown paths kept of one object.
const UNKNOWN_LIMIT: usize = 100;

/// Deepest nesting of an object. Kubernetes' own kinds stay below 20.
const DEPTH_LIMIT: usize = 100;

/// What came through the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Which object it is. Parts that are missing are `""`.
    pub reference: ObjectRef,
    /// What is in it.
    pub content: Content,
    /// Fields that Torana does not know, such as `spec.rules[0].matchs`. They have no effect.
    pub unknown_paths: Vec<String>,
    /// Fields that are known and not obeyed, in the order of their paths.
    pub ignored: Vec<Ignored>,
}

/// A field that the API has and Torana does not obey: deprecated, or never implemented by the API's own controller.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ignored {
    /// Such as `spec.http[0].corsPolicy.allowOrigin`.
    pub path: String,
    /// Why, and what to write instead.
    pub why: &'static str,
}

/// The content of a [`Decoded`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Readable.
    Object(Box<Object>),
    /// Of a spoken kind, and not readable: its last good form stays.
    Unreadable(Unreadable),
    /// Of a kind that Torana does not speak.
    Foreign,
}

impl Content {
    /// The object, if it is readable.
    pub fn object(self) -> Option<Object> {
        match self {
            Self::Object(object) => Some(*object),
            Self::Unreadable(_) | Self::Foreign => None,
        }
    }
}

/// Where and why an object cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct Unreadable {
    /// Such as `spec.listeners[0].port`; `""` is the whole object.
    pub path: String,
    /// One sentence.
    pub why: String,
}

impl Unreadable {
    fn new(path: &str, why: impl Into<String>) -> Self {
        Self { path: path.to_owned(), why: why.into() }
    }
}

/// Reads one object. A namespaced object without a namespace gets `default_namespace`. `status` is not read, but for
/// whether a pod or a WorkloadEntry is well.
pub fn decode(mut value: Value, default_namespace: &str) -> Decoded {
    let reference = reference(&value, default_namespace);
    let mut remains = Remains::default();
    let Some(kind) = reference.known_kind() else {
        let content = if reference.kind.is_empty() {
            Content::Unreadable(Unreadable::new("kind", "apiVersion and kind are required"))
        } else {
            Content::Foreign
        };
        return Decoded { reference, content, unknown_paths: Vec::new(), ignored: Vec::new() };
    };
    let content = match readable(&mut value, kind, &reference) {
        Ok(()) => object(value, kind, &mut remains),
        Err(unreadable) => Err(unreadable),
    };
    let content = match content {
        Ok(mut object) => {
            finish(&mut object, &reference);
            Content::Object(Box::new(object))
        }
        Err(unreadable) => Content::Unreadable(unreadable),
    };
    remains.ignored.sort();
    Decoded { reference, content, unknown_paths: remains.unknown, ignored: remains.ignored }
}

/// The name of a raw object. Parts that are missing or no text are `""`, the namespace is `default_namespace`.
pub fn reference(value: &Value, default_namespace: &str) -> ObjectRef {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let group = text("/apiVersion").split_once('/').map_or("", |(group, _)| group);
    let namespace = match text("/metadata/namespace") {
        "" => default_namespace,
        namespace => namespace,
    };
    ObjectRef::of_any_kind(group, text("/kind"), namespace, text("/metadata/name"))
}

fn readable(value: &mut Value, kind: Kind, reference: &ObjectRef) -> Result<(), Unreadable> {
    let api_version = value.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let version = api_version.rsplit('/').next().unwrap_or_default();
    if !kind.versions().contains(&version) {
        let why = format!("version {version:?} of {kind} is not served: use {}", kind.versions().join(" or "));
        return Err(Unreadable::new("apiVersion", why));
    }
    if reference.name.is_empty() {
        return Err(Unreadable::new("metadata.name", "a name is required"));
    }
    if let Some(fields) = value.as_object_mut() {
        // Read by hardly anything here; an old status must not make its object unreadable.
        let status = fields.remove("status").filter(|_| matches!(kind, Kind::Pod | Kind::WorkloadEntry));
        fields.retain(|field, _| !matches!(&**field, "apiVersion" | "kind"));
        if let Some(status) = status.and_then(|status| WorkloadStatus::deserialize(status).ok()) {
            fields.insert("status".to_owned(), json!(status));
        }
    }
    if settle_nulls(kind, value) { Ok(()) } else { Err(Unreadable::new("", "nested too deeply")) }
}

/// Makes absent what is `null`. `false` if the nesting is too deep.
pub(crate) fn settle_nulls(kind: Kind, value: &mut Value) -> bool {
    if !ISTIO_GROUPS.contains(&kind.group()) {
        return drop_nulls(value, 0);
    }
    // There `null` is told from absent where it is read: see `Shaped`.
    value.get_mut("metadata").is_none_or(|metadata| drop_nulls(metadata, 1)) && is_shallow(value, 0)
}

fn is_shallow(value: &Value, depth: usize) -> bool {
    depth <= DEPTH_LIMIT
        && match value {
            Value::Object(fields) => fields.values().all(|field| is_shallow(field, depth + 1)),
            Value::Array(items) => items.iter().all(|item| is_shallow(item, depth + 1)),
            _ => true,
        }
}

/// `null` is the same as absent (Kubernetes prunes it before defaulting). `false` if the nesting is too deep.
fn drop_nulls(value: &mut Value, depth: usize) -> bool {
    if depth > DEPTH_LIMIT {
        return false;
    }
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().all(|field| drop_nulls(field, depth + 1))
        }
        Value::Array(items) => items.iter_mut().all(|item| drop_nulls(item, depth + 1)),
        _ => true,
    }
}

fn object(value: Value, kind: Kind, remains: &mut Remains) -> Result<Object, Unreadable> {
    let mut door = Door { kind, remains };
    match kind {
        Kind::GatewayClass => door.read(value, Object::GatewayClass),
        Kind::Gateway => door.read(value, Object::Gateway),
        Kind::ListenerSet => door.read(value, Object::ListenerSet),
        Kind::HttpRoute => door.read(value, Object::HttpRoute),
        Kind::GrpcRoute => door.read(value, Object::GrpcRoute),
        Kind::TlsRoute => door.read(value, Object::TlsRoute),
        Kind::TcpRoute => door.read(value, Object::TcpRoute),
        Kind::UdpRoute => door.read(value, Object::UdpRoute),
        Kind::BackendTlsPolicy => door.read(value, Object::BackendTlsPolicy),
        Kind::ReferenceGrant => door.read(value, Object::ReferenceGrant),
        Kind::GatewayParameters => door.read(value, Object::GatewayParameters),
        Kind::TrafficPolicy => door.read(value, Object::TrafficPolicy),
        Kind::AcmeIssuer => door.read(value, Object::AcmeIssuer),
        Kind::ClusterAcmeIssuer => door.read(value, Object::ClusterAcmeIssuer),
        Kind::IstioGateway => door.read_shaped(&value, Object::IstioGateway),
        Kind::VirtualService => door.read_shaped(&value, Object::VirtualService),
        Kind::DestinationRule => door.read_shaped(&value, Object::DestinationRule),
        Kind::ServiceEntry => door.read_shaped(&value, Object::ServiceEntry),
        Kind::WorkloadEntry => door.read_shaped(&value, Object::WorkloadEntry),
        Kind::AuthorizationPolicy => door.read_shaped(&value, Object::AuthorizationPolicy),
        Kind::RequestAuthentication => door.read_shaped(&value, Object::RequestAuthentication),
        Kind::PeerAuthentication => door.read_shaped(&value, Object::PeerAuthentication),
        Kind::Telemetry => door.read_shaped(&value, Object::Telemetry),
        Kind::EnvoyFilter => door.read_shaped(&value, Object::EnvoyFilter),
        Kind::WasmPlugin => door.read_shaped(&value, Object::WasmPlugin),
        Kind::ProxyConfig => door.read_shaped(&value, Object::ProxyConfig),
        Kind::Service => door.read(value, Object::Service),
        Kind::EndpointSlice => door.read(value, Object::EndpointSlice),
        Kind::Secret => door.read(value, Object::Secret),
        Kind::ConfigMap => door.read(value, Object::ConfigMap),
        Kind::Namespace => door.read(value, Object::Namespace),
        Kind::Pod => door.read(value, Object::Pod),
    }
}

/// What nothing was made of.
#[derive(Default)]
struct Remains {
    unknown: Vec<String>,
    ignored: Vec<Ignored>,
}

struct Door<'a> {
    kind: Kind,
    remains: &'a mut Remains,
}

impl Door<'_> {
    fn read<T: DeserializeOwned>(&mut self, value: Value, wrap: fn(T) -> Object) -> Result<Object, Unreadable> {
        match serde_ignored::deserialize::<_, _, T>(&value, |path| self.note(&path)) {
            Ok(read) => Ok(wrap(read)),
            // To know all the way where one is costs as much as reading: only what cannot be read is read so.
            Err(error) => {
                let path = place(serde_path_to_error::deserialize::<_, T>(value));
                Err(Unreadable { path, why: self.why(&error) })
            }
        }
    }

    /// For kinds that no schema checks, of many types: maps are asked for in one place.
    fn read_shaped<T: DeserializeOwned>(&mut self, value: &Value, wrap: fn(T) -> Object) -> Result<Object, Unreadable> {
        match serde_ignored::deserialize::<_, _, T>(Shaped(value), |path| self.note(&path)) {
            Ok(read) => Ok(wrap(read)),
            Err(error) => {
                let path = place(serde_path_to_error::deserialize::<_, T>(Shaped(value)));
                Err(Unreadable { path, why: self.why(&error) })
            }
        }
    }

    fn note(&mut self, path: &Path<'_>) {
        let path = shown(path);
        let remains = &mut *self.remains;
        if let Some(why) = ignored::why(self.kind, &path) {
            if remains.ignored.len() < UNKNOWN_LIMIT {
                remains.ignored.push(Ignored { path, why });
            }
        } else if remains.unknown.len() < UNKNOWN_LIMIT && !is_known_elsewhere(self.kind, &path) {
            remains.unknown.push(path);
        }
    }

    /// Messages of serde quote the value: never for a Secret.
    fn why(&self, error: &serde_json::Error) -> String {
        match self.kind {
            Kind::Secret => "not a map of texts, or not base64 (plain text belongs in stringData)".to_owned(),
            _ => error.to_string(),
        }
    }
}

/// Where it cannot be read.
pub(crate) fn place<T>(read: Result<T, serde_path_to_error::Error<serde_json::Error>>) -> String {
    match read {
        Err(error) if error.path().to_string() != "." => error.path().to_string(),
        _ => String::new(),
    }
}

/// `spec.rules[0].matchs`.
pub(crate) fn shown(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", shown(parent)),
        Path::Map { parent, key } => match shown(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => shown(parent),
    }
}

/// Fields of Kubernetes that Torana has no use for. The list names them, so that a misspelt field still stands out.
fn is_known_elsewhere(kind: Kind, path: &str) -> bool {
    let fields: &[&str] = match (kind, path.rsplit_once('.').map_or("", |(parent, _)| parent)) {
        (_, "metadata") => &[
            "managedFields",
            "generateName",
            "selfLink",
            "ownerReferences",
            "finalizers",
            "deletionGracePeriodSeconds",
        ],
        (Kind::Service, "spec") => &[
            "clusterIPs",
            "externalIPs",
            "sessionAffinity",
            "sessionAffinityConfig",
            "loadBalancerIP",
            "loadBalancerSourceRanges",
            "loadBalancerClass",
            "allocateLoadBalancerNodePorts",
            "externalTrafficPolicy",
            "internalTrafficPolicy",
            "trafficDistribution",
            "healthCheckNodePort",
            "ipFamilies",
            "ipFamilyPolicy",
        ],
        (Kind::Service, parent) if parent.starts_with("spec.ports[") => &["nodePort"],
        (Kind::EndpointSlice, parent) if parent.starts_with("endpoints[") => {
            &["hostname", "hints", "deprecatedTopology"]
        }
        (Kind::Secret | Kind::ConfigMap, "") => &["immutable"],
        (Kind::EndpointSlice, parent) if parent.ends_with(".targetRef") => {
            &["apiVersion", "namespace", "uid", "resourceVersion", "fieldPath"]
        }
        (Kind::Namespace, "") => &["spec"],
        // Of a large object little is read.
        (Kind::Pod, parent) if parent == "spec" || parent.starts_with("spec.") => return true,
        _ => &[],
    };
    fields.contains(&path.rsplit('.').next().unwrap_or_default())
}

/// What the API server would have filled in.
fn finish(object: &mut Object, reference: &ObjectRef) {
    let is_namespace = matches!(object, Object::Namespace(_));
    let meta = object.meta_mut();
    meta.namespace.clone_from(&reference.namespace);
    if is_namespace {
        meta.labels.insert("kubernetes.io/metadata.name".to_owned(), reference.name.clone());
    }
}

#[cfg(test)]
mod tests;
