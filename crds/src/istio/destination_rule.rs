// SPDX-License-Identifier: Apache-2.0
//! DestinationRule: how a host is talked to. Never merges two of them, and never lays a subset over the whole.

use std::time::Duration;

use serde::Deserialize;

use crate::istio::connection_pool::{ConnectionPool, OutlierDetection};
use crate::istio::duration;
use crate::istio::load_balancer::LoadBalancer;
use crate::istio::names::Export;
use crate::istio::scalars::{Decimal, port, selected, text, words};
use crate::meta::{ObjectMeta, StringMap};

/// `networking.istio.io` DestinationRule.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DestinationRule {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    pub spec: DestinationRuleSpec,
}

/// `DestinationRule`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationRuleSpec {
    /// As written: a name without a dot is of the namespace of the rule; may be `*.suffix` or `*`.
    pub host: String,
    /// Of the whole host; it is larger than most objects.
    pub traffic_policy: Option<Box<TrafficPolicy>>,
    /// Parts of the host, by labels.
    #[serde(default)]
    pub subsets: Vec<Subset>,
    /// Namespaces that see it; empty: what the mesh says, usually all.
    #[serde(default)]
    pub export_to: Vec<Export>,
    /// Pods of its namespace that it is for; `None`: all that see it.
    pub workload_selector: Option<WorkloadSelector>,
}

/// `WorkloadSelector` of `istio.io/api/type`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadSelector {
    /// Labels that the pods have.
    pub match_labels: StringMap,
}

/// `Subset`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subset {
    /// Unique within the rule.
    pub name: String,
    /// Labels of its endpoints; empty: all of them.
    #[serde(default)]
    pub labels: StringMap,
    /// Instead of that of the host, block by block.
    pub traffic_policy: Option<Box<TrafficPolicy>>,
}

/// `TrafficPolicy`: blocks, each of which stands for itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficPolicy {
    /// Which endpoint.
    pub load_balancer: Option<LoadBalancer>,
    /// How many connections and requests.
    pub connection_pool: Option<ConnectionPool>,
    /// Which endpoints are left out for a while.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS with the endpoints.
    pub tls: Option<ClientTls>,
    /// For single ports: instead of all the above, not beside it.
    #[serde(rename = "portLevelSettings")]
    pub port_level: Vec<PortPolicy>,
    /// Through a proxy.
    pub tunnel: Option<Tunnel>,
    /// A header of the PROXY protocol.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How many further tries at once.
    pub retry_budget: Option<RetryBudget>,
}

/// `PortTrafficPolicy`. A block that is absent falls to the defaults, not to the policy around.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortPolicy {
    /// Port of the service.
    #[serde(deserialize_with = "selected")]
    pub port: u16,
    /// Which endpoint.
    pub load_balancer: Option<LoadBalancer>,
    /// How many connections and requests.
    pub connection_pool: Option<ConnectionPool>,
    /// Which endpoints are left out for a while.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS with the endpoints.
    pub tls: Option<ClientTls>,
}

words! {
    /// `TLSmode` of a client.
    #[derive(Default)]
    ClientTlsMode {
        /// None. Also what an absent mode means.
        #[default]
        Disable = "DISABLE",
        /// The endpoint shows a certificate.
        Simple = "SIMPLE",
        /// Both show one.
        Mutual = "MUTUAL",
        /// Both show one of the mesh.
        IstioMutual = "ISTIO_MUTUAL",
    }
}

/// `ClientTLSSettings`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientTls {
    /// What is done.
    pub mode: ClientTlsMode,
    /// File of our certificate.
    #[serde(deserialize_with = "text")]
    pub client_certificate: Option<String>,
    /// File of its key.
    #[serde(deserialize_with = "text")]
    pub private_key: Option<String>,
    /// File of authorities; `None` or `system`: those of the system.
    #[serde(deserialize_with = "text")]
    pub ca_certificates: Option<String>,
    /// Secret of all these in the namespace of the gateway's pods, or `configmap://name` of authorities.
    #[serde(deserialize_with = "text")]
    pub credential_name: Option<String>,
    /// Names of which the endpoint's certificate must have one; empty: the server name.
    pub subject_alt_names: Vec<String>,
    /// Server name; `None`: the host of the request.
    #[serde(deserialize_with = "text")]
    pub sni: Option<String>,
    /// The endpoint's certificate is not checked.
    pub insecure_skip_verify: bool,
    /// File of certificates that are revoked.
    #[serde(deserialize_with = "text")]
    pub ca_crl: Option<String>,
}

words! {
    /// How a tunnel is asked for.
    #[derive(Default)]
    TunnelProtocol {
        /// HTTP CONNECT. Also what `""` means.
        #[default]
        Connect = "CONNECT" | "",
        /// HTTP POST.
        Post = "POST",
    }
}

/// `TunnelSettings`: for routes of TLS and TCP.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tunnel {
    /// Default CONNECT.
    #[serde(default)]
    pub protocol: TunnelProtocol,
    /// A DNS name or an IP address.
    pub target_host: String,
    /// 1 to 65535.
    #[serde(deserialize_with = "port")]
    pub target_port: u16,
}

words! {
    /// Version of the PROXY protocol.
    #[derive(Default)]
    ProxyProtocolVersion {
        /// A line of text.
        #[default]
        V1 = "V1",
        /// Binary.
        V2 = "V2",
    }
}

/// `ProxyProtocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ProxyProtocol {
    /// Default 1.
    pub version: ProxyProtocolVersion,
}

/// `RetryBudget`; it stands for `maxRetries` of the connection pool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryBudget {
    /// Tries after the first, of a hundred requests that are under way; default 20.
    pub percent: Decimal,
    /// So many are let through in any case; default 3.
    pub min_retry_concurrency: u32,
    /// Requests of this time count beside those under way; default none.
    #[serde(deserialize_with = "duration::required")]
    pub budget_interval: Duration,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { percent: Decimal::whole(20), min_retry_concurrency: 3, budget_interval: Duration::ZERO }
    }
}
