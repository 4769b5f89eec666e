// SPDX-License-Identifier: Apache-2.0
//! The door: raw JSON becomes one object, or says where and why it cannot. One bad object never fails another, and a
//! value of a Secret never appears in a message. Applies the defaults of the API, checks no schema.

use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::Value;

use crate::kind::{Kind, ObjectRef};
use crate::object::Object;

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

/// Reads one object. A namespaced object without a namespace gets `default_namespace`. `status` is not read.
pub fn decode(mut value: Value, default_namespace: &str) -> Decoded {
    let reference = reference(&value, default_namespace);
    let mut unknown_paths = Vec::new();
    let Some(kind) = reference.known_kind() else {
        let content = if reference.kind.is_empty() {
            Content::Unreadable(Unreadable::new("kind", "apiVersion and kind are required"))
        } else {
            Content::Foreign
        };
        return Decoded { reference, content, unknown_paths };
    };
    let content = match readable(&mut value, kind, &reference) {
        Ok(()) => object(value, kind, &mut unknown_paths),
        Err(unreadable) => Err(unreadable),
    };
    let content = match content {
        Ok(mut object) => {
            finish(&mut object, &reference);
            Content::Object(Box::new(object))
        }
        Err(unreadable) => Content::Unreadable(unreadable),
    };
    Decoded { reference, content, unknown_paths }
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
        // Read by nothing here; an old status must not make its object unreadable.
        for field in ["apiVersion", "kind", "status"] {
            fields.remove(field);
        }
    }
    if drop_nulls(value, 0) { Ok(()) } else { Err(Unreadable::new("", "nested too deeply")) }
}

/// `null` is the same as absent (Kubernetes prunes it before defaulting). `false` if the nesting is too deep.
pub(crate) fn drop_nulls(value: &mut Value, depth: usize) -> bool {
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

fn object(value: Value, kind: Kind, unknown: &mut Vec<String>) -> Result<Object, Unreadable> {
    let mut door = Door { kind, unknown };
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
        Kind::Service => door.read(value, Object::Service),
        Kind::EndpointSlice => door.read(value, Object::EndpointSlice),
        Kind::Secret => door.read(value, Object::Secret),
        Kind::ConfigMap => door.read(value, Object::ConfigMap),
        Kind::Namespace => door.read(value, Object::Namespace),
    }
}

struct Door<'a> {
    kind: Kind,
    unknown: &'a mut Vec<String>,
}

impl Door<'_> {
    fn read<T: DeserializeOwned>(&mut self, value: Value, wrap: fn(T) -> Object) -> Result<Object, Unreadable> {
        let mut note = |path: Path<'_>| {
            let path = shown(&path);
            if self.unknown.len() < UNKNOWN_LIMIT && !is_known_elsewhere(self.kind, &path) {
                self.unknown.push(path);
            }
        };
        match serde_ignored::deserialize::<_, _, T>(&value, &mut note) {
            Ok(read) => Ok(wrap(read)),
            // To know all the way where one is costs as much as reading: only what cannot be read is read so.
            Err(error) => Err(Unreadable { path: place::<T>(value), why: self.why(&error) }),
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
fn place<T: DeserializeOwned>(value: Value) -> String {
    match serde_path_to_error::deserialize::<_, T>(value) {
        Err(error) if error.path().to_string() != "." => error.path().to_string(),
        _ => String::new(),
    }
}

/// `spec.rules[0].matchs`.
fn shown(path: &Path<'_>) -> String {
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
            &["hostname", "targetRef", "hints", "deprecatedTopology"]
        }
        (Kind::Secret | Kind::ConfigMap, "") => &["immutable"],
        (Kind::Namespace, "") => &["spec"],
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
