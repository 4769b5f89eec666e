// SPDX-License-Identifier: Apache-2.0
//! Certificates for the hosts of attached routes: whoever has a listener for every host asks for them by an annotation.
//! Each host has a certificate and a Secret of its own, so that a host of one tenant that leads nowhere keeps nobody
//! else's from being renewed; the listener's own Secret, if it is there, is served to whom none of them fits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use torana_crds::route::{GrpcRoute, HttpRoute};
use torana_crds::{Kind, ObjectRef, ParentRef, SecretRef, StringMap};
use torana_ir::{CertificateKey, HostPattern, ListenerKey};

use super::terms;
use crate::issuance::short_digest;
use crate::report::Remark;
use crate::store::Cluster;
use crate::translate::attach::attach;
use crate::translate::frame::{Parent, Parents, Slot};
use crate::translate::gateways::GatewayDraft;
use crate::translate::ledger::Ledger;
use crate::translate::listeners::ListenerDraft;
use crate::translate::proxies::Proxies;

/// Annotation of a Gateway or ListenerSet: `"true"`.
const ANNOTATION: &str = "torana.dev/acme-from-routes";
/// Hosts of one listener that get certificates.
const MOST: usize = 1000;
/// Bytes of a Secret's name, without what tells its hosts apart.
const LONGEST: usize = 253 - 21;

/// Hosts of the routes that are attached, by listener.
pub(super) type Hosts = BTreeMap<ListenerKey, BTreeSet<String>>;

/// The listeners that ask for it, as routes see them.
pub(super) fn asking(cluster: &Cluster, gateways: &[GatewayDraft<'_>]) -> Parents {
    let mut parents = Parents::new();
    for gateway in gateways {
        let mut proxies = None;
        for listener in gateway.listeners.iter().filter(|it| is_asking(cluster, gateway, it)) {
            let proxies = proxies.get_or_insert_with(|| Arc::new(Proxies::of_gateway(cluster, gateway.gateway)));
            let slot = Slot::new(listener, false, proxies);
            let parent = parents.entry(listener.owner.clone()).or_insert_with(|| Parent::Ours(Vec::new()));
            if let Parent::Ours(slots) = parent {
                slots.push(slot);
            }
        }
    }
    parents
}

fn is_asking(cluster: &Cluster, gateway: &GatewayDraft<'_>, listener: &ListenerDraft<'_>) -> bool {
    let asks = |annotations: &StringMap| terms::is_true(annotations, ANNOTATION);
    let is_for_all = listener.is_https() && listener.is_accepted() && listener.hostname == Some(HostPattern::Any);
    is_for_all && terms::annotations(cluster, gateway.gateway, &listener.owner).is_some_and(asks)
}

/// The hosts of the routes that are attached to those that ask; a wildcard has no answer for an authority, and is none.
pub(super) fn hosts(cluster: &Cluster, asking: &Parents) -> Hosts {
    let mut found: Hosts = asking
        .values()
        .filter_map(|parent| if let Parent::Ours(slots) = parent { Some(slots) } else { None })
        .flatten()
        .map(|slot| (slot.key.clone(), BTreeSet::new()))
        .collect();
    if asking.is_empty() {
        return found;
    }
    for route in cluster.all::<HttpRoute>() {
        let reference = ObjectRef::new(Kind::HttpRoute, &route.meta.namespace, &route.meta.name);
        add(&mut found, asking, reference, (&route.spec.parents, &route.spec.hostnames));
    }
    for route in cluster.all::<GrpcRoute>() {
        let reference = ObjectRef::new(Kind::GrpcRoute, &route.meta.namespace, &route.meta.name);
        add(&mut found, asking, reference, (&route.spec.parents, &route.spec.hostnames));
    }
    found
}

fn add(found: &mut Hosts, asking: &Parents, route: ObjectRef, (parents, hostnames): (&[ParentRef], &[String])) {
    let is_concerned = |parent: &ParentRef| asking.contains_key(&parent.target(&route.namespace));
    if !parents.iter().any(is_concerned) {
        return;
    }
    let exact = hostnames.iter().filter_map(|text| match HostPattern::parse(text) {
        Some(HostPattern::Exact(host)) => Some(host.to_string()),
        _ => None,
    });
    let exact: Vec<String> = exact.collect();
    let attached = attach(parents, hostnames, asking, &mut Ledger::new(route));
    for listener in attached.verdicts.into_iter().filter_map(|(_, verdict)| verdict.ok()).flatten() {
        if let Some(hosts) = found.get_mut(&listener) {
            hosts.extend(exact.iter().cloned());
        }
    }
}

/// Those that get certificates; what there is to say of others.
pub(super) fn granted(hosts: BTreeSet<String>, path: &str) -> (BTreeSet<String>, Option<Remark>) {
    if hosts.len() <= MOST {
        return (hosts, None);
    }
    let message = format!("attached routes have {} hosts, of which the first {MOST} get certificates", hosts.len());
    let remark =
        Remark::warning("AcmeLimit", &format!("{path}.tls.certificateRefs[0]"), message, "use several Gateways");
    (hosts.into_iter().take(MOST).collect(), Some(remark))
}

/// The Secret for `host`, beside the one that the listener names.
pub(super) fn secret_for(host: &str, named: &CertificateKey) -> CertificateKey {
    let (base, _) = named.name.split_at(named.name.floor_char_boundary(LONGEST));
    let name = format!("{}-{}", base.trim_end_matches(['.', '-']), short_digest(host.as_bytes()));
    CertificateKey { namespace: named.namespace.clone(), name }
}

/// A reference to it, from a listener of its own namespace.
pub(in crate::translate) fn reference(secret: &CertificateKey) -> SecretRef {
    SecretRef {
        group: String::new(),
        kind: Kind::Secret.as_str().to_owned(),
        namespace: None,
        name: secret.name.clone(),
    }
}
