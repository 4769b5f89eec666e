// SPDX-License-Identifier: Apache-2.0
//! One message to a collector, by OTLP/gRPC or OTLP/HTTP, and what its answer comes to. Bounded in time by who calls, in
//! size here.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, TE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use torana_ir::CollectorProtocol;

use super::encode::refused;
use super::failure::Failure;
use super::link::{Link, Place};
use super::messages::PATH;
use crate::grpc::{frame, unframe};

/// What we say that we are.
const AGENT: &str = concat!("torana-gateway/", env!("CARGO_PKG_VERSION"));
/// Bytes of an answer that are read.
const MOST: usize = 64 << 10;

/// Tells a collector, by a link to it; how many spans it refuses.
pub(super) async fn tell(link: &mut Link, place: Place<'_>, message: &Bytes) -> Result<u64, Failure> {
    let request = request(place, message)?;
    let is_grpc = place.collector.protocol == CollectorProtocol::Grpc;
    let (head, body) = link.send(request).await?.into_parts();
    let collected = Limited::new(body, MOST).collect().await.map_err(|_| Failure::Broken)?;
    let trailers = collected.trailers().cloned();
    let body = collected.to_bytes();
    if is_grpc {
        let status = grpc_status(&head.headers).or_else(|| trailers.as_ref().and_then(grpc_status));
        return match status {
            Some(0) => refused(unframe(&body).map_err(|_| Failure::Broken)?).ok_or(Failure::Broken),
            Some(status) => Err(Failure::Grpc(status)),
            // What stands before the collector has answered for it.
            None if head.status != http::StatusCode::OK => Err(Failure::Status(head.status.as_u16(), None)),
            None => Err(Failure::Broken),
        };
    }
    if !head.status.is_success() {
        return Err(Failure::Status(head.status.as_u16(), rest(&head.headers)));
    }
    // Some answer with nothing, or with a text: it has taken all.
    Ok(refused(&body).unwrap_or_default())
}

fn request(place: Place<'_>, message: &Bytes) -> Result<Request<Full<Bytes>>, Failure> {
    let collector = place.collector;
    let (path, kind) = match &collector.protocol {
        CollectorProtocol::Grpc => (PATH, "application/grpc"),
        CollectorProtocol::Http { path } => (path.as_str(), "application/x-protobuf"),
    };
    let mut uri = http::Uri::builder().path_and_query(path);
    if place.is_http2() {
        uri = uri.scheme(if place.is_tls() { "https" } else { "http" }).authority(collector.authority.as_str());
    }
    let uri = uri.build().map_err(|_| Failure::Unsendable)?;
    let body = if collector.protocol == CollectorProtocol::Grpc { frame(message) } else { message.clone() };
    let mut request = Request::post(uri).body(Full::new(body)).map_err(|_| Failure::Unsendable)?;
    let fields = request.headers_mut();
    for (name, value) in &collector.headers {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).map_err(|_| Failure::Unsendable)?;
        fields.append(name, HeaderValue::from_str(value.as_str()).map_err(|_| Failure::Unsendable)?);
    }
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if !place.is_http2() {
        fields.insert(HOST, HeaderValue::from_str(&collector.authority).map_err(|_| Failure::Unsendable)?);
    }
    if collector.protocol == CollectorProtocol::Grpc {
        fields.insert(TE, HeaderValue::from_static("trailers"));
    }
    Ok(request)
}

fn grpc_status(fields: &HeaderMap) -> Option<u32> {
    fields.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// `Retry-After` in seconds; a date is not worth the trouble.
fn rest(fields: &HeaderMap) -> Option<Duration> {
    fields.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
