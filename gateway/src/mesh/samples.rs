// SPDX-License-Identifier: Apache-2.0
//! What tests of this module are made of: authorities, certificates, handshakes in memory, an authority that is asked.

pub(super) mod ca;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, PublicKeyData, SanType,
    SerialNumber,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, Error, HandshakeKind, ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::credential::{Credential, Svid};
use super::roots::Roots;
use crate::samples::handshake;
use crate::tls::provider;

pub(super) const WEB: &str = "spiffe://cluster.local/ns/default/sa/web";
pub(super) const API: &str = "spiffe://cluster.local/ns/default/sa/api";

/// Begin and end.
pub(super) type Validity = (SystemTime, SystemTime);

/// From a minute ago until in a day.
pub(super) fn day() -> Validity {
    let now = SystemTime::now();
    (now - Duration::from_mins(1), now + Duration::from_hours(24))
}

/// An authority.
pub(super) struct Root {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate with its key, in PEM.
pub(super) struct Leaf {
    pub(super) chain: String,
    pub(super) key: String,
}

impl Leaf {
    pub(super) fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes()).map(Result::unwrap).collect();
        (chain, PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap())
    }

    pub(super) fn svid(&self, root: &Root) -> Svid {
        Svid::new(self.chain.as_bytes(), self.key.as_bytes(), root.roots()).unwrap()
    }
}

impl Root {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    pub(super) fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub(super) fn roots(&self) -> Roots {
        Roots::from_pem(self.pem().as_bytes()).unwrap()
    }

    /// A certificate for another's key; names with `://` are URIs.
    pub(super) fn sign(&self, names: &[&str], validity: Validity, key: &impl PublicKeyData) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let name = |name: &&str| match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) if name.contains("://") => SanType::URI((*name).try_into().unwrap()),
            Err(_) => SanType::DnsName((*name).try_into().unwrap()),
        };
        params.subject_alt_names = names.iter().map(name).collect();
        let [from, until] = [validity.0, validity.1].map(|time| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(since.as_secs())
        });
        (params.not_before, params.not_after) = (from, until);
        params.serial_number = Some(SerialNumber::from(fastrand::u64(1..1 << 60)));
        params.signed_by(key, &self.issuer).unwrap().pem()
    }

    pub(super) fn issue(&self, names: &[&str], validity: Validity) -> Leaf {
        let key = KeyPair::generate().unwrap();
        Leaf { chain: self.sign(names, validity, &key), key: key.serialize_pem() }
    }

    /// What a workload of this mesh has.
    pub(super) fn credential(&self, uri: &str) -> Arc<Credential> {
        Credential::new(self.issue(&[uri], day()).svid(self), SystemTime::now()).unwrap()
    }

    /// A sidecar with this certificate, that demands one of its clients.
    pub(super) fn sidecar(&self, leaf: &Leaf, protocols: &[&[u8]]) -> Arc<ServerConfig> {
        let (chain, key) = leaf.der();
        let roots = Arc::new(self.roots().store());
        let clients = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider())).build().unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_client_cert_verifier(clients);
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }
}

/// How a handshake went.
#[derive(Debug)]
pub(super) struct Shaken {
    pub(super) kind: HandshakeKind,
    pub(super) alpn: Option<Vec<u8>>,
    /// What the server was shown.
    pub(super) client: Vec<CertificateDer<'static>>,
}

pub(super) fn name(name: &'static str) -> ServerName<'static> {
    ServerName::try_from(name).unwrap()
}

/// A handshake in memory with a server that is called `web.default.svc`.
pub(super) fn shake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Result<Shaken, Error> {
    let mut client = ClientConnection::new(Arc::clone(client), name("web.default.svc")).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    handshake(&mut client, &mut server)?;
    Ok(Shaken {
        kind: client.handshake_kind().unwrap(),
        alpn: client.alpn_protocol().map(<[u8]>::to_vec),
        client: server.peer_certificates().unwrap_or_default().to_vec(),
    })
}
