// SPDX-License-Identifier: Apache-2.0
//! A proxy of ours, in front of the real thing: everything between a controller and the API server goes by it. On command
//! it delays, refuses, answers itself, swallows what is sent, shows an expired certificate, and tampers with watches. It
//! remembers every request, so that tests can count.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::server::{NAME, Server};
use super::tamper::Watches;

pub(super) type Body = BoxBody<Bytes, std::io::Error>;

/// One request that came by.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) at: Instant,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) is_watch: bool,
    /// Whether it is a watch that begins with a list.
    pub(super) is_initial: bool,
    /// Whether only some objects are meant: one path may be watched twice.
    pub(super) selects: bool,
    token: String,
    /// What it was answered; 0 while it was not.
    pub(super) status: u16,
}

impl Asked {
    /// Whether it changes what is stored.
    pub(super) fn writes(&self) -> bool {
        self.method != "GET" && !self.path.contains("tokenreviews")
    }

    /// Whether it lists a kind, in pages or as a stream.
    pub(super) fn lists(&self) -> bool {
        let is_one = self.path.contains("/namespaces/");
        let begins = self.is_initial || !self.is_watch;
        self.method == "GET" && begins && self.path.starts_with("/api") && self.path.ends_with('s') && !is_one
    }
}

/// What happens to a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// It is held up.
    Slow(Duration),
    /// It is answered with this status, and with `Retry-After`.
    Answer(u16, Option<u32>),
}

struct Rule {
    concerns: Box<dyn Fn(&Asked) -> bool + Send>,
    fault: Fault,
    left: usize,
}

struct State {
    upstream: SocketAddr,
    client: Arc<ClientConfig>,
    certificates: [Arc<ServerConfig>; 2],
    has_expired: AtomicBool,
    /// New connections are swallowed too.
    is_cut: AtomicBool,
    /// Whether each connection is swallowed.
    connections: Mutex<Vec<Arc<AtomicBool>>>,
    rules: Mutex<Vec<Rule>>,
    refused: Mutex<Option<String>>,
    asked: Mutex<Vec<Asked>>,
    /// Statuses of a Gateway without an address.
    withdrawn: Mutex<Vec<(Instant, String)>>,
    watches: Watches,
}

/// The proxy. It ends with the runtime.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) port: u16,
    state: Arc<State>,
}

impl Line {
    /// In front of `server`.
    pub(super) async fn start(server: &Server) -> Self {
        let state = Arc::new(State {
            upstream: ([127, 0, 0, 1], server.port).into(),
            client: server.authority.client(&[]),
            certificates: [server.authority.server(&[NAME], &[], None), server.authority.expired(&[NAME])],
            has_expired: AtomicBool::default(),
            is_cut: AtomicBool::default(),
            connections: Mutex::default(),
            rules: Mutex::default(),
            refused: Mutex::default(),
            asked: Mutex::default(),
            withdrawn: Mutex::default(),
            watches: Watches::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).unwrap();
                    tokio::spawn(serve(Arc::clone(&state), stream));
                }
            }
        });
        Self { port, state }
    }

    /// The next `times` requests that this concerns meet a fault.
    pub(super) fn fault(&self, times: usize, fault: Fault, concerns: impl Fn(&Asked) -> bool + Send + 'static) {
        self.state.rules.lock().unwrap().push(Rule { concerns: Box::new(concerns), fault, left: times });
    }

    /// No request meets a fault.
    pub(super) fn heal(&self) {
        self.state.rules.lock().unwrap().clear();
        self.state.is_cut.store(false, Ordering::Relaxed);
        self.state.has_expired.store(false, Ordering::Relaxed);
    }

    /// Every connection goes silent and stays open: what is sent is swallowed, nothing comes. New ones are well.
    pub(super) fn swallow(&self) {
        self.state.connections.lock().unwrap().iter().for_each(|it| it.store(true, Ordering::Relaxed));
    }

    /// As [`Line::swallow`], new connections too, until it heals.
    pub(super) fn cut(&self) {
        self.state.is_cut.store(true, Ordering::Relaxed);
        self.swallow();
    }

    /// The certificate of the API server has ended.
    pub(super) fn expire(&self) {
        self.state.has_expired.store(true, Ordering::Relaxed);
    }

    /// This token is good no longer.
    pub(super) fn refuse(&self, token: &str) {
        *self.state.refused.lock().unwrap() = Some(format!("Bearer {token}"));
    }

    /// What can be done to watches.
    pub(super) fn watches(&self) -> &Watches {
        &self.state.watches
    }

    /// Connections that were made until now.
    pub(super) fn connections(&self) -> usize {
        self.state.connections.lock().unwrap().len()
    }

    /// Requests that came by since `since`.
    pub(super) fn since(&self, since: Instant) -> Vec<Asked> {
        self.state.asked.lock().unwrap().iter().filter(|asked| asked.at >= since).cloned().collect()
    }

    /// How many of them were such.
    pub(super) fn count(&self, since: Instant, is: impl Fn(&Asked) -> bool) -> usize {
        self.since(since).iter().filter(|asked| is(asked)).count()
    }

    /// No Gateway lost its address in what was written since `since`: whoever makes DNS records of them would take them
    /// away.
    pub(super) fn keeps_addresses(&self, since: Instant) {
        let withdrawn = self.state.withdrawn.lock().unwrap();
        let withdrawn: Vec<_> = withdrawn.iter().filter(|(at, _)| *at >= since).map(|(_, text)| text).collect();
        assert!(withdrawn.is_empty(), "{withdrawn:?}");
    }

    /// Writes since `since`, in words.
    pub(super) fn writes(&self, since: Instant) -> Vec<String> {
        let writes = self.since(since).into_iter().filter(|asked| asked.writes() && !asked.path.contains("leases"));
        writes.map(|asked| format!("{} {} {}", asked.method, asked.path, asked.status)).collect()
    }
}

async fn serve(state: Arc<State>, stream: TcpStream) {
    let is_swallowed = Arc::new(AtomicBool::new(state.is_cut.load(Ordering::Relaxed)));
    state.connections.lock().unwrap().push(Arc::clone(&is_swallowed));
    let certificate = &state.certificates[usize::from(state.has_expired.load(Ordering::Relaxed))];
    let acceptor = TlsAcceptor::from(Arc::clone(certificate));
    let Ok(stream) = acceptor.accept(Hole { stream, is_swallowed }).await else { return };
    let service = service_fn(move |request| pass(Arc::clone(&state), request));
    // Whoever asked has gone, or is to be cut off.
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

async fn pass(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
    let query = request.uri().query().unwrap_or_default();
    let token = request.headers().get("authorization").and_then(|it| it.to_str().ok()).unwrap_or_default();
    let asked = Asked {
        at: Instant::now(),
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        is_watch: query.contains("watch=true") || query.contains("watch=1"),
        is_initial: query.contains("sendInitialEvents=true"),
        selects: query.contains("labelSelector"),
        token: token.to_owned(),
        status: 0,
    };
    let place = {
        let mut all = state.asked.lock().unwrap();
        all.push(asked.clone());
        all.len() - 1
    };
    let answer = answer(&state, request, &asked).await;
    let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
    state.asked.lock().unwrap()[place].status = status;
    answer
}

async fn answer(state: &State, request: Request<Incoming>, asked: &Asked) -> Result<Response<Body>, std::io::Error> {
    if state.refused.lock().unwrap().as_deref() == Some(&asked.token) {
        return Ok(said(401, None));
    }
    match state.met(asked) {
        None => {}
        Some(Fault::Slow(pause)) => tokio::time::sleep(pause).await,
        Some(Fault::Answer(status, retry)) => return Ok(said(status, retry)),
    }
    let stream = TcpStream::connect(state.upstream).await?;
    stream.set_nodelay(true)?;
    let name = NAME.try_into().map_err(std::io::Error::other)?;
    let stream = TlsConnector::from(Arc::clone(&state.client)).connect(name, stream).await?;
    let made = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = made.map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let text = String::from_utf8_lossy(&body);
    if asked.path.ends_with("/status") && text.contains("\"addresses\":[]") {
        state.withdrawn.lock().unwrap().push((asked.at, text.into_owned()));
    }
    let request = Request::from_parts(parts, Full::new(body));
    let (parts, body) = sender.send_request(request).await.map_err(std::io::Error::other)?.into_parts();
    let body = if asked.is_watch && parts.status == StatusCode::OK {
        state.watches.carry(&asked.path, body)
    } else {
        body.map_err(std::io::Error::other).boxed()
    };
    Ok(Response::from_parts(parts, body))
}

impl State {
    /// The fault that this request meets.
    fn met(&self, asked: &Asked) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap();
        let rule = rules.iter_mut().find(|rule| rule.left > 0 && (rule.concerns)(asked))?;
        rule.left -= 1;
        Some(rule.fault)
    }
}

/// As an API server says it when it is too busy to say it in JSON.
fn said(status: u16, retry: Option<u32>) -> Response<Body> {
    let mut response = Response::builder().status(status);
    if let Some(seconds) = retry {
        response = response.header("retry-after", seconds);
    }
    let body = Full::from("said by a proxy of the test").map_err(|never| match never {}).boxed();
    response.body(body).unwrap()
}

/// A connection that can go silent without being closed.
struct Hole {
    stream: TcpStream,
    is_swallowed: Arc<AtomicBool>,
}

impl AsyncRead for Hole {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if self.is_swallowed.load(Ordering::Relaxed) {
            into.set_filled(before);
            return Poll::Pending;
        }
        read
    }
}

impl AsyncWrite for Hole {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        if self.is_swallowed.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.is_swallowed.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
