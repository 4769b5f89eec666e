// SPDX-License-Identifier: Apache-2.0
//! A service of somebody's that is asked over HTTP/1, over a connection of its own: what puts records of DNS, and what
//! agrees to names. Never follows a redirect, reads only the beginning of an answer, and everything ends by a deadline.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::uri::Scheme;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use torana_crds::issuer::WholeSecretRef;

use super::dns::{connect, excerpt};
use crate::issuance::Issuer;

const AGENT: HeaderValue = HeaderValue::from_static("torana-acme");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Where a service is, and how it and Torana know each other.
#[derive(Clone, PartialEq, Eq)]
pub struct Service {
    /// `https://…`, or `http://…` where that may be.
    pub url: String,
    /// The authorities that vouch for it, in PEM, and no others; without, those that Mozilla trusts.
    pub roots: Option<String>,
    /// Sent with each request; their values are secrets.
    pub headers: Vec<(String, String)>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("Service").field("url", &self.shown()).field("headers", &names).finish_non_exhaustive()
    }
}

/// One question.
#[derive(Debug)]
pub(super) struct Call<'c> {
    /// What is posted, JSON; nothing: it is a GET.
    pub(super) body: Option<Bytes>,
    /// Added to the query: a name, and a value that needs no escapes.
    pub(super) query: Option<(&'c str, &'c str)>,
    /// Whether another machine may be asked in cleartext.
    pub(super) in_cleartext: bool,
}

/// What a service answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The beginning of what it says.
    pub(super) text: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallError {
    /// It cannot be asked as it is described.
    Settings(String),
    /// It was asked.
    Failed(String),
}

/// Where a request goes.
struct Place {
    host: String,
    /// `host:port`
    server: String,
    is_tls: bool,
    request: Request<Full<Bytes>>,
}

impl Service {
    /// The one at `url` that `issuer` names; the error says which Secret is missing.
    pub(super) fn of(
        issuer: &Issuer,
        url: &str,
        roots: Option<&String>,
        headers: Option<&WholeSecretRef>,
    ) -> Result<Self, String> {
        Ok(Self { url: url.to_owned(), roots: roots.cloned(), headers: issuer.headers(headers)? })
    }

    /// Its URL without its query, which may hold a secret, and without a user.
    pub(super) fn shown(&self) -> String {
        shown(&self.url)
    }

    /// Asks, and waits for the answer, no longer than `limit` in all.
    pub(super) async fn call(&self, call: Call<'_>, limit: Duration) -> Result<Answer, CallError> {
        let place = self.place(call)?;
        let tls = if place.is_tls { Some(self.tls()?) } else { None };
        match timeout(limit, ask(place, tls)).await {
            Ok(answer) => answer.map_err(CallError::Failed),
            Err(_) => Err(CallError::Failed(format!("no answer within {limit:?}; is it well?"))),
        }
    }

    fn place(&self, call: Call<'_>) -> Result<Place, CallError> {
        let uri: Uri = self.url.parse().map_err(settings)?;
        let authority = uri.authority().ok_or_else(|| settings("its url has no host: write https://host/path"))?;
        if authority.as_str().contains('@') {
            return Err(settings("its url has a user: send credentials in a header"));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP && (call.in_cleartext || is_here(&host)) => false,
            _ => return Err(settings("its url must begin with https://; http:// is for localhost only")),
        };
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let server = format!("{}:{port}", authority.host());
        let target = target(&uri, call.query);
        let method = if call.body.is_some() { Method::POST } else { Method::GET };
        let is_json = call.body.is_some();
        let request = Request::builder().method(method).uri(target).body(Full::new(call.body.unwrap_or_default()));
        let mut request = request.map_err(settings)?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, AGENT);
        for (name, value) in &self.headers {
            let bad = || settings(format!("{name:?} is no header with a value that can be sent"));
            let name = HeaderName::try_from(name).map_err(|_| bad())?;
            let mut value = HeaderValue::try_from(value).map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        if is_json {
            headers.insert(CONTENT_TYPE, JSON);
        }
        headers.insert(HOST, HeaderValue::try_from(authority.as_str()).map_err(settings)?);
        Ok(Place { host, server, is_tls, request })
    }

    fn tls(&self) -> Result<TlsConnector, CallError> {
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

fn settings(why: impl std::fmt::Display) -> CallError {
    CallError::Settings(why.to_string())
}

/// Path and query.
fn target(uri: &Uri, more: Option<(&str, &str)>) -> String {
    let own = uri.path_and_query().map_or("/", |path| path.as_str());
    let Some((name, value)) = more else { return own.to_owned() };
    let joint = if uri.query().is_some() { '&' } else { '?' };
    format!("{own}{joint}{name}={value}")
}

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

async fn ask(place: Place, tls: Option<TlsConnector>) -> Result<Answer, String> {
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

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        Ok(Answer { status: response.status(), text: beginning(response.into_body()).await })
    };
    let mut answer = pin!(answer);
    let ended = tokio::select! {
        answer = &mut answer => return answer,
        ended = connection => ended,
    };
    // It may have hung up after the answer, which is still to be read then.
    let why = ended.err().map_or("it closes the connection".to_owned(), |error| error.to_string());
    answer.await.map_err(|_| why)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_may_be_secret() {
        for (url, expected) in [
            ("https://dns.example/a/b?key=1#x", "https://dns.example/a/b"),
            ("https://me:pass@dns.example/a@b", "https://dns.example/a@b"),
            ("https://dns.example?key=1", "https://dns.example"),
            ("nonsense", "://nonsense"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn a_query_is_added_to_the_one_that_is_there() {
        for (url, expected) in [
            ("https://a.example", "/?domain=b.example"),
            ("https://a.example/may", "/may?domain=b.example"),
            ("https://a.example/may?key=1", "/may?key=1&domain=b.example"),
        ] {
            assert_eq!(target(&url.parse().unwrap(), Some(("domain", "b.example"))), expected);
            assert_eq!(
                target(&url.parse().unwrap(), None),
                expected.split("domain").next().unwrap().trim_end_matches(['?', '&'])
            );
        }
    }
}
