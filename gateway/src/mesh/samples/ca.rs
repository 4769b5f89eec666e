// SPDX-License-Identifier: Apache-2.0
//! An authority of the tests' own, on the loopback: as istiod, and on demand as none that one wants.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use rustls::ServerConfig;
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use torana_ir::wire::certificates::{IstioCertificateRequest, IstioCertificateResponse};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;

use super::super::source::AuthorityConfig;
use super::{Root, WEB, day};
use crate::grpc::{frame, unframe};
use crate::tls::provider;

/// What it does instead of what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Fault {
    Unavailable,
    Silence,
    OnlyTheLeaf,
    AnotherKey,
    NoPem,
    TooMuch,
}

/// How it behaves, and what it saw.
pub(in super::super) struct Conduct {
    pub(in super::super) root: Root,
    pub(in super::super) more_roots: Vec<String>,
    pub(in super::super) token: String,
    pub(in super::super) identity: String,
    pub(in super::super) lifetime: Duration,
    pub(in super::super) fault: Option<Fault>,
    /// The URIs of the requests, and for how many seconds.
    pub(in super::super) asked: Vec<(Vec<String>, i64)>,
}

/// A running authority; it has the token and its root in files.
pub(in super::super) struct Ca {
    conduct: Arc<Mutex<Conduct>>,
    address: SocketAddr,
    folder: TempDir,
}

impl Ca {
    /// Takes the token `first` of the cluster `Kubernetes`, and signs for `web`.
    pub(in super::super) async fn start() -> Self {
        let conduct = Conduct {
            root: Root::new("mesh root"),
            more_roots: Vec::new(),
            token: "first".to_owned(),
            identity: WEB.to_owned(),
            lifetime: Duration::from_hours(24),
            fault: None,
            asked: Vec::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ca = Self {
            conduct: Arc::new(Mutex::new(conduct)),
            address: listener.local_addr().unwrap(),
            folder: TempDir::new().unwrap(),
        };
        ca.write_token("first\n");
        ca.write_roots(&ca.conduct().root.pem());
        let conduct = Arc::clone(&ca.conduct);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&conduct)));
            }
        });
        ca
    }

    pub(in super::super) fn conduct(&self) -> MutexGuard<'_, Conduct> {
        self.conduct.lock().unwrap()
    }

    pub(in super::super) fn config(&self) -> AuthorityConfig {
        let file = |name| self.folder.path().join(name);
        AuthorityConfig::new(self.address.to_string(), file("root-cert.pem"), file("istio-token"))
    }

    pub(in super::super) fn write_token(&self, token: &str) {
        std::fs::write(self.folder.path().join("istio-token"), token).unwrap();
    }

    pub(in super::super) fn write_roots(&self, pem: &str) {
        std::fs::write(self.folder.path().join("root-cert.pem"), pem).unwrap();
    }
}

async fn serve(stream: TcpStream, conduct: Arc<Mutex<Conduct>>) {
    let tls = tls(&conduct.lock().unwrap().root);
    let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else { return };
    let answer = service_fn(move |request| {
        let conduct = Arc::clone(&conduct);
        async move { Ok::<_, Infallible>(answer(request, conduct).await) }
    });
    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await.ok();
}

fn tls(root: &Root) -> Arc<ServerConfig> {
    let leaf = root.issue(&["127.0.0.1", "istiod.istio-system.svc"], day());
    let (chain, key) = leaf.der();
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

type Pieces = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

async fn answer(request: Request<Incoming>, conduct: Arc<Mutex<Conduct>>) -> Response<Pieces> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    if conduct.lock().unwrap().fault == Some(Fault::Silence) {
        std::future::pending::<()>().await;
    }
    let said = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut conduct = conduct.lock().unwrap();
    let is_known = said("authorization") == format!("Bearer {}", conduct.token) && said("clusterid") == "Kubernetes";
    assert_eq!(head.uri.path(), "/istio.v1.auth.IstioCertificateService/CreateCertificate");
    if !is_known {
        return status(16, "request authenticate failure");
    }
    if conduct.fault == Some(Fault::Unavailable) {
        return status(14, "the CA is%0Anot ready");
    }
    let asked = IstioCertificateRequest::decode(unframe(&body).unwrap()).unwrap();
    let cert_chain = conduct.sign(&asked);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let message = frame(&IstioCertificateResponse { cert_chain }.encode_to_vec());
    respond(vec![Ok(Frame::data(message)), Ok(Frame::trailers(trailers))])
}

fn respond(pieces: Vec<Result<Frame<Bytes>, Infallible>>) -> Response<Pieces> {
    let builder = Response::builder().header("content-type", "application/grpc");
    builder.body(StreamBody::new(stream::iter(pieces))).unwrap()
}

fn status(code: u16, message: &'static str) -> Response<Pieces> {
    let mut response = respond(vec![]);
    response.headers_mut().insert("grpc-status", code.into());
    response.headers_mut().insert("grpc-message", HeaderValue::from_static(message));
    response
}

/// The public key of a request.
struct Requested(Vec<u8>);

impl PublicKeyData for Requested {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl Conduct {
    fn sign(&mut self, asked: &IstioCertificateRequest) -> Vec<String> {
        let der = CertificateSigningRequestDer::from_pem_slice(asked.csr.as_bytes()).unwrap();
        let (_, csr) = X509CertificationRequest::from_der(&der).unwrap();
        self.asked.push((uris(&csr), asked.validity_duration));
        let now = SystemTime::now();
        let validity = (now - Duration::from_mins(2), now + self.lifetime);
        let key = Requested(csr.certification_request_info.subject_pki.subject_public_key.data.to_vec());
        let sign = |key: &Requested| self.root.sign(&[&self.identity], validity, key);
        let mut parts = match self.fault {
            Some(Fault::OnlyTheLeaf) => return vec![sign(&key)],
            Some(Fault::NoPem) => vec!["certificate".to_owned()],
            Some(Fault::TooMuch) => vec!["#".repeat(2 << 20)],
            Some(Fault::AnotherKey) => {
                vec![sign(&Requested(KeyPair::generate().unwrap().der_bytes().to_vec()))]
            }
            _ => vec![sign(&key)],
        };
        parts.extend(self.more_roots.iter().cloned());
        parts.push(self.root.pem());
        parts
    }
}

fn uris(csr: &X509CertificationRequest<'_>) -> Vec<String> {
    let names = csr.requested_extensions().into_iter().flatten().filter_map(|extension| match extension {
        ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
        _ => None,
    });
    let uri = |name: &GeneralName<'_>| if let GeneralName::URI(uri) = name { Some((*uri).to_owned()) } else { None };
    names.flatten().filter_map(uri).collect()
}
