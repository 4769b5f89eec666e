// SPDX-License-Identifier: Apache-2.0
//! Health of the controller: `/healthz` is whether it runs, `/readyz` whether it has seen the whole cluster once; and
//! `/metrics`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use torana_controller::metrics::Metrics;

/// From accept to the end of the connection.
const DEADLINE: Duration = Duration::from_secs(10);

/// Serves until the process ends.
pub(crate) async fn serve(address: SocketAddr, ready: watch::Receiver<bool>, metrics: Metrics) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (ready, metrics) = (ready.clone(), metrics.clone());
            tokio::spawn(async move {
                let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let answer = answer(request.uri().path(), *ready.borrow(), &metrics);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let mut server = http1::Builder::new();
                server.timer(TokioTimer::new()).header_read_timeout(DEADLINE).keep_alive(false);
                tokio::time::timeout(DEADLINE, server.serve_connection(TokioIo::new(stream), answer)).await.ok();
            });
        }
    });
    Ok(())
}

fn answer(path: &str, ready: bool, metrics: &Metrics) -> Response<Full<Bytes>> {
    if path == "/metrics" {
        let mut response = Response::new(Full::from(metrics.text()));
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        return response;
    }
    let (status, text) = match path {
        "/healthz" | "/livez" => (StatusCode::OK, "ok\n"),
        "/readyz" if ready => (StatusCode::OK, "ok\n"),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "not every kind was listed yet\n"),
        _ => (StatusCode::NOT_FOUND, "try /healthz, /readyz or /metrics\n"),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_is_ready_once_it_has_seen_everything() {
        let metrics = Metrics::new().unwrap();
        for (path, ready, status) in [
            ("/healthz", false, 200),
            ("/readyz", false, 503),
            ("/readyz", true, 200),
            ("/metrics", false, 200),
            ("/x", true, 404),
        ] {
            assert_eq!(answer(path, ready, &metrics).status().as_u16(), status, "{path}");
        }
    }
}
