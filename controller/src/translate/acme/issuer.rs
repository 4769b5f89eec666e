// SPDX-License-Identifier: Apache-2.0
//! Who a name in the annotation means: an AcmeIssuer of the same namespace, a ClusterAcmeIssuer, or an authority that needs
//! no object; in this order, so that whoever writes an object gets what it says.

use std::collections::BTreeMap;

use torana_crds::ObjectRef;
use torana_crds::core::{Secret, SecretBytes};
use torana_crds::issuer::{
    AcmeIssuer, AcmeIssuerSpec, ChallengeType as Written, ClusterAcmeIssuer, KeyType as Key, SelfCheck,
};
use torana_crds::{Kind, Spoken};
use torana_ir::CertificateKey;

use super::Ports;
use crate::hosts::takes_in;
use crate::issuance::{ChallengeType, ExternalAccount, Issuer, KeyType, Solvable};
use crate::store::{Acme, Cluster};
use crate::translate::issuers;

/// Whoever `name` means to those of `namespace`; the error is an issuer that is not valid.
pub(super) fn named(cluster: &Cluster, namespace: &str, name: &str) -> Result<Option<Issuer>, ObjectRef> {
    if let Some(found) = cluster.find::<AcmeIssuer>(namespace, name) {
        return usable(cluster, ObjectRef::new(AcmeIssuer::KIND, namespace, name), &found.spec).map(Some);
    }
    if let Some(found) = cluster.find::<ClusterAcmeIssuer>("", name) {
        return usable(cluster, ObjectRef::new(ClusterAcmeIssuer::KIND, "", name), &found.spec).map(Some);
    }
    let Acme { email, .. } = &cluster.settings().acme;
    Ok(Issuer::built_in(name).map(|issuer| Issuer { email: email.clone(), ..issuer }))
}

fn usable(cluster: &Cluster, issuer: ObjectRef, spec: &AcmeIssuerSpec) -> Result<Issuer, ObjectRef> {
    let is_namespaced = issuer.known_kind() == Some(Kind::AcmeIssuer);
    if issuers::is_usable(cluster, spec, is_namespaced) { Ok(of_spec(cluster, &issuer, spec)) } else { Err(issuer) }
}

fn of_spec(cluster: &Cluster, issuer: &ObjectRef, spec: &AcmeIssuerSpec) -> Issuer {
    let account = spec.external_account_binding.as_ref().map(|binding| {
        let secret = binding.secret_ref.target(&issuer.namespace);
        let secret = CertificateKey { namespace: secret.namespace, name: secret.name };
        ExternalAccount { key_id: binding.key_id.clone(), secret, entry: binding.secret_ref.key.clone() }
    });
    let limits = spec.limits.clone().unwrap_or_default();
    let is_namespaced = issuer.known_kind() == Some(Kind::AcmeIssuer);
    Issuer {
        email: spec.email.clone(),
        account,
        roots: spec.ca_bundle.clone(),
        profile: spec.profile.clone(),
        key: match spec.key_type {
            Key::P256 => KeyType::P256,
            Key::P384 => KeyType::P384,
            Key::Rsa2048 => KeyType::Rsa2048,
            Key::Rsa4096 => KeyType::Rsa4096,
        },
        checks: spec.self_check == SelfCheck::Required,
        most: limits.certificates_per_namespace.and_then(|most| usize::try_from(most).ok()),
        allowed: limits.allowed_hosts.filter(|_| !is_namespaced),
        challenges: spec.challenges.clone(),
        ask: spec.on_demand.as_ref().map(|on_demand| on_demand.ask.clone()),
        namespace: issuer.namespace.clone(),
        secrets: secrets(cluster, &issuer.namespace, spec),
        ..Issuer::new(&issuer.to_string(), &spec.directory)
    }
}

/// All Secrets that an issuer names and that are there.
fn secrets(
    cluster: &Cluster,
    local: &str,
    spec: &AcmeIssuerSpec,
) -> BTreeMap<CertificateKey, BTreeMap<String, SecretBytes>> {
    let account = spec.external_account_binding.iter().map(|binding| binding.secret_ref.target(local));
    let records = spec.challenges.iter().filter_map(|challenge| challenge.dns01.as_deref());
    let of_records = records.flat_map(|dns01| {
        let tsig = dns01.rfc2136.as_ref().and_then(|server| server.tsig.as_ref());
        let headers = dns01.webhook.as_ref().and_then(|service| service.headers_secret_ref.as_ref());
        tsig.map(|tsig| tsig.secret_ref.target(local)).into_iter().chain(headers.map(|it| it.target(local)))
    });
    let of_asking = spec.on_demand.iter().filter_map(|it| Some(it.ask.headers_secret_ref.as_ref()?.target(local)));
    let found = account.chain(of_records).chain(of_asking).filter_map(|object| {
        let secret = cluster.find::<Secret>(&object.namespace, &object.name)?;
        let key = CertificateKey { namespace: object.namespace.clone(), name: object.name.clone() };
        Some((key, secret.data.clone()))
    });
    found.collect()
}

/// How it can be shown to `issuer` that `host` is ours, for a listener of `namespace`.
pub(super) fn solvable(issuer: &Issuer, namespace: &str, host: &str, ports: Ports) -> Solvable {
    let name = &issuer.name;
    let may = issuer.allowed.as_ref().is_none_or(|allowed| {
        let of_namespace = allowed.iter().filter(|it| it.namespaces.iter().any(|allowed| allowed == namespace));
        of_namespace.flat_map(|it| &it.hosts).any(|pattern| takes_in(pattern, host))
    });
    if !may {
        let remedy = "let its spec.limits.allowedHosts say so, or use another";
        return Solvable::Not(format!("{name} is not for {host} of namespace {namespace}; {remedy}"));
    }
    let kind = issuer.rule(host).map_or_else(|| ports.automatic(), |rule| kind_of(rule.challenge_type));
    match kind {
        ChallengeType::Http01 | ChallengeType::TlsAlpn01 if host.starts_with('*') => Solvable::Not(format!(
            "{host} takes in many names, which only DNS can show to be ours; name an AcmeIssuer with a challenge of type \
             DNS01, or give each name a listener"
        )),
        ChallengeType::Http01 if !ports.plain => Solvable::Not(format!(
            "{name} wants {host} to be shown by HTTP01, and there is no listener for HTTP; add one at port 80, or let it be TLSALPN01"
        )),
        kind => Solvable::By(kind),
    }
}

fn kind_of(written: Written) -> ChallengeType {
    match written {
        Written::Http01 => ChallengeType::Http01,
        Written::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Written::Dns01 => ChallengeType::Dns01,
    }
}
