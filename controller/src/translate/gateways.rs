// SPDX-License-Identifier: Apache-2.0
//! One Gateway by itself: addresses, parameters, and what concerns all of its listeners. Never judges a listener.

use std::net::IpAddr;

use torana_crds::gateway::{DefaultScope, Gateway, GatewayAddress, GatewayAddressType, GatewayClass, ListenerSet};
use torana_crds::{Kind, ObjectRef};
use torana_ir::{CertificateKey, GatewayId, ListenerKey, Share};

use crate::class;
use crate::report::Remark;
use crate::report::conditions::gateway::{ADDRESS_NOT_USABLE, UNSUPPORTED_ADDRESS};
use crate::report::conditions::listener_set::PARENT_NOT_ACCEPTED;
use crate::store::Cluster;
use crate::translate::certificates::{self, Certificates};
use crate::translate::listeners::ListenerDraft;
use crate::translate::{client_validation, infrastructure, listener_sets, parameters, sampling};

/// A Gateway of ours on its way into the program.
#[derive(Debug)]
pub(super) struct GatewayDraft<'a> {
    /// Who it is.
    pub(super) id: GatewayId,
    /// The same, as an object.
    pub(super) reference: ObjectRef,
    /// As written.
    pub(super) gateway: &'a Gateway,
    /// Addresses to bind; none: all, as in a cluster, where addresses are those of the Service.
    pub(super) binds: Vec<IpAddr>,
    /// Why it is not accepted as a whole.
    pub(super) refused: Option<Remark>,
    /// Why it cannot be programmed though it is accepted.
    pub(super) unusable: Option<Remark>,
    /// The certificate of `spec.tls.backend.clientCertificateRef`, or what is wrong with it, if that is set.
    pub(super) client_certificate: Option<Result<CertificateKey, Remark>>,
    /// Where clients are let in without a valid certificate.
    pub(super) insecure: Vec<Remark>,
    /// Its own listeners and those of its sets, in order of precedence.
    pub(super) listeners: Vec<ListenerDraft<'a>>,
    /// ListenerSets that name it.
    pub(super) sets: Vec<SetDraft<'a>>,
    /// So many requests are traced, whatever policies say.
    pub(super) sampling: Option<Share>,
    /// What else there is to say.
    pub(super) remarks: Vec<Remark>,
}

/// A ListenerSet on its way.
#[derive(Debug)]
pub(super) struct SetDraft<'a> {
    /// Who it is.
    pub(super) reference: ObjectRef,
    /// As written.
    pub(super) set: &'a ListenerSet,
    /// Why it is not accepted as a whole.
    pub(super) refused: Option<Remark>,
}

/// Whether a Gateway is Torana's.
pub fn is_ours(cluster: &Cluster, gateway: &Gateway) -> bool {
    let name = &gateway.spec.gateway_class_name;
    class::is_ours(name, cluster.find::<GatewayClass>("", name), cluster.settings().fleets)
}

impl<'a> GatewayDraft<'a> {
    /// Judges one Gateway with the ListenerSets that name it, which come in order of precedence.
    pub(super) fn new(cluster: &'a Cluster, gateway: &'a Gateway, sets: &[&'a ListenerSet]) -> Self {
        let (namespace, name) = (&gateway.meta.namespace, &gateway.meta.name);
        let mut draft = Self {
            id: GatewayId { namespace: namespace.clone(), name: name.clone() },
            reference: ObjectRef::new(Kind::Gateway, namespace, name),
            gateway,
            binds: Vec::new(),
            refused: None,
            unusable: None,
            client_certificate: None,
            insecure: client_validation::insecure(gateway),
            listeners: Vec::new(),
            sets: Vec::new(),
            sampling: None,
            remarks: Vec::new(),
        };
        match sampling::annotated(&gateway.meta) {
            Ok(sampling) => draft.sampling = sampling,
            Err(remark) => draft.remarks.push(remark),
        }
        draft.refused = parameters::of_gateway(cluster, gateway).err();
        for (index, address) in gateway.spec.addresses.iter().enumerate() {
            draft.address(address, &format!("spec.addresses[{index}]"), cluster.settings().is_cluster());
        }
        draft.infrastructure(cluster.settings().is_cluster());
        let owner = draft.reference.clone();
        draft.add_listeners(cluster, &owner, None, &gateway.spec.listeners);
        for set in sets {
            draft.add_set(cluster, set);
        }
        draft
    }

    /// Whether listeners of it may be served at all.
    pub(super) fn is_usable(&self) -> bool {
        self.refused.is_none() && self.unusable.is_none()
    }

    /// Judges `spec.tls.backend.clientCertificateRef`.
    pub(super) fn client_certificate(&mut self, cluster: &Cluster, secrets: &mut Certificates, before: &Certificates) {
        let backend = self.gateway.spec.tls.as_ref().and_then(|tls| tls.backend.as_ref());
        let Some(reference) = backend.and_then(|backend| backend.client_certificate_ref.as_ref()) else { return };
        let path = "spec.tls.backend.clientCertificateRef";
        let resolved = secrets.resolve(cluster, before, &self.reference, (reference, path));
        let resolved = resolved.map_err(|refusal| {
            let mut remark = refusal.remark;
            if remark.reason == crate::report::conditions::listener::INVALID_CERTIFICATE_REF {
                remark.reason = crate::report::conditions::gateway::INVALID_CLIENT_CERTIFICATE_REF;
            }
            remark
        });
        if let Ok(certificate) = &resolved {
            self.remarks.extend(certificates::validity(certificate, cluster.settings().now, path));
        }
        self.client_certificate = Some(resolved.map(|certificate| certificate.key.clone()));
    }

    /// What backends are shown that ask for a certificate.
    pub(super) fn identity(&self) -> Option<&CertificateKey> {
        self.client_certificate.as_ref()?.as_ref().ok()
    }

    fn add_listeners(
        &mut self,
        cluster: &Cluster,
        owner: &ObjectRef,
        set: Option<&(String, String)>,
        listeners: &'a [torana_crds::gateway::Listener],
    ) {
        for (index, spec) in listeners.iter().enumerate() {
            let key = ListenerKey { gateway: self.id.clone(), set: set.cloned(), name: spec.name.clone() };
            let place = (key, format!("spec.listeners[{index}]"));
            self.listeners.push(ListenerDraft::new(cluster, owner, place, spec));
        }
    }

    fn add_set(&mut self, cluster: &Cluster, set: &'a ListenerSet) {
        let (namespace, name) = (&set.meta.namespace, &set.meta.name);
        let reference = ObjectRef::new(Kind::ListenerSet, namespace, name);
        let refused = listener_sets::refusal(cluster, self.gateway, set).or_else(|| {
            let parent = self.refused.as_ref()?;
            let message = format!("{} is not accepted: {parent}", self.reference);
            Some(Remark::error(PARENT_NOT_ACCEPTED, "spec.parentRef", message, "correct the Gateway"))
        });
        if refused.is_none() {
            let id = (namespace.clone(), name.clone());
            self.add_listeners(cluster, &reference, Some(&id), &set.spec.listeners);
        }
        self.sets.push(SetDraft { reference, set, refused });
    }

    fn address(&mut self, address: &GatewayAddress, path: &str, is_cluster: bool) {
        let value = address.value.as_str();
        match &address.address_type {
            // Without a value any address will do: the standalone process binds them all.
            GatewayAddressType::IPAddress if value.is_empty() => {}
            GatewayAddressType::IPAddress => {
                if let Ok(address) = value.parse::<IpAddr>() {
                    self.binds.extend(Some(address).filter(|_| !is_cluster));
                } else {
                    let (path, message) = (format!("{path}.value"), format!("{value:?} is not an IP address"));
                    let remark = Remark::error(ADDRESS_NOT_USABLE, &path, message, "write an address of this machine");
                    self.unusable.get_or_insert(remark);
                }
            }
            other => {
                let message = format!("addresses of type {} are not supported", type_name(other));
                let remark = Remark::error(UNSUPPORTED_ADDRESS, &format!("{path}.type"), message, "use type IPAddress");
                self.refused.get_or_insert(remark);
            }
        }
        if address.routability.as_deref().is_some_and(|text| !text.is_empty()) {
            let path = format!("{path}.routability");
            self.remarks.push(Remark::warning("UnsupportedValue", &path, "routability has no effect", "remove it"));
        }
    }

    /// Labels and annotations of what is provisioned, and what has no effect anywhere.
    fn infrastructure(&mut self, is_cluster: bool) {
        let given = self.gateway.spec.infrastructure.as_ref();
        if is_cluster {
            self.remarks.extend(infrastructure::metadata(self.gateway).remarks);
        } else if given.is_some_and(|it| !it.labels.is_empty() || !it.annotations.is_empty()) {
            let message = "labels and annotations have no effect, for nothing is provisioned";
            self.remarks.push(Remark::note("NotProvisioned", "spec.infrastructure", message, ""));
        }
        if self.gateway.spec.default_scope.as_ref().is_some_and(|scope| *scope != DefaultScope::None) {
            let message = "default Gateways are not supported, so routes must name this one";
            self.remarks.push(Remark::warning("UnsupportedValue", "spec.defaultScope", message, "remove it"));
        }
    }
}

fn type_name(address_type: &GatewayAddressType) -> &str {
    match address_type {
        GatewayAddressType::IPAddress => "IPAddress",
        GatewayAddressType::Hostname => "Hostname",
        GatewayAddressType::NamedAddress => "NamedAddress",
        GatewayAddressType::Other(other) => other,
    }
}
