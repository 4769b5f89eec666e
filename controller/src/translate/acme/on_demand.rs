// SPDX-License-Identifier: Apache-2.0
//! Certificates that are obtained when clients ask for their names: whoever has a listener for many hosts asks for it by an
//! annotation, and its issuer says who agrees to each name. Those that were agreed to have a certificate and a Secret of
//! their own each, as hosts of routes have.

use std::collections::BTreeSet;
use std::sync::Arc;

use torana_crds::core::Secret;
use torana_ir::{CertificateKey, HostPattern, Hostname};

use crate::issuance::{Consents, Issuer, Offer};
use crate::report::Remark;
use crate::store::Cluster;
use crate::translate::listeners::ListenerDraft;

/// Annotation of a Gateway or ListenerSet: `"true"`.
pub(super) const ANNOTATION: &str = "torana.dev/acme-on-demand";

/// Whether a listener can have certificates on demand: it is for many hosts, and requests are inside.
pub(super) fn is_possible(listener: &ListenerDraft<'_>) -> bool {
    let is_for_many = listener.hostname.as_ref().is_some_and(|it| !matches!(it, HostPattern::Exact(_)));
    is_for_many && listener.is_https() && listener.is_accepted()
}

/// What a listener that asks for it offers, and the names that were agreed to for it.
pub(super) fn offer(
    cluster: &Cluster,
    issuer: &Issuer,
    secret: &CertificateKey,
    listener: &mut ListenerDraft<'_>,
) -> Option<(Offer, BTreeSet<String>)> {
    let hostname = listener.hostname.clone()?;
    if issuer.ask.is_none() {
        let path = format!("metadata.annotations[{ANNOTATION:?}]");
        let message = format!("{} does not say who agrees to names, so none is obtained on demand", issuer.name);
        let remedy = "name an AcmeIssuer or ClusterAcmeIssuer with spec.onDemand.ask";
        listener.remarks.push(Remark::error("AcmeNotPossible", &path, message, remedy));
        return None;
    }
    let kept = cluster.find::<Secret>(&cluster.settings().acme.home, &Consents::home_of(secret));
    let consents = kept.and_then(|kept| Consents::of_secret(kept, secret)).unwrap_or_else(|| Consents::new(secret));
    let is_host = |host: &&String| Hostname::new(host).is_some() && hostname.covers(host);
    let hosts = consents.hosts.keys().filter(is_host).cloned().collect();
    let (listener, secret, issuer) = (listener.key.clone(), secret.clone(), issuer.clone());
    Some((Offer { listener, hostname, secret, issuer, consents: Arc::new(consents) }, hosts))
}
