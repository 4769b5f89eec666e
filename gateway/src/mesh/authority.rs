// SPDX-License-Identifier: Apache-2.0
//! Asking an authority for a certificate: one call of gRPC over a connection of its own, with a new key each time, the
//! token and the roots as their files are just now. Never keeps a key that was not signed.

use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use torana_ir::TrustError;
use torana_ir::wire::certificates::{IstioCertificateRequest, IstioCertificateResponse, PATH};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::bundles::roots_of;
use super::credential::{CredentialError, Svid};
use super::roots::Roots;
use super::source::AuthorityConfig;
use crate::dial::{self, Connection, Failure};

/// Of one attempt, from reading files to the answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// Largest answer, in bytes.
const LARGEST: usize = 1 << 20;
/// Characters of what the authority says that are told.
const TOLD: usize = 300;

/// Why there is no certificate. Never holds a key or a token.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Dial(#[from] Failure),
    #[error("{0}: {1}")]
    Roots(String, TrustError),
    #[error("the request for a certificate: {0}")]
    Request(#[from] rcgen::Error),
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("the authority says: {0}")]
    Said(String),
    #[error("the authority's answer has {0} parts: there must be a certificate and a root")]
    Short(usize),
    #[error("the authority's answer: {0}")]
    Answer(#[from] CredentialError),
    #[error("the authority's certificate is for {got}, and not for {asked}")]
    Another { got: String, asked: String },
}

impl Refusal {
    fn said(status: &Status) -> Self {
        let message: String = status.message().chars().filter(|character| !character.is_control()).take(TOLD).collect();
        Self::Said(format!("{message} ({:?})", status.code()))
    }
}

/// What an authority has signed.
#[derive(Debug, Clone)]
pub(super) struct Issued {
    /// The certificate, and the roots that came with it.
    pub(super) svid: Svid,
    /// The roots of the file, as they were then.
    pub(super) bundle: Roots,
}

/// One that signs.
pub(super) trait Issuer {
    /// A new certificate for a new key.
    fn issue(&self) -> impl Future<Output = Result<Issued, Refusal>> + Send;

    /// The roots of the file, as they are now.
    fn bundle(&self) -> impl Future<Output = Result<Roots, Refusal>> + Send;
}

/// An authority elsewhere.
#[derive(Debug)]
pub(super) struct Authority {
    config: AuthorityConfig,
    deadline: Duration,
}

impl Issuer for Authority {
    async fn issue(&self) -> Result<Issued, Refusal> {
        timeout(self.deadline, self.ask()).await.unwrap_or(Err(Refusal::Late(self.deadline)))
    }

    async fn bundle(&self) -> Result<Roots, Refusal> {
        roots_of(&self.config.roots_files, Refusal::Roots).await
    }
}

impl Authority {
    /// Connects to nobody yet.
    pub(super) fn new(config: AuthorityConfig) -> Self {
        Self { config, deadline: DEADLINE }
    }

    async fn ask(&self) -> Result<Issued, Refusal> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let request = self.request(&key).await?;
        let bundle = self.bundle().await?;
        let name = ServerName::try_from(self.config.server_name().to_owned());
        let name = name.map_err(Failure::of(self.config.server_name()))?;
        let tls = dial::tls(bundle.store(), &[&TLS13, &TLS12])?;
        let connection = Connection::open(&self.config.endpoint, name, tls).await?;
        let answer = self.call(connection, request).await?;
        let svid = read(&answer, &key)?;
        self.check(&svid)?;
        Ok(Issued { svid, bundle })
    }

    async fn request(&self, key: &KeyPair) -> Result<Request<IstioCertificateRequest>, Refusal> {
        let csr = self.params()?.serialize_request(key)?.pem()?;
        let validity_duration = i64::try_from(self.config.lifetime.as_secs()).unwrap_or(i64::MAX);
        // Metadata is for signers and impersonators, of whom we are none.
        let mut request = Request::new(IstioCertificateRequest { csr, validity_duration, metadata: None });
        request.set_timeout(self.deadline);
        let cluster: MetadataValue<Ascii> = self.config.cluster_id.parse().map_err(Failure::of("the cluster's id"))?;
        request.metadata_mut().insert("authorization", dial::bearer(&self.config.token_file, "the token").await?);
        request.metadata_mut().insert("clusterid", cluster);
        Ok(request)
    }

    /// No subject: who we are is the URI, which makes its extension critical (RFC 5280 §4.1.2.6).
    fn params(&self) -> Result<CertificateParams, Refusal> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if let Some(identity) = &self.config.identity {
            params.subject_alt_names = vec![SanType::URI(identity.to_string().try_into()?)];
        }
        Ok(params)
    }

    async fn call(
        &self,
        connection: Connection,
        request: Request<IstioCertificateRequest>,
    ) -> Result<IstioCertificateResponse, Refusal> {
        let origin = Uri::builder().scheme("https").authority(self.config.endpoint.as_str()).path_and_query("/");
        let origin = origin.build().map_err(Failure::of(&self.config.endpoint))?;
        let mut grpc = Grpc::with_origin(connection, origin).max_decoding_message_size(LARGEST);
        grpc.ready().await.map_err(Failure::of("HTTP/2"))?;
        let codec = ProstCodec::<IstioCertificateRequest, IstioCertificateResponse>::default();
        let answer = grpc.unary(request, PathAndQuery::from_static(PATH), codec).await;
        Ok(answer.map_err(|status| Refusal::said(&status))?.into_inner())
    }

    /// Another workload's certificate is not ours. A trust domain may be renamed, so that may differ.
    fn check(&self, svid: &Svid) -> Result<(), Refusal> {
        let got = svid.id()?;
        match &self.config.identity {
            Some(asked) if !asked.is_same_workload(&got) => {
                Err(Refusal::Another { got: got.to_string(), asked: asked.to_string() })
            }
            _ => Ok(()),
        }
    }
}

/// The chain and the roots of an answer; the leaf must be of our key.
fn read(answer: &IstioCertificateResponse, key: &KeyPair) -> Result<Svid, Refusal> {
    let parts = answer.cert_chain.as_slice();
    let Some((last, rest)) = parts.split_last().filter(|(_, rest)| !rest.is_empty()) else {
        return Err(Refusal::Short(parts.len()));
    };
    // Besides the last one, whatever that is, those that end the chain and have signed themselves.
    let more = rest.iter().skip(1).rev().take_while(|part| is_root(part)).count();
    let (chain, more) = rest.split_at(rest.len() - more);
    let mut roots = Roots::from_pem(last.as_bytes()).map_err(CredentialError::from)?;
    for part in more {
        roots = roots.union(&Roots::from_pem(part.as_bytes()).map_err(CredentialError::from)?);
    }
    Ok(Svid::new(chain.join("\n").as_bytes(), key.serialize_pem().as_bytes(), roots)?)
}

/// Whether all of these certificates name themselves as their issuers.
fn is_root(pem: &str) -> bool {
    let mut certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).peekable();
    let names_itself = |der: &CertificateDer<'_>| {
        X509Certificate::from_der(der).is_ok_and(|(_, parsed)| parsed.issuer() == parsed.subject())
    };
    certificates.peek().is_some() && certificates.all(|der| der.is_ok_and(|der| names_itself(&der)))
}

#[cfg(test)]
mod tests;
