// SPDX-License-Identifier: Apache-2.0
//! ServiceEntry and WorkloadEntry: services and endpoints that Kubernetes does not know. Never resolves a name.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer};

use crate::core::{StatusCondition, WorkloadStatus};
use crate::istio::names::{Export, Protocol};
use crate::istio::scalars::{Subnet, maybe_port, port, text, words};
use crate::meta::{ObjectMeta, StringMap};

/// `networking.istio.io` ServiceEntry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ServiceEntry {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    pub spec: ServiceEntrySpec,
}

words! {
    /// `Location`.
    #[derive(Default)]
    Location {
        /// Outside: no mTLS of the mesh, no locality. Also what an absent location means.
        #[default]
        MeshExternal = "MESH_EXTERNAL",
        /// Part of the mesh.
        MeshInternal = "MESH_INTERNAL",
    }
}

words! {
    /// `Resolution`: where the endpoints come from.
    #[derive(Default)]
    Resolution {
        /// The client has said the address. Also what an absent resolution means.
        #[default]
        None = "NONE",
        /// They are addresses.
        Static = "STATIC",
        /// DNS, of their names or of the hosts: all that is answered.
        Dns = "DNS",
        /// DNS: the first that is answered, at each connection.
        DnsRoundRobin = "DNS_ROUND_ROBIN",
        /// DNS, of the host of each request.
        DynamicDns = "DYNAMIC_DNS",
    }
}

/// `ServiceEntry`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceEntrySpec {
    /// Its names.
    pub hosts: Vec<String>,
    /// Addresses that clients use for it.
    #[serde(default)]
    pub addresses: Vec<Subnet>,
    /// Ports.
    #[serde(default)]
    pub ports: Vec<EntryPort>,
    /// Whether it is part of the mesh.
    #[serde(default)]
    pub location: Location,
    /// Where its endpoints come from.
    #[serde(default)]
    pub resolution: Resolution,
    /// Endpoints; excludes `workload_selector`.
    #[serde(default)]
    pub endpoints: Vec<Workload>,
    /// Labels of the pods and WorkloadEntries of its namespace that are its endpoints.
    #[serde(default, deserialize_with = "labels")]
    pub workload_selector: Option<StringMap>,
    /// Namespaces that see it; empty: what the mesh says, usually all.
    #[serde(default)]
    pub export_to: Vec<Export>,
    /// Names that its endpoints' certificates may have.
    #[serde(default)]
    pub subject_alt_names: Vec<String>,
}

type MaybeLabels = Option<StringMap>;

/// `WorkloadSelector` of the networking API.
#[derive(Deserialize)]
struct RawSelector {
    #[serde(default)]
    labels: StringMap,
}

fn labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MaybeLabels, D::Error> {
    Ok(Some(RawSelector::deserialize(deserializer)?.labels))
}

/// `ServicePort`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryPort {
    /// 1 to 65535, unique within the entry.
    #[serde(deserialize_with = "port")]
    pub number: u16,
    /// Unique within the entry.
    pub name: String,
    /// What is spoken.
    #[serde(default)]
    pub protocol: Protocol,
    /// Port of the endpoints; `None`: the same.
    #[serde(default, deserialize_with = "maybe_port")]
    pub target_port: Option<u16>,
}

/// `networking.istio.io` WorkloadEntry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WorkloadEntry {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    #[serde(default)]
    pub spec: Workload,
    /// What its agent says of it.
    #[serde(default)]
    pub status: WorkloadStatus,
}

/// Whether an agent looks after a WorkloadEntry, which then is not well until that says so.
const HEALTH_CHECKS: &str = "proxy.istio.io/health-checks-enabled";

impl WorkloadEntry {
    /// Whether requests may be sent there: its condition `Healthy`.
    pub fn is_healthy(&self) -> bool {
        let is_checked = self.meta.annotations.get(HEALTH_CHECKS).is_some_and(|text| is_true(text));
        StatusCondition::of(&self.status.conditions, "Healthy").unwrap_or(!is_checked)
    }
}

/// As Go's `ParseBool` reads it.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// `WorkloadEntry`: one endpoint, also of a ServiceEntry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Workload {
    /// Where it is.
    pub address: WorkloadAddress,
    /// Its ports by name.
    #[serde(deserialize_with = "ports")]
    pub ports: BTreeMap<String, u16>,
    /// Labels, as of a pod.
    pub labels: StringMap,
    /// Which network it is in; `None`: that of the mesh.
    #[serde(deserialize_with = "text")]
    pub network: Option<String>,
    /// Where it stands.
    pub locality: Locality,
    /// Share among the endpoints; `None` or 0: as much as each.
    pub weight: Option<u32>,
    /// Its account, in the same namespace.
    #[serde(deserialize_with = "text")]
    pub service_account: Option<String>,
}

type Ports = BTreeMap<String, u16>;

/// Ports as a map of the API has them.
#[derive(Deserialize)]
#[serde(transparent)]
struct PortNumber(#[serde(deserialize_with = "port")] u16);

fn ports<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ports, D::Error> {
    let ports = BTreeMap::<String, PortNumber>::deserialize(deserializer)?;
    Ok(ports.into_iter().map(|(name, PortNumber(number))| (name, number)).collect())
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(from = "String")]
pub enum WorkloadAddress {
    /// Not said: behind the gateway of its network.
    #[default]
    Unset,
    /// There.
    Ip(IpAddr),
    /// A socket of the file system, or with `@` in front an abstract one.
    Unix(String),
    /// A DNS name.
    Name(String),
}

impl From<String> for WorkloadAddress {
    fn from(text: String) -> Self {
        if text.is_empty() {
            return Self::Unset;
        }
        if let Some(path) = text.strip_prefix("unix://") {
            return Self::Unix(path.to_owned());
        }
        text.parse().map_or(Self::Name(text), Self::Ip)
    }
}

/// `region/zone/subzone`; what is missing is `""`, and what follows a third slash is not looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(from = "String")]
pub struct Locality {
    /// Region.
    pub region: String,
    /// Zone.
    pub zone: String,
    /// Part of the zone.
    pub subzone: String,
}

impl From<String> for Locality {
    fn from(text: String) -> Self {
        let mut parts = text.split('/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        Self { region: next(), zone: next(), subzone: next() }
    }
}
