// SPDX-License-Identifier: Apache-2.0
//! Core kinds: Service, EndpointSlice, Secret, ConfigMap, Pod, Namespace. Only what an edge gateway reads of them; other
//! fields of Kubernetes are let through in silence. Secret values are never printed.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::meta::{ObjectMeta, StringMap};
use crate::shape;

/// An API server checks it in code, not by a schema, so the door does not.
fn port_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    match u16::deserialize(deserializer)? {
        0 => Err(serde::de::Error::custom("0 is no port, use 1 to 65535")),
        port => Ok(port),
    }
}

fn tcp() -> TransportProtocol {
    TransportProtocol::Tcp
}

/// `v1` Service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Service {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    #[serde(default, deserialize_with = "shape::map")]
    pub spec: ServiceSpec,
}

/// `ServiceSpec`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// Default `ClusterIP`.
    #[serde(rename = "type")]
    pub service_type: ServiceType,
    /// `None` as text: headless.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<String>,
    /// DNS name of an `ExternalName` Service.
    pub external_name: Option<String>,
    /// Ports; may be empty on `ExternalName` and headless Services.
    #[serde(deserialize_with = "shape::maps")]
    pub ports: Vec<ServicePort>,
    /// Labels of the pods; empty: EndpointSlices are written by others.
    pub selector: StringMap,
    /// Endpoints count as ready from the start.
    pub publish_not_ready_addresses: bool,
}

impl Service {
    /// Whether clients are meant to use the endpoints directly (`clusterIP: None`).
    pub fn is_headless(&self) -> bool {
        self.spec.cluster_ip.as_deref() == Some("None")
    }

    /// Its address in the cluster, if it has one.
    pub fn address(&self) -> Option<IpAddr> {
        self.spec.cluster_ip.as_deref()?.parse().ok()
    }

    /// The port of that number, whatever its protocol; the first one if there are several.
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.spec.ports.iter().find(|port| port.port == number)
    }

    /// The port of that number and protocol: a Service may have one for TCP and one for UDP.
    pub fn port_of(&self, number: u16, protocol: &TransportProtocol) -> Option<&ServicePort> {
        self.spec.ports.iter().find(|port| port.port == number && port.protocol == *protocol)
    }
}

/// `ServiceType`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub enum ServiceType {
    /// The default.
    #[default]
    ClusterIP,
    /// Also on a port of every node.
    NodePort,
    /// Also on an outside address.
    LoadBalancer,
    /// A DNS alias.
    ExternalName,
    /// Not known to this version.
    #[serde(untagged)]
    Other(String),
}

/// `ServicePort`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// `""` on a Service of one port; the EndpointSlice port has the same name.
    #[serde(default)]
    pub name: String,
    /// Default TCP.
    #[serde(default = "tcp")]
    pub protocol: TransportProtocol,
    /// The port that routes refer to.
    #[serde(deserialize_with = "port_number")]
    pub port: u16,
    /// Port of the pods; `None`: the same as `port`. EndpointSlices carry its resolved value.
    pub target_port: Option<TargetPort>,
    /// What the endpoints speak: `kubernetes.io/h2c`, `kubernetes.io/ws`, `kubernetes.io/wss`, `https` …
    pub app_protocol: Option<String>,
}

/// `IntOrString`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum TargetPort {
    /// A port number.
    Number(u16),
    /// The name of a container port.
    Name(String),
}

/// `Protocol` of a port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TransportProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// Not known to this version.
    #[serde(untagged)]
    Other(String),
}

impl TransportProtocol {
    /// The protocol as written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Other(other) => other,
        }
    }
}

/// `discovery.k8s.io/v1` EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSlice {
    /// Metadata; label `kubernetes.io/service-name` names the Service.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// What the addresses are.
    pub address_type: AddressType,
    /// Endpoints.
    #[serde(default, deserialize_with = "shape::maps")]
    pub endpoints: Vec<SliceEndpoint>,
    /// Ports of every endpoint of the slice.
    #[serde(default, deserialize_with = "shape::maps")]
    pub ports: Vec<SlicePort>,
}

impl EndpointSlice {
    /// Name of the Service, in the same namespace.
    pub fn service(&self) -> Option<&str> {
        self.meta.labels.get("kubernetes.io/service-name").map(String::as_str)
    }
}

/// `addressType`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum AddressType {
    /// IPv4 addresses.
    IPv4,
    /// IPv6 addresses.
    IPv6,
    /// DNS names (deprecated).
    #[serde(rename = "FQDN")]
    Fqdn,
    /// Not known to this version.
    #[serde(untagged)]
    Other(String),
}

/// `Endpoint` of a slice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SliceEndpoint {
    /// Consumers use the first only; the API allows up to 100 that mean the same.
    pub addresses: Vec<String>,
    /// Its state.
    #[serde(default, deserialize_with = "shape::map")]
    pub conditions: EndpointConditions,
    /// Node of the pod.
    pub node_name: Option<String>,
    /// Zone of the node.
    pub zone: Option<String>,
    /// Whose address it is.
    #[serde(default)]
    pub target_ref: Option<EndpointTarget>,
}

/// `ObjectReference` of an endpoint; its namespace is that of the slice.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct EndpointTarget {
    /// `Pod`, mostly.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// `EndpointConditions`, as written. Absent values have a meaning: use the methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    /// Absent means ready.
    pub ready: Option<bool>,
    /// Absent means the same as ready.
    pub serving: Option<bool>,
    /// Absent means no.
    pub terminating: Option<bool>,
}

impl EndpointConditions {
    /// May receive new requests.
    pub fn is_ready(&self) -> bool {
        self.ready.unwrap_or(true)
    }

    /// Still answers, though it may be terminating.
    pub fn is_serving(&self) -> bool {
        self.serving.unwrap_or_else(|| self.is_ready())
    }

    /// Is going away.
    pub fn is_terminating(&self) -> bool {
        self.terminating.unwrap_or(false)
    }
}

/// `EndpointPort`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlicePort {
    /// The name of the Service port.
    #[serde(default)]
    pub name: String,
    /// Default TCP.
    #[serde(default = "tcp")]
    pub protocol: TransportProtocol,
    /// `None`: every port.
    pub port: Option<u16>,
    /// As on the Service port.
    pub app_protocol: Option<String>,
}

/// `v1` Secret. `stringData` has been merged over `data`, as the API server does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "RawSecret")]
pub struct Secret {
    /// Metadata.
    pub meta: ObjectMeta,
    /// `kubernetes.io/tls`, `Opaque` …; default `Opaque`.
    pub secret_type: String,
    /// Decoded values.
    pub data: BTreeMap<String, SecretBytes>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSecret {
    metadata: ObjectMeta,
    #[serde(rename = "type", default)]
    secret_type: String,
    #[serde(default)]
    data: BTreeMap<String, Base64>,
    #[serde(default)]
    string_data: BTreeMap<String, String>,
}

impl From<RawSecret> for Secret {
    fn from(raw: RawSecret) -> Self {
        let mut data: BTreeMap<_, _> = raw.data.into_iter().map(|(key, Base64(bytes))| (key, bytes.into())).collect();
        data.extend(raw.string_data.into_iter().map(|(key, text)| (key, text.into_bytes().into())));
        let secret_type = if raw.secret_type.is_empty() { "Opaque".to_owned() } else { raw.secret_type };
        Self { meta: raw.metadata, secret_type, data }
    }
}

/// A value of a Secret. `Debug` prints its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Arc<[u8]>);

impl SecretBytes {
    /// The value, for the consumer that the Secret is meant for.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} secret bytes>", self.0.len())
    }
}

struct Base64(Vec<u8>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Folded YAML scalars bring line breaks; Go's decoder skips them too.
        let text: String = String::deserialize(deserializer)?.split(['\n', '\r']).collect();
        STANDARD.decode(text).map(Self).map_err(|_| de::Error::custom("not base64 (use stringData for plain text)"))
    }
}

/// `v1` ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "RawConfigMap")]
pub struct ConfigMap {
    /// Metadata.
    pub meta: ObjectMeta,
    /// Texts.
    pub data: StringMap,
    /// Decoded `binaryData`.
    pub binary_data: BTreeMap<String, Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawConfigMap {
    metadata: ObjectMeta,
    #[serde(default)]
    data: StringMap,
    #[serde(default)]
    binary_data: BTreeMap<String, Base64>,
}

impl From<RawConfigMap> for ConfigMap {
    fn from(raw: RawConfigMap) -> Self {
        let binary_data = raw.binary_data.into_iter().map(|(key, Base64(bytes))| (key, bytes)).collect();
        Self { meta: raw.metadata, data: raw.data, binary_data }
    }
}

/// `v1` Pod: its labels decide to which subset of a DestinationRule an endpoint belongs, and say where it stands, and which
/// ServiceEntry it is a workload of, and with its account how it is reached in a mesh. Nothing else is read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pod {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Who it runs as.
    #[serde(default)]
    pub spec: PodSpec,
    /// Whether connections may go there, and where that is.
    #[serde(default)]
    pub status: PodStatus,
}

/// The annotation of a pod whose traffic the ambient mesh takes, and its value.
pub const REDIRECTION: &str = "ambient.istio.io/redirection";
const ENABLED: &str = "enabled";

impl Pod {
    /// Whether the ambient mesh takes its traffic.
    pub fn is_redirected(&self) -> bool {
        self.meta.annotations.get(REDIRECTION).is_some_and(|value| value == ENABLED)
    }
}

/// What is read of `PodSpec`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Its ServiceAccount; `""` where nobody says: the API server always does.
    pub service_account_name: String,
}

/// What is read of `PodStatus`: of what changes often no more than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "RawPodStatus")]
pub struct PodStatus {
    /// Its address, once it has one; the first of several.
    pub address: Option<IpAddr>,
    /// Condition `Ready`.
    pub is_ready: bool,
}

#[derive(Deserialize)]
struct RawPodStatus {
    #[serde(default, rename = "podIP")]
    pod_ip: String,
    #[serde(default)]
    conditions: Vec<StatusCondition>,
}

impl From<RawPodStatus> for PodStatus {
    fn from(raw: RawPodStatus) -> Self {
        let is_ready = StatusCondition::of(&raw.conditions, "Ready") == Some(true);
        Self { address: raw.pod_ip.parse().ok(), is_ready }
    }
}

/// One of `status.conditions`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct StatusCondition {
    /// What it is about.
    #[serde(rename = "type")]
    pub condition_type: String,
    /// `True`, `False` or `Unknown`.
    #[serde(default)]
    pub status: String,
}

impl StatusCondition {
    /// What the condition of that type says; `None` if there is none, or it is not known.
    pub fn of(conditions: &[Self], condition_type: &str) -> Option<bool> {
        let found = conditions.iter().find(|condition| condition.condition_type == condition_type)?;
        match found.status.as_str() {
            "True" => Some(true),
            "False" => Some(false),
            _ => None,
        }
    }
}

/// What is kept of the status of pods and WorkloadEntries, the only ones that anybody reads.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct WorkloadStatus {
    /// Address of a pod.
    #[serde(rename = "podIP", skip_serializing_if = "String::is_empty")]
    pub pod_ip: String,
    /// Whether it is well.
    pub conditions: Vec<StatusCondition>,
}

/// `v1` Namespace: its labels decide `allowedRoutes` selectors.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Namespace {
    /// Metadata. Label `kubernetes.io/metadata.name` is added by decoding, as the API server does.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
}
