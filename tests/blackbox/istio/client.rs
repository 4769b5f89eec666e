// SPDX-License-Identifier: Apache-2.0
//! The client of a case: connects, shakes hands, sends one request and reads the answer. Never judges it.

use std::io::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DEFAULT_VERSIONS};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use torana_tests::{Connection, Reply, client};

use super::case::{Call, Handshake};
use super::stage::Stage;

/// An answer, and whom it came from.
pub(super) struct Answer {
    pub(super) reply: Reply,
    pub(super) certificate: Option<CertificateDer<'static>>,
    pub(super) alpn: Option<Vec<u8>>,
}

/// Sends a call once.
pub(super) fn send(stage: &Stage, call: &Call) -> Result<Answer, Error> {
    let (method, host, target) = call.line().unwrap_or_default();
    let port = call.port.as_deref().unwrap_or(if call.tls.is_some() { "HTTPS" } else { "HTTP" });
    let port = stage.port(port).ok_or_else(|| Error::other(format!("no manifest has a port ${{{port}}}")))?;
    let address: IpAddr = match &call.address {
        Some(text) => text.parse().map_err(Error::other)?,
        None => Ipv4Addr::LOCALHOST.into(),
    };
    let address = SocketAddr::new(address, port);
    let name = host.split(':').next().unwrap_or_default();
    let mut tls = call.tls.as_ref().map(|tls| shaking(stage, tls, name));
    if call.http2 {
        if let Some((config, _)) = &mut tls {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        return by_http2(address, tls, call);
    }
    let mut connection = match tls {
        None => Connection::to(address)?,
        Some((config, name)) => Connection::tls_to(address, &name, &Arc::new(config))?,
    };
    let session = connection.session();
    let certificate = session.and_then(|session| Some(session.peer_certificates()?.first()?.clone().into_owned()));
    let alpn = session.and_then(|session| session.alpn_protocol().map(<[u8]>::to_vec));
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in &call.headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    if ["POST", "PUT", "PATCH"].contains(&method) {
        text += "Content-Length: 0\r\n";
    }
    connection.send(format!("{text}\r\n").as_bytes())?;
    Ok(Answer { reply: connection.reply(method)?, certificate, alpn })
}

/// Every certificate is taken: which one it was is looked at afterwards.
fn shaking(stage: &Stage, tls: &Handshake, host: &str) -> (ClientConfig, String) {
    let versions = match tls.version.as_deref() {
        Some("1.2") => &[&TLS12][..],
        Some("1.3") => &[&TLS13],
        Some(other) => panic!("there is no version {other} of TLS"),
        None => DEFAULT_VERSIONS,
    };
    let mut config = (*client(&[], versions)).clone();
    config.alpn_protocols = tls.alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    if let Some(authority) = &tls.certificate {
        config.client_auth_cert_resolver = Arc::clone(&stage.client(authority).client_auth_cert_resolver);
    }
    // An address is no server name, so none is sent.
    let name = match tls.sni.as_deref().unwrap_or(host) {
        "none" => "127.0.0.1",
        name => name,
    };
    (config, name.to_owned())
}

fn by_http2(address: SocketAddr, tls: Option<(ClientConfig, String)>, call: &Call) -> Result<Answer, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = TcpStream::connect(address).await?;
        let Some((config, name)) = tls else { return exchange(stream, "http", call, (None, None)).await };
        let name = ServerName::try_from(name).map_err(Error::other)?;
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let session = stream.get_ref().1;
        let certificate = session.peer_certificates().and_then(|chain| Some(chain.first()?.clone().into_owned()));
        let alpn = session.alpn_protocol().map(<[u8]>::to_vec);
        exchange(stream, "https", call, (certificate, alpn)).await
    })
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    scheme: &str,
    call: &Call,
    (certificate, alpn): (Option<CertificateDer<'static>>, Option<Vec<u8>>),
) -> Result<Answer, Error> {
    let (method, host, target) = call.line().unwrap_or_default();
    let (send, connection) = h2::client::handshake(stream).await.map_err(Error::other)?;
    tokio::spawn(async move {
        let _ = connection.await.is_ok();
    });
    let mut send: h2::client::SendRequest<Bytes> = send.ready().await.map_err(Error::other)?;
    let mut request = http::Request::builder().method(method).uri(format!("{scheme}://{host}{target}"));
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    let request = request.body(()).map_err(Error::other)?;
    let response = send.send_request(request, true).map_err(Error::other)?.0.await.map_err(Error::other)?;
    let value = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = response.headers().iter().map(|(name, text)| (name.to_string(), value(text))).collect();
    let (status, mut body, mut bytes) = (response.status().as_u16(), response.into_body(), Vec::new());
    while let Some(data) = body.data().await {
        bytes.extend(data.map_err(Error::other)?);
    }
    Ok(Answer { reply: Reply { status, headers, body: bytes }, certificate, alpn })
}
