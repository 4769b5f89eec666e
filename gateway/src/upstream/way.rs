// SPDX-License-Identifier: Apache-2.0
//! As whom an endpoint is spoken to that is a workload of a mesh: with the identity of this moment, in cleartext if that
//! may be, or not at all. Decided once for a connection; nothing later falls back to less.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use http::HeaderMap;

use crate::balance::{BackendState, Endpoint};
use crate::fault::Fault;
use crate::mesh::{Credential, State};
use crate::upstream::introduction::Introduction;

/// The proxy's identity of this moment, and what it says of itself, for whoever opens connections. Clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    state: Arc<ArcSwap<State>>,
    introduction: Arc<Introduction>,
}

impl Standing {
    /// Begins so.
    pub(crate) fn new(state: State, introduction: Introduction) -> Self {
        Self { state: Arc::new(ArcSwap::from_pointee(state)), introduction: Arc::new(introduction) }
    }

    /// At this moment.
    pub(crate) fn load(&self) -> Guard<Arc<State>> {
        self.state.load()
    }

    /// From now on.
    pub(crate) fn put(&self, state: State) {
        self.state.store(Arc::new(state));
    }

    /// What is said to who opens tunnels for us.
    pub(crate) fn headers(&self, credential: &Credential) -> HeaderMap {
        self.introduction.headers(credential)
    }
}

/// How an endpoint is spoken to.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// As its backend is.
    Direct,
    /// As the workload that it is, by this identity.
    Mesh(Arc<Credential>),
}

impl Way {
    /// The way to an endpoint.
    ///
    /// # Errors
    /// [`Fault::NoIdentity`]: the endpoint takes no cleartext, or the proxy wants an identity and has none.
    pub(crate) fn to(endpoint: &Endpoint, standing: &Standing) -> Result<Self, Fault> {
        let Some(peer) = &endpoint.peer else { return Ok(Self::Direct) };
        match &**standing.load() {
            State::Available(credential) => Ok(Self::Mesh(Arc::clone(credential))),
            State::Absent if !peer.strict => Ok(Self::Direct),
            without => Err(Fault::NoIdentity(without.word())),
        }
    }

    /// What is between TCP and what the backend is spoken to in, in one word of the log.
    pub(crate) fn word(&self, endpoint: &Endpoint, backend: &BackendState) -> &'static str {
        match (self, &endpoint.peer) {
            (Self::Mesh(_), Some(peer)) => peer.transport.as_str(),
            _ if backend.tls().is_some() => "tls",
            _ => "plain",
        }
    }

    /// Whether both ends have shown each other who they are in a mesh.
    pub(crate) fn is_mesh(&self) -> bool {
        matches!(self, Self::Mesh(_))
    }

    /// What connections of this way are told apart by; 0: of no identity.
    pub(crate) fn id(&self) -> u64 {
        match self {
            Self::Direct => 0,
            Self::Mesh(credential) => credential.id,
        }
    }
}
