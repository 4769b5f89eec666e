// SPDX-License-Identifier: Apache-2.0
//! `torana.dev` GatewayParameters: how the proxies of a Gateway run. What is written above a field here is what
//! `kubectl explain` shows. Never fills in a default: a class and a Gateway may both have parameters, and only what is
//! absent in both is left to the controller.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::meta::{ObjectMeta, StringMap};

/// `torana.dev/v1alpha1` GatewayParameters.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GatewayParameters {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    #[serde(default)]
    pub spec: GatewayParametersSpec,
}

/// How the proxies of a Gateway run. A GatewayClass names parameters for all of its Gateways, a Gateway names its own
/// by `infrastructure.parametersRef`; what its own leave out comes from those of the class, field by field.
///
/// With `ingress` they are a set of proxies by themselves, for Gateways of Istio.
///
/// Whoever may write these objects may run any pod in the namespaces of the Gateways that use them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"message": "replicas and autoscaling exclude each other", "rule": "!has(self.replicas) || !has(self.autoscaling)"},
    {"message": "a DaemonSet runs one pod on each node: neither replicas nor autoscaling go with it",
     "rule": "!has(self.mode) || self.mode != 'DaemonSet' || (!has(self.replicas) && !has(self.autoscaling))"},
]))]
pub struct GatewayParametersSpec {
    /// What runs the proxies; a Deployment by default, a DaemonSet for one on each node.
    pub mode: Option<WorkloadMode>,
    /// Whether the proxies use the network of their node, so that its ports are those of the listeners: for machines
    /// without a load balancer. Default false. Two Gateways do not share a node then; the Service is of type ClusterIP
    /// by default, and the addresses of the Gateway are those of the nodes.
    pub host_network: Option<bool>,
    /// Proxies of a Deployment; default 2.
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<u16>,
    /// Lets a HorizontalPodAutoscaler choose the number of proxies.
    pub autoscaling: Option<Autoscaling>,
    /// How many proxies may be evicted at a time; by default one, wherever there are two or more.
    pub pod_disruption_budget: Option<DisruptionBudget>,
    /// Image of the proxies; by default that of the controller.
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// Requests and limits of a proxy; by default it asks for 100m CPU and 128Mi memory, and has no limit.
    pub resources: Option<Resources>,
    /// The Service before the proxies.
    pub service: Option<ServiceParameters>,
    /// Labels of nodes that proxies may run on.
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: Option<StringMap>,
    /// As in a pod.
    #[serde(default)]
    #[schemars(schema_with = "opaque_list")]
    pub tolerations: Option<Vec<Opaque>>,
    /// As in a pod.
    #[serde(default)]
    #[schemars(schema_with = "opaque")]
    pub affinity: Option<Opaque>,
    /// As in a pod; by default proxies are spread over nodes and zones where that can be had. A constraint without
    /// labelSelector is about the proxies of the Gateway.
    #[serde(default)]
    #[schemars(schema_with = "opaque_list")]
    pub topology_spread_constraints: Option<Vec<Opaque>>,
    /// As in a pod.
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Worker threads of a proxy; by default one a core of its node.
    #[schemars(range(min = 1, max = 1024))]
    pub workers: Option<u16>,
    /// How a proxy ends.
    pub shutdown: Option<Shutdown>,
    /// What a proxy logs.
    pub logging: Option<LoggingParameters>,
    /// Proxies without a Gateway of Gateway API: they run in the namespace of these parameters, which name them, for the
    /// Gateways of Istio whose selector takes in the labels of their pods.
    pub ingress: Option<IngressParameters>,
    /// Who clients are, where others stand between them and the proxies.
    pub client: Option<ClientParameters>,
    /// Certificates by ACME.
    pub acme: Option<AcmeParameters>,
    /// Who the proxies are in a mesh.
    pub mesh: Option<Box<MeshParameters>>,
    /// Merged into the template of the pods at last, as `kubectl patch` does it: maps by their keys, lists of
    /// containers, volumes and the like by their names, other lists as a whole; `$patch: delete` in a map removes it.
    /// The container of the proxy is named torana.
    #[serde(default)]
    #[schemars(schema_with = "opaque")]
    pub pod_patch: Option<Opaque>,
}

/// Who clients are, where others stand between them and the proxies. By default a client is whoever connects, and what it
/// says of others is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientParameters {
    /// Connections begin with a header of the PROXY protocol, version 1 or 2, as load balancers write it if they are asked
    /// to: what does not begin with one is closed. Not of UDP. Default that of Istio's MeshConfig, else false.
    pub proxy_protocol: Option<bool>,
    /// HTTP proxies before these that add the address of whoever asks them to X-Forwarded-For. The client is the address
    /// that the first of them has added, and X-Forwarded-Proto is believed. Default that of Istio's MeshConfig, else 0.
    #[schemars(range(max = 32))]
    pub trusted_hops: Option<u8>,
}

/// Certificates by ACME for the listeners of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcmeParameters {
    /// Who signs where neither Gateway nor ListenerSet says so by the annotation torana.dev/acme: letsencrypt,
    /// letsencrypt-staging, zerossl, or the name of an AcmeIssuer or ClusterAcmeIssuer; `none`: nobody.
    #[schemars(length(min = 1, max = 253))]
    pub issuer: String,
}

/// The identity that proxies show workloads of a mesh, and which those believe.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"message": "identity Secret needs secretName, and no other has one",
     "rule": "(has(self.identity) && self.identity == 'Secret') == has(self.secretName)"},
    {"message": "identity None and identity Secret ask no authority",
     "rule": "!has(self.identity) || !(self.identity in ['None', 'Secret']) || (!has(self.caAddress) && !has(self.clusterId) && !has(self.trustDomain))"},
]))]
pub struct MeshParameters {
    /// Where it comes from; default Istio in a cluster with the settings of an Istio (ConfigMap istio in istio-system), else
    /// None.
    pub identity: Option<IdentitySource>,
    /// Secret in the namespace of the proxies with tls.crt, tls.key and ca.crt, which somebody keeps up to date.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: Option<String>,
    /// HOST:PORT of the authority; by default istiod of the controller's revision, or Torana's own.
    #[schemars(length(min = 1, max = 256))]
    pub ca_address: Option<String>,
    /// Trust domain of the identity; by default that of the mesh, else cluster.local.
    #[schemars(length(min = 1, max = 253))]
    pub trust_domain: Option<String>,
    /// What the authority calls this cluster; default Kubernetes.
    #[schemars(length(min = 1, max = 253))]
    pub cluster_id: Option<String>,
    /// ClusterTrustBundle with the mesh's authorities, such as istio.io:istiod-ca:root-cert, in place of the ConfigMap that the
    /// authority keeps; the cluster must have ClusterTrustBundles.
    #[schemars(length(min = 1, max = 253))]
    pub cluster_trust_bundle: Option<String>,
}

/// Where an identity comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum IdentitySource {
    /// An authority that speaks as istiod does.
    Istio,
    /// The authority of Torana's controllers, if it is enabled there.
    Torana,
    /// A Secret.
    Secret,
    /// There is none: workloads that take nothing but mutual TLS are not reached.
    None,
}

/// A part of a core Kubernetes object that Torana hands on as it is.
pub type Opaque = Map<String, Value>;

fn opaque(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn opaque_list(_: &mut SchemaGenerator) -> Schema {
    let item = json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json_schema!({"type": "array", "items": item, "maxItems": 64})
}

/// Proxies that serve Gateways of Istio by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub struct IngressParameters {
    /// Labels of the pods, by which Gateways of Istio select them; default `istio: ingressgateway` and
    /// `app: istio-ingressgateway`.
    #[schemars(extend("maxProperties" = 32))]
    pub labels: Option<StringMap>,
    /// TCP ports of the Service; default 80 and 443, at the proxies 8080 and 8443. A server of a Gateway is found by
    /// either number.
    #[schemars(length(min = 1, max = 64))]
    pub ports: Option<Vec<IngressPort>>,
}

/// A port of the Service before proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressPort {
    /// That clients know.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// That the proxies listen on; default the same.
    #[schemars(range(min = 1))]
    pub target_port: Option<u16>,
}

impl IngressPort {
    /// The port that the proxies listen on.
    pub fn target(self) -> u16 {
        self.target_port.unwrap_or(self.port)
    }
}

/// What runs the proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum WorkloadMode {
    /// A number of proxies.
    #[default]
    Deployment,
    /// One proxy on each node.
    DaemonSet,
}

/// Bounds and aim of a HorizontalPodAutoscaler.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"message": "minReplicas must not exceed maxReplicas", "rule": "!has(self.minReplicas) || self.minReplicas <= self.maxReplicas"},
]))]
pub struct Autoscaling {
    /// Fewest proxies; default 2, or maxReplicas if that is less.
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: Option<u16>,
    /// Most proxies.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: u16,
    /// CPU time that proxies should use on average, in percent of what they ask for; default 70.
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_utilization: Option<u16>,
}

/// One of the two bounds of a PodDisruptionBudget.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"message": "minAvailable and maxUnavailable exclude each other",
     "rule": "!has(self.minAvailable) || !has(self.maxUnavailable)"},
]))]
pub struct DisruptionBudget {
    /// Number or percentage of proxies that stay.
    pub min_available: Option<IntOrString>,
    /// Number or percentage of proxies that may go.
    pub max_unavailable: Option<IntOrString>,
}

/// An integer, or a text such as `50%` or `128Mi`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// An integer.
    Int(i64),
    /// A text.
    Text(String),
}

impl JsonSchema for IntOrString {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "IntOrString".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"x-kubernetes-int-or-string": true})
    }
}

/// As in a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub struct Resources {
    /// What the scheduler keeps for a proxy.
    #[schemars(extend("maxProperties" = 16))]
    pub requests: Option<BTreeMap<String, IntOrString>>,
    /// What a proxy must not exceed.
    #[schemars(extend("maxProperties" = 16))]
    pub limits: Option<BTreeMap<String, IntOrString>>,
}

/// The Service before the proxies. Its ports are those of the listeners.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceParameters {
    /// Default LoadBalancer, with hostNetwork ClusterIP.
    #[serde(rename = "type")]
    pub service_type: Option<ServiceType>,
    /// Annotations of the Service only; those of the Gateway's infrastructure come first.
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: Option<StringMap>,
    /// Local keeps the addresses of clients, and sends nobody to a node without a proxy. Not for ClusterIP.
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,
    /// Which implementation of load balancers is meant. Only for LoadBalancer; it cannot be changed later.
    #[schemars(length(min = 1, max = 253))]
    pub load_balancer_class: Option<String>,
    /// Networks that clients may come from, such as 192.0.2.0/24. Only for LoadBalancer.
    #[schemars(length(max = 256))]
    pub load_balancer_source_ranges: Option<Vec<String>>,
    /// As in a Service.
    #[schemars(length(max = 2))]
    pub ip_families: Option<Vec<IpFamily>>,
    /// As in a Service.
    pub ip_family_policy: Option<IpFamilyPolicy>,
}

/// `type` of a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// With an address of the cluster's load balancer.
    LoadBalancer,
    /// With an address inside the cluster only.
    ClusterIP,
    /// With ports of the nodes.
    NodePort,
}

/// `externalTrafficPolicy` of a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExternalTrafficPolicy {
    /// To every proxy.
    Cluster,
    /// To the proxies of the node.
    Local,
}

/// `ipFamilies` of a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IpFamily {
    /// IPv4.
    IPv4,
    /// IPv6.
    IPv6,
}

/// `ipFamilyPolicy` of a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IpFamilyPolicy {
    /// One family.
    SingleStack,
    /// Both where the cluster has both.
    PreferDualStack,
    /// Both.
    RequireDualStack,
}

/// How a proxy ends.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shutdown {
    /// How long it still accepts after it says that it is not ready any more, until load balancers have seen it;
    /// default 5s.
    #[schemars(length(max = 16), regex(pattern = "^([0-9]{1,5}(h|m|s|ms)){1,4}$"))]
    pub pre_stop: Option<String>,
    /// How long requests in flight get after that; default 30s.
    #[schemars(length(max = 16), regex(pattern = "^([0-9]{1,5}(h|m|s|ms)){1,4}$"))]
    pub drain_deadline: Option<String>,
}

/// What a proxy logs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoggingParameters {
    /// Level of its own log: error, warn, info, debug, trace, or a list like info,torana_gateway=debug; default info.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[a-zA-Z0-9_:=,]+$"))]
    pub level: Option<String>,
    /// Format of its own log; default Json.
    pub format: Option<LogFormat>,
    /// One line a request; default Json.
    pub access_log: Option<AccessLog>,
}

/// Format of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Format of the access log, if it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum AccessLog {
    /// One JSON object a request.
    Json,
    /// One line for people.
    Text,
    /// None.
    Off,
}
