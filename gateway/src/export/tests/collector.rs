// SPDX-License-Identifier: Apache-2.0
//! A collector that takes OTLP/gRPC and OTLP/HTTP on one port, and behaves as a test wants.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use prost::Message as _;
use tokio::net::TcpListener;

use crate::export::messages::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse, PATH, Span,
};
use crate::grpc::{frame, unframe};
use crate::samples::LOCAL;

/// What becomes of a message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Manner {
    /// It is taken.
    Takes,
    /// All but so many spans are taken.
    Refuses(i64),
    /// Not now.
    Unavailable,
    /// It makes no sense.
    Invalid,
    /// There is no answer.
    Silent,
}

/// What it was told.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

impl Told {
    pub(super) fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        self.0.lock().unwrap().clone()
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        let all = self.requests().into_iter().flat_map(|request| request.resource_spans);
        all.flat_map(|it| it.scope_spans).flat_map(|it| it.spans).collect()
    }
}

/// One that behaves so, the last of these for ever.
pub(super) async fn start(manners: &'static [Manner]) -> (SocketAddr, Told) {
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let (address, told) = (listener.local_addr().unwrap(), Told::default());
    let hears = told.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let hears = hears.clone();
            let answer = service_fn(move |request| answer(request, hears.clone(), manners));
            tokio::spawn(async move {
                let builder = Builder::new(TokioExecutor::new());
                builder.serve_connection(TokioIo::new(stream), answer).await.ok();
            });
        }
    });
    (address, told)
}

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

async fn answer(
    request: Request<Incoming>,
    told: Told,
    manners: &'static [Manner],
) -> Result<Response<Body>, Infallible> {
    let is_grpc = request.uri().path() == PATH;
    assert!(is_grpc || request.uri().path() == "/v1/traces", "{request:?}");
    let kind = if is_grpc { "application/grpc" } else { "application/x-protobuf" };
    assert_eq!(request.headers()["content-type"], kind);
    if is_grpc {
        assert_eq!(request.uri().authority().unwrap(), "otel.n.svc:4317");
    } else {
        assert_eq!(request.headers()["host"], "otel.n.svc:4317");
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let message = if is_grpc { unframe(&body).unwrap() } else { &body };
    let number = {
        let mut told = told.0.lock().unwrap();
        told.push(ExportTraceServiceRequest::decode(message).unwrap());
        told.len()
    };
    let manner = *manners.get(number - 1).or(manners.last()).unwrap();
    let refused = match manner {
        Manner::Silent => {
            tokio::time::sleep(Duration::from_mins(1)).await;
            0
        }
        Manner::Refuses(count) => count,
        Manner::Takes | Manner::Unavailable | Manner::Invalid => 0,
    };
    let partial = ExportTracePartialSuccess { rejected_spans: refused, error_message: "no".into() };
    let partial_success = (refused > 0).then_some(partial);
    let taken = ExportTraceServiceResponse { partial_success }.encode_to_vec();
    let (http, grpc) = match manner {
        Manner::Unavailable => (503, "14"),
        Manner::Invalid => (400, "3"),
        _ => (200, "0"),
    };
    if !is_grpc {
        let body = Full::new(Bytes::from(taken)).boxed_unsync();
        return Ok(Response::builder().status(http).body(body).unwrap());
    }
    let trailers =
        HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static(grpc))]);
    let body = Full::new(frame(&taken)).with_trailers(async move { Some(Ok(trailers)) });
    Ok(Response::new(body.boxed_unsync()))
}
