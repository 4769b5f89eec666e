// SPDX-License-Identifier: Apache-2.0
//! `torana.dev` TrafficPolicy: how Torana treats what goes to a Service. What is written above a field here is what
//! `kubectl explain` shows. Never fills in a default, and refuses nothing that the types can hold: what a value means,
//! and whether it can be, is the controller's to say.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::meta::ObjectMeta;
use crate::parameters::IntOrString;
use crate::policy::PolicyTargetRef;

/// `torana.dev/v1alpha1` TrafficPolicy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TrafficPolicy {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    pub spec: TrafficPolicySpec,
}

/// How what goes to a Service is treated, whichever routes it comes by. A policy is attached to Services of its own
/// namespace, or to one of their ports.
///
/// Of several policies for the same port, one that names it by sectionName is in force, then the oldest, then the first by
/// name; the others are Conflicted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficPolicySpec {
    /// What the policy is for.
    #[schemars(schema_with = "targets")]
    pub target_refs: Vec<PolicyTargetRef>,
    /// How it is found out which endpoints may be sent to.
    pub health_check: Option<HealthCheckPolicy>,
}

fn targets(_: &mut SchemaGenerator) -> Schema {
    let text = |description: &str, most: u32| json!({"type": "string", "description": description, "maxLength": most});
    let section = "One port of the Service, by its name or its number; by default all ports are meant.";
    let mut kind = text("Service.", 63);
    kind["enum"] = json!(["Service"]);
    let mut group = text("The empty text: Services are core.", 253);
    group["enum"] = json!([""]);
    let item = json_schema!({
        "type": "object",
        "description": "A Service in the namespace of the policy.",
        "required": ["group", "kind", "name"],
        "properties": {
            "group": group,
            "kind": kind,
            "name": {"type": "string", "description": "Its name.", "minLength": 1, "maxLength": 253},
            "sectionName": {"type": "string", "description": section, "minLength": 1, "maxLength": 253},
        },
    });
    json_schema!({"type": "array", "items": item, "minItems": 1, "maxItems": 16})
}

/// How it is found out which endpoints may be sent to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheckPolicy {
    /// Endpoints are asked, again and again, by each proxy. One that fails is sent nothing until it passes again; one that
    /// was not asked yet is sent to, and its first check decides at once.
    pub active: Option<ActiveHealthCheck>,
    /// While less than so many percent of the endpoints are healthy, all are sent to: few must not take the load of all.
    /// Default 50. 0: requests get 503 once none is healthy.
    #[schemars(range(min = 0, max = 100))]
    pub panic_threshold: Option<u8>,
}

/// What endpoints are asked, how often, and how many answers count. Exactly one of http, tcp and grpc is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"message": "exactly one of http, tcp and grpc must be given",
     "rule": "(has(self.http) ? 1 : 0) + (has(self.tcp) ? 1 : 0) + (has(self.grpc) ? 1 : 0) == 1"},
]))]
pub struct ActiveHealthCheck {
    /// From the end of a check to the next one; default 5s, at least 100ms.
    #[schemars(length(max = 16), regex(pattern = "^([0-9]{1,5}(h|m|s|ms)){1,4}$"))]
    pub interval: Option<String>,
    /// How long a check may take, from connect to answer; default 1s, at least 10ms.
    #[schemars(length(max = 16), regex(pattern = "^([0-9]{1,5}(h|m|s|ms)){1,4}$"))]
    pub timeout: Option<String>,
    /// So many failures in a row make an endpoint unhealthy; default 3.
    #[schemars(range(min = 1, max = 1000))]
    pub unhealthy_threshold: Option<u32>,
    /// So many successes in a row make it healthy again; default 1.
    #[schemars(range(min = 1, max = 1000))]
    pub healthy_threshold: Option<u32>,
    /// Another port of the endpoints; by default that which requests go to.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// A request of HTTP, in the version that the backend is spoken to in; on another port in HTTP/1.1.
    pub http: Option<HttpHealthCheck>,
    /// Whether a connection can be opened.
    pub tcp: Option<TcpHealthCheck>,
    /// The health service of gRPC, grpc.health.v1.Health.
    pub grpc: Option<GrpcHealthCheck>,
}

/// A request of HTTP and the answers that are good.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpHealthCheck {
    /// Path, perhaps with a query; default /.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^/[!-\"$-~]*$"))]
    pub path: Option<String>,
    /// Host of the request, perhaps with a port; by default the whole name of the Service,
    /// NAME.NAMESPACE.svc.cluster.local.
    #[schemars(length(min = 1, max = 253))]
    pub host: Option<String>,
    /// Method; default GET.
    pub method: Option<HealthCheckMethod>,
    /// Statuses of good answers: numbers such as 204, or ranges such as 200-299; default 200.
    #[serde(default)]
    #[schemars(schema_with = "statuses")]
    pub expected_statuses: Option<Vec<IntOrString>>,
}

fn statuses(_: &mut SchemaGenerator) -> Schema {
    let item = json!({"x-kubernetes-int-or-string": true, "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$"});
    json_schema!({"type": "array", "items": item, "minItems": 1, "maxItems": 16})
}

/// Method of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HealthCheckMethod {
    /// GET.
    #[serde(rename = "GET")]
    Get,
    /// HEAD.
    #[serde(rename = "HEAD")]
    Head,
}

/// Nothing more is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub struct TcpHealthCheck {}

/// What the health service of gRPC is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub struct GrpcHealthCheck {
    /// Name of a service, such as shop.Cart; by default the server as a whole is meant.
    #[schemars(length(min = 1, max = 253))]
    pub service: Option<String>,
}
