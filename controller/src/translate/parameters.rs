// SPDX-License-Identifier: Apache-2.0
//! `parametersRef` of Gateways and of their classes: which GatewayParameters are meant. Of what is in them only
//! `ingress` and `acme` are read here, and `client` by whoever makes listeners.

use torana_crds::gateway::{Gateway, GatewayClass};
use torana_crds::parameters::GatewayParameters;
use torana_crds::{Kind, ObjectRef};

use crate::report::Remark;
use crate::report::conditions::gateway::INVALID_PARAMETERS;
use crate::store::Cluster;
use crate::translate::gateways::is_ours;
use crate::translate::infrastructure;

/// The parameters that a Gateway runs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parameters<'a> {
    /// Those of its class.
    pub class: Option<&'a GatewayParameters>,
    /// Its own, which come first.
    pub own: Option<&'a GatewayParameters>,
}

/// The parameters of a Gateway, or why it is not accepted (InvalidParameters): a kind that is not known, or an object
/// that is not there or was never readable.
pub fn of_gateway<'a>(cluster: &'a Cluster, gateway: &Gateway) -> Result<Parameters<'a>, Remark> {
    let name = &gateway.spec.gateway_class_name;
    let class = match cluster.find::<GatewayClass>("", name) {
        None => None,
        Some(class) => of_class(cluster, class).map_err(|remark| {
            let message = format!("GatewayClass {name} is not accepted: {remark}");
            Remark::error(INVALID_PARAMETERS, "spec.gatewayClassName", message, "correct the GatewayClass")
        })?,
    };
    let own = gateway.spec.infrastructure.as_ref().and_then(|it| it.parameters_ref.as_ref());
    let own = own.map(|own| find(cluster, &own.target(&gateway.meta.namespace), "spec.infrastructure.parametersRef"));
    Ok(Parameters { class, own: own.transpose()? })
}

/// The parameters of a class, or why it is not accepted.
pub(super) fn of_class<'a>(
    cluster: &'a Cluster,
    class: &GatewayClass,
) -> Result<Option<&'a GatewayParameters>, Remark> {
    let Some(reference) = &class.spec.parameters_ref else { return Ok(None) };
    let target = reference.target("");
    if target.known_kind() == Some(Kind::GatewayParameters) && target.namespace.is_empty() {
        let message = "GatewayParameters live in a namespace, and none is named";
        return Err(Remark::error(INVALID_PARAMETERS, "spec.parametersRef.namespace", message, "name it"));
    }
    find(cluster, &target, "spec.parametersRef").map(Some)
}

/// What there is to say of parameters themselves.
pub(super) fn remarks(cluster: &Cluster, parameters: &GatewayParameters) -> Vec<Remark> {
    if !cluster.settings().is_cluster() {
        let spec = &parameters.spec;
        let heeded = [("spec.acme", spec.acme.is_some()), ("spec.client", spec.client.is_some())];
        let heeded: Vec<_> = heeded.into_iter().filter_map(|(path, is_there)| is_there.then_some(path)).collect();
        let but = if heeded.is_empty() { String::new() } else { format!(" but for {}", heeded.join(" and ")) };
        let message = format!("parameters have no effect{but}, for nothing is provisioned");
        return vec![Remark::note("NotProvisioned", "", message, "")];
    }
    if parameters.spec.ingress.is_none() {
        return Vec::new();
    }
    let mut remarks = infrastructure::of_ingress(parameters).remarks;
    if is_shadowed(cluster, parameters) {
        let message = "a Gateway of this name has proxies already, so the ingress has none";
        remarks.push(Remark::error("NameConflict", "metadata.name", message, "give one of them another name"));
    }
    remarks
}

/// Whether a Gateway of ours has the name of an ingress already: what proxies get goes by it.
pub(super) fn is_shadowed(cluster: &Cluster, parameters: &GatewayParameters) -> bool {
    let (namespace, name) = (&parameters.meta.namespace, &parameters.meta.name);
    cluster.find::<Gateway>(namespace, name).is_some_and(|gateway| is_ours(cluster, gateway))
}

fn find<'a>(cluster: &'a Cluster, target: &ObjectRef, path: &str) -> Result<&'a GatewayParameters, Remark> {
    if target.known_kind() != Some(Kind::GatewayParameters) {
        let message = format!("parameters of kind {} in group {:?} are not known", target.kind, target.group);
        let remedy = "name GatewayParameters of group torana.dev, or remove the reference";
        return Err(Remark::error(INVALID_PARAMETERS, path, message, remedy));
    }
    cluster.find(&target.namespace, &target.name).ok_or_else(|| {
        let what = if cluster.unreadable().contains_key(target) { "cannot be read" } else { "is not there" };
        Remark::error(INVALID_PARAMETERS, path, format!("{target} {what}"), "create it, or remove the reference")
    })
}
