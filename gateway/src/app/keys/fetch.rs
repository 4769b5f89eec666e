// SPDX-License-Identifier: Apache-2.0
//! One question for keys: bounded in time and size, of one host, answered by 200 or not at all.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use hickory_resolver::TokioResolver;
use http::Uri;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use torana_ir::{KeyPlace, KeySet, KeyUrl, LARGEST_KEY_SET};

use crate::app::resolve::resolver;
use crate::tls;

/// What tells where keys are, after an issuer (OpenID Connect Discovery 1.0 §4).
#[derive(serde::Deserialize)]
struct Discovery {
    jwks_uri: String,
}

/// Asks.
pub(super) struct Fetcher {
    resolver: TokioResolver,
    tls: TlsConnector,
}

impl Fetcher {
    pub(super) fn new(server: Option<SocketAddr>) -> Result<Self, String> {
        let config = ClientConfig::builder_with_provider(Arc::clone(tls::provider()));
        let config = config.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        let config = config.with_root_certificates(tls::system_roots()).with_no_client_auth();
        Ok(Self { resolver: resolver(server)?, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// The keys of a place, in time.
    pub(super) async fn fetch(&self, place: &KeyPlace) -> Result<KeySet, String> {
        tokio::time::timeout(place.timeout(), self.asked(place)).await.map_err(|_| "no answer in time".to_owned())?
    }

    async fn asked(&self, place: &KeyPlace) -> Result<KeySet, String> {
        let mut answer = self.get(&place.url).await?;
        if place.is_discovery {
            let Discovery { jwks_uri } = serde_json::from_str(&answer)
                .map_err(|error| format!("it does not tell where keys are (jwks_uri): {error}"))?;
            let is_secure = |url: &str| url.starts_with("https://");
            if is_secure(place.url.as_str()) && !is_secure(&jwks_uri) {
                return Err(format!("it says that keys are at {jwks_uri:?}, where nobody vouches for them"));
            }
            answer = self.get(&KeyUrl::new(&jwks_uri).map_err(|error| error.to_string())?).await?;
        }
        KeySet::new(&answer).map_err(|error| error.to_string())
    }

    async fn get(&self, url: &KeyUrl) -> Result<String, String> {
        let uri: Uri = url.as_str().parse().map_err(|error| format!("{url} is no URL: {error}"))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let is_tls = uri.scheme_str() == Some("https");
        let stream = self.connect(&host, uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 })).await?;
        if !is_tls {
            return ask(stream, &uri).await;
        }
        let name = ServerName::try_from(host.clone()).map_err(|_| format!("{host:?} is no name of a server"))?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| format!("TLS with {host}: {error}"))?;
        ask(stream, &uri).await
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let addresses: Vec<IpAddr> = if let Ok(address) = host.parse() {
            vec![address]
        } else {
            self.resolver.lookup_ip(host).await.map_err(|error| error.to_string())?.iter().collect()
        };
        let mut error = format!("{host} has no address");
        for address in addresses {
            match TcpStream::connect((address, port)).await {
                Ok(stream) => return Ok(stream),
                Err(why) => error = format!("{address} port {port}: {why}"),
            }
        }
        Err(error)
    }
}

async fn ask(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, uri: &Uri) -> Result<String, String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // It ends with the answer, or with whoever waits for it.
    let connection = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = http::Request::get(path)
        .header("host", uri.authority().map_or("", |authority| authority.as_str()))
        .header("accept", "application/json")
        .header("user-agent", "torana")
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    if response.status() != http::StatusCode::OK {
        return Err(format!("it answers {}", response.status()));
    }
    let body =
        Limited::new(response.into_body(), LARGEST_KEY_SET).collect().await.map_err(|error| error.to_string())?;
    connection.abort();
    String::from_utf8(body.to_bytes().into()).map_err(|_| "its answer is no UTF-8".to_owned())
}
