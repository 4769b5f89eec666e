// SPDX-License-Identifier: Apache-2.0
//! A small HTTP server with small limits, for operators and probes of every program.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections at a time; more are closed at once.
const CONNECTIONS: usize = 64;
/// From the first byte of a head to its last.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// Of a connection, whatever it does: probes come again.
const CONNECTION_DEADLINE: Duration = Duration::from_mins(1);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;
/// Bytes of a request's body.
const BODY_BYTES: usize = 1 << 10;
/// Wait after a failed accept: without descriptors there is nothing else to do.
const PAUSE: Duration = Duration::from_millis(100);

/// A request, read to its end.
#[derive(Debug)]
pub struct Question {
    /// `GET` …
    pub method: Method,
    /// As it came, without the query.
    pub path: String,
    /// What follows the `?`.
    pub query: String,
    /// `Host` without its port, empty if absent.
    pub host: String,
    /// At most 1 KiB.
    pub body: Bytes,
}

/// What is asked for: all at once, or in pieces that are made while it is read.
pub type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// What a server answers with.
pub trait Service: Send + Sync + 'static {
    /// May block for the time of a serialisation.
    fn answer(&self, question: &Question) -> Answer;
}

/// Serves for the life of the process.
pub async fn serve(listener: TcpListener, service: Arc<dyn Service>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "accept failed");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            let _place = place;
            // Slow and broken clients are no news.
            tokio::time::timeout(CONNECTION_DEADLINE, connection(stream, service)).await.ok();
        });
    }
}

async fn connection(stream: TcpStream, service: Arc<dyn Service>) {
    let respond = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(respond(request, service).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), respond)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection of an operator");
    }
}

async fn respond(request: Request<Incoming>, service: Arc<dyn Service>) -> Answer {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the body is broken or longer than 1 KiB\n");
    };
    let host = head.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let question = Question {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        host: torana_ir::hostname_of(host).to_ascii_lowercase(),
        body: body.to_bytes(),
    };
    // Snapshots may be large: their serialisation does not hold the runtime up.
    let answered = tokio::task::spawn_blocking(move || service.answer(&question)).await;
    answered.unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made\n"))
}

/// An answer in words.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    answer(status, "text/plain; charset=utf-8", body.into())
}

pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    answer(status, "application/json", body.into())
}

pub(super) fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "not found\n")
}

/// 405, naming the methods that are.
pub fn not_allowed(allowed: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// An answer of that content type, which nobody may cache or guess about.
pub fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    answer_of(status, kind, Full::new(body).boxed_unsync())
}

pub(super) fn answer_of(status: StatusCode, kind: &'static str, body: UnsyncBoxBody<Bytes, Infallible>) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
