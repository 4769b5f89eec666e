// SPDX-License-Identifier: Apache-2.0
//! `certificateRefs`: from a reference to a checked certificate. The grant is asked before the Secret is looked at, so
//! that nobody learns what exists elsewhere. An expired certificate is served, loudly. A Secret that was renewed with what
//! cannot be used is a fault, and what it held before is served on: closing a listener would help nobody.
//!
//! Never decides whether a listener without certificates is served.

use std::collections::BTreeMap;
use std::sync::Arc;

use torana_crds::{Kind, Object, ObjectRef, SecretRef};
use torana_ir::{Certificate, CertificateKey};

use crate::certificate::certificate;
use crate::report::Remark;
use crate::report::conditions::listener::{INVALID_CERTIFICATE_REF, REF_NOT_PERMITTED};
use crate::store::Cluster;
use crate::translate::grants;

/// Secrets that were read, with what came of them: reading one again costs a signature check.
#[derive(Debug, Clone, Default)]
pub(super) struct Certificates(BTreeMap<CertificateKey, Read>);

#[derive(Debug, Clone)]
struct Read {
    secret: Arc<Object>,
    result: Result<Arc<Certificate>, String>,
    /// The form that the store kept, and what it holds.
    before: Option<(Arc<Object>, Arc<Certificate>)>,
}

/// Why a reference is not good.
#[derive(Debug)]
pub(super) struct Refusal {
    /// What to tell.
    pub(super) remark: Remark,
    /// What the Secret held before it was renewed with what cannot be used.
    pub(super) instead: Option<Arc<Certificate>>,
}

impl From<Remark> for Refusal {
    fn from(remark: Remark) -> Self {
        Self { remark, instead: None }
    }
}

impl Certificates {
    /// The certificate that `reference`, a field at `path` of `from`, means; or what is wrong with it. What was read
    /// `before` of the same Secret is not read again.
    pub(super) fn resolve(
        &mut self,
        cluster: &Cluster,
        before: &Self,
        from: &ObjectRef,
        (reference, path): (&SecretRef, &str),
    ) -> Result<Arc<Certificate>, Refusal> {
        let to = reference.target(&from.namespace);
        if to.known_kind() != Some(Kind::Secret) {
            let message = format!("{to} of group {:?} cannot hold a certificate", to.group);
            return Err(invalid(path, message, "refer to a Secret of type kubernetes.io/tls").into());
        }
        if !grants::permitted(cluster, from, &to) {
            let message = format!("{from} may not refer to {to}");
            return Err(Remark::error(REF_NOT_PERMITTED, path, message, grants::remedy(from, &to)).into());
        }
        let Some(secret) = cluster.object(Kind::Secret, &to.namespace, &to.name) else {
            return Err(invalid(path, format!("there is no {to}"), "create it with type kubernetes.io/tls").into());
        };
        let key = CertificateKey { namespace: to.namespace.clone(), name: to.name.clone() };
        let known = self.0.get(&key).or_else(|| before.0.get(&key));
        let read = Read::of(secret, cluster.last_good(&to), known);
        self.0.insert(key, read.clone());
        read.result.map_err(|why| {
            let instead = read.before.map(|(_, certificate)| certificate);
            let follows = if instead.is_some() { "; what it held before is served" } else { "" };
            let remedy = "put a certificate chain into tls.crt and its key into tls.key, both PEM";
            Refusal { remark: invalid(path, format!("{to} is not usable: {why}{follows}"), remedy), instead }
        })
    }

    /// Every certificate that can be used, also those that cannot be renewed.
    pub(super) fn usable<'s>(&'s self) -> impl Iterator<Item = (&'s CertificateKey, &'s Arc<Certificate>)> {
        let served = |read: &'s Read| read.result.as_ref().ok().or(read.before.as_ref().map(|(_, before)| before));
        self.0.iter().filter_map(move |(key, read)| Some((key, served(read)?)))
    }
}

impl Read {
    /// What `secret` holds, and what its `last_good` form held; taken from `known` where that read the same.
    fn of(secret: &Arc<Object>, last_good: Option<&Arc<Object>>, known: Option<&Self>) -> Self {
        let same = known.filter(|known| Arc::ptr_eq(&known.secret, secret));
        let result = same.map_or_else(|| certificate(secret).map(Arc::new), |known| known.result.clone());
        let before = last_good.filter(|_| result.is_err()).and_then(|object| {
            let found = known.and_then(|known| known.held(object)).or_else(|| certificate(object).ok().map(Arc::new));
            Some((Arc::clone(object), found?))
        });
        Self { secret: Arc::clone(secret), result, before }
    }

    /// What was read of this very object.
    fn held(&self, object: &Arc<Object>) -> Option<Arc<Certificate>> {
        if Arc::ptr_eq(&self.secret, object) {
            return self.result.as_ref().ok().cloned();
        }
        self.before.as_ref().filter(|(before, _)| Arc::ptr_eq(before, object)).map(|(_, held)| Arc::clone(held))
    }
}

/// What to say of a certificate that is outside of its validity, which is served all the same.
pub(super) fn validity(certificate: &Certificate, now: i64, path: &str) -> Option<Remark> {
    let day =
        |seconds: i64| jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |at| at.to_string());
    let key = &certificate.key;
    let what = if certificate.not_after < now {
        format!("the certificate in Secret {key} expired at {}", day(certificate.not_after))
    } else if certificate.not_before > now {
        format!("the certificate in Secret {key} is not valid before {}", day(certificate.not_before))
    } else {
        return None;
    };
    Some(Remark::warning(
        "CertificateNotValid",
        path,
        format!("{what}; it is served, and clients refuse it"),
        "renew it",
    ))
}

fn invalid(path: &str, message: String, remedy: &str) -> Remark {
    Remark::error(INVALID_CERTIFICATE_REF, path, message, remedy)
}
