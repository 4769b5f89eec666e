// SPDX-License-Identifier: Apache-2.0
//! `/readyz`, `/livez`, `/healthz/ready`, `/metrics`.

use std::convert::Infallible;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame};

use super::server::{Answer, Question, Service, answer_of, not_allowed, not_found, text};
use crate::mesh::State;
use crate::observe::{Metrics, Page, Readiness};
use crate::upstream::Standing;

/// The Prometheus text format.
pub const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Open to the network: tells numbers and nothing of the configuration but its names.
pub(crate) struct Health {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: Readiness,
    /// Who the proxy is in its mesh.
    pub(crate) standing: Standing,
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
            "/metrics" => answer_of(StatusCode::OK, METRICS, Scrape::of(&self.metrics).boxed_unsync()),
            _ => not_found(),
        }
    }
}

impl Health {
    fn ready(&self) -> Answer {
        let blockers = self.readiness.blockers();
        if blockers.is_empty() {
            // What needs no identity is served all the same.
            return match &**self.standing.load() {
                State::Absent | State::Available(_) => text(StatusCode::OK, "ok\n"),
                without => text(StatusCode::OK, format!("ok, but the mesh identity is {}\n", without.word())),
            };
        }
        text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", blockers.join(", ")))
    }
}

/// The page of numbers. Its next piece is made when the last is on its way: a scrape holds little however large the
/// page is, and as many scrapes as there may be connections hold as many times little. Nobody waits for another.
struct Scrape {
    page: Page,
    rested: bool,
}

impl Scrape {
    fn of(metrics: &Metrics) -> Self {
        Self { page: metrics.page(), rested: true }
    }
}

impl Body for Scrape {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // After each piece it is the turn of probes, and of all else on this runtime.
        if !mem::replace(&mut self.rested, false) {
            self.rested = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.page.next().map(|piece| Ok(Frame::data(piece.into()))))
    }
}
