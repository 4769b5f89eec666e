// SPDX-License-Identifier: Apache-2.0
//! Records of DNS that show that names are ours (DNS-01, RFC 8555 §8.4): put before the authority is asked, and removed
//! when the order is over. What an issuer says about them becomes a [`Solver`] here; its Secrets are read for each order.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use torana_crds::ObjectRef;
use torana_crds::issuer::{Dns01, DnsWebhook, Rfc2136 as Server, TsigAlgorithm};
use torana_ir::{CertificateKey, sha256};

use crate::acme::dns::{Algorithm, DnsError, Exec, Record, Resolver, Rfc2136, Solver, Tsig, Webhook};
use crate::acme::failure::{Failure, RECORDS};
use crate::acme::service::Service;
use crate::issuance::{Challenge, ChallengeType, Issuer, Order, Wanted};

/// Seconds that a record may be cached: it is gone within minutes.
const TTL: u32 = 60;

impl From<DnsError> for Failure {
    fn from(error: DnsError) -> Self {
        Self::later(RECORDS, error.to_string())
    }
}

/// Puts the records of `challenges` and waits until they are seen.
pub(super) async fn put(wanted: &Wanted, challenges: &[Challenge]) -> Result<(), Failure> {
    for challenge in challenges.iter().filter(|it| it.kind == ChallengeType::Dns01) {
        let (solver, terms) = solver(&wanted.issuer, &challenge.host)?;
        let resolver = Resolver::system()?;
        let record = record(&resolver, challenge).await;
        solver.present(&record).await.map_err(|error| told(challenge, &error))?;
        let nameservers: Vec<_> = terms.nameservers.iter().flatten().filter_map(|it| it.parse().ok()).collect();
        let seen = resolver.propagated(&record, &nameservers, terms.propagation).await;
        seen.map_err(|error| told(challenge, &error))?;
    }
    Ok(())
}

/// Removes what an order that is over has put. What stays hurts nobody, and is said.
pub(super) async fn remove(issuer: &Issuer, order: &Order) {
    for challenge in order.challenges.iter().filter(|it| it.kind == ChallengeType::Dns01) {
        let removed = async {
            let (solver, _) = solver(issuer, &challenge.host)?;
            let record = record(&Resolver::system()?, challenge).await;
            solver.clean_up(&record).await.map_err(|error| told(challenge, &error))
        };
        if let Err(failure) = removed.await {
            tracing::warn!(host = challenge.host, why = failure.message, "the record of a challenge stays");
        }
    }
}

fn told(challenge: &Challenge, error: &DnsError) -> Failure {
    Failure::later(RECORDS, format!("{} for {}: {error}. The authority is not asked", challenge.kind, challenge.host))
}

/// Where the name is delegated to, the record belongs there; whoever cannot be asked about that is asked by the authority,
/// too.
async fn record(resolver: &Resolver, challenge: &Challenge) -> Record {
    let own = format!("_acme-challenge.{}", challenge.host);
    let name = resolver.delegated(&own).await.unwrap_or(own);
    Record { name, value: URL_SAFE_NO_PAD.encode(sha256(challenge.key_authorization.as_bytes())) }
}

/// What `issuer` says about the records of `host`.
fn solver<'i>(issuer: &'i Issuer, host: &str) -> Result<(Solver, &'i Dns01), Failure> {
    // The record is the same for a name and for all below it.
    let names = [host.to_owned(), format!("*.{host}")];
    let rule = names.iter().filter_map(|name| issuer.rule(name)).find(|rule| rule.dns01.is_some());
    let missing = || Failure::later(RECORDS, format!("{} does not say who writes the records of {host}", issuer.name));
    let terms = rule.and_then(|rule| rule.dns01.as_deref()).ok_or_else(missing)?;
    let solver = match (&terms.rfc2136, &terms.webhook, &terms.exec) {
        (Some(server), ..) => Solver::Rfc2136(rfc2136(issuer, server)?),
        (_, Some(service), _) => Solver::Webhook(webhook(issuer, service)?),
        (.., Some(program)) => Solver::Exec(Exec { command: program.command.clone() }),
        _ => return Err(missing()),
    };
    Ok((solver, terms))
}

fn rfc2136(issuer: &Issuer, server: &Server) -> Result<Rfc2136, Failure> {
    let key = |tsig: &torana_crds::issuer::Tsig| -> Result<Tsig, Failure> {
        let (secret, entry) = (name_of(&tsig.secret_ref.target(&issuer.namespace)), &tsig.secret_ref.key);
        let text = issuer.entry(&secret, entry).map_err(|why| Failure::later(RECORDS, why))?;
        let why = |_| Failure::later(RECORDS, format!("entry {entry:?} of Secret {secret} is no key in base64"));
        Ok(Tsig {
            key_name: tsig.key_name.clone(),
            algorithm: match tsig.algorithm {
                TsigAlgorithm::HmacSha256 => Algorithm::HmacSha256,
                TsigAlgorithm::HmacSha384 => Algorithm::HmacSha384,
                TsigAlgorithm::HmacSha512 => Algorithm::HmacSha512,
            },
            secret: STANDARD.decode(text).map_err(why)?,
        })
    };
    let tsig = server.tsig.as_ref().map(key).transpose()?;
    Ok(Rfc2136 { server: server.server.clone(), zone: server.zone.clone(), tsig, ttl: TTL })
}

fn webhook(issuer: &Issuer, service: &DnsWebhook) -> Result<Webhook, Failure> {
    let DnsWebhook { url, ca_bundle, headers_secret_ref } = service;
    let service = Service::of(issuer, url, ca_bundle.as_ref(), headers_secret_ref.as_ref());
    service.map(Webhook).map_err(|why| Failure::later(RECORDS, why))
}

fn name_of(secret: &ObjectRef) -> CertificateKey {
    CertificateKey { namespace: secret.namespace.clone(), name: secret.name.clone() }
}
