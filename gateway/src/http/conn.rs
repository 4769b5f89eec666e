// SPDX-License-Identifier: Apache-2.0
//! What the requests of one connection share. No Table: a connection is tied to no generation.

use std::sync::{Arc, OnceLock};

use torana_ir::ListenerKey;

use crate::access::Facts;
use crate::head::Scheme;
use crate::http::worker::Worker;
use crate::io::Peer;
use crate::table::Bind;
use crate::upstream::Caller;

/// A client's connection.
pub(crate) struct Conn {
    /// Who is at the other end.
    pub(crate) peer: Peer,
    /// The address at the other end as backends are told it; IPv4 of a dual-stack socket is written as IPv4.
    pub(crate) address: Box<str>,
    /// Proxies before this one that are believed.
    pub(crate) hops: u8,
    /// The same for backends that are told by the PROXY protocol; made where there is one.
    caller: OnceLock<Arc<Caller>>,
    /// The socket that it came in by.
    pub(crate) bind: Bind,
    /// The worker that it lives on.
    pub(crate) worker: Arc<Worker>,
}

/// How a client behaved until its connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Conduct {
    /// As clients do.
    Fine,
    /// It flooded the connection, which was ended for it.
    Abusive,
}

impl Conn {
    pub(crate) fn new(peer: Peer, bind: Bind, worker: Arc<Worker>) -> Arc<Self> {
        let address = peer.remote.ip().to_canonical().to_string().into_boxed_str();
        let hops = worker.table.load().bind(&bind).map_or(0, |bind| bind.limits().trusted_hops);
        Arc::new(Self { peer, address, hops, caller: OnceLock::new(), bind, worker })
    }

    /// The client, as the PROXY protocol tells of it.
    pub(crate) fn caller(&self) -> &Arc<Caller> {
        self.caller.get_or_init(|| Arc::new(Caller::new(self.peer.remote, Some(self.peer.local))))
    }

    /// `https` on a connection whose TLS ends here.
    pub(crate) fn scheme(&self) -> Scheme {
        if self.peer.tls.is_some() { Scheme::Https } else { Scheme::Http }
    }

    /// What backends are told of the client's certificate.
    pub(crate) fn certificate(&self) -> Option<&str> {
        self.peer.tls.as_ref().and_then(|tls| tls.certificate.as_deref())
    }

    /// What policies look at besides a request.
    pub(crate) fn facts(&self) -> Facts<'_> {
        let Peer { direct, remote, local, tls } = &self.peer;
        let server_name = tls.as_ref().and_then(|tls| tls.sni.as_deref());
        Facts::of(*direct, (*remote, *local), server_name, tls.as_ref().map(|tls| &*tls.names).unwrap_or_default())
    }

    /// The listener that the TLS handshake chose by name.
    pub(crate) fn sni_listener(&self) -> Option<&ListenerKey> {
        self.peer.tls.as_ref().and_then(|tls| tls.listener.as_ref())
    }
}
