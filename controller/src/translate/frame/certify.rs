// SPDX-License-Identifier: Apache-2.0
//! The certificates of one listener: those that it names, and those that are obtained for it by ACME; or why there is
//! none.

use torana_crds::SecretRef;
use torana_crds::core::Secret;
use torana_ir::CertificateKey;

use super::Frame;
use crate::report::Remark;
use crate::store::Cluster;
use crate::translate::listeners::ListenerDraft;
use crate::translate::{acme, certificates};

/// Remarks about certificates of a listener's hosts.
const MOST_REMARKS: usize = 10;

impl Frame {
    pub(super) fn resolve(&mut self, cluster: &Cluster, before: &Self, listener: &mut ListenerDraft<'_>) {
        let named = acme::secret_of(listener).filter(|secret| self.wishes.of(secret).is_some());
        let references = listener.spec.tls.iter().flat_map(|tls| &tls.certificate_refs).enumerate();
        let own: Vec<_> = references.map(|(at, it)| (it.clone(), named.clone().filter(|_| at == 0), at)).collect();
        let of_hosts = self.wishes.of_hosts(&listener.key).map(<[_]>::to_vec);
        for (reference, wanted, at) in own {
            let is_there = || {
                let to = reference.target(&listener.owner.namespace);
                cluster.find::<Secret>(&to.namespace, &to.name).is_some()
            };
            // What stands for all hosts is perhaps there, beside those that have their own.
            if of_hosts.is_none() || is_there() {
                self.certify(cluster, before, listener, (&reference, wanted.as_ref(), at));
            }
        }
        let said = listener.remarks.len();
        for secret in of_hosts.iter().flatten() {
            self.certify(cluster, before, listener, (&acme::reference(secret), Some(secret), 0));
        }
        shorten(listener, said);
        if of_hosts.is_some() {
            let nothing = "ACME: no host of an attached route has a certificate yet".to_owned();
            let pending = listener.pending.take().or(Some(nothing));
            listener.pending = pending.filter(|_| listener.certificates.is_empty() && !listener.on_demand);
        }
        if listener.certificates.is_empty() && listener.pending.is_none() && !listener.on_demand {
            listener.unservable.get_or_insert_with(|| "it has no certificate that can be used".to_owned());
        }
    }

    /// Adds the certificate of a reference to those of the listener; perhaps it is on its way.
    fn certify(
        &mut self,
        cluster: &Cluster,
        before: &Self,
        listener: &mut ListenerDraft<'_>,
        (reference, secret, at): (&SecretRef, Option<&CertificateKey>, usize),
    ) {
        let path = format!("{}.tls.certificateRefs[{at}]", listener.path);
        let resolved = self.secrets.resolve(cluster, &before.secrets, &listener.owner, (reference, &path));
        let wanted = secret.and_then(|secret| self.wishes.of(secret));
        let served = match resolved {
            Ok(certificate) => {
                listener.remarks.extend(wanted.and_then(|wanted| acme::trouble(wanted, &certificate, &path)));
                Some(certificate)
            }
            Err(_) if wanted.is_some_and(|wanted| acme::is_awaited(cluster, wanted)) => {
                listener.remarks.extend(wanted.map(|wanted| acme::awaited(wanted, &path)));
                listener.pending = wanted.map(acme::pending);
                None
            }
            Err(refusal) => {
                listener.unresolved.push(refusal.remark);
                refusal.instead
            }
        };
        let Some(certificate) = served else { return };
        listener.remarks.extend(certificates::validity(&certificate, cluster.settings().now, &path));
        if !listener.certificates.contains(&certificate.key) {
            listener.certificates.push(certificate.key.clone());
        }
    }
}

/// Hosts may be thousands: of the remarks after the first `said` some stand for all.
fn shorten(listener: &mut ListenerDraft<'_>, said: usize) {
    let more = listener.remarks.len().saturating_sub(said + MOST_REMARKS);
    if more > 0 {
        listener.remarks.truncate(said + MOST_REMARKS);
        let path = format!("{}.tls.certificateRefs[0]", listener.path);
        let message = format!("ACME: so it is with certificates of {more} hosts more");
        listener.remarks.push(Remark::note("AcmePending", &path, message, "torana certs lists them all"));
    }
}
