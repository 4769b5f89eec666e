// SPDX-License-Identifier: Apache-2.0
//! `Destination`: from a host to a backend, or to the reason why requests that would go there get 503.
//!
//! A host is a Service of Kubernetes, or one of a ServiceEntry that the proxies see. Its port is the one that is written,
//! else the only one of the service, else that of the server. Never looks at endpoints.

use torana_crds::core::{Service, ServiceType, TransportProtocol};
use torana_crds::istio::load_balancer::Balancing;
use torana_crds::istio::names::{Destination, Export, Protocol};
use torana_crds::{Kind, ObjectRef};
use torana_ir::{BackendKey, Target, Transport};

use crate::hosts;
use crate::report::Remark;
use crate::report::conditions::route::BACKEND_NOT_FOUND;
use crate::store::Cluster;
use crate::translate::destination_rules::{Blocks, in_force, of_host};
use crate::translate::istio::bindings::Binding;
use crate::translate::ledger::Ledger;
use crate::translate::proxies::{Proxies, exported};
use crate::translate::servers::Incoming;
use crate::translate::service_entries::{external, host_named, name_of, within};

/// Namespaces that see a Service, separated by commas.
const EXPORT_TO: &str = "networking.istio.io/exportTo";

/// What comes of requests whose destination leads nowhere.
pub(super) const OF_REQUESTS: &str = "requests get 503";
/// Of copies of requests.
pub(super) const OF_COPIES: &str = "nothing is copied";
/// Of streams.
pub(super) const OF_STREAMS: &str = "connections are reset";

/// Resolves a destination of a rule of namespace `home`, written at `at`; what is wrong with it goes to the ledger too,
/// with what `follows`.
pub(super) fn target(
    cluster: &Cluster,
    (destination, home): (&Destination, &str),
    place: &Binding<'_>,
    (at, follows): (&str, &str),
    ledger: &mut Ledger,
) -> Target {
    let resolved = resolve(cluster, (destination, home), place, (at, follows), ledger);
    ledger.target(resolved)
}

fn resolve(
    cluster: &Cluster,
    (destination, home): (&Destination, &str),
    place: &Binding<'_>,
    (at, follows): (&str, &str),
    ledger: &mut Ledger,
) -> Result<BackendKey, Remark> {
    let host = hosts::whole(&destination.host, home);
    ledger.need(&of_host(&host));
    let found = known(cluster, &host, &place.proxies, ledger);
    let Some(Known { namespace, name, ports }) = found else {
        let message = format!("there is no service {host}, so {follows}");
        let remedy = "create it, correct the name, or export it to the gateway's namespace";
        return Err(Remark::error(BACKEND_NOT_FOUND, &format!("{at}.host"), message, remedy));
    };
    // Of entries in several namespaces the rule's own says how many ports there are, whichever is in force: to rules of
    // requests, for streams know only what their proxies see.
    let near = (place.cargo == Incoming::Requests).then(|| near(cluster, &host, &place.proxies, home)).flatten();
    let port = destination.port.unwrap_or(match near.as_deref().unwrap_or(&ports) {
        [(only, _)] => *only,
        _ => place.port,
    });
    if !ports.iter().any(|(number, is_tcp)| *number == port && *is_tcp) {
        let numbers: Vec<_> = ports.iter().map(|(number, _)| number.to_string()).collect();
        let message = format!("{host} has no port {port}, so {follows}");
        let remedy = format!("write port.number: one of {}", numbers.join(", "));
        return Err(Remark::error(BACKEND_NOT_FOUND, &format!("{at}.port"), message, remedy));
    }
    if let Some(subset) = &destination.subset {
        let rule = in_force(cluster, (&host, &namespace), &place.proxies);
        if rule.and_then(|rule| rule.subset(subset)).is_none() {
            let message = format!("no DestinationRule in force for {host} has subset {subset}, so {follows}");
            let remedy = "write one with that subset, and look at its exportTo";
            return Err(Remark::error(BACKEND_NOT_FOUND, &format!("{at}.subset"), message, remedy));
        }
    }
    Ok(BackendKey { namespace, name, port, transport: Transport::Tcp, subset: destination.subset.clone() })
}

/// The port of a service that the whole mesh sees, of one namespace if that is given.
///
/// # Errors
/// Why there is none, in words.
pub(in crate::translate) fn service_at(
    cluster: &Cluster,
    (host, namespace): (&str, Option<&str>),
    port: u16,
    ledger: &mut Ledger,
) -> Result<BackendKey, String> {
    ledger.need(&of_host(host));
    let viewer = Proxies { namespace: cluster.mesh().root_namespace().to_owned(), ..Proxies::of_the_root() };
    let found = known(cluster, host, &viewer, ledger);
    let found = found.filter(|found| namespace.is_none_or(|wanted| wanted == found.namespace));
    let place = namespace.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
    let Some(Known { namespace, name, ports }) = found else {
        return Err(format!("there is no service {host}{place}"));
    };
    if !ports.iter().any(|(number, is_tcp)| *number == port && *is_tcp) {
        return Err(format!("{host} has no port {port}"));
    }
    Ok(BackendKey { namespace, name, port, transport: Transport::Tcp, subset: None })
}

/// Whether a DestinationRule has requests that go there keep to one endpoint (`consistentHash`).
pub(super) fn is_hashed(cluster: &Cluster, target: &Target, proxies: &Proxies) -> bool {
    let Target::Backend(BackendKey { namespace, name, port, subset, .. }) = target else { return false };
    let host = host_named(namespace, name);
    let Some(rule) = in_force(cluster, (&host, namespace), proxies) else { return false };
    let part = subset.as_ref().and_then(|name| rule.subset(name));
    let balance = Blocks::of(cluster.mesh().config(), Some(&rule), part, *port).balance;
    balance.is_some_and(|it| matches!(it.balancing, Balancing::ConsistentHash(_)))
}

/// Ports of the host's entry in the namespace of the rule, if there is one that the proxies see.
fn near(cluster: &Cluster, host: &str, proxies: &Proxies, home: &str) -> Option<Ports> {
    let is_kubernetes_own =
        hosts::service(host).is_some_and(|it| cluster.contains(&it) && cluster.looks_into(&it.namespace));
    let external = within(cluster, host, home).filter(|it| !is_kubernetes_own && it.is_seen(cluster, proxies))?;
    Some(external.ports().map(|port| (port.number, port.protocol != Protocol::Udp)).collect())
}

/// Numbers, and whether connections go there.
type Ports = Vec<(u16, bool)>;

/// A service, wherever it comes from.
struct Known {
    namespace: String,
    name: String,
    ports: Ports,
}

/// Kubernetes' own goes before a ServiceEntry of the same name.
fn known(cluster: &Cluster, host: &str, proxies: &Proxies, ledger: &mut Ledger) -> Option<Known> {
    if let Some(reference) = hosts::service(host) {
        ledger.need(&reference);
        let selects = !cluster.mesh().config().discovery_selectors.is_empty();
        if selects {
            ledger.need(&ObjectRef::new(Kind::Namespace, "", &reference.namespace));
        }
        let service = cluster.find::<Service>(&reference.namespace, &reference.name);
        let service = service.filter(|service| !selects || cluster.looks_into(&service.meta.namespace));
        if let Some(service) = service.filter(|service| is_seen(cluster, service, proxies)) {
            let is_alias = service.spec.service_type == ServiceType::ExternalName;
            let ports = service.spec.ports.iter().map(|port| (port.port, port.protocol == TransportProtocol::Tcp));
            let mut ports: Vec<_> = ports.collect();
            if is_alias && ports.is_empty() {
                ports.push((80, true));
            }
            return Some(Known { namespace: reference.namespace, name: reference.name, ports });
        }
    }
    let external = external(cluster, host, proxies)?;
    let ports = external.ports().map(|port| (port.number, port.protocol != Protocol::Udp)).collect();
    Some(Known { namespace: external.namespace().to_owned(), name: name_of(host), ports })
}

fn is_seen(cluster: &Cluster, service: &Service, proxies: &Proxies) -> bool {
    let written = service.meta.annotations.get(EXPORT_TO);
    let export: Vec<_> =
        written.iter().flat_map(|text| text.split(',')).map(|text| Export::from(text.trim().to_owned())).collect();
    let export = cluster.mesh().config().service_export(&export);
    exported(export, &service.meta.namespace, &proxies.namespace)
}
