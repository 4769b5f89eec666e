// SPDX-License-Identifier: Apache-2.0
//! One check by HTTP/2, of a request of HTTP or of gRPC: a connection with one stream. What the peer may send is bounded
//! by the windows and lists that it is told.

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::{HeaderMap, Method, Request, Response};
use torana_ir::{Authority, HttpProbe, ProbeMethod};

use super::failure::Failure;
use super::grpc;
use super::probe::USER_AGENT;
use crate::io::Io;

/// Bytes of a list of fields.
const FIELDS: u32 = 16 << 10;

/// The status that a request gets.
pub(super) async fn status(io: Io, probe: &HttpProbe, is_tls: bool) -> Result<u16, Failure> {
    let method = match probe.method {
        ProbeMethod::Get => Method::GET,
        ProbeMethod::Head => Method::HEAD,
    };
    let request = request((method, &probe.host, probe.target.as_str()), is_tls)?;
    exchange(io, |mut stream: SendRequest<Bytes>| async move {
        let (answer, _) = stream.send_request(request, true).map_err(|_| Failure::Broken)?;
        Ok(answer.await.map_err(|_| Failure::Broken)?.status().as_u16())
    })
    .await
}

/// Whether `grpc.health.v1.Health` says that `service` serves.
pub(super) async fn serves(io: Io, (host, service): (&Authority, &str), is_tls: bool) -> Result<(), Failure> {
    let mut request = request((Method::POST, host, grpc::PATH), is_tls)?;
    let fields = request.headers_mut();
    fields.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/grpc"));
    fields.insert(http::header::TE, http::HeaderValue::from_static("trailers"));
    let question = grpc::question(service);
    exchange(io, |mut stream: SendRequest<Bytes>| async move {
        let (answer, mut body) = stream.send_request(request, false).map_err(|_| Failure::Broken)?;
        body.send_data(question, true).map_err(|_| Failure::Broken)?;
        ruling(answer.await.map_err(|_| Failure::Broken)?).await
    })
    .await
}

fn request((method, host, target): (Method, &Authority, &str), is_tls: bool) -> Result<Request<()>, Failure> {
    let scheme = if is_tls { "https" } else { "http" };
    let uri = http::Uri::builder().scheme(scheme).authority(host.as_str()).path_and_query(target).build();
    let request = Request::builder().method(method).uri(uri.map_err(|_| Failure::Broken)?);
    request.header(http::header::USER_AGENT, USER_AGENT).body(()).map_err(|_| Failure::Broken)
}

/// Drives a connection for as long as `ask` needs it.
async fn exchange<T, F>(io: Io, ask: impl FnOnce(SendRequest<Bytes>) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut builder = Builder::new();
    builder.enable_push(false).max_header_list_size(FIELDS).max_concurrent_streams(0);
    let (stream, connection) = builder.handshake(io).await.map_err(|_| Failure::Broken)?;
    let asking = async {
        let stream = stream.ready().await.map_err(|_| Failure::Broken)?;
        ask(stream).await
    };
    tokio::pin!(asking, connection);
    tokio::select! {
        biased;
        answer = &mut asking => answer,
        // What came before the end is still to be read.
        _ = &mut connection => asking.await,
    }
}

/// What an answer of gRPC comes to: its status is in the trailers, or in the head if nothing else comes.
async fn ruling(answer: Response<h2::RecvStream>) -> Result<(), Failure> {
    if answer.status() != http::StatusCode::OK {
        return Err(Failure::Status(answer.status().as_u16()));
    }
    let (head, mut body) = answer.into_parts();
    if let Some(status) = grpc_status(&head.headers)? {
        return refused_unless_ok(status);
    }
    let mut message = Vec::new();
    while let Some(piece) = body.data().await {
        message.extend_from_slice(&piece.map_err(|_| Failure::Broken)?);
        if message.len() > grpc::MOST {
            return Err(Failure::Broken);
        }
    }
    let trailers = body.trailers().await.map_err(|_| Failure::Broken)?.unwrap_or_default();
    refused_unless_ok(grpc_status(&trailers)?.ok_or(Failure::Broken)?)?;
    grpc::judge(&message)
}

fn refused_unless_ok(status: u32) -> Result<(), Failure> {
    if status == 0 { Ok(()) } else { Err(Failure::Grpc(status)) }
}

fn grpc_status(fields: &HeaderMap) -> Result<Option<u32>, Failure> {
    let Some(status) = fields.get("grpc-status") else { return Ok(None) };
    status.to_str().ok().and_then(|status| status.parse().ok()).map(Some).ok_or(Failure::Broken)
}
