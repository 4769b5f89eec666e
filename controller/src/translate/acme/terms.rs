// SPDX-License-Identifier: Apache-2.0
//! Whether the listeners of a Gateway or ListenerSet get certificates by ACME, and from whom.

use torana_crds::gateway::{Gateway, ListenerSet};
use torana_crds::{Kind, ObjectRef, StringMap};

use super::{issuer, on_demand};
use crate::issuance::Issuer;
use crate::report::Remark;
use crate::store::Cluster;
use crate::translate::parameters::{self, Parameters};

/// Annotation of a Gateway or ListenerSet: who signs the certificates of its listeners.
const ANNOTATION: &str = "torana.dev/acme";
/// Whoever has such an annotation is cert-manager's.
const CERT_MANAGER: &str = "cert-manager.io/";

pub(super) fn annotations<'c>(cluster: &'c Cluster, gateway: &'c Gateway, owner: &ObjectRef) -> Option<&'c StringMap> {
    if owner.known_kind() == Some(Kind::ListenerSet) {
        return Some(&cluster.find::<ListenerSet>(&owner.namespace, &owner.name)?.meta.annotations);
    }
    Some(&gateway.meta.annotations)
}

/// Who says who signs.
struct Said<'c> {
    issuer: &'c str,
    by: String,
    /// The field of the Gateway or ListenerSet by which that is known.
    path: String,
}

/// Who signs for the listeners of `owner`: as its own annotation says, else the parameters of the Gateway, else those of
/// its class, else whoever installed Torana.
fn said<'c>(cluster: &'c Cluster, gateway: &'c Gateway, (owner, own): (&ObjectRef, &'c StringMap)) -> Option<Said<'c>> {
    let annotation = || format!("metadata.annotations[{ANNOTATION:?}]");
    if let Some(issuer) = own.get(ANNOTATION) {
        return Some(Said { issuer, by: owner.to_string(), path: annotation() });
    }
    // Where they cannot be used the Gateway is not accepted.
    let Parameters { class, own } = parameters::of_gateway(cluster, gateway).unwrap_or_default();
    for (found, path) in [(own, "spec.infrastructure.parametersRef"), (class, "spec.gatewayClassName")] {
        if let Some((acme, meta)) = found.and_then(|it| Some((it.spec.acme.as_ref()?, &it.meta))) {
            let by = format!("spec.acme.issuer of GatewayParameters {}/{}", meta.namespace, meta.name);
            return Some(Said { issuer: &acme.issuer, by, path: path.to_owned() });
        }
    }
    let issuer = cluster.settings().acme.issuer.as_ref()?;
    Some(Said { issuer, by: "the installation of Torana".to_owned(), path: annotation() })
}

/// What holds for the listeners of a Gateway or ListenerSet.
#[derive(Debug)]
pub(super) struct Terms {
    /// Who signs; or why nobody does.
    pub(super) issuer: Result<Issuer, Remark>,
    /// Certificates are obtained when clients ask for their names.
    pub(super) is_on_demand: bool,
}

/// What holds for the listeners of `owner`; nothing, if somebody else provides.
pub(super) fn of(cluster: &Cluster, gateway: &Gateway, owner: &ObjectRef) -> Option<Terms> {
    let is_on_demand = is_true(annotations(cluster, gateway, owner)?, on_demand::ANNOTATION);
    issuer_of(cluster, gateway, owner).map(|issuer| Terms { issuer, is_on_demand })
}

/// Whether an annotation says so.
pub(super) fn is_true(annotations: &StringMap, name: &str) -> bool {
    annotations.get(name).is_some_and(|value| value == "true")
}

/// Who signs for the listeners of `owner`.
fn issuer_of(cluster: &Cluster, gateway: &Gateway, owner: &ObjectRef) -> Option<Result<Issuer, Remark>> {
    let annotations = annotations(cluster, gateway, owner)?;
    if annotations.keys().any(|name| name.starts_with(CERT_MANAGER)) {
        return None;
    }
    let Said { issuer: name, by, path } = said(cluster, gateway, (owner, annotations))?;
    if matches!(name, "" | "none") {
        return None;
    }
    if !cluster.settings().acme.has_storage {
        let message = "nothing is ordered by ACME, for there is nowhere to keep it";
        let remedy = if cluster.settings().is_cluster() {
            "install Torana's chart with acme.enabled: true"
        } else {
            "start Torana with --data FOLDER"
        };
        return Some(Err(Remark::error("AcmeNotPossible", &path, message, remedy)));
    }
    let refused = |message: String, remedy: String| Remark::error("NoSuchIssuer", &path, message, remedy);
    Some(match issuer::named(cluster, &owner.namespace, name) {
        Ok(Some(issuer)) => Ok(issuer),
        Ok(None) => {
            let known: Vec<_> = Issuer::names().collect();
            let objects = "the name of an AcmeIssuer of this namespace or of a ClusterAcmeIssuer";
            let message = format!("{by} names {name:?}, which issues no certificates here");
            Err(refused(message, format!("write {}, or {objects}", known.join(", "))))
        }
        Err(issuer) => Err(refused(format!("{issuer} is not valid, so it is not asked"), "correct it".to_owned())),
    })
}
