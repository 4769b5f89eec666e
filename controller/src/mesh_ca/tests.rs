// SPDX-License-Identifier: Apache-2.0
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair, PublicKeyData, SanType};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use torana_ir::wire::certificates::{IstioCertificateRequest, IstioCertificateResponse, Metadata, MetadataValue, PATH};
use x509_parser::extensions::GeneralName;

use super::service::MOST_REVIEWS;
use super::*;
use crate::clock::now;
use crate::feed::{Account, Accounts, Refusal};

const NAME: &str = "torana-mesh-ca.torana.svc";
const PATIENCE: Duration = Duration::from_secs(30);

/// The token `NAMESPACE/NAME` is that account's; `away` asks an API server that is away, `slow` one that does not answer.
#[derive(Default)]
struct Issuer {
    asked: AtomicUsize,
}

impl Accounts for Arc<Issuer> {
    async fn account(&self, token: &str) -> Result<Account, Refusal> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match token {
            "away" => return Err(Refusal::Unknown("no answer".to_owned())),
            "slow" => std::future::pending().await,
            _ => {}
        }
        let (namespace, name) = token.split_once('/').ok_or_else(|| Refusal::Invalid("nobody knows it".to_owned()))?;
        Ok(Account { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

/// A replica that serves.
struct Replica {
    address: SocketAddr,
    authority: watch::Sender<Authority>,
    issuer: Arc<Issuer>,
}

impl Replica {
    async fn start() -> Self {
        Self::with(Duration::from_hours(24), None).await
    }

    async fn with(lifetime: Duration, cluster_id: Option<&str>) -> Self {
        let (authority, authorities) = watch::channel(Authority::new(now()).unwrap());
        let serving = authority.borrow().serving_certificate(&[NAME.to_owned()], now()).unwrap();
        let (_, configs) = watch::channel(tls(&serving).unwrap());
        let policy =
            Policy { trust_domain: "td.example".parse().unwrap(), lifetime, cluster_id: cluster_id.map(str::to_owned) };
        let issuer = Arc::<Issuer>::default();
        let ca = Arc::new(MeshCa::new(policy, authorities, Arc::clone(&issuer)));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { ca.serve(&listener, configs, std::future::pending()).await });
        Self { address, authority, issuer }
    }

    fn bundle(&self) -> String {
        self.authority.borrow().bundle()
    }

    async fn channel(&self) -> Channel {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.bundle())).domain_name(NAME);
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await.unwrap()
    }

    /// On a connection of its own.
    async fn ask(&self, token: &str, request: IstioCertificateRequest) -> Result<Vec<String>, Status> {
        ask(self.channel().await, &[("authorization", &format!("Bearer {token}"))], request).await
    }

    /// What a client with these versions of TLS comes to; it says nothing of itself.
    async fn connect(&self, protocols: &[&str], tls: &[&'static rustls::SupportedProtocolVersion]) -> Option<Vec<u8>> {
        let config = ClientConfig::builder_with_provider(provider()).with_protocol_versions(tls).unwrap();
        let mut config = config.with_root_certificates(roots(&self.bundle())).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        let io = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
        Some(io.get_ref().1.alpn_protocol().unwrap_or_default().to_vec())
    }
}

async fn ask(
    channel: Channel,
    metadata: &[(&'static str, &str)],
    request: IstioCertificateRequest,
) -> Result<Vec<String>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut request = Request::new(request);
    for (name, value) in metadata {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    let codec = ProstCodec::<IstioCertificateRequest, IstioCertificateResponse>::default();
    let answer = grpc.unary(request, http::uri::PathAndQuery::from_static(PATH), codec);
    Ok(tokio::time::timeout(PATIENCE, answer).await.expect("an answer")?.into_inner().cert_chain)
}

fn roots(bundle: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    CertificateDer::pem_slice_iter(bundle.as_bytes()).for_each(|root| roots.add(root.unwrap()).unwrap());
    roots
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A request in which somebody else's identity stands.
fn request() -> (IstioCertificateRequest, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI("spiffe://td.example/ns/other/sa/admin".try_into().unwrap())];
    let csr = params.serialize_request(&key).unwrap().pem().unwrap();
    (IstioCertificateRequest { csr, ..IstioCertificateRequest::default() }, key)
}

/// The URI, the key, and the seconds from now to the end.
fn leaf(pem: &str) -> (String, Vec<u8>, i64) {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let (_, leaf) = x509_parser::parse_x509_certificate(&der).unwrap();
    let san = leaf.subject_alternative_name().unwrap().unwrap();
    let [GeneralName::URI(uri)] = &san.value.general_names[..] else { panic!("{san:?}") };
    ((*uri).to_owned(), leaf.public_key().raw.to_vec(), leaf.validity().not_after.timestamp() - now())
}

fn code(answer: &Result<Vec<String>, Status>) -> Code {
    answer.as_ref().map_or_else(Status::code, |_| Code::Ok)
}

#[tokio::test]
async fn a_workload_gets_its_own_identity_whatever_its_request_says() {
    let replica = Replica::start().await;
    let (request, key) = request();
    let chain = replica.ask("shop/cart", request).await.unwrap();
    assert_eq!((chain.len(), &chain[1]), (2, &replica.bundle()));
    let (uri, public, left) = leaf(&chain[0]);
    assert_eq!((uri.as_str(), public), ("spiffe://td.example/ns/shop/sa/cart", key.subject_public_key_info()));
    assert!((86_390..=86_400).contains(&left), "{left}");
}

#[tokio::test]
async fn many_calls_go_over_one_connection() {
    let replica = Replica::start().await;
    let channel = replica.channel().await;
    let calls = (0..40).map(|at| {
        let (channel, request) = (channel.clone(), request().0);
        tokio::spawn(async move { ask(channel, &[("authorization", &format!("Bearer n/a{at}"))], request).await })
    });
    for (at, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        let (uri, ..) = leaf(&call.await.unwrap().unwrap()[0]);
        assert_eq!(uri, format!("spiffe://td.example/ns/n/sa/a{at}"));
    }
}

#[tokio::test]
async fn whoever_is_not_known_gets_nothing() {
    let replica = Replica::start().await;
    for (metadata, expected) in [
        (vec![], Code::Unauthenticated),
        (vec![("authorization", "Basic n/a")], Code::Unauthenticated),
        (vec![("authorization", "Bearer bad")], Code::Unauthenticated),
        (vec![("authorization", "Bearer away")], Code::Unavailable),
        (vec![("authorization", "Bearer slow")], Code::DeadlineExceeded),
    ] {
        let answer = ask(replica.channel().await, &metadata, request().0).await;
        assert_eq!(code(&answer), expected, "{metadata:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_connection_with_a_bad_token_is_over_and_the_next_one_is_served() {
    let replica = Replica::start().await;
    let channel = replica.channel().await;
    let refused = ask(channel.clone(), &[("authorization", "Bearer bad")], request().0).await;
    assert_eq!(code(&refused), Code::Unauthenticated);
    // Its client makes another one by itself.
    let begun = Instant::now();
    while ask(channel.clone(), &[("authorization", "Bearer n/a")], request().0).await.is_err() {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn nobody_asks_for_another() {
    let replica = Replica::start().await;
    let fields = |name: &str| Some(Metadata { fields: [(name.to_owned(), MetadataValue::default())].into() });
    let impersonation = IstioCertificateRequest { metadata: fields("ImpersonatedIdentity"), ..request().0 };
    assert_eq!(code(&replica.ask("kube-system/ztunnel", impersonation).await), Code::PermissionDenied);
    let signer = IstioCertificateRequest { metadata: fields("CertSigner"), ..request().0 };
    assert_eq!(code(&replica.ask("n/a", signer).await), Code::Ok);
}

#[tokio::test]
async fn requests_that_are_at_fault_are_told_so() {
    let replica = Replica::start().await;
    let with = |csr: &str| IstioCertificateRequest { csr: csr.to_owned(), ..IstioCertificateRequest::default() };
    let bad = with(include_str!("../../testdata/requests/rsa-1024.pem"));
    for request in [with(""), with("garbage"), with(&"x".repeat(40_000)), bad] {
        assert_eq!(code(&replica.ask("n/a", request).await), Code::InvalidArgument);
    }
    let huge = replica.ask("n/a", with(&"x".repeat(1 << 20))).await;
    assert!(![Code::Ok, Code::Internal].contains(&code(&huge)), "{huge:?}");
    let negative = IstioCertificateRequest { validity_duration: -1, ..request().0 };
    assert_eq!(code(&replica.ask("n/a", negative).await), Code::InvalidArgument);
    assert_eq!(code(&replica.ask("n/a", request().0).await), Code::Ok, "it goes on");
}

#[tokio::test]
async fn a_certificate_lasts_as_long_as_is_asked_and_no_longer_than_allowed() {
    for (allowed, asked, expected) in
        [(24, 0, 86_400), (24, 3600, 3600), (24, 90_000, 86_400), (1, 0, 3600), (48, 0, 86_400), (48, 172_800, 172_800)]
    {
        let replica = Replica::with(Duration::from_hours(allowed), None).await;
        let request = IstioCertificateRequest { validity_duration: asked, ..request().0 };
        let (_, _, left) = leaf(&replica.ask("n/a", request).await.unwrap()[0]);
        assert!((expected - 10..=expected).contains(&left), "{allowed} h, {asked} s: {left}");
    }
    let replica = Replica::with(LONGEST_LIFETIME, None).await;
    let request = IstioCertificateRequest { validity_duration: i64::MAX, ..request().0 };
    assert_eq!(code(&replica.ask("n/a", request).await), Code::Ok);
}

#[tokio::test]
async fn a_workload_of_another_cluster_is_refused_where_clusters_have_names() {
    let replica = Replica::with(Duration::from_hours(1), Some("east")).await;
    for (cluster, expected) in [("east", Code::Ok), ("west", Code::Unauthenticated)] {
        let metadata = [("authorization", "Bearer n/a"), ("clusterid", cluster)];
        assert_eq!(code(&ask(replica.channel().await, &metadata, request().0).await), expected, "{cluster}");
    }
    let anonymous = Replica::start().await;
    let metadata = [("authorization", "Bearer n/a"), ("clusterid", "Kubernetes")];
    assert_eq!(code(&ask(anonymous.channel().await, &metadata, request().0).await), Code::Ok);
}

#[tokio::test]
async fn an_account_that_asks_without_end_is_slowed_and_others_are_not() {
    let replica = Replica::start().await;
    let channel = replica.channel().await;
    let mut refused = None;
    for _ in 0..600 {
        let answer = ask(channel.clone(), &[("authorization", "Bearer n/greedy")], request().0).await;
        if let Err(why) = answer {
            refused = Some(why.code());
            break;
        }
    }
    assert_eq!(refused, Some(Code::ResourceExhausted));
    assert_eq!(code(&replica.ask("n/other", request().0).await), Code::Ok);
}

#[tokio::test]
async fn the_api_server_is_asked_about_few_tokens_at_once() {
    let replica = Replica::start().await;
    let mut calls = Vec::new();
    for _ in 0..=MOST_REVIEWS / 8 {
        let channel = replica.channel().await;
        calls.extend((0..8).map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move { ask(channel, &[("authorization", "Bearer slow")], request().0).await })
        }));
    }
    let mut codes = std::collections::BTreeMap::<i32, usize>::new();
    for call in calls {
        *codes.entry(code(&call.await.unwrap()).into()).or_default() += 1;
    }
    let expected = [(Code::DeadlineExceeded.into(), MOST_REVIEWS), (Code::ResourceExhausted.into(), 8)];
    assert_eq!(codes, expected.into());
    assert_eq!(replica.issuer.asked.load(Ordering::Relaxed), MOST_REVIEWS);
}

#[tokio::test]
async fn only_http_2_over_tls_is_spoken() {
    let replica = Replica::start().await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        assert_eq!(replica.connect(&["h2", "http/1.1"], &[version]).await.as_deref(), Some(&b"h2"[..]));
        assert_eq!(replica.connect(&["http/1.1"], &[version]).await, None);
    }
}

#[tokio::test]
async fn whoever_says_nothing_is_cut_and_a_crowd_is_turned_away() {
    let replica = Replica::start().await;
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(TcpStream::connect(replica.address).await.unwrap());
    }
    let mut last = crowd.pop().unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(3), last.read(&mut [0])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
    let closed = tokio::time::timeout(Duration::from_secs(15), crowd[0].read(&mut [0])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
    drop(crowd);
    assert_eq!(code(&replica.ask("n/a", request().0).await), Code::Ok, "it goes on");
}

#[tokio::test]
async fn a_server_of_the_mesh_takes_the_certificate_of_a_client() {
    let replica = Replica::start().await;
    let (request, key) = request();
    let chain = replica.ask("shop/cart", request).await.unwrap();
    let (serving, trusted) = {
        let authority = replica.authority.borrow();
        (authority.serving_certificate(&[NAME.to_owned()], now()).unwrap(), roots(&authority.bundle()))
    };
    let private = |pem: &str| PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let certificate = |pem: &str| vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(trusted.clone()), provider()).build().unwrap();
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificate(&serving.chain_pem), private(&serving.key_pem))
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted)
        .with_client_auth_cert(certificate(&chain[0]), private(&key.serialize_pem()))
        .unwrap();
    let (near, far) = tokio::io::duplex(1 << 16);
    let accepted = tokio::spawn(async move { TlsAcceptor::from(Arc::new(server)).accept(far).await.map(drop) });
    let name = ServerName::try_from(NAME).unwrap();
    let connected = TlsConnector::from(Arc::new(client)).connect(name, near).await;
    assert!(connected.is_ok(), "{:?}", connected.err());
    accepted.await.unwrap().unwrap();
}

#[tokio::test]
async fn roots_that_were_renewed_are_handed_out_at_once() {
    let replica = Replica::start().await;
    let before = replica.bundle();
    let aged = Authority::new(now() - 3000 * 86_400).unwrap();
    let renewed = aged.rotated(now()).unwrap();
    replica.authority.send_replace(renewed.clone());
    let channel = {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(before)).domain_name(NAME);
        let endpoint = Endpoint::from_shared(format!("https://{}", replica.address)).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await.unwrap()
    };
    let chain = ask(channel, &[("authorization", "Bearer n/a")], request().0).await.unwrap();
    assert_eq!(chain[1], renewed.bundle());
    assert_eq!(chain[1].matches("BEGIN CERTIFICATE").count(), 2);
}
