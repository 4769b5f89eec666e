// SPDX-License-Identifier: Apache-2.0
//! The proxies of a fleet as Istio's objects see them: the namespace that they run in and the labels of their pods decide
//! which Gateways select them, which rules they see, and which matches are for them. Never knows a listener.

use torana_crds::gateway::Gateway;
use torana_crds::istio::names::Export;
use torana_crds::{ObjectMeta, StringMap};
use torana_ir::GatewayId;

use crate::store::{Cluster, Ingress};
use crate::translate::infrastructure;

/// The proxies of one fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proxies {
    /// Whose listeners they have.
    pub(super) fleet: GatewayId,
    /// Where they run.
    pub(super) namespace: String,
    /// Of their pods.
    pub(super) labels: StringMap,
}

/// A label of what is provisioned for a Gateway (GEP-1762).
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

impl Proxies {
    /// Those that serve Gateways of Istio without any of Gateway API.
    pub(super) fn of_ingress(ingress: &Ingress) -> Self {
        let Ingress { id, labels } = ingress;
        Self { fleet: id.clone(), namespace: id.namespace.clone(), labels: labels.clone() }
    }

    /// Nobody's: of rules they see what all do.
    pub(super) fn of_the_root() -> Self {
        let fleet = GatewayId { namespace: String::new(), name: String::new() };
        Self { fleet, namespace: String::new(), labels: StringMap::new() }
    }

    /// Those that serve a Gateway of ours. One process serves them all, and is the ingress too.
    pub(super) fn of_gateway(cluster: &Cluster, gateway: &Gateway) -> Self {
        let (namespace, name) = (gateway.meta.namespace.clone(), gateway.meta.name.clone());
        if let (Some(ingress), false) = (&cluster.settings().ingress, cluster.settings().is_cluster()) {
            return Self::of_ingress(ingress);
        }
        let mut labels: StringMap = infrastructure::metadata(gateway).labels.into_iter().collect();
        labels.insert(GATEWAY_NAME.to_owned(), name.clone());
        Self { fleet: GatewayId { namespace: namespace.clone(), name }, namespace, labels }
    }

    /// Whether all of these are among the labels.
    pub(super) fn have(&self, labels: &StringMap) -> bool {
        labels.iter().all(|(name, value)| self.labels.get(name) == Some(value))
    }

    /// Whether an object with this `exportTo` is seen by them.
    pub(super) fn see(&self, export: &[Export], meta: &ObjectMeta) -> bool {
        exported(export, &meta.namespace, &self.namespace)
    }
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
