// SPDX-License-Identifier: Apache-2.0
//! The schemas of the CRDs in `deploy/crds`, each read at its first use.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::kind::Kind;
use crate::schema::node::Node;

/// One CRD as shipped.
pub(crate) struct Shipped {
    /// Whose CRD it is.
    pub(crate) kind: Kind,
    text: &'static str,
    schema: OnceLock<Node>,
}

impl Shipped {
    const fn new(kind: Kind, text: &'static str) -> Self {
        Self { kind, text, schema: OnceLock::new() }
    }

    /// The CRD as YAML.
    #[cfg(test)]
    pub(crate) fn text(&self) -> &'static str {
        self.text
    }

    /// The schema of the kind's first version, without `status`. Other served versions have the same spec.
    pub(crate) fn schema(&self) -> &Node {
        self.schema.get_or_init(|| schema(self.kind, self.text).expect("a test reads every shipped CRD"))
    }
}

/// The schema of a kind; core kinds have none.
pub(crate) fn schema_of(kind: Kind) -> Option<&'static Node> {
    SHIPPED.iter().find(|shipped| shipped.kind == kind).map(Shipped::schema)
}

/// Every CRD that ships. They are constants of the binary, so one copy serves every caller.
pub(crate) static SHIPPED: [Shipped; 14] = [
    Shipped::new(
        Kind::GatewayClass,
        include_str!("../../../deploy/crds/gateway-api/gateway.networking.k8s.io_gatewayclasses.yaml"),
    ),
    Shipped::new(
        Kind::Gateway,
        include_str!("../../../deploy/crds/gateway-api/gateway.networking.k8s.io_gateways.yaml"),
    ),
    Shipped::new(
        Kind::ListenerSet,
        include_str!("../../../deploy/crds/gateway-api/gateway.networking.k8s.io_listenersets.yaml"),
    ),
    Shipped::new(
        Kind::HttpRoute,
        include_str!("../../../deploy/crds/gateway-api/gateway.networking.k8s.io_httproutes.yaml"),
    ),
    Shipped::new(
        Kind::GrpcRoute,
        include_str!("../../../deploy/crds/gateway-api/gateway.networking.k8s.io_grpcroutes.yaml"),
    ),
    Shipped::new(
        Kind::TlsRoute,
        include_str!("../../../deploy/crds/gateway-api/gateway.networking.k8s.io_tlsroutes.yaml"),
    ),
    Shipped::new(
        Kind::TcpRoute,
        include_str!("../../../deploy/crds/gateway-api/gateway.networking.k8s.io_tcproutes.yaml"),
    ),
    Shipped::new(
        Kind::UdpRoute,
        include_str!("../../../deploy/crds/gateway-api/gateway.networking.k8s.io_udproutes.yaml"),
    ),
    Shipped::new(
        Kind::BackendTlsPolicy,
        include_str!("../../../deploy/crds/gateway-api/gateway.networking.k8s.io_backendtlspolicies.yaml"),
    ),
    Shipped::new(
        Kind::ReferenceGrant,
        include_str!("../../../deploy/crds/gateway-api/gateway.networking.k8s.io_referencegrants.yaml"),
    ),
    Shipped::new(
        Kind::GatewayParameters,
        include_str!("../../../deploy/crds/torana.dev/torana.dev_gatewayparameters.yaml"),
    ),
    Shipped::new(Kind::TrafficPolicy, include_str!("../../../deploy/crds/torana.dev/torana.dev_trafficpolicies.yaml")),
    Shipped::new(Kind::AcmeIssuer, include_str!("../../../deploy/crds/torana.dev/torana.dev_acmeissuers.yaml")),
    Shipped::new(
        Kind::ClusterAcmeIssuer,
        include_str!("../../../deploy/crds/torana.dev/torana.dev_clusteracmeissuers.yaml"),
    ),
];

#[derive(Deserialize)]
struct Crd {
    spec: CrdSpec,
}

#[derive(Deserialize)]
struct CrdSpec {
    versions: Vec<CrdVersion>,
}

#[derive(Deserialize)]
struct CrdVersion {
    name: String,
    schema: CrdSchema,
}

#[derive(Deserialize)]
struct CrdSchema {
    #[serde(rename = "openAPIV3Schema")]
    root: Node,
}

fn schema(kind: Kind, text: &str) -> Result<Node, String> {
    let crd: Crd = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let first = kind.versions().first().copied().unwrap_or_default();
    let version = crd.spec.versions.into_iter().find(|version| version.name == first).ok_or("no such version")?;
    let mut root = version.schema.root;
    // A subresource: what a client writes there is dropped, and its defaults are for controllers.
    root.properties.remove("status");
    Ok(root)
}
