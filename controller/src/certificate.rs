// SPDX-License-Identifier: Apache-2.0
//! What a Secret of type `kubernetes.io/tls` holds. Pure; never decides who may refer to it, or who serves it.

use torana_crds::core::Secret;
use torana_crds::{Object, Spoken};
use torana_ir::{Certificate, CertificateKey};

/// Reads a certificate and its key, and checks that they fit each other; the error is one sentence for people.
///
/// Costs a signature check.
pub(crate) fn certificate(secret: &Object) -> Result<Certificate, String> {
    let Some(secret) = Secret::of(secret) else { return Err("not a Secret".to_owned()) };
    if secret.secret_type != "kubernetes.io/tls" {
        return Err(format!("its type is {}, not kubernetes.io/tls", secret.secret_type));
    }
    let value = |name: &str| secret.data.get(name).ok_or_else(|| format!("it has no {name}"));
    let (chain, private) = (value("tls.crt")?, value("tls.key")?);
    let key = CertificateKey { namespace: secret.meta.namespace.clone(), name: secret.meta.name.clone() };
    Certificate::from_pem(key, chain.expose(), private.expose()).map_err(|error| error.to_string())
}
