// SPDX-License-Identifier: Apache-2.0
//! backendRefs: from a reference to a backend, or to the reason why requests that would go there get 500.
//!
//! Asked in this order: kind (`InvalidKind`), grant (`RefNotPermitted`, before it is known whether the Service exists),
//! Service and port (`BackendNotFound`), what the port speaks (`UnsupportedProtocol`), and policies that this version
//! does not carry out: they fail closed. Never looks at endpoints.

use torana_crds::core::{Service, ServicePort, ServiceType, TransportProtocol};
use torana_crds::policy::BackendTlsPolicy;
use torana_crds::{BackendRef, Kind, ObjectRef};
use torana_ir::{BackendKey, Invalid, Target};

use crate::report::Remark;
use crate::report::conditions::route::{
    BACKEND_NOT_FOUND, INVALID_KIND, REF_NOT_PERMITTED, UNSUPPORTED_PROTOCOL, UNSUPPORTED_VALUE,
};
use crate::store::Cluster;
use crate::translate::grants;
use crate::translate::ledger::Ledger;

/// Resolves one reference at `path` of the route; what is wrong with it goes to the ledger too.
pub(super) fn target(cluster: &Cluster, reference: &BackendRef, path: &str, ledger: &mut Ledger) -> Target {
    match resolve(cluster, reference, path, ledger) {
        Ok(key) => Target::Backend(key),
        Err(remark) => {
            let invalid = Invalid { reason: remark.reason, message: remark.to_string() };
            ledger.unresolved.push(remark);
            Target::Invalid(invalid)
        }
    }
}

fn resolve(cluster: &Cluster, reference: &BackendRef, path: &str, ledger: &mut Ledger) -> Result<BackendKey, Remark> {
    let to = reference.target(&ledger.route.namespace);
    let refuse = |reason, message: String, remedy: String| Err(Remark::error(reason, path, message, remedy));
    if to.known_kind() != Some(Kind::Service) {
        let message = format!("{} of group {:?} cannot be a backend", to.kind, to.group);
        return refuse(INVALID_KIND, message, "refer to a Service".to_owned());
    }
    if to.namespace != ledger.route.namespace {
        ledger.need_all(Kind::ReferenceGrant, &to.namespace);
    }
    if !grants::permitted(cluster, &ledger.route, &to) {
        let message = format!("{} may not refer to {to}", ledger.route);
        return refuse(REF_NOT_PERMITTED, message, grants::remedy(&ledger.route, &to));
    }
    let Some(port) = reference.port else {
        return refuse(UNSUPPORTED_VALUE, format!("a reference to {to} needs a port"), "add port".to_owned());
    };
    ledger.need(&to);
    let Some(service) = cluster.find::<Service>(&to.namespace, &to.name) else {
        return refuse(BACKEND_NOT_FOUND, format!("there is no {to}"), "create it or correct the name".to_owned());
    };
    let declared = declared(service, (&to, port), path)?;
    ledger.need_all(Kind::BackendTlsPolicy, &to.namespace);
    if let Some(policy) = tls_policy(cluster, &to, declared) {
        let name = &policy.meta.name;
        let message =
            format!("BackendTLSPolicy {}/{name} asks for TLS to {to}, which is not supported yet", to.namespace);
        let remedy = "requests get 500 until the policy is removed".to_owned();
        return refuse(UNSUPPORTED_VALUE, message, remedy);
    }
    Ok(BackendKey { namespace: to.namespace, name: to.name, port })
}

/// The Service's port of that number; `None` for an alias, which has no ports of its own to declare.
fn declared<'s>(
    service: &'s Service,
    (to, number): (&ObjectRef, u16),
    path: &str,
) -> Result<Option<&'s ServicePort>, Remark> {
    if let Some(port) = service.port(number) {
        return speakable(to, port, path).map(|()| Some(port));
    }
    if is_alias(service) && service.spec.ports.is_empty() {
        return Ok(None);
    }
    let ports: Vec<_> = service.spec.ports.iter().map(|port| port.port.to_string()).collect();
    let remedy = format!("use one of its ports ({})", ports.join(", "));
    Err(Remark::error(BACKEND_NOT_FOUND, path, format!("{to} has no port {number}"), remedy))
}

/// Whether the Service is a DNS alias.
pub(super) fn is_alias(service: &Service) -> bool {
    service.spec.service_type == ServiceType::ExternalName
}

fn speakable(service: &ObjectRef, port: &ServicePort, path: &str) -> Result<(), Remark> {
    let number = port.port;
    if port.protocol != TransportProtocol::Tcp {
        let message = format!("port {number} of {service} is not TCP");
        return Err(Remark::error(UNSUPPORTED_PROTOCOL, path, message, "refer to a TCP port"));
    }
    match port.app_protocol.as_deref() {
        Some(tls @ ("https" | "kubernetes.io/wss" | "tls")) => {
            let message = format!("port {number} of {service} speaks {tls}, and TLS to backends is not supported yet");
            Err(Remark::error(UNSUPPORTED_PROTOCOL, path, message, "refer to a port without TLS"))
        }
        _ => Ok(()),
    }
}

/// A policy that asks for TLS to this port: by its name, or to the whole Service.
fn tls_policy<'c>(cluster: &'c Cluster, to: &ObjectRef, port: Option<&ServicePort>) -> Option<&'c BackendTlsPolicy> {
    cluster.within::<BackendTlsPolicy>(&to.namespace).find(|policy| {
        policy.spec.target_refs.iter().any(|target| {
            let section = target.section_name.as_deref();
            target.target(&to.namespace) == *to
                && section.is_none_or(|section| port.is_some_and(|port| port.name == section))
        })
    })
}
