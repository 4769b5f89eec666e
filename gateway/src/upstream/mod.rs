// SPDX-License-Identifier: Apache-2.0
//! Connections to endpoints: opening them, keeping them, lending them out. Knows nothing of requests.
//!
//! Pools belong to one worker. Their keys are ids that are never used twice: of the backend, which is new whenever its
//! configuration, authorities or certificate are, of the endpoint, which is new whenever it is another workload, of the
//! identities that were shown to it, of the client that it was told of, and of the name that it was called by. So a connection opened under another policy, as or to
//! somebody else, can never be lent out.

mod caller;

mod tunnel;

mod introduction;

mod way;

mod connect;

mod queue;

mod h1;

mod h2;

use std::sync::{Arc, Weak};
use std::time::Duration;

use pingora_core::protocols::http::v2::client::Http2Session;
use tokio::time::Instant;
use torana_ir::{Backend, Tunnel, UpstreamProtocol};

use crate::balance::{BackendState, Endpoint, Use};
use crate::connections::Slot;
use crate::fault::Fault;
use crate::io::Io;
use crate::mesh::Credential;
use crate::observe::Metrics;
use crate::tls::backends::{Alpn, Identity, Sni};

pub(crate) use caller::Caller;
pub(crate) use connect::{Reach, Wires};
pub(crate) use h1::Carrier;
pub(crate) use h2::Lease;
pub(crate) use introduction::Introduction;
pub(crate) use tunnel::REFUSED;
pub(crate) use way::{Standing, Way};

/// A way to one endpoint, ready for one request.
pub(crate) enum Lent {
    /// A connection of its own.
    H1(Box<Carrier>),
    /// A stream of a shared connection.
    H2(Box<Http2Session>, Lease),
}

/// Where to, and under which deadline.
pub(crate) struct Target<'a> {
    pub(crate) backend: &'a Arc<BackendState>,
    pub(crate) endpoint: &'a Arc<Endpoint>,
    /// As whom.
    pub(crate) way: &'a Way,
    /// The request's own deadline, if it is nearer than the connect deadline.
    pub(crate) deadline: Option<Instant>,
    /// It waits no longer for a place where the backend may have no more connections.
    pub(crate) patience: Duration,
    /// What the backend is shown if it asks for a certificate and has none of its own for that.
    pub(crate) identity: Option<&'a Arc<Identity>>,
    /// What it is called in TLS, where that is the request's host.
    pub(crate) sni: Option<Arc<Sni>>,
    /// Whose request it is, where the backend is told that.
    pub(crate) caller: Option<&'a Arc<Caller>>,
    /// An idle connection will not do: one was just found stale.
    pub(crate) fresh: bool,
    /// HTTP/2 is spoken, whatever the backend is said to speak.
    pub(crate) http2: bool,
}

/// What connections are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    backend: u64,
    endpoint: u64,
    /// 0: none, and in cleartext, where none is shown.
    identity: u64,
    /// 0: anybody's.
    caller: u64,
    /// 0: the name that its configuration has, and in cleartext.
    sni: u64,
    /// Of the proxy in the mesh, with who vouches for others there. 0: none.
    mesh: u64,
}

/// Whom a connection that is kept was opened for. Nobody is lent it when one of them is gone.
struct Owners {
    /// Gone when the backend is configured otherwise.
    backend: Weak<BackendState>,
    /// Whom the backend was told of, if it was.
    caller: Option<Weak<Caller>>,
}

impl Owners {
    fn of(target: &Target<'_>) -> Self {
        Self { backend: Arc::downgrade(target.backend), caller: target.caller.map(Arc::downgrade) }
    }

    fn are_there(&self) -> bool {
        self.backend.strong_count() > 0 && self.caller.as_ref().is_none_or(|caller| caller.strong_count() > 0)
    }
}

impl Target<'_> {
    fn key(&self) -> Key {
        let identity = self.backend.tls().and_then(|tls| tls.identity(self.identity)).map_or(0, |identity| identity.id);
        let sni = self.sni.as_ref().map_or(0, |sni| sni.id);
        let caller = self.caller.map_or(0, |caller| caller.id);
        Key { backend: self.backend.id, endpoint: self.endpoint.id, identity, caller, sni, mesh: self.way.id() }
    }

    fn connect_deadline(&self) -> Instant {
        let own = Instant::now() + self.backend.config.connect_deadline;
        self.deadline.map_or(own, |deadline| deadline.min(own))
    }

    fn reach(&self) -> Reach<'_> {
        Reach {
            backend: self.backend,
            endpoint: self.endpoint,
            port: None,
            way: self.way,
            deadline: self.connect_deadline(),
            identity: self.identity,
            sni: self.sni.as_deref(),
            caller: self.caller.map(AsRef::as_ref),
        }
    }
}

/// All idle connections of a worker.
pub(crate) struct Pools {
    h1: Arc<h1::Pool>,
    h2: Arc<h2::Pool>,
    wires: Wires,
}

impl Pools {
    pub(crate) fn new(standing: Standing, metrics: Arc<Metrics>) -> Self {
        Self { h1: Arc::default(), h2: Arc::default(), wires: Wires::new(standing, metrics) }
    }

    /// As whom an endpoint is spoken to now.
    pub(crate) fn way(&self, endpoint: &Endpoint) -> Result<Way, Fault> {
        self.wires.way(endpoint)
    }

    /// Who the proxy is in its mesh now, if it is anybody.
    pub(crate) fn credential(&self) -> Option<Arc<Credential>> {
        self.wires.credential()
    }

    /// An idle connection if there is one, else a new one; where there may be no more, whichever comes free first. Nothing
    /// was sent when this fails.
    pub(crate) async fn obtain(&self, target: &Target<'_>) -> Result<Lent, Fault> {
        match target.backend.config.protocol {
            UpstreamProtocol::Http1 if !target.http2 => {
                if !target.fresh
                    && let Some(carrier) = self.h1.take(target.key())
                {
                    return Ok(Lent::H1(carrier));
                }
                let _pending = target.backend.place(Use::Pending).map_err(Fault::Overload)?;
                let slot = match target.backend.connections().take() {
                    Some(slot) => slot,
                    // Boxed: few wait, and all would carry the room for it.
                    None => match Box::pin(self.h1.wait(target)).await? {
                        h1::Came::Connection(carrier) => return Ok(Lent::H1(carrier)),
                        h1::Came::Place(slot) => slot,
                    },
                };
                let io = self.wires.open(&target.reach(), Some(Alpn::Http1)).await?;
                target.backend.connections().kept_by(&self.h1);
                Ok(Lent::H1(Box::new(Carrier::new(target, Box::new(io), slot))))
            }
            UpstreamProtocol::Http1 | UpstreamProtocol::H2c => {
                let (session, lease) = self.h2.stream(target, &self.wires).await?;
                Ok(Lent::H2(Box::new(session), lease))
            }
        }
    }

    /// A connection of one's own, never pooled: for streams. If they are `bare` they go in TLS where the backend asks for
    /// it, else as they are: they bring their own. Nothing was sent when this fails.
    pub(crate) async fn dial(&self, target: &Target<'_>, bare: bool) -> Result<(Box<Io>, Slot), Fault> {
        if matches!(target.backend.config.connections.tunnel, Some(Tunnel::Refused(_))) {
            return Err(Fault::InvalidConfig);
        }
        let _pending = target.backend.place(Use::Pending).map_err(Fault::Overload)?;
        let slot = queue::place(target).await?;
        let tunnel = target.backend.config.connections.tunnel.as_ref();
        // A proxy is spoken to in TLS of our own, whatever goes through.
        let own_tls = bare || tunnel.is_some();
        let mut io = Box::new(self.wires.open(&target.reach(), own_tls.then_some(Alpn::None)).await?);
        if let Some(Tunnel::Connect(authority)) = tunnel {
            tunnel::ask(&mut io, authority, target.connect_deadline()).await?;
        }
        Ok((io, slot))
    }

    /// Takes a connection back whose request **and** response are wholly done.
    pub(crate) fn give_back(&self, config: &Backend, carrier: Box<Carrier>) {
        self.h1.put(config, carrier);
    }

    /// Closes what has been idle too long or was closed by its peer; called once a second.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        self.h1.sweep(now);
        self.h2.sweep(now);
        self.wires.sweep(now);
    }
}
