// SPDX-License-Identifier: Apache-2.0
//! A backend that remembers the raw bytes that reached it and finds fault with everything that is not canonical.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::wire::find;

/// One request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `GET`.
    pub method: String,
    /// Path and query, byte for byte.
    pub target: String,
    /// Names as they came.
    pub headers: Vec<(String, String)>,
    /// The body without framing.
    pub body: Vec<u8>,
    /// Trailer fields, names as they came.
    pub trailers: Vec<(String, String)>,
    /// Which connection it came by, from 0.
    pub connection: usize,
    /// What a strict reader would refuse.
    pub faults: Vec<String>,
    /// What the handshake said, if there was one.
    pub tls: Option<SeenTls>,
}

/// What a handshake said of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenTls {
    /// What the gateway called the backend.
    pub sni: Option<String>,
    /// What was agreed on by ALPN.
    pub alpn: Option<String>,
    /// The certificate that the gateway showed, or had shown when the session began that was resumed.
    pub certificate: Option<CertificateDer<'static>>,
    /// It resumed a session.
    pub resumed: bool,
}

impl Seen {
    /// The first value of `name` (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What is sent back.
type Script = dyn Fn(&Seen) -> Vec<u8> + Send + Sync;

struct State {
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    bytes: AtomicUsize,
    script: Box<Script>,
    remembers: bool,
    tls: Option<Arc<ServerConfig>>,
}

/// A listening backend. Its threads end with their connections.
#[derive(Clone)]
pub struct Backend {
    /// Where it listens, on 127.0.0.1 unless an address was given.
    pub port: u16,
    state: Arc<State>,
}

impl Backend {
    /// Answers 200 with `name` as the body.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let answer = greeting(name);
        Self::scripted(move |_| answer.clone())
    }

    /// As [`Backend::named`], at an address of one's own; `None` if it is taken.
    #[must_use]
    pub fn at(address: SocketAddr, name: &str) -> Option<Self> {
        let answer = greeting(name);
        Some(Self::serving(TcpListener::bind(address).ok()?, Box::new(move |_| answer.clone()), true, None))
    }

    /// As [`Backend::named`], behind TLS.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn tls(name: &str, config: Arc<ServerConfig>) -> Self {
        let answer = greeting(name);
        Self::serving(free_listener(), Box::new(move |_| answer.clone()), true, Some(config))
    }

    /// Answers with the bytes that `script` gives. An answer without `keep`-able framing should end the connection:
    /// the connection is closed after an answer that starts with `!` (which is cut off).
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn scripted(script: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::serving(free_listener(), Box::new(script), true, None)
    }

    /// As [`Backend::scripted`], behind TLS at an address of one's own, with a free port; remembers nothing.
    ///
    /// # Panics
    /// If nothing can listen there.
    #[must_use]
    pub fn scripted_tls(
        address: IpAddr,
        config: Arc<ServerConfig>,
        script: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("an address of this machine");
        Self::serving(listener, Box::new(script), false, Some(config))
    }

    /// As [`Backend::named`], for more requests than should be remembered.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn forgetful(name: &str) -> Self {
        let answer = greeting(name);
        Self::serving(free_listener(), Box::new(move |_| answer.clone()), false, None)
    }

    fn serving(listener: TcpListener, script: Box<Script>, remembers: bool, tls: Option<Arc<ServerConfig>>) -> Self {
        let port = listener.local_addr().expect("a bound address").port();
        let state = Arc::new(State {
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            script,
            remembers,
            tls,
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                let connection = state.connections.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || accept(stream, connection, &state));
            }
        });
        Self { port, state }
    }

    /// Everything that arrived, oldest first.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets what arrived, and gives it.
    #[must_use]
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.state.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Bytes received so far, complete requests or not.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.state.bytes.load(Ordering::SeqCst)
    }
}

fn free_listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

/// 200 with `name` as the body.
fn greeting(name: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()).into_bytes()
}

fn accept(mut stream: TcpStream, connection: usize, state: &State) {
    let _ = stream.set_read_timeout(Some(Duration::from_mins(1))).is_ok();
    let Some(config) = &state.tls else { return serve(stream, connection, state, None) };
    let mut session = ServerConnection::new(Arc::clone(config)).expect("a usable configuration");
    while session.is_handshaking() {
        if session.complete_io(&mut stream).is_err() {
            return;
        }
    }
    let tls = SeenTls {
        sni: session.server_name().map(str::to_owned),
        alpn: session.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned()),
        certificate: session
            .peer_certificates()
            .and_then(|chain| chain.first().cloned())
            .map(CertificateDer::into_owned),
        resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
    };
    serve(StreamOwned::new(session, stream), connection, state, Some(&tls));
}

fn serve(mut stream: impl Read + Write, connection: usize, state: &State, tls: Option<&SeenTls>) {
    let mut reader = Reader { buffer: Vec::new(), state };
    while let Some(mut seen) = reader.request(&mut stream, connection) {
        seen.tls = tls.cloned();
        let answer = (state.script)(&seen);
        if state.remembers {
            state.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        }
        let (bytes, close) = match answer.strip_prefix(b"!") {
            Some(rest) => (rest, true),
            None => (&answer[..], false),
        };
        if stream.write_all(bytes).is_err() || close {
            return;
        }
    }
}

struct Reader<'a> {
    buffer: Vec<u8>,
    state: &'a State,
}

impl Reader<'_> {
    fn request(&mut self, stream: &mut impl Read, connection: usize) -> Option<Seen> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.more(stream)?;
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let mut seen = head_of(&head, connection);
        let chunked = seen.header("transfer-encoding").is_some();
        let length = seen.header("content-length").and_then(|text| text.parse::<usize>().ok());
        if chunked {
            self.chunks(stream, &mut seen)?;
        } else if let Some(length) = length {
            seen.body = self.exactly(stream, length)?;
        }
        Some(seen)
    }

    fn chunks(&mut self, stream: &mut impl Read, seen: &mut Seen) -> Option<()> {
        loop {
            let line = self.line(stream)?;
            if line.is_empty() || line.len() > 16 || !line.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                seen.faults.push(format!("chunk size line {line:?}"));
            }
            let size = usize::from_str_radix(&line, 16).ok()?;
            if size == 0 {
                return self.trailers(stream, seen);
            }
            seen.body.extend(self.exactly(stream, size)?);
            if self.exactly(stream, 2)? != b"\r\n" {
                seen.faults.push("chunk data not followed by CRLF".into());
            }
        }
    }

    fn trailers(&mut self, stream: &mut impl Read, seen: &mut Seen) -> Option<()> {
        loop {
            let line = self.line(stream)?;
            match line.split_once(':') {
                _ if line.is_empty() => return Some(()),
                Some((name, value)) => seen.trailers.push((name.to_owned(), value.trim().to_owned())),
                None => seen.faults.push(format!("trailer {line:?}")),
            }
        }
    }

    fn line(&mut self, stream: &mut impl Read) -> Option<String> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                break at;
            }
            self.more(stream)?;
        };
        let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 2);
        Some(line)
    }

    fn exactly(&mut self, stream: &mut impl Read, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            self.more(stream)?;
        }
        Some(self.buffer.drain(..length).collect())
    }

    fn more(&mut self, stream: &mut impl Read) -> Option<()> {
        let mut bytes = [0; 16 << 10];
        let read = stream.read(&mut bytes).ok().filter(|read| *read > 0)?;
        self.state.bytes.fetch_add(read, Ordering::SeqCst);
        self.buffer.extend_from_slice(&bytes[..read]);
        Some(())
    }
}

/// Reads a head and notes everything that is not canonical: one framing field, digits only, exactly `chunked`, CRLF
/// only, token names, one valid Host, an origin-form target.
fn head_of(head: &[u8], connection: usize) -> Seen {
    let text = String::from_utf8_lossy(head).into_owned();
    let mut faults = Vec::new();
    let bare = head.iter().enumerate().any(|(at, byte)| {
        (*byte == b'\n' && (at == 0 || head[at - 1] != b'\r')) || (*byte == b'\r' && head.get(at + 1) != Some(&b'\n'))
    });
    if bare || head.contains(&0) {
        faults.push("bare CR, bare LF or NUL in the head".to_owned());
    }
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let start: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    if start.len() != 3 || start[2] != "HTTP/1.1" {
        faults.push(format!("start line {start:?}"));
    }
    let target = start.get(1).copied().unwrap_or_default();
    if !target.starts_with('/') || target.contains('#') || !target.is_ascii() {
        faults.push(format!("target {target:?}"));
    }
    let mut headers = Vec::new();
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            faults.push(format!("line {line:?}"));
            continue;
        };
        if name.is_empty()
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^`|~".contains(&byte))
        {
            faults.push(format!("field name {name:?}"));
        }
        headers.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
    let method = start.first().copied().unwrap_or_default().to_owned();
    let mut seen = Seen {
        method,
        target: target.to_owned(),
        headers,
        body: Vec::new(),
        trailers: Vec::new(),
        connection,
        faults,
        tls: None,
    };
    framing_faults(&mut seen);
    seen
}

fn framing_faults(seen: &mut Seen) {
    let all = |name: &str| {
        let mine = seen.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        mine.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let (hosts, lengths, codings) = (all("host"), all("content-length"), all("transfer-encoding"));
    let mut faults = Vec::new();
    if hosts.len() != 1 || hosts[0].is_empty() || hosts[0].contains([',', ' ', '/', '@', '?', '#', '\\']) {
        faults.push(format!("hosts {hosts:?}"));
    }
    if lengths.len() + codings.len() > 1 {
        faults.push(format!("framing {lengths:?} {codings:?}"));
    }
    if lengths.iter().any(|length| length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit())) {
        faults.push(format!("content-length {lengths:?}"));
    }
    if codings.iter().any(|coding| coding != "chunked") {
        faults.push(format!("transfer-encoding {codings:?}"));
    }
    seen.faults.extend(faults);
}
