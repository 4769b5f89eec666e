// SPDX-License-Identifier: Apache-2.0
//! TLS that begins at the proxies because a DestinationRule says so: by which name an endpoint is called, what it is
//! shown, and what its own certificate must say. Credentials are Secrets, or ConfigMaps of authorities, in the namespace
//! of the proxies. What cannot be had closes the backend: nothing is sent in cleartext instead.
//!
//! Never looks for a rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use torana_crds::istio::DestinationRule;
use torana_crds::istio::destination_rule::{ClientTls, ClientTlsMode, TrafficPolicy};
use torana_crds::{Kind, ObjectRef};
use torana_ir::{
    BackendTls, Certificate, CertificateKey, DnsName, Invalid, Origination, PeerName, Trust, TrustBundle,
    TrustBundleKey, TrustSource,
};

use crate::report::Remark;
use crate::store::{Cluster, unlink};
use crate::translate::credentials::{Credentials, INVALID_CREDENTIAL, secret_name};
use crate::translate::servers::UNSUPPORTED;
use crate::translate::trust::{self, NoAuthority, TrustStore};

/// What was read for DestinationRules, and who asked for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Originations {
    trust: TrustStore,
    credentials: Credentials,
    /// DestinationRules and services by the objects, there or not, that were asked for on their account.
    asked: BTreeMap<ObjectRef, BTreeSet<ObjectRef>>,
}

/// The service that is spoken to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer<'p> {
    /// Its host.
    pub(super) host: &'p str,
    /// Names that its ServiceEntry says its certificates have.
    pub(super) names: &'p [String],
}

/// Why TLS cannot be had.
struct Fault {
    reason: &'static str,
    field: &'static str,
    why: String,
    remedy: &'static str,
}

type Found<T> = Result<T, Fault>;

fn unsupported(field: &'static str, why: &str, remedy: &'static str) -> Fault {
    Fault { reason: UNSUPPORTED, field, why: why.to_owned(), remedy }
}

fn unusable(why: String, remedy: &'static str) -> Fault {
    Fault { reason: INVALID_CREDENTIAL, field: "credentialName", why, remedy }
}

/// One reading, by proxies of one namespace.
struct Reading<'r> {
    cluster: &'r Cluster,
    namespace: &'r str,
    trust: &'r mut TrustStore,
    credentials: &'r mut Credentials,
    asked: &'r mut BTreeSet<ObjectRef>,
}

impl Originations {
    /// How proxies of `namespace` speak to `peer`, whose rule has `tls`. Objects that this asks for, there or not, are
    /// added to `asked`.
    pub(super) fn backend(
        &mut self,
        (cluster, namespace): (&Cluster, &str),
        (tls, peer): (&ClientTls, Peer<'_>),
        asked: &mut BTreeSet<ObjectRef>,
    ) -> BackendTls {
        self.reading(cluster, namespace, asked).judge(tls, peer).unwrap_or_else(|fault| {
            let message = format!("tls.{} of the DestinationRule: {}", fault.field, fault.why);
            BackendTls::Refused(Invalid { reason: fault.reason.into(), message })
        })
    }

    /// What is wrong with the TLS that a rule asks for, where proxies are in these namespaces; asks for objects too.
    pub(super) fn remarks(
        &mut self,
        cluster: &Cluster,
        (reference, rule): (&ObjectRef, &DestinationRule),
        namespaces: &BTreeSet<&str>,
    ) -> Vec<Remark> {
        let peer = Peer { host: "service.invalid", names: &[] };
        let (mut remarks, mut asked) = (Vec::new(), BTreeSet::new());
        for (at, tls) in places(rule) {
            let judged = namespaces.iter().map(|it| self.reading(cluster, it, &mut asked).judge(tls, peer));
            let faults: Vec<_> = judged.filter_map(Result::err).collect();
            let everywhere = faults.len() == namespaces.len();
            for fault in faults {
                let (path, message) = (format!("{at}.{}", fault.field), format!("{}, so requests get 503", fault.why));
                let remark = if everywhere { Remark::error } else { Remark::warning };
                let remark = remark(fault.reason, &path, message, fault.remedy);
                if !remarks.contains(&remark) {
                    remarks.push(remark);
                }
            }
        }
        self.settle(reference, asked);
        remarks
    }

    /// Who asked for an object.
    pub(super) fn of(&self, object: &ObjectRef) -> impl Iterator<Item = &ObjectRef> {
        self.asked.get(object).into_iter().flatten()
    }

    /// These and no others are asked for on account of `who`, a service or a DestinationRule.
    pub(super) fn settle(&mut self, who: &ObjectRef, asked: BTreeSet<ObjectRef>) {
        let before = self.asked.iter().filter(|(object, of)| of.contains(who) && !asked.contains(*object));
        let gone: Vec<_> = before.map(|(object, _)| object.clone()).collect();
        for object in asked {
            self.asked.entry(object).or_default().insert(who.clone());
        }
        if gone.is_empty() {
            return;
        }
        for object in gone {
            unlink(&mut self.asked, &object, who);
        }
        let asked = &self.asked;
        self.trust.retain(|key| asked.contains_key(&trust::object_of(key)));
        self.credentials.retain(|key| asked.contains_key(&ObjectRef::new(Kind::Secret, &key.namespace, &key.name)));
    }

    /// Authorities that were read, if they can be used.
    pub(super) fn bundle(&self, key: &TrustBundleKey) -> Option<&Arc<TrustBundle>> {
        self.trust.get(key)
    }

    /// A certificate that was read, if it can be used.
    pub(super) fn certificate(&self, key: &CertificateKey) -> Option<&Arc<Certificate>> {
        self.credentials.get(key)
    }

    fn reading<'r>(
        &'r mut self,
        cluster: &'r Cluster,
        namespace: &'r str,
        asked: &'r mut BTreeSet<ObjectRef>,
    ) -> Reading<'r> {
        Reading { cluster, namespace, trust: &mut self.trust, credentials: &mut self.credentials, asked }
    }
}

impl Reading<'_> {
    fn judge(&mut self, tls: &ClientTls, peer: Peer<'_>) -> Found<BackendTls> {
        match tls.mode {
            // With ISTIO_MUTUAL every endpoint is a workload of the mesh, and what is spoken to those is said of each.
            ClientTlsMode::Disable | ClientTlsMode::IstioMutual => return Ok(BackendTls::Plain),
            ClientTlsMode::Simple | ClientTlsMode::Mutual => {}
        }
        if let Some(field) = of_file(tls) {
            return Err(unsupported(field, "files are not read", "name a Secret by credentialName"));
        }
        let (sni, remedy) = (tls.sni.as_deref(), "write the DNS name of the backend");
        let server_name = DnsName::new(sni.unwrap_or(peer.host));
        let server_name = server_name.map_err(|why| unsupported("sni", &why.to_string(), remedy))?;
        let (trust, identity) = self.credential(tls)?;
        let written = if tls.subject_alt_names.is_empty() { peer.names } else { &tls.subject_alt_names };
        let names = match (written, sni) {
            ([], None) => vec![PeerName::Sent],
            ([], Some(_)) => vec![PeerName::Dns(server_name.clone())],
            (some, _) => some.iter().map(|name| named(name)).collect(),
        };
        Ok(BackendTls::Originate(Origination { server_name, follows_host: sni.is_none(), identity, trust, names }))
    }

    /// Who must have signed the endpoint's certificate, and what it is shown.
    fn credential(&mut self, tls: &ClientTls) -> Found<(Trust, Option<CertificateKey>)> {
        let shows = tls.mode == ClientTlsMode::Mutual;
        let Some(name) = tls.credential_name.as_deref() else {
            return match (shows, tls.insecure_skip_verify) {
                (true, _) => Err(unsupported("mode", "MUTUAL needs a certificate", "name a Secret by credentialName")),
                (false, true) => Ok((Trust::Unchecked, None)),
                (false, false) => Ok((Trust::System, None)),
            };
        };
        if let Some(name) = name.strip_prefix("configmap://") {
            if shows {
                return Err(unusable("a ConfigMap holds no certificate".to_owned(), "name a Secret"));
            }
            return Ok((self.authorities(&[(TrustSource::ConfigMap, name)])?, None));
        }
        let name = secret_name(name);
        let key = CertificateKey { namespace: self.namespace.to_owned(), name: name.to_owned() };
        self.asked.insert(ObjectRef::new(Kind::Secret, self.namespace, name));
        let identity = if shows {
            let remedy = "put a certificate chain into tls.crt and its key into tls.key, both PEM";
            let read = self.credentials.read(self.cluster, &Credentials::default(), &key);
            Some(read.map_err(|why| unusable(why, remedy))?.key.clone())
        } else {
            None
        };
        if tls.insecure_skip_verify {
            return Ok((Trust::Unchecked, identity));
        }
        let beside = format!("{name}-cacert");
        let trust = self.authorities(&[(TrustSource::Secret, &beside), (TrustSource::Secret, name)])?;
        Ok((trust, identity))
    }

    /// The first of these that holds authorities.
    fn authorities(&mut self, places: &[(TrustSource, &str)]) -> Found<Trust> {
        let found = self.trust.first((self.cluster, &TrustStore::default()), (self.namespace, places), self.asked);
        match found {
            Ok(bundle) => Ok(Trust::Bundles(vec![bundle.key.clone()])),
            Err(NoAuthority::Revokes(why)) => Err(Fault { reason: UNSUPPORTED, ..unusable(why, "remove the entry") }),
            Err(NoAuthority::Unusable(whys)) => {
                Err(unusable(format!("no authority can be used: {}", whys.join("; ")), trust::REMEDY))
            }
        }
    }
}

/// A field that names a file, if one does.
fn of_file(tls: &ClientTls) -> Option<&'static str> {
    [
        ("caCertificates", tls.ca_certificates.as_deref().is_some_and(|file| file != "system")),
        ("clientCertificate", tls.client_certificate.is_some()),
        ("privateKey", tls.private_key.is_some()),
        ("caCrl", tls.ca_crl.is_some()),
    ]
    .into_iter()
    .find_map(|(field, is_there)| is_there.then_some(field))
}

/// A name that a certificate may have, as Istio writes it.
pub(super) fn named(name: &str) -> PeerName {
    match DnsName::new(name) {
        Ok(name) => PeerName::Dns(name),
        Err(_) => PeerName::Uri(name.to_owned()),
    }
}

/// Whether a rule says anything of TLS.
pub(super) fn is_about_tls(rule: &DestinationRule) -> bool {
    !places(rule).is_empty()
}

/// Every `tls` of a rule, with its place.
fn places(rule: &DestinationRule) -> Vec<(String, &ClientTls)> {
    let whole = rule.spec.traffic_policy.as_deref().map(|policy| ("spec.trafficPolicy".to_owned(), policy));
    let subsets = rule.spec.subsets.iter().enumerate().filter_map(|(index, subset)| {
        Some((format!("spec.subsets[{index}].trafficPolicy"), subset.traffic_policy.as_deref()?))
    });
    whole.into_iter().chain(subsets).flat_map(|(at, policy)| within(&at, policy)).collect()
}

fn within<'p>(at: &str, policy: &'p TrafficPolicy) -> Vec<(String, &'p ClientTls)> {
    let own = policy.tls.as_ref().map(|tls| (format!("{at}.tls"), tls));
    let ports = policy.port_level.iter().enumerate();
    let ports =
        ports.filter_map(|(index, port)| Some((format!("{at}.portLevelSettings[{index}].tls"), port.tls.as_ref()?)));
    own.into_iter().chain(ports).collect()
}
