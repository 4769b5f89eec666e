// SPDX-License-Identifier: Apache-2.0
//! What the proxies of a Gateway or an ingress need in the cluster, as objects to apply: pure, and the same for the same arguments.
//!
//! ServiceAccount, ConfigMap (authorities of the feed), Service, PodDisruptionBudget, Deployment or DaemonSet,
//! HorizontalPodAutoscaler. Never asks what is there already; [`drift`] compares.

pub mod names;

mod subject;

mod layers;

mod patch;

mod objects;

pub mod mesh;

mod pod;

mod service;

mod scaling;

pub mod addresses;

pub mod drift;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use torana_crds::parameters::GatewayParametersSpec;

pub use layers::merged;
pub use mesh::settled;
pub use objects::{APP_NAME, GATEWAY_NAME, MANAGED_BY};
pub use pod::AUDIENCE;
pub use service::Port;
pub use subject::Subject;

use objects::Owned;

/// What the proxies of one installation have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// Image of the proxies, unless their parameters name another.
    pub image: String,
    /// `HOST:PORT` that they are programmed from.
    pub feed: String,
    /// The name that the feed's certificate is for.
    pub feed_name: String,
    /// Authorities of that certificate, as PEM.
    pub feed_ca: String,
    /// Further authorities of the mesh, as PEM; empty if there are none.
    pub mesh_roots: String,
    /// Where the controller lives.
    pub namespace: String,
    /// Version of the controller.
    pub version: String,
}

/// What the proxies of one subject need in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// In the order to apply them. Empty if there is nothing to serve: then what is there already stays as it is, so
    /// that nobody loses an address by a slip.
    pub objects: Vec<Value>,
}

/// Whom proxies believe: entries of a ConfigMap.
fn authorities(install: &Install) -> Value {
    let mut entries = json!({"ca.crt": install.feed_ca});
    if !install.mesh_roots.is_empty() {
        entries[mesh::MORE_ROOTS] = install.mesh_roots.as_str().into();
    }
    entries
}

/// The objects of a subject. `parameters` are [`merged`] and [`settled`]; `ports` are those of its accepted listeners, also of those
/// that wait for a certificate: an address is needed before anything can be served. Without any there are no objects.
pub fn desired(subject: Subject<'_>, parameters: &GatewayParametersSpec, ports: &[Port], install: &Install) -> Desired {
    let ports: BTreeSet<Port> = ports.iter().copied().collect();
    if ports.is_empty() {
        return Desired::default();
    }
    let owned = Owned::new(subject, &install.version);
    let name = owned.name.clone();
    let mut objects = vec![
        owned.object("v1", "ServiceAccount", &name, ("automountServiceAccountToken", false.into())),
        owned.object("v1", "ConfigMap", &owned.ca_name(), ("data", authorities(install))),
        service::service(&owned, subject.address(), parameters, ports.into_iter()),
    ];
    objects.extend(scaling::budget(&owned, parameters));
    objects.push(scaling::workload(&owned, parameters, &pod::template(&owned, parameters, install)));
    objects.extend(scaling::autoscaler(&owned, parameters));
    Desired { objects }
}
