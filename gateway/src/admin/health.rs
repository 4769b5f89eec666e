// SPDX-License-Identifier: Apache-2.0
//! `/readyz`, `/livez`, `/healthz/ready`, `/metrics`.

use std::sync::Arc;

use http::{Method, StatusCode};

use super::server::{Answer, Question, Service, answer, not_allowed, not_found, text};
use crate::observe::{Metrics, Readiness};

/// The Prometheus text format.
pub const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Open to the network: tells numbers and nothing of the configuration but its names.
pub(crate) struct Health {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: Readiness,
}

impl Service for Health {
    fn answer(&self, question: &Question) -> Answer {
        if question.method != Method::GET && question.method != Method::HEAD {
            return not_allowed("GET, HEAD");
        }
        match question.path.as_str() {
            // That this answers is the answer.
            "/livez" => text(StatusCode::OK, "ok\n"),
            // The second is the habit of Istio's health checks.
            "/readyz" | "/healthz/ready" => self.ready(),
            "/metrics" => answer(StatusCode::OK, METRICS, self.metrics.render().into()),
            _ => not_found(),
        }
    }
}

impl Health {
    fn ready(&self) -> Answer {
        let blockers = self.readiness.blockers();
        if blockers.is_empty() {
            return text(StatusCode::OK, "ok\n");
        }
        text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", blockers.join(", ")))
    }
}
