// SPDX-License-Identifier: Apache-2.0
//! A connection to one endpoint of a collector's backend, opened as requests and checks open theirs, and kept while all that
//! it was opened for stays as it is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use torana_ir::{Collector, CollectorProtocol, UpstreamProtocol, hostname_of};

use super::failure::Failure;
use crate::balance::{BackendState, Draw, Endpoint};
use crate::fault::Fault;
use crate::tls::backends::{Alpn, Identity};
use crate::upstream::{Reach, Wires};

/// After this a new one is opened, so that collectors that have come since get their share.
const LONGEST: Duration = Duration::from_mins(5);
/// Bytes of the fields of an answer.
const FIELDS: u32 = 16 << 10;

/// Where a collector is, at this moment.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) wires: &'a Wires,
    pub(super) backend: &'a Arc<BackendState>,
    /// What listeners have to show the backend.
    pub(super) identity: Option<&'a Arc<Identity>>,
    pub(super) collector: &'a Collector,
}

/// An open connection; it ends when this is dropped.
pub(super) struct Link {
    backend: u64,
    pub(super) endpoint: Arc<Endpoint>,
    /// As whom it was opened: in the mesh, and to a backend that asks for a certificate.
    shown: (u64, u64),
    opened: Instant,
    sender: Sender,
    driver: AbortHandle,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Place<'_> {
    /// gRPC has no other.
    pub(super) fn is_http2(&self) -> bool {
        self.collector.protocol == CollectorProtocol::Grpc || self.backend.config.protocol == UpstreamProtocol::H2c
    }

    pub(super) fn is_tls(&self) -> bool {
        self.backend.tls().is_some()
    }

    fn shown(&self, endpoint: &Endpoint) -> Option<(u64, u64)> {
        let way = self.wires.way(endpoint).ok()?;
        let identity = self.backend.tls().and_then(|tls| tls.identity(self.identity));
        Some((way.id(), identity.map_or(0, |identity| identity.id)))
    }
}

impl Link {
    /// Opens one within the deadline, to another endpoint than that if there is another.
    pub(super) async fn open(place: Place<'_>, avoided: Option<u64>, until: Instant) -> Result<Self, Failure> {
        if place.backend.refusal().is_some() {
            return Err(Failure::Nowhere);
        }
        let draw = Draw { random: fastrand::u64(..), key: None, tried: avoided.as_slice() };
        let endpoint = place.backend.pick(&draw, std::time::Instant::now).ok_or(Failure::NoEndpoint)?;
        let way = place.wires.way(&endpoint).map_err(failed)?;
        let sni = place.backend.tls().and_then(|tls| tls.sni(hostname_of(&place.collector.authority)));
        let reach = Reach {
            backend: place.backend,
            endpoint: &endpoint,
            port: None,
            way: &way,
            deadline: until.min(Instant::now() + place.backend.config.connect_deadline),
            identity: place.identity,
            sni: sni.as_deref(),
            caller: None,
        };
        let alpn = if place.is_http2() { Alpn::Http2 } else { Alpn::Http1 };
        let io = TokioIo::new(place.wires.connect(&reach, Some(alpn)).await.map_err(failed)?);
        let (sender, driver) = if place.is_http2() {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).max_header_list_size(FIELDS);
            let (sender, connection) = builder.handshake(io).await.map_err(|_| Failure::Broken)?;
            (Sender::Http2(sender), tokio::spawn(connection).abort_handle())
        } else {
            let (sender, connection) = http1::handshake(io).await.map_err(|_| Failure::Broken)?;
            (Sender::Http1(sender), tokio::spawn(connection).abort_handle())
        };
        let shown = place.shown(&endpoint).unwrap_or_default();
        Ok(Self { backend: place.backend.id, endpoint, shown, opened: Instant::now(), sender, driver })
    }

    /// Whether it is still the way to there.
    pub(super) fn leads_to(&self, place: Place<'_>) -> bool {
        let is_open = match &self.sender {
            Sender::Http1(sender) => !sender.is_closed(),
            Sender::Http2(sender) => !sender.is_closed(),
        };
        is_open
            && self.backend == place.backend.id
            && self.opened.elapsed() < LONGEST
            && place.shown(&self.endpoint) == Some(self.shown)
            && place.backend.endpoints().usable().iter().any(|endpoint| endpoint.id == self.endpoint.id)
    }

    /// Sends a request; the head of its answer.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let answer = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.map_err(|_| Failure::Broken)?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await.map_err(|_| Failure::Broken)?;
                sender.send_request(request).await
            }
        };
        answer.map_err(|_| Failure::Broken)
    }
}

fn failed(fault: Fault) -> Failure {
    match fault {
        Fault::InvalidConfig => Failure::Nowhere,
        other => Failure::Connect(other.reason()),
    }
}
