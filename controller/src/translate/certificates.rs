// SPDX-License-Identifier: Apache-2.0
//! `certificateRefs`: from a reference to a checked certificate. The grant is asked before the Secret is looked at, so
//! that nobody learns what exists elsewhere. An expired certificate is served, loudly.
//!
//! Never decides whether a listener without certificates is served.

use std::collections::BTreeMap;
use std::sync::Arc;

use torana_crds::core::Secret;
use torana_crds::{Kind, Object, ObjectRef, SecretRef, Spoken};
use torana_ir::{Certificate, CertificateKey};

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
    ) -> Result<Arc<Certificate>, Remark> {
        let to = reference.target(&from.namespace);
        if to.known_kind() != Some(Kind::Secret) {
            let message = format!("{to} of group {:?} cannot hold a certificate", to.group);
            return Err(invalid(path, message, "refer to a Secret of type kubernetes.io/tls"));
        }
        if !grants::permitted(cluster, from, &to) {
            let message = format!("{from} may not refer to {to}");
            return Err(Remark::error(REF_NOT_PERMITTED, path, message, grants::remedy(from, &to)));
        }
        let Some(secret) = cluster.object(Kind::Secret, &to.namespace, &to.name) else {
            return Err(invalid(path, format!("there is no {to}"), "create it with type kubernetes.io/tls"));
        };
        let key = CertificateKey { namespace: to.namespace.clone(), name: to.name.clone() };
        let read = match self.0.get(&key).or_else(|| before.0.get(&key)) {
            Some(read) if Arc::ptr_eq(&read.secret, secret) => read.clone(),
            _ => Read { secret: Arc::clone(secret), result: certificate(&key, secret).map(Arc::new) },
        };
        self.0.insert(key, read.clone());
        let remedy = "put a certificate chain into tls.crt and its key into tls.key, both PEM";
        read.result.map_err(|why| invalid(path, format!("{to} is not usable: {why}"), remedy))
    }

    /// Every certificate that can be used.
    pub(super) fn usable(&self) -> impl Iterator<Item = (&CertificateKey, &Arc<Certificate>)> {
        self.0.iter().filter_map(|(key, read)| Some((key, read.result.as_ref().ok()?)))
    }
}

fn certificate(key: &CertificateKey, secret: &Object) -> Result<Certificate, String> {
    let Some(secret) = Secret::of(secret) else { return Err("not a Secret".to_owned()) };
    if secret.secret_type != "kubernetes.io/tls" {
        return Err(format!("its type is {}, not kubernetes.io/tls", secret.secret_type));
    }
    let value = |name: &str| secret.data.get(name).ok_or_else(|| format!("it has no {name}"));
    let (chain, private) = (value("tls.crt")?, value("tls.key")?);
    Certificate::from_pem(key.clone(), chain.expose(), private.expose()).map_err(|error| error.to_string())
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
