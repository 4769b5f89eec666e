// SPDX-License-Identifier: Apache-2.0
//! backendRefs: from a reference to a backend, or to the reason why requests that would go there get 500.
//!
//! Asked in this order: kind (`InvalidKind`), grant (`RefNotPermitted`, before it is known whether the Service exists),
//! Service and port (`BackendNotFound`), what the port carries and speaks (`UnsupportedProtocol`). Never looks at
//! endpoints, nor at what a policy says.

use torana_crds::core::{Service, ServicePort, ServiceType, TransportProtocol};
use torana_crds::policy::BackendTlsPolicy;
use torana_crds::{BackendRef, Kind, ObjectRef};
use torana_ir::{BackendKey, Target, Transport};

use crate::report::Remark;
use crate::report::conditions::route::{
    BACKEND_NOT_FOUND, INVALID_KIND, REF_NOT_PERMITTED, UNSUPPORTED_PROTOCOL, UNSUPPORTED_VALUE,
};
use crate::store::Cluster;
use crate::translate::grants;
use crate::translate::ledger::Ledger;

/// What goes to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cargo {
    /// Requests.
    Requests,
    /// Connections, as they come.
    Connections,
    /// Datagrams, as they come.
    Datagrams,
}

impl Cargo {
    fn transport(self) -> (Transport, TransportProtocol) {
        match self {
            Self::Requests | Self::Connections => (Transport::Tcp, TransportProtocol::Tcp),
            Self::Datagrams => (Transport::Udp, TransportProtocol::Udp),
        }
    }
}

/// Resolves one reference of requests at `path` of the route; what is wrong with it goes to the ledger too.
pub(super) fn target(cluster: &Cluster, reference: &BackendRef, path: &str, ledger: &mut Ledger) -> Target {
    target_of(cluster, (reference, Cargo::Requests), path, ledger)
}

/// Resolves one reference of anything.
pub(super) fn target_of(
    cluster: &Cluster,
    (reference, cargo): (&BackendRef, Cargo),
    path: &str,
    ledger: &mut Ledger,
) -> Target {
    let resolved = resolve(cluster, (reference, cargo), path, ledger);
    ledger.target(resolved)
}

fn resolve(
    cluster: &Cluster,
    (reference, cargo): (&BackendRef, Cargo),
    path: &str,
    ledger: &mut Ledger,
) -> Result<BackendKey, Remark> {
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
    let asks_for_tls = declared(service, (&to, port, cargo), path)?;
    let (transport, _) = cargo.transport();
    let key = BackendKey { namespace: to.namespace.clone(), name: to.name.clone(), port, transport, subset: None };
    let declared = service.port_of(port, &TransportProtocol::Tcp);
    if let Some(spoken) = asks_for_tls {
        ledger.need_all(Kind::BackendTlsPolicy, &to.namespace);
        if !has_policy(cluster, &to, declared) {
            let message = format!("port {port} of {to} speaks {spoken}, and no BackendTLSPolicy says how to verify it");
            return refuse(UNSUPPORTED_PROTOCOL, message, "add a BackendTLSPolicy that targets the Service".to_owned());
        }
    }
    Ok(key)
}

/// The `appProtocol` by which the Service's port of that number asks for TLS, if it does; an alias has no ports of its
/// own to declare. What streams carry is for the backend to understand.
fn declared<'s>(
    service: &'s Service,
    (to, number, cargo): (&ObjectRef, u16, Cargo),
    path: &str,
) -> Result<Option<&'s str>, Remark> {
    let (_, protocol) = cargo.transport();
    if let Some(port) = service.port_of(number, &protocol) {
        let spoken = port.app_protocol.as_deref().filter(|_| cargo == Cargo::Requests);
        return Ok(spoken.filter(|spoken| speaks_tls(spoken)));
    }
    if service.port(number).is_some() {
        let protocol = protocol.as_str();
        let message = format!("port {number} of {to} is not {protocol}");
        return Err(Remark::error(UNSUPPORTED_PROTOCOL, path, message, format!("refer to a {protocol} port")));
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

/// Whether an `appProtocol` means TLS. Names of IANA and Kubernetes; case is what users make of them.
pub(super) fn speaks_tls(protocol: &str) -> bool {
    ["https", "tls", "kubernetes.io/wss"].iter().any(|known| protocol.eq_ignore_ascii_case(known))
}

/// Whether some policy asks for TLS to this port: by its name, or to the whole Service.
fn has_policy(cluster: &Cluster, to: &ObjectRef, port: Option<&ServicePort>) -> bool {
    cluster.within::<BackendTlsPolicy>(&to.namespace).any(|policy| {
        policy.spec.target_refs.iter().any(|target| {
            target.target(&to.namespace) == *to
                && target.section().is_none_or(|section| port.is_some_and(|port| port.name == section))
        })
    })
}
