// SPDX-License-Identifier: Apache-2.0
//! The proxies of a fleet as Istio's objects see them: the namespace that they run in and the labels of their pods decide
//! which Gateways select them, which rules they see, and which matches are for them. Never knows a listener.

use torana_crds::gateway::Gateway;
use torana_crds::istio::names::Export;
use torana_crds::parameters::{GatewayParameters, GatewayParametersSpec, IdentitySource, IngressPort};
use torana_crds::{ObjectMeta, StringMap};
use torana_ir::{GatewayId, Limits, Listener};

use crate::mesh::identity_source;
use crate::store::{Cluster, Ingress};
use crate::translate::infrastructure;
use crate::translate::parameters::{self, is_shadowed};

/// The proxies of one fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proxies {
    /// Whose listeners they have.
    pub(super) fleet: GatewayId,
    /// Where they run.
    pub(super) namespace: String,
    /// Of their pods.
    pub(super) labels: StringMap,
    /// Where clients reach them; `None`: wherever they listen.
    pub(super) ports: Option<Vec<IngressPort>>,
    /// They have an identity in the mesh, as far as parameters say: of a process by itself nobody knows.
    pub(super) in_mesh: bool,
    /// Who their clients are.
    pub(super) clients: Clients,
}

/// Who clients are, where others stand between them and proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Clients {
    proxy_protocol: bool,
    trusted_hops: u8,
}

impl Clients {
    /// As parameters say, what is said first, else as the mesh does.
    fn new(cluster: &Cluster, parameters: [Option<&GatewayParameters>; 2]) -> Self {
        let written = || parameters.into_iter().flatten().filter_map(|it| it.spec.client.as_ref());
        let mesh = cluster.mesh().config();
        Self {
            proxy_protocol: written().find_map(|it| it.proxy_protocol).unwrap_or_else(|| mesh.has_proxy_protocol()),
            trusted_hops: written().find_map(|it| it.trusted_hops).unwrap_or_else(|| mesh.trusted_hops()),
        }
    }

    /// A listener for them.
    pub(super) fn of(self, listener: Listener) -> Listener {
        let is_tcp = listener.protocol.transport().is_tcp();
        let limits = Limits { trusted_hops: self.trusted_hops, ..listener.limits };
        Listener { proxy_protocol: self.proxy_protocol && is_tcp, limits, ..listener }
    }
}

/// A label of what is provisioned for a Gateway (GEP-1762).
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// All that serve Gateways of Istio without any of Gateway API: the one process where there is no cluster, in a cluster
/// those that parameters ask for.
pub(super) fn ingresses(cluster: &Cluster) -> Vec<Ingress> {
    if !cluster.settings().is_cluster() {
        return cluster.settings().ingress.iter().cloned().collect();
    }
    cluster.all::<GatewayParameters>().filter(|it| is_ingress(cluster, it)).map(of_parameters).collect()
}

/// Whether parameters have proxies of their own.
pub fn is_ingress(cluster: &Cluster, parameters: &GatewayParameters) -> bool {
    parameters.spec.ingress.is_some() && !is_shadowed(cluster, parameters)
}

/// What an ingress is given by default.
const PORTS: [IngressPort; 2] =
    [IngressPort { port: 80, target_port: Some(8080) }, IngressPort { port: 443, target_port: Some(8443) }];

/// TCP ports of the Service of an ingress.
pub fn ports_of_ingress(parameters: &GatewayParametersSpec) -> &[IngressPort] {
    let given = parameters.ingress.as_ref().and_then(|ingress| ingress.ports.as_deref());
    given.unwrap_or(&PORTS)
}

/// The ingress that parameters ask for.
fn of_parameters(parameters: &GatewayParameters) -> Ingress {
    let (namespace, name) = (parameters.meta.namespace.clone(), parameters.meta.name.clone());
    let labels = infrastructure::of_ingress(parameters).labels;
    Ingress { id: GatewayId { namespace, name }, labels, ports: Some(ports_of_ingress(&parameters.spec).to_vec()) }
}

impl Proxies {
    /// Those that serve Gateways of Istio without any of Gateway API.
    pub(super) fn of_ingress(cluster: &Cluster, ingress: &Ingress) -> Self {
        let Ingress { id, labels, ports } = ingress;
        let (namespace, labels, ports) = (id.namespace.clone(), labels.clone(), ports.clone());
        let own = cluster.find::<GatewayParameters>(&id.namespace, &id.name);
        let (in_mesh, clients) = (in_mesh(cluster, [own, None]), Clients::new(cluster, [own, None]));
        Self { fleet: id.clone(), namespace, labels, ports, in_mesh, clients }
    }

    /// Nobody's: of rules they see what all do.
    pub(super) fn of_the_root() -> Self {
        let fleet = GatewayId { namespace: String::new(), name: String::new() };
        let (labels, clients) = (StringMap::new(), Clients::default());
        Self { fleet, namespace: String::new(), labels, ports: None, in_mesh: true, clients }
    }

    /// Those that serve a Gateway of ours. One process serves them all, and is the ingress too.
    pub(super) fn of_gateway(cluster: &Cluster, gateway: &Gateway) -> Self {
        let (namespace, name) = (gateway.meta.namespace.clone(), gateway.meta.name.clone());
        let found = parameters::of_gateway(cluster, gateway).unwrap_or_default();
        let clients = Clients::new(cluster, [found.own, found.class]);
        if let (Some(ingress), false) = (&cluster.settings().ingress, cluster.settings().is_cluster()) {
            return Self { clients, ..Self::of_ingress(cluster, ingress) };
        }
        let mut labels: StringMap = infrastructure::metadata(gateway).labels.into_iter().collect();
        labels.insert(GATEWAY_NAME.to_owned(), name.clone());
        let in_mesh = in_mesh(cluster, [found.own, found.class]);
        let fleet = GatewayId { namespace: namespace.clone(), name };
        Self { fleet, namespace, labels, ports: None, in_mesh, clients }
    }

    /// Whether all of these are among the labels.
    pub(super) fn have(&self, labels: &StringMap) -> bool {
        labels.iter().all(|(name, value)| self.labels.get(name) == Some(value))
    }

    /// Where they listen for a server with this port, which is one of their Service's, or their own.
    pub(super) fn listens_on(&self, port: u16) -> u16 {
        let mut ports = self.ports.iter().flatten();
        ports.find(|it| it.port == port).map_or(port, |it| it.target())
    }

    /// Whether clients reach them on a port that they listen on.
    pub(super) fn are_reached(&self, port: u16) -> bool {
        self.ports.as_ref().is_none_or(|ports| ports.iter().any(|it| it.target() == port))
    }

    /// Whether an object with this `exportTo` is seen by them.
    pub(super) fn see(&self, export: &[Export], meta: &ObjectMeta) -> bool {
        exported(export, &meta.namespace, &self.namespace)
    }
}

/// Whether proxies with these parameters have an identity; what is said first holds.
fn in_mesh(cluster: &Cluster, parameters: [Option<&GatewayParameters>; 2]) -> bool {
    let written = parameters.into_iter().flatten().find_map(|it| it.spec.mesh.as_ref()?.identity);
    !cluster.settings().is_cluster() || identity_source(written, cluster.mesh().is_there()) != IdentitySource::None
}

/// Whether an object of namespace `owner` with this `exportTo` is seen in namespace `viewer`. Without one all see it.
pub(super) fn exported(export: &[Export], owner: &str, viewer: &str) -> bool {
    export.is_empty()
        || export.iter().any(|to| match to {
            Export::All => true,
            Export::Own => owner == viewer,
            Export::Nobody => false,
            Export::Namespace(namespace) => namespace == viewer,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn export_to_says_which_namespaces_see_an_object() {
        let export = |texts: &[&str]| texts.iter().map(|text| Export::from((*text).to_owned())).collect::<Vec<_>>();
        for (texts, own, other) in [
            (&[][..], true, true),
            (&["*"], true, true),
            (&["."], true, false),
            (&["edge"], false, true),
            (&[".", "edge"], true, true),
            (&["~"], false, false),
            (&["third"], false, false),
        ] {
            let export = export(texts);
            assert_eq!((exported(&export, "app", "app"), exported(&export, "app", "edge")), (own, other), "{texts:?}");
        }
    }
}
