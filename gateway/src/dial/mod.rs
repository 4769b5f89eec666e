// SPDX-License-Identifier: Apache-2.0
//! A connection of the process's own to a server that speaks gRPC: TCP, TLS, HTTP/2, and the token that says who we
//! are. Files are read each time, for tokens and CAs are rotated. Every step has a deadline. Knows no message.

mod backoff;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::ServerName;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::metadata::{Ascii, MetadataValue};

pub(crate) use backoff::Backoff;

/// Of name resolution, of one TCP connect, of the handshakes.
const STEP: Duration = Duration::from_secs(5);
/// A connection over which nothing came for so long is asked whether it is alive …
const PING: Duration = Duration::from_secs(5);
/// … and is given so long to answer.
const PONG: Duration = Duration::from_secs(5);
/// Largest CA bundle, certificate or token that is read.
const LARGEST_FILE: u64 = 1 << 20;

/// Why there is no connection, or not what it needs.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(String);

impl Failure {
    /// What failed, and why.
    pub(crate) fn of<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> Self {
        move |error| Self(format!("{what}: {error}"))
    }
}

/// An open connection; dropping it closes it.
pub(crate) struct Connection {
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
    /// Connects to any of the addresses of `server` (`host:port`), whose certificate must have this name.
    pub(crate) async fn open(server: &str, name: ServerName<'static>, tls: ClientConfig) -> Result<Self, Failure> {
        let tcp = tcp(server).await?;
        tcp.set_nodelay(true).map_err(Failure::of(server))?;
        let handshake = TlsConnector::from(Arc::new(tls)).connect(name, tcp);
        let io = within(handshake, "TLS handshake").await?;
        let mut builder = Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(PING).keep_alive_timeout(PONG);
        let (requests, driver) = within(builder.handshake(TokioIo::new(io)), "HTTP/2").await?;
        // How it ended, the call says.
        let driver = tokio::spawn(async move { drop(driver.await) });
        Ok(Self { requests, driver })
    }
}

/// The host of `host:port`, without the brackets of an address.
pub(crate) fn host(server: &str) -> &str {
    server.rsplit_once(':').map_or(server, |(host, _)| host).trim_matches(['[', ']'])
}

/// HTTP/2 over TLS of these versions, with a server that one of `roots` vouches for.
pub(crate) fn tls(
    roots: RootCertStore,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig, Failure> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_protocol_versions(versions).map_err(Failure::of("TLS"))?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// The token of this file as the header that carries it; errors call it `what`.
pub(crate) async fn bearer(path: &Path, what: &str) -> Result<MetadataValue<Ascii>, Failure> {
    let token = String::from_utf8(contents(path).await?).map_err(Failure::of(what))?;
    let token = token.trim();
    if token.is_empty() {
        return Err(Failure::of(what)("it is empty"));
    }
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(Failure::of(what))?;
    value.set_sensitive(true);
    Ok(value)
}

/// All of a file, unless it is larger than what has to do with certificates ever is.
pub(crate) async fn contents(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = async {
        let mut bytes = Vec::new();
        tokio::fs::File::open(path).await?.take(LARGEST_FILE + 1).read_to_end(&mut bytes).await?;
        if bytes.len() as u64 > LARGEST_FILE { Err(io::Error::other("larger than 1 MiB")) } else { Ok(bytes) }
    };
    read.await.map_err(Failure::of(&path.display().to_string()))
}

async fn tcp(server: &str) -> Result<TcpStream, Failure> {
    let addresses = within(tokio::net::lookup_host(server), server).await?;
    let mut last = Failure(format!("{server} has no addresses"));
    for address in addresses {
        match within(TcpStream::connect(address), &address.to_string()).await {
            Ok(stream) => return Ok(stream),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

async fn within<T, E: std::fmt::Display>(step: impl Future<Output = Result<T, E>>, what: &str) -> Result<T, Failure> {
    match timeout(STEP, step).await {
        Ok(done) => done.map_err(Failure::of(what)),
        Err(_) => Err(Failure(format!("{what}: nothing within {STEP:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_is_what_its_file_holds_and_never_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(bearer(file.path(), "the token").await.unwrap_err().to_string(), "the token: it is empty");
        std::fs::write(file.path(), "abc\n").unwrap();
        let value = bearer(file.path(), "the token").await.unwrap();
        assert_eq!(value, "Bearer abc");
        assert!(!format!("{value:?}").contains("abc"), "{value:?}");
    }

    #[tokio::test]
    async fn a_file_that_is_too_large_is_not_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![b' '; LARGEST_FILE as usize]).unwrap();
        assert!(contents(file.path()).await.is_ok());
        std::fs::write(file.path(), vec![b' '; LARGEST_FILE as usize + 1]).unwrap();
        assert!(contents(file.path()).await.unwrap_err().to_string().ends_with("larger than 1 MiB"));
    }
}
