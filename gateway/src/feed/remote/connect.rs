// SPDX-License-Identifier: Apache-2.0
//! One connection to the controller: TCP, TLS 1.3, HTTP/2, and the token that says who we are. Files are read each
//! time, for tokens and CAs are rotated. Every step has a deadline. Knows no message.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::metadata::{Ascii, MetadataValue};

use super::{Lost, Remote};

/// Of name resolution, of one TCP connect, of the handshakes.
const STEP: Duration = Duration::from_secs(5);
/// A connection over which nothing came for so long is asked whether it is alive …
const PING: Duration = Duration::from_secs(5);
/// … and is given so long to answer.
const PONG: Duration = Duration::from_secs(5);
/// Largest CA bundle or token that is read.
const LARGEST_FILE: u64 = 1 << 20;

/// An open connection; dropping it closes it.
pub(super) struct Connection {
    requests: SendRequest<Body>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// As the gRPC client wants it.
impl Service<http::Request<Body>> for Connection {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.requests.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.requests.send_request(request))
    }
}

impl Connection {
    /// Connects to any of the controller's addresses.
    pub(super) async fn open(remote: &Remote) -> Result<Self, Lost> {
        let tls = tls(&remote.feed_ca).await?;
        let name = ServerName::try_from(remote.server_name().to_owned()).map_err(lost("--feed-name"))?;
        let tcp = tcp(&remote.feed).await?;
        tcp.set_nodelay(true).map_err(lost(&remote.feed))?;
        let handshake = TlsConnector::from(Arc::new(tls)).connect(name, tcp);
        let io = within(handshake, "TLS handshake").await?;
        let mut builder = Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(PING).keep_alive_timeout(PONG);
        let (requests, driver) = within(builder.handshake(TokioIo::new(io)), "HTTP/2").await?;
        // How it ended, the stream says.
        let driver = tokio::spawn(async move { drop(driver.await) });
        Ok(Self { requests, driver })
    }
}

/// The token as the header that carries it.
pub(super) async fn bearer(remote: &Remote) -> Result<MetadataValue<Ascii>, Lost> {
    let token = contents(&remote.feed_token).await?;
    let token = String::from_utf8(token).map_err(lost("--feed-token"))?;
    let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.trim()).parse().map_err(lost("--feed-token"))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn tls(ca: &Path) -> Result<ClientConfig, Lost> {
    let pem = contents(ca).await?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| Lost::Connect(format!("--feed-ca: {error}")))?;
        roots.add(certificate).map_err(lost("--feed-ca"))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_protocol_versions(&[&TLS13]).map_err(lost("TLS"))?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

async fn tcp(address: &str) -> Result<TcpStream, Lost> {
    let addresses = within(tokio::net::lookup_host(address), address).await?;
    let mut last = Lost::Connect(format!("{address} has no addresses"));
    for address in addresses {
        match within(TcpStream::connect(address), &address.to_string()).await {
            Ok(stream) => return Ok(stream),
            Err(lost) => last = lost,
        }
    }
    Err(last)
}

async fn contents(path: &Path) -> Result<Vec<u8>, Lost> {
    let read = async {
        let mut bytes = Vec::new();
        tokio::fs::File::open(path).await?.take(LARGEST_FILE + 1).read_to_end(&mut bytes).await?;
        if bytes.len() as u64 > LARGEST_FILE { Err(io::Error::other("larger than 1 MiB")) } else { Ok(bytes) }
    };
    read.await.map_err(lost(&path.display().to_string()))
}

fn lost<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> Lost {
    move |error| Lost::Connect(format!("{what}: {error}"))
}

async fn within<T, E: std::fmt::Display>(step: impl Future<Output = Result<T, E>>, what: &str) -> Result<T, Lost> {
    match timeout(STEP, step).await {
        Ok(done) => done.map_err(lost(what)),
        Err(_) => Err(Lost::Connect(format!("{what}: nothing within {STEP:?}"))),
    }
}
