// SPDX-License-Identifier: Apache-2.0
//! A service that puts and removes records: one POST of JSON each, over a connection of its own. Never follows a
//! redirect, and never speaks in cleartext to another machine.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::uri::Scheme;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::dial::connect;
use super::error::DnsError;
use super::{Action, excerpt};

/// Of all of it, from the name of the host to the end of the answer.
const DEADLINE: Duration = Duration::from_secs(30);
const AGENT: HeaderValue = HeaderValue::from_static("torana-acme");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A service that puts and removes records.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where it is: `https://…`, or `http://…` on this machine.
    pub url: String,
    /// The authorities that vouch for it, in PEM, and no others; without, those that Mozilla trusts.
    pub roots: Option<String>,
    /// Sent with each request; their values are secrets.
    pub headers: Vec<(String, String)>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("Webhook").field("url", &shown(&self.url)).field("headers", &names).finish_non_exhaustive()
    }
}

/// What is posted.
#[derive(Serialize)]
struct Order<'a> {
    action: &'static str,
    fqdn: &'a str,
    value: &'a str,
    /// The service finds it by itself.
    zone: Option<&'a str>,
}

/// Where the service is.
struct Place {
    host: String,
    /// `host:port`
    server: String,
    is_tls: bool,
    request: Request<Full<Bytes>>,
}

impl Webhook {
    pub(super) async fn perform(&self, action: Action, fqdn: &str, value: &str) -> Result<(), DnsError> {
        self.run(action, fqdn, value, DEADLINE).await
    }

    async fn run(&self, action: Action, fqdn: &str, value: &str, limit: Duration) -> Result<(), DnsError> {
        let verb = match action {
            Action::Present => "present",
            Action::CleanUp => "cleanup",
        };
        let order = serde_json::to_vec(&Order { action: verb, fqdn, value, zone: None }).map_err(settings)?;
        let place = self.place(order.into())?;
        let tls = if place.is_tls { Some(self.tls()?) } else { None };
        let failed = |why| DnsError::Webhook { url: shown(&self.url), what: format!("{verb} {fqdn}"), why };
        match timeout(limit, post(place, tls)).await {
            Ok(done) => done.map_err(failed),
            Err(_) => Err(failed(format!("no answer within {limit:?}; is it well?"))),
        }
    }

    fn place(&self, body: Bytes) -> Result<Place, DnsError> {
        let uri: Uri = self.url.parse().map_err(settings)?;
        let authority = uri.authority().ok_or_else(|| settings("its url has no host: write https://host/path"))?;
        if authority.as_str().contains('@') {
            return Err(settings("its url has a user: send credentials in a header"));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP && is_here(&host) => false,
            _ => return Err(settings("its url must begin with https://; http:// is for localhost only")),
        };
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let server = format!("{}:{port}", authority.host());
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::post(path).body(Full::new(body)).map_err(settings)?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, AGENT);
        for (name, value) in &self.headers {
            let bad = || settings(format!("{name:?} is no header with a value that can be sent"));
            let name = HeaderName::try_from(name).map_err(|_| bad())?;
            let mut value = HeaderValue::try_from(value).map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(HOST, HeaderValue::try_from(authority.as_str()).map_err(settings)?);
        Ok(Place { host, server, is_tls, request })
    }

    fn tls(&self) -> Result<TlsConnector, DnsError> {
        let mut roots = RootCertStore::empty();
        match &self.roots {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                    let certificate =
                        certificate.map_err(|error| settings(format!("its roots are no PEM: {error}")))?;
                    roots.add(certificate).map_err(|error| settings(format!("its roots: {error}")))?;
                }
            }
        }
        if roots.is_empty() {
            return Err(settings("its roots hold no certificate: give PEM, or leave them out"));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().map_err(settings)?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn settings(why: impl std::fmt::Display) -> DnsError {
    DnsError::Settings { what: "webhook", why: why.to_string() }
}

/// Without its query, which may hold a secret, and without a user.
fn shown(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (scheme, rest) = url[..end].split_once("://").unwrap_or(("", &url[..end]));
    let authority = rest.find('/').unwrap_or(rest.len());
    let host = rest[..authority].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[host..])
}

fn is_here(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

async fn post(place: Place, tls: Option<TlsConnector>) -> Result<(), String> {
    let Place { host, server, is_tls: _, request } = place;
    let connect = connect(&server).await;
    let stream = connect.map_err(|why| format!("{why}; is it there, and can it be reached from here?"))?;
    match tls {
        None => exchange(stream, request).await,
        Some(connector) => {
            let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
            let handshake = connector.connect(name, stream).await;
            exchange(handshake.map_err(|error| format!("TLS: {error}; are its roots configured?"))?, request).await
        }
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        if status.is_success() { Ok(()) } else { Err(said(status, &beginning(response.into_body()).await)) }
    };
    tokio::select! {
        biased;
        answer = answer => answer,
        ended = connection => Err(ended.err().map_or("it closes the connection".to_owned(), |error| error.to_string())),
    }
}

/// As much of a body as is shown.
async fn beginning(mut body: Incoming) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < excerpt::LIMIT {
        let Some(Ok(frame)) = body.frame().await else { break };
        let Ok(data) = frame.into_data() else { break };
        let room = excerpt::LIMIT - bytes.len();
        bytes.extend_from_slice(&data[..data.len().min(room)]);
    }
    bytes
}

fn said(status: StatusCode, body: &[u8]) -> String {
    let hint = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; are its credentials among the headers?",
        _ if status.is_redirection() => "; redirects are not followed, configure where it is",
        _ => "",
    };
    format!("it answers {status}: {}{hint}", excerpt::line(body))
}

#[cfg(test)]
mod tests;
