// SPDX-License-Identifier: Apache-2.0
//! From an accepted socket to a TLS session of the right listener.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};
use torana_ir::ListenerKey;

use crate::http::Worker;
use crate::io::{Io, TlsPeer, tls_version};
use crate::table::Bind;

/// Content type of TLS handshake records (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;
/// A fatal `unrecognized_name` (RFC 6066 §3) in a plaintext record.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// Plain HTTP on a TLS port.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 34\r\n\
    connection: close\r\n\r\nthis port speaks HTTPS, not HTTP.\n";

/// A session, and the listener that it belongs to.
pub(super) struct Session {
    pub(super) io: Box<Io>,
    pub(super) peer: TlsPeer,
    pub(super) listener: ListenerKey,
}

/// Why there is no session: the word of `torana_tls_errors_total{reason}`, and the listener if one was chosen.
struct Failure {
    reason: &'static str,
    listener: Option<Box<ListenerKey>>,
}

/// What the rest of a handshake needs.
type Chosen = (ListenerKey, Arc<ServerConfig>);

impl From<&'static str> for Failure {
    fn from(reason: &'static str) -> Self {
        Self { reason, listener: None }
    }
}

/// Shakes hands before the deadline of the socket's listeners. Failures are counted, and the client is told what TLS can
/// tell it.
pub(super) async fn shake(stream: TcpStream, bind: &Bind, worker: &Worker) -> Option<Session> {
    let limit = worker.table.load().bind(bind)?.limits().handshake_deadline;
    let started = Instant::now();
    let result = tokio::time::timeout(limit, handshake(stream, bind, worker)).await;
    match result.unwrap_or_else(|_| Err("timeout".into())) {
        Ok(session) => {
            worker.metrics.handshake(&session.listener, session.peer.version, started.elapsed());
            Some(session)
        }
        Err(failure) => {
            worker.metrics.tls_error(failure.listener.as_deref(), failure.reason);
            None
        }
    }
}

async fn handshake(mut stream: TcpStream, bind: &Bind, worker: &Worker) -> Result<Session, Failure> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) if first[0] == HANDSHAKE => {}
        Ok(1) => {
            if first[0].is_ascii_uppercase() {
                // Whether it arrives or not, the connection is over.
                stream.write_all(PLAIN_HTTP).await.ok();
            }
            return Err("not_tls".into());
        }
        _ => return Err("closed".into()),
    }
    // rustls reads at most one handshake message of 64 KiB before it gives up.
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let mut start = (&mut acceptor).await.map_err(|error| Failure::from(reason(&error)))?;
    let sni = start.client_hello().server_name().map(str::to_ascii_lowercase);
    let Some((listener, config)) = choose(sni.as_deref(), bind, worker) else {
        start.io.write_all(&UNRECOGNIZED_NAME).await.ok();
        return Err("unrecognized_name".into());
    };
    match established(start, config).await {
        Ok(stream) => {
            let session = stream.get_ref().1;
            let peer = TlsPeer {
                listener: sni.is_some().then(|| listener.clone()),
                sni,
                version: tls_version(session),
                h2: session.alpn_protocol() == Some(b"h2"),
            };
            Ok(Session { io: Box::new(Io::tls_server(stream)), peer, listener })
        }
        Err(error) => Err(Failure { reason: reason(&error), listener: Some(Box::new(listener)) }),
    }
}

/// From the table of this moment, which is not held.
fn choose(sni: Option<&str>, bind: &Bind, worker: &Worker) -> Option<Chosen> {
    let table = worker.table.load();
    let (listener, config) = table.bind(bind)?.tls()?.select(sni)?;
    Some((listener.clone(), config))
}

async fn established(
    start: StartHandshake<TcpStream>,
    config: Arc<ServerConfig>,
) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    start.into_stream(config).await
}

fn reason(error: &io::Error) -> &'static str {
    use rustls::Error;
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(Error::AlertReceived(_)) => "client_alert",
        Some(Error::PeerIncompatible(_)) => "incompatible",
        Some(Error::NoCertificatesPresented) => "no_client_certificate",
        Some(Error::InvalidCertificate(_)) => "bad_client_certificate",
        Some(Error::NoApplicationProtocol) => "no_application_protocol",
        Some(
            Error::InvalidMessage(_) | Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. },
        ) => "invalid_message",
        Some(Error::General(text)) if text.contains("no server certificate") => "no_certificate",
        Some(Error::DecryptError) => "decrypt",
        Some(_) => "other",
        None => "closed",
    }
}
