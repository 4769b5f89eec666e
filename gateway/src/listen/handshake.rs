// SPDX-License-Identifier: Apache-2.0
//! From an accepted socket to a TLS session of the right listener, or to a stream that goes on with its TLS.
//!
//! The hello is read here and nowhere else: by its server name the listener is chosen, and then TLS ends or passes
//! through, byte for byte.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::{Accepted, Acceptor};
use rustls::{ServerConfig, ServerConnection};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;
use torana_ir::ListenerKey;

use crate::access::Facts;
use crate::http::Worker;
use crate::io::{Io, Socket, TlsPeer, tls_version};
use crate::listen::proxy_header::Ends;
use crate::stream::{Client, Course, Intent};
use crate::table::{Bind, Handshake, Terms};
use crate::tls::{self, ACME_TLS, forwarded, names};

/// Content type of TLS handshake records (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;
/// A fatal `unrecognized_name` (RFC 6066 §3) in a plaintext record.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// Goodbye after the handshake of TLS-ALPN-01 may take so long, and so many bytes of the client are read meanwhile: a close
/// with bytes unread would be a reset.
const GOODBYE: Duration = Duration::from_secs(1);
const GOODBYE_BYTES: u64 = 4 << 10;
/// How requests in cleartext begin.
const METHODS: [&[u8]; 10] =
    [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"CONNECT ", b"TRACE ", b"PRI "];

/// Plain HTTP on a TLS port.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 34\r\n\
    connection: close\r\n\r\nthis port speaks HTTPS, not HTTP.\n";

/// Bytes of a hello, in as many records and segments as its client likes.
const LONGEST_HELLO: usize = 16 << 10;
/// Bytes of one read.
const PIECE: usize = 2 << 10;

/// What became of a connection that began with a hello.
pub(super) enum Shaken {
    /// Requests are inside.
    Requests(Box<Session>),
    /// It is passed on.
    Stream(Box<Client>, Box<Course>),
    /// It is over: an authority of ACME was shown what it asked for, and is told [`goodbye`].
    Proven(Box<TlsStream<Socket>>),
}

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

impl From<&'static str> for Failure {
    fn from(reason: &'static str) -> Self {
        Self { reason, listener: None }
    }
}

/// Shakes hands before the deadline of the socket's listeners, or finds out that somebody else is to. Failures are
/// counted, and the client is told what TLS can tell it.
pub(super) async fn shake(stream: TcpStream, ends: (IpAddr, Ends), bind: &Bind, worker: &Worker) -> Option<Shaken> {
    let limit = worker.table.load().bind(bind)?.limits().handshake_deadline;
    let started = Instant::now();
    let result = tokio::time::timeout(limit, handshake(stream, ends, bind, worker)).await;
    match result.unwrap_or_else(|_| Err("timeout".into())) {
        Ok((shaken, ended)) => {
            if let Some((listener, version)) = ended {
                worker.metrics.handshake(&listener, version, started.elapsed());
            }
            Some(shaken)
        }
        Err(failure) => {
            worker.metrics.tls_error(failure.listener.as_deref(), failure.reason);
            None
        }
    }
}

/// With what was shaken: the listener where TLS has ended, and the version, if it has.
type Done = (Shaken, Option<(ListenerKey, &'static str)>);

async fn handshake(mut stream: TcpStream, ends: (IpAddr, Ends), bind: &Bind, worker: &Worker) -> Result<Done, Failure> {
    let (direct, Ends { remote, local }) = ends;
    let (accepted, bytes) = hello(&mut stream).await?;
    let sni =
        accepted.client_hello().server_name().map(|name| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase());
    if let Some(config) = challenge(&accepted, sni.as_deref(), worker) {
        let stream = established((stream, accepted), config, None).await?;
        worker.metrics.challenge_answered("tls-alpn-01");
        return Ok((Shaken::Proven(Box::new(stream)), None));
    }
    obtained(sni.as_deref(), bind, worker).await;
    match choose(sni.as_deref(), bind, worker) {
        Ok(Handshake::Requests(listener, terms, heed)) => {
            let config = agreed(terms, &listener, worker)?;
            let stream = established((stream, accepted), config, Some(&listener)).await?;
            let session = stream.get_ref().1;
            let version = tls_version(session);
            let peer = TlsPeer {
                listener: sni.is_some().then(|| listener.clone()),
                sni,
                version,
                h2: matches!(session.alpn_protocol(), Some(b"h2" | b"istio-h2")),
                certificate: shown(session).filter(|_| heed.is_told).and_then(forwarded),
                names: shown(session).filter(|_| heed.is_verified).map(names).unwrap_or_default(),
            };
            let io = Box::new(Io::tls_server(stream));
            let ended = Some((listener.clone(), version));
            Ok((Shaken::Requests(Box::new(Session { io, peer, listener })), ended))
        }
        Ok(Handshake::Unwrap(routed, terms, heed)) => {
            let listener = routed.listener.key.clone();
            let intent = Intent::of(routed);
            if intent.is_refused() {
                // Whoever leads nowhere is not let in first: the connection is reset where it stands.
                let course = Box::new(intent.judged(&Facts::of(direct, (remote, local), sni.as_deref(), &[])));
                let client = Client { io: Box::new(Io::tcp(stream)), remote, sni, tls_version: None };
                return Ok((Shaken::Stream(Box::new(client), course), None));
            }
            let config = agreed(terms, &listener, worker)?;
            let stream = established((stream, accepted), config, Some(&listener)).await?;
            let session = stream.get_ref().1;
            let version = tls_version(session);
            let names = shown(session).filter(|_| heed.is_verified).map(names).unwrap_or_default();
            let course = Box::new(intent.judged(&Facts::of(direct, (remote, local), sni.as_deref(), &names)));
            let client = Client { io: Box::new(Io::tls_server(stream)), remote, sni, tls_version: Some(version) };
            Ok((Shaken::Stream(Box::new(client), course), Some((listener, version))))
        }
        Ok(Handshake::Pass(routed)) => {
            let mut io = Box::new(Io::tcp(stream));
            io.unread(&bytes);
            let course = Box::new(Course::set(routed, &Facts::of(direct, (remote, local), sni.as_deref(), &[])));
            let client = Client { io, remote, sni, tls_version: None };
            Ok((Shaken::Stream(Box::new(client), course), None))
        }
        Err(alert) => {
            if alert {
                // Whether it arrives or not, the connection is over.
                stream.write_all(&UNRECOGNIZED_NAME).await.ok();
            }
            Err("unrecognized_name".into())
        }
    }
}

/// What a question of TLS-ALPN-01 is answered with (RFC 8737 §3): of a client that offers the protocol of ACME and no
/// other, and names a host that is asked about.
fn challenge(accepted: &Accepted, sni: Option<&str>, worker: &Worker) -> Option<Arc<ServerConfig>> {
    let hello = accepted.client_hello();
    let is_asked = hello.alpn().is_some_and(|offered| offered.eq([ACME_TLS]));
    worker.table.load().challenges().handshake(sni.filter(|_| is_asked)?)
}

/// Ends a session in which nothing is said: the handshake was all that was asked for (RFC 8737 §3).
pub(super) async fn goodbye(mut stream: Box<TlsStream<Socket>>) {
    let ending = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(GOODBYE_BYTES), &mut tokio::io::sink()).await
    };
    // A client that has left, or does not leave, has seen what it asked for.
    let _ = tokio::time::timeout(GOODBYE, ending).await.is_ok();
}

/// The certificate that the client has shown.
fn shown(session: &ServerConnection) -> Option<&CertificateDer<'static>> {
    session.peer_certificates()?.first()
}

/// Reads until the hello is complete: what it says, and the bytes that said so.
async fn hello(stream: &mut TcpStream) -> Result<(Accepted, Vec<u8>), Failure> {
    let mut acceptor = Acceptor::default();
    let mut bytes = Vec::with_capacity(PIECE);
    loop {
        let before = bytes.len();
        let room = (LONGEST_HELLO - before).min(PIECE);
        if room == 0 {
            return Err("hello_too_long".into());
        }
        match (&mut *stream).take(room as u64).read_buf(&mut bytes).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err("closed".into()),
        }
        if before == 0 && bytes.first() != Some(&HANDSHAKE) {
            if METHODS.iter().any(|method| bytes.starts_with(method)) {
                stream.write_all(PLAIN_HTTP).await.ok();
            }
            return Err("not_tls".into());
        }
        let mut new = bytes.get(before..).unwrap_or_default();
        // From memory, which does not fail; rustls may take less than there is at once.
        while !new.is_empty() && acceptor.read_tls(&mut new).is_ok_and(|read| read > 0) {}
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok((accepted, bytes)),
            Ok(None) => {}
            Err((error, mut alert)) => {
                let mut answer = Vec::new();
                if alert.write_all(&mut answer).is_ok() {
                    stream.write_all(&answer).await.ok();
                }
                return Err(word(&error).into());
            }
        }
    }
}

/// Where certificates are obtained on demand and there is none for this name: waits a little until there is.
async fn obtained(sni: Option<&str>, bind: &Bind, worker: &Worker) {
    let lacking = || worker.table.load().bind(bind)?.demand(sni?);
    if let Some(demand) = lacking() {
        worker.demands.wait(demand, || lacking().is_none()).await;
    }
}

/// From the table of this moment, which is not held. An error is whether the client is told that its name is not known:
/// not where TLS passes through, for there it has not spoken to us.
fn choose(sni: Option<&str>, bind: &Bind, worker: &Worker) -> Result<Handshake, bool> {
    let table = worker.table.load();
    let bind = table.bind(bind).ok_or(false)?;
    bind.handshake(sni).ok_or_else(|| bind.ends_all_tls())
}

/// What the listener shakes hands with now.
fn agreed(terms: Terms, listener: &ListenerKey, worker: &Worker) -> Result<Arc<ServerConfig>, Failure> {
    let plan = match terms {
        Terms::Config(config) => return Ok(config),
        Terms::Mesh(plan) => plan,
    };
    let clients = plan.protocol().tls().and_then(|tls| tls.mesh.as_ref());
    let credential = worker.pools.credential();
    let config = clients.zip(credential).map(|(clients, credential)| credential.server(&clients.aliases));
    config.ok_or_else(|| Failure { reason: "no_mesh_identity", listener: Some(Box::new(listener.clone())) })
}

async fn established(
    (stream, accepted): (TcpStream, Accepted),
    config: Arc<ServerConfig>,
    listener: Option<&ListenerKey>,
) -> Result<TlsStream<Socket>, Failure> {
    let shaking = StartHandshake::from_parts(accepted, Socket(stream)).into_stream(config);
    let listener = || listener.cloned().map(Box::new);
    shaking.await.map_err(|error| Failure { reason: tls::reason(&error, word), listener: listener() })
}

fn word(error: &rustls::Error) -> &'static str {
    use rustls::Error;
    match error {
        Error::AlertReceived(_) => "client_alert",
        Error::PeerIncompatible(_) => "incompatible",
        Error::NoCertificatesPresented => "no_client_certificate",
        Error::InvalidCertificate(_) => "bad_client_certificate",
        Error::NoApplicationProtocol => "no_application_protocol",
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "invalid_message"
        }
        Error::General(text) if text.contains("no server certificate") => "no_certificate",
        Error::DecryptError => "decrypt",
        _ => "other",
    }
}
