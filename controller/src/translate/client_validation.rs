// SPDX-License-Identifier: Apache-2.0
//! `spec.tls.frontend` of a Gateway: what its HTTPS listeners ask of clients. A port's own configuration replaces the
//! default whole; listeners of a ListenerSet follow their Gateway, whose references count.
//!
//! It fails closed: a listener whose clients cannot be verified is not served.

use std::collections::BTreeSet;

use torana_crds::ObjectRef;
use torana_crds::gateway::{FrontendValidation, FrontendValidationMode, Gateway};
use torana_ir::{ClientValidation, ClientValidationMode};

use crate::report::Remark;
use crate::report::conditions::listener::{
    INVALID_CA_CERTIFICATE_KIND, INVALID_CA_CERTIFICATE_REF, NO_VALID_CA_CERTIFICATE, REF_NOT_PERMITTED,
    UNSUPPORTED_VALUE,
};
use crate::store::Cluster;
use crate::translate::entries::joined;
use crate::translate::grants;
use crate::translate::listeners::ListenerDraft;
use crate::translate::trust::{self, TrustStore};

/// What reading authorities needs, and what it leaves.
pub(super) struct Reading<'r> {
    pub(super) cluster: &'r Cluster,
    pub(super) store: &'r mut TrustStore,
    pub(super) before: &'r TrustStore,
    /// Objects, there or not, that were asked for.
    pub(super) asked: &'r mut BTreeSet<ObjectRef>,
}

/// Where in the Gateway, and what it says.
type Found<'g> = (String, &'g FrontendValidation);

/// What is asked of clients on `port`.
fn of_port(gateway: &Gateway, port: u16) -> Option<Found<'_>> {
    let frontend = gateway.spec.tls.as_ref()?.frontend.as_ref()?;
    let own = frontend.per_port.iter().enumerate().find(|(_, entry)| entry.port == port);
    let (path, config) = match own {
        Some((at, entry)) => (format!("spec.tls.frontend.perPort[{at}].tls.validation"), &entry.tls),
        None => ("spec.tls.frontend.default.validation".to_owned(), &frontend.default),
    };
    Some((path, config.validation.as_ref()?))
}

/// Every place where clients are let in unverified.
pub(super) fn insecure(gateway: &Gateway) -> Vec<Remark> {
    let Some(frontend) = gateway.spec.tls.as_ref().and_then(|tls| tls.frontend.as_ref()) else { return Vec::new() };
    let of_ports = frontend.per_port.iter().enumerate();
    let of_ports = of_ports.map(|(at, entry)| (format!("spec.tls.frontend.perPort[{at}].tls"), &entry.tls));
    let all = [("spec.tls.frontend.default".to_owned(), &frontend.default)].into_iter().chain(of_ports);
    let lenient = all.filter(|(_, config)| {
        config.validation.as_ref().is_some_and(|it| it.mode == FrontendValidationMode::AllowInsecureFallback)
    });
    lenient
        .map(|(path, _)| {
            let message = "clients are let in without a valid certificate";
            Remark::warning("ConfigurationChanged", &format!("{path}.validation.mode"), message, "use AllowValidOnly")
        })
        .collect()
}

/// Judges what an HTTPS listener of `gateway` asks of clients.
pub(super) fn judge(
    reading: &mut Reading<'_>,
    (gateway, reference): (&Gateway, &ObjectRef),
    listener: &mut ListenerDraft<'_>,
) {
    let Some((path, validation)) = of_port(gateway, listener.spec.port) else { return };
    let mode = match &validation.mode {
        FrontendValidationMode::AllowValidOnly => ClientValidationMode::AllowValidOnly,
        FrontendValidationMode::AllowInsecureFallback => ClientValidationMode::AllowInsecureFallback,
        FrontendValidationMode::Other(other) => {
            let message = format!("{other:?} is not known, so the listener is not served");
            let path = format!("{path}.mode");
            listener.refuse(Remark::error(UNSUPPORTED_VALUE, &path, message, "use AllowValidOnly"));
            return;
        }
    };
    let mut bundles = Vec::new();
    let mut bad = Vec::new();
    for (index, to) in validation.ca_certificate_refs.iter().enumerate() {
        let to = to.target(&reference.namespace);
        match reading.bundle(reference, &to, &format!("{path}.caCertificateRefs[{index}]")) {
            Ok(key) if !bundles.contains(&key) => bundles.push(key),
            Ok(_) => {}
            Err(remark) => bad.push(remark),
        }
    }
    if bundles.is_empty() {
        let why = if bad.is_empty() { "there is none".to_owned() } else { joined(&bad) };
        let message = format!("no authority can be used, so no client could be verified: {why}");
        listener.refuse(Remark::error(NO_VALID_CA_CERTIFICATE, &path, message, "correct the references"));
    }
    listener.unresolved.append(&mut bad);
    listener.client = Some(ClientValidation { mode, bundles, forwarded: false });
}

impl Reading<'_> {
    /// Asked in this order: kind, grant (before it is known whether the object exists), object.
    fn bundle(&mut self, from: &ObjectRef, to: &ObjectRef, path: &str) -> Result<torana_ir::TrustBundleKey, Remark> {
        let Some(source) = trust::source(to) else {
            let message = format!("{} of group {:?} cannot hold authorities", to.kind, to.group);
            return Err(Remark::error(INVALID_CA_CERTIFICATE_KIND, path, message, "refer to a ConfigMap"));
        };
        if !grants::permitted(self.cluster, from, to) {
            let message = format!("{from} may not refer to {to}");
            return Err(Remark::error(REF_NOT_PERMITTED, path, message, grants::remedy(from, to)));
        }
        self.asked.insert(to.clone());
        let bundle = self.store.read(self.cluster, self.before, (source, to));
        let bundle = bundle.map_err(|why| Remark::error(INVALID_CA_CERTIFICATE_REF, path, why, trust::REMEDY))?;
        Ok(bundle.key.clone())
    }
}
