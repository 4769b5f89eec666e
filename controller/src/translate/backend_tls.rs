// SPDX-License-Identifier: Apache-2.0
//! One BackendTLSPolicy by itself: how backends would be spoken to, or why they cannot be. A policy that cannot be
//! honoured closes its backends; nothing is ever sent to them in cleartext.
//!
//! Never looks at what the policy is attached to.

use std::collections::BTreeSet;

use torana_crds::policy::{BackendTlsPolicy, BackendTlsValidation, SubjectAltName, WellKnownCas};
use torana_crds::{Kind, ObjectRef};
use torana_ir::{BackendTls, DnsName, Invalid, Origination, PeerName, Trust, TrustSource};

use crate::report::Remark;
use crate::report::conditions::policy::{INVALID, INVALID_CA_CERTIFICATE_REF, INVALID_KIND, NO_VALID_CA_CERTIFICATE};
use crate::store::Cluster;
use crate::translate::entries::joined;
use crate::translate::trust::{self, TrustStore};

/// What a policy comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    /// How TLS begins, or why it cannot.
    pub(super) tls: Result<Origination, Remark>,
    /// References that are not good.
    pub(super) unresolved: Vec<Remark>,
    /// What else there is to say.
    pub(super) remarks: Vec<Remark>,
    /// Objects, there or not, that it refers to.
    pub(super) needs: BTreeSet<ObjectRef>,
}

impl Judged {
    /// What it makes of a backend that it is in force for.
    pub(super) fn backend(&self, policy: &ObjectRef) -> BackendTls {
        match &self.tls {
            Ok(origination) => BackendTls::Originate(origination.clone()),
            Err(why) => BackendTls::Refused(Invalid { reason: why.reason.into(), message: format!("{policy}: {why}") }),
        }
    }
}

/// Judges a policy. The authorities that it refers to are kept in `store`.
pub(super) fn judge(cluster: &Cluster, policy: &BackendTlsPolicy, store: &mut TrustStore) -> Judged {
    let validation = &policy.spec.validation;
    let mut found = Found::default();
    let trust = found.trust(cluster, (&policy.meta.namespace, validation), store);
    let tls = trust.and_then(|trust| {
        let path = "spec.validation.hostname";
        let server_name = DnsName::new(&validation.hostname);
        let server_name = server_name.map_err(|why| invalid(path, &why.to_string(), "write the backend's DNS name"))?;
        let names = names(validation, &server_name)?;
        Ok(Origination { names, ..Origination::new(server_name, trust) })
    });
    let options = policy.spec.options.keys().map(|option| {
        let path = format!("spec.options[{option:?}]");
        Remark::warning("UnsupportedValue", &path, "TLS option is not known and has no effect", "remove it")
    });
    Judged { tls, unresolved: found.unresolved, remarks: options.collect(), needs: found.needs }
}

/// What is found on the way to authorities.
#[derive(Default)]
struct Found {
    unresolved: Vec<Remark>,
    needs: BTreeSet<ObjectRef>,
}

impl Found {
    fn trust(
        &mut self,
        cluster: &Cluster,
        (namespace, validation): (&str, &BackendTlsValidation),
        store: &mut TrustStore,
    ) -> Result<Trust, Remark> {
        let references = &validation.ca_certificate_refs;
        let well_known = validation.well_known_ca_certificates.as_ref();
        match well_known.filter(|named| **named != WellKnownCas::Other(String::new())) {
            None => {}
            Some(_) if !references.is_empty() => {
                let message = "only one of caCertificateRefs and wellKnownCACertificates can be given".to_owned();
                return Err(invalid("spec.validation", &message, "remove one of them"));
            }
            Some(WellKnownCas::System) => return Ok(Trust::System),
            Some(WellKnownCas::Other(other)) => {
                let message = format!("{other:?} is not known");
                return Err(invalid("spec.validation.wellKnownCACertificates", &message, "use System"));
            }
        }
        let mut bundles = Vec::new();
        for (index, reference) in references.iter().enumerate() {
            let path = format!("spec.validation.caCertificateRefs[{index}]");
            let to = reference.target(namespace);
            if to.known_kind() != Some(Kind::ConfigMap) {
                let message = format!("{} of group {:?} cannot hold authorities", to.kind, to.group);
                self.unresolved.push(Remark::error(INVALID_KIND, &path, message, "refer to a ConfigMap"));
                continue;
            }
            self.needs.insert(to.clone());
            match store.read(cluster, &TrustStore::default(), (TrustSource::ConfigMap, &to)) {
                Ok(bundle) if !bundles.contains(&bundle.key) => bundles.push(bundle.key.clone()),
                Ok(_) => {}
                Err(why) => {
                    self.unresolved.push(Remark::error(INVALID_CA_CERTIFICATE_REF, &path, why, trust::REMEDY));
                }
            }
        }
        if bundles.is_empty() {
            let why = if self.unresolved.is_empty() { "there is none".to_owned() } else { joined(&self.unresolved) };
            let message = format!("no authority can be used, so requests get 500: {why}");
            let (path, remedy) = ("spec.validation.caCertificateRefs", "correct the references");
            return Err(Remark::error(NO_VALID_CA_CERTIFICATE, path, message, remedy));
        }
        Ok(Trust::Bundles(bundles))
    }
}

/// Without `subjectAltNames` the hostname authenticates; with them it does not (`BackendTLSPolicyValidation.hostname`).
fn names(validation: &BackendTlsValidation, hostname: &DnsName) -> Result<Vec<PeerName>, Remark> {
    if validation.subject_alt_names.is_empty() {
        return Ok(vec![PeerName::Dns(hostname.clone())]);
    }
    let names = validation.subject_alt_names.iter().enumerate().map(|(index, name)| {
        let path = format!("spec.validation.subjectAltNames[{index}]");
        let dns = |name: &str| {
            DnsName::new(name).map_err(|why| invalid(&path, &why.to_string(), "write a DNS name, or *. and one"))
        };
        match name {
            SubjectAltName::Hostname(name) => match name.strip_prefix("*.") {
                Some(suffix) => dns(suffix).map(PeerName::Wildcard),
                None => dns(name).map(PeerName::Dns),
            },
            SubjectAltName::Uri(uri) => Ok(PeerName::Uri(uri.clone())),
            SubjectAltName::Malformed(why) => Err(invalid(&path, why, "use type Hostname or URI")),
        }
    });
    names.collect()
}

fn invalid(path: &str, message: &str, remedy: &str) -> Remark {
    Remark::error(INVALID, path, format!("{message}, so requests get 500"), remedy)
}
