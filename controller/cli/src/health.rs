// SPDX-License-Identifier: Apache-2.0
//! Health of the controller: `/healthz` is whether it runs, `/readyz` whether it has seen the whole cluster once; and
//! `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::watch;
use torana_controller::metrics::Metrics;
use torana_gateway::admin::METRICS;
use torana_gateway::admin::server::{self, Answer, Question, Service, not_allowed, text};

struct Health {
    ready: watch::Receiver<bool>,
    metrics: Metrics,
}

/// Serves until the process ends.
pub(crate) async fn serve(address: SocketAddr, ready: watch::Receiver<bool>, metrics: Metrics) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tokio::spawn(server::serve(listener, Arc::new(Health { ready, metrics })));
    Ok(())
}

impl Service for Health {
    fn answer(&self, question: &Question) -> Answer {
        if question.method != Method::GET && question.method != Method::HEAD {
            return not_allowed("GET, HEAD");
        }
        match question.path.as_str() {
            "/healthz" | "/livez" => text(StatusCode::OK, "ok\n"),
            "/readyz" if *self.ready.borrow() => text(StatusCode::OK, "ok\n"),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "not every kind was listed yet\n"),
            "/metrics" => server::answer(StatusCode::OK, METRICS, self.metrics.text().into()),
            _ => text(StatusCode::NOT_FOUND, "try /healthz, /readyz or /metrics\n"),
        }
    }
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
            let health = Health { ready: watch::channel(ready).1, metrics: metrics.clone() };
            let (query, host, body) = (String::new(), String::new(), bytes::Bytes::new());
            let question = Question { method: Method::GET, path: path.to_owned(), query, host, body };
            assert_eq!(health.answer(&question).status().as_u16(), status, "{path}");
        }
    }
}
