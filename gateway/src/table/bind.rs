// SPDX-License-Identifier: Apache-2.0
//! One socket: which of its listeners a request or a stream belongs to, and then which plan.

use std::sync::Arc;

use bytes::Bytes;
use rustls::ServerConfig;
use torana_ir::{
    Certificate, ClientValidation, Demand, Limits, ListenerKey, MeshClients, PathMode, Protocol, Share, Tls,
    TrustBundle,
};

use super::listener::{ListenerPlan, ListenerTable};
use super::plan::Plan;
use super::stream::StreamRouted;
use crate::fault::Fault;
use crate::guard::Guard;
use crate::head::Head;
use crate::route::HostIndex;
use crate::tls::{Material, ServerTls};
use crate::trace::Tracer;

/// The listeners of one socket.
#[derive(Debug)]
pub struct BindTable {
    listeners: HostIndex<Arc<ListenerTable>>,
    /// The members, to tell whether the table is still true.
    members: Vec<Arc<ListenerTable>>,
    limits: Limits,
    opening: Opening,
    proxy_protocol: bool,
    tls: Option<Served>,
}

/// TLS of a socket, and what it was made of.
#[derive(Debug)]
struct Served {
    tls: Arc<ServerTls>,
    listeners: Vec<Arc<ListenerPlan>>,
    certificates: Vec<Option<Arc<Certificate>>>,
    bundles: Vec<Option<Arc<TrustBundle>>>,
}

/// How the clients of a socket begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// With a request in cleartext.
    Request,
    /// With a TLS handshake.
    Handshake,
    /// With anything: their bytes are passed on.
    Bytes,
    /// With a datagram.
    Datagram,
}

impl Opening {
    fn of(protocol: &Protocol) -> Self {
        match protocol {
            Protocol::Http => Self::Request,
            Protocol::Https(_) | Protocol::TlsPassthrough | Protocol::TlsTerminate(_) => Self::Handshake,
            Protocol::Tcp => Self::Bytes,
            Protocol::Udp => Self::Datagram,
        }
    }
}

/// What a handshake is answered with whose TLS ends here.
#[derive(Debug, Clone)]
pub enum Terms {
    /// With this.
    Config(Arc<ServerConfig>),
    /// With what the proxy is in its mesh by now, for a listener that asks for that.
    Mesh(Arc<ListenerPlan>),
}

/// What a client's certificate counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heed {
    /// It is verified, so the client is whom it names.
    pub is_verified: bool,
    /// Backends are told of it.
    pub is_told: bool,
}

impl Heed {
    fn of(tls: &Tls) -> Self {
        if let Some(clients) = &tls.mesh {
            return Self { is_verified: true, is_told: clients.forwarded };
        }
        let Some(client) = &tls.client else { return Self::default() };
        Self { is_verified: client.is_verified(), is_told: client.is_told() }
    }
}

/// What becomes of a TLS handshake.
#[derive(Debug, Clone)]
pub enum Handshake {
    /// TLS ends here, and inside are requests to this listener.
    Requests(ListenerKey, Terms, Heed),
    /// TLS ends here, and what is inside is passed on.
    Unwrap(StreamRouted, Terms, Heed),
    /// All of it is passed on.
    Pass(StreamRouted),
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub enum Routed {
    /// To this plan.
    Plan {
        /// What is done with it.
        plan: Arc<Plan>,
        /// Bytes of the path that the match covered.
        prefix_len: usize,
        /// What stands before it.
        guard: Guard,
    },
    /// Nowhere yet: rules of its listener ask for claims, so it must be known first whose its token is. The head has the form
    /// that its rules are written for.
    Tokens {
        /// Who is asked, and whose tokens are believed.
        guard: Guard,
        /// The listener that the host belongs to.
        listener: Arc<ListenerPlan>,
    },
    /// Nowhere: it is a question of ACME.
    Challenge {
        /// The answer.
        authorization: Bytes,
        /// The listener that the host belongs to.
        listener: Option<Arc<ListenerPlan>>,
    },
    /// Nowhere.
    Fault {
        /// `NoListener`, `NoRoute`, `Misdirected` …
        fault: Fault,
        /// The listener that the host belongs to.
        listener: Option<Arc<ListenerPlan>>,
        /// The client speaks gRPC and expects a gRPC status.
        grpc: bool,
        /// Who may ask for what there is no route for; others are told nothing of that.
        guard: Guard,
    },
}

impl BindTable {
    /// Listeners of one socket. Of those with one hostname the first stays; those whose clients do not begin as those of
    /// the first are left out (translation has reported both).
    pub(super) fn compile(
        members: Vec<Arc<ListenerTable>>,
        material: Material<'_>,
        previous: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        let opening = members.first().map_or(Opening::Request, |first| Opening::of(first.plan.protocol()));
        let speaking = || members.iter().filter(|member| Opening::of(member.plan.protocol()) == opening);
        let plans = speaking().map(|member| Arc::clone(&member.plan));
        let before = previous.and_then(|before| before.tls.as_ref());
        let tls = (opening == Opening::Handshake).then(|| Served::compile(plans.collect(), material, before));
        let same = |before: &&Arc<Self>| {
            before.tls.as_ref().map(|served| Arc::as_ptr(&served.tls)) == tls.as_ref().map(|now| Arc::as_ptr(&now.tls))
                && all_same(&before.members, &members)
        };
        if let Some(before) = previous.filter(same) {
            return Arc::clone(before);
        }
        let limits =
            speaking().map(|member| member.plan.limits.clone()).reduce(|a, b| strictest(&a, &b)).unwrap_or_default();
        let proxy_protocol = speaking().any(|member| member.plan.spec.proxy_protocol);
        let listeners = HostIndex::new(speaking().map(|member| (member.plan.hostname.clone(), Arc::clone(member))));
        Arc::new(Self { listeners, members, limits, opening, proxy_protocol, tls })
    }

    /// The strictest limit of any listener, element by element: for what happens before the host is known.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How clients begin.
    pub fn opening(&self) -> Opening {
        self.opening
    }

    /// Whether connections begin with a header of the PROXY protocol.
    pub fn has_proxy_protocol(&self) -> bool {
        self.proxy_protocol
    }

    /// Whether clients begin with a TLS handshake.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// What handshakes are answered with whose TLS ends here.
    pub fn tls(&self) -> Option<&Arc<ServerTls>> {
        self.tls.as_ref().map(|served| &served.tls)
    }

    /// Whether every TLS handshake here is one with Torana.
    pub fn ends_all_tls(&self) -> bool {
        self.members.iter().all(|member| matches!(member.plan.protocol(), Protocol::Https(_)))
    }

    /// What becomes of a TLS handshake for this server name (lower case, no trailing dot), by the most specific listener
    /// that covers it; `None` if there is none.
    pub fn handshake(&self, sni: Option<&str>) -> Option<Handshake> {
        let listener = self.listeners.best(sni.unwrap_or_default())?;
        let of_mesh = listener.plan.protocol().tls().and_then(|tls| tls.mesh.as_ref());
        let terms = || match of_mesh {
            Some(_) => Some(Terms::Mesh(Arc::clone(&listener.plan))),
            None => self.tls.as_ref()?.tls.select(sni).map(|(_, config)| Terms::Config(config)),
        };
        Some(match listener.plan.protocol() {
            Protocol::TlsPassthrough => Handshake::Pass(listener.stream(sni.unwrap_or_default())),
            Protocol::TlsTerminate(tls) => {
                Handshake::Unwrap(listener.stream(sni.unwrap_or_default()), terms()?, Heed::of(tls))
            }
            Protocol::Https(tls) => Handshake::Requests(listener.plan.key.clone(), terms()?, Heed::of(tls)),
            _ => Handshake::Requests(listener.plan.key.clone(), terms()?, Heed::default()),
        })
    }

    /// What `sni` (lower case, no trailing dot) asks for, if a certificate of it is to be obtained first.
    pub fn demand(&self, sni: &str) -> Option<Demand> {
        let listener = self.tls.as_ref()?.tls.lacks(sni)?;
        Demand::new(listener.clone(), sni)
    }

    /// Where a stream goes that names no host: a connection by TCP, a flow by UDP.
    pub fn stream(&self) -> Option<StreamRouted> {
        self.listeners.best("").map(|listener| listener.stream(""))
    }

    /// Whether what belongs to no listener has a line in the access log: where one of them logs anything.
    pub fn is_logged(&self) -> bool {
        self.members.iter().any(|member| !member.plan.logging.is_off())
    }

    /// The most specific listener for a host or server name (lower case).
    pub fn listener(&self, host: &str) -> Option<&Arc<ListenerPlan>> {
        self.listeners.best(host).map(|listener| &listener.plan)
    }

    /// Where `head` goes, whose path gets the form that its listener wants. The most specific listener for its host is
    /// chosen first, then only that listener's routes count (listener isolation). `sni_listener` is the one that the TLS
    /// handshake chose, if it chose by name.
    pub fn route(&self, head: &mut Head, sni_listener: Option<&ListenerKey>) -> Routed {
        let host = head.host();
        let listener = match self.admit(host, head, sni_listener) {
            Ok(listener) => listener,
            Err(fault) => return fault,
        };
        if listener.is_closed() {
            return Routed::fault(Fault::Guarded, Some(listener), head);
        }
        if listener.plan.path_mode != PathMode::Base
            && let Err(fault) = listener.normalise(head)
        {
            return fault;
        }
        if listener.asks_for_claims() && !head.is_authenticated() {
            return Routed::Tokens { guard: listener.guard.clone(), listener: Arc::clone(&listener.plan) };
        }
        listener.route(head.host(), head)
    }

    /// The listener that the host belongs to, unless TLS was set up for another one.
    pub(super) fn admit(
        &self,
        host: &str,
        head: &Head,
        sni_listener: Option<&ListenerKey>,
    ) -> Result<&ListenerTable, Routed> {
        let Some(listener) = self.listeners.best(host) else {
            return Err(Routed::fault(Fault::NoListener, None, head));
        };
        // RFC 9110 §7.4: what was agreed for one host is not to be used for another. A listener of streams takes no
        // requests: only a handshake for its host leads to it.
        let is_set_up = sni_listener.map_or_else(|| self.asks_alike(listener), |key| self.shares(key, listener));
        if !is_set_up || !listener.plan.protocol().is_http() {
            return Err(Routed::fault(Fault::Misdirected, Some(listener), head));
        }
        Ok(listener)
    }

    /// Whether TLS that was set up for one listener is good for another: they are one, or hosts of one server.
    fn shares(&self, key: &ListenerKey, listener: &ListenerTable) -> bool {
        let server = &listener.plan.spec.server;
        let is_beside = |member: &Arc<ListenerTable>| member.plan.key == *key && member.plan.spec.server == *server;
        *key == listener.plan.key || (server.is_some() && self.members.iter().any(is_beside))
    }

    /// Whether clients that named no host, and so shook hands with the listener of every host, were asked for the
    /// certificate that this one asks for: to name nobody is no way around.
    fn asks_alike(&self, listener: &ListenerTable) -> bool {
        self.tls.is_none() || self.listeners.best("").is_none_or(|any| asked(any) == asked(listener))
    }

    /// Every listener that can be chosen, the most specific first.
    pub(super) fn ordered(&self) -> Vec<&ListenerTable> {
        let mut all: Vec<&ListenerTable> = self.listeners.values().map(AsRef::as_ref).collect();
        all.sort_by(|a, b| b.plan.hostname.cmp(&a.plan.hostname));
        all
    }
}

impl Served {
    fn compile(listeners: Vec<Arc<ListenerPlan>>, material: Material<'_>, previous: Option<&Self>) -> Self {
        let terminated = || listeners.iter().filter_map(|listener| listener.spec.protocol.tls());
        let keys = terminated().flat_map(|tls| &tls.certificates);
        let certificates: Vec<_> = keys.map(|key| material.certificates.get(key).cloned()).collect();
        let keys = terminated().filter_map(|tls| tls.client.as_ref()).flat_map(|client| &client.bundles);
        let bundles: Vec<_> = keys.map(|key| material.bundles.get(key).cloned()).collect();
        let same = |before: &&Self| {
            all_same(&before.listeners, &listeners) && before.certificates == certificates && before.bundles == bundles
        };
        let tls = previous.filter(same).map_or_else(
            || {
                let specs = listeners.iter().map(|listener| &*listener.spec);
                Arc::new(ServerTls::build(specs, material, previous.map(|before| &*before.tls)))
            },
            |before| Arc::clone(&before.tls),
        );
        Self { tls, listeners, certificates, bundles }
    }
}

impl Routed {
    /// How the request is traced, and how many of those of its rule are; `None`: not at all. Where tokens decide which rule
    /// takes it, its listener alone says.
    pub(crate) fn tracing(&self) -> Option<(&Arc<Tracer>, Option<Share>)> {
        let (listener, sampling) = match self {
            Self::Plan { plan, .. } => (&plan.listener, plan.sampling()),
            Self::Tokens { listener, .. } | Self::Fault { listener: Some(listener), .. } => (listener, None),
            Self::Fault { listener: None, .. } | Self::Challenge { .. } => return None,
        };
        listener.tracer.as_ref().map(|tracer| (tracer, sampling))
    }

    /// The listener that the host belongs to.
    pub fn listener(&self) -> Option<&Arc<ListenerPlan>> {
        match self {
            Self::Plan { plan, .. } => Some(&plan.listener),
            Self::Tokens { listener, .. } => Some(listener),
            Self::Challenge { listener, .. } | Self::Fault { listener, .. } => listener.as_ref(),
        }
    }

    /// The rules of a listener have decided.
    pub(super) fn is_decided(&self) -> bool {
        matches!(self, Self::Plan { .. } | Self::Fault { fault: Fault::NoRoute, .. })
    }

    pub(super) fn fault(fault: Fault, listener: Option<&ListenerTable>, head: &Head) -> Self {
        let guard = listener.filter(|_| fault == Fault::NoRoute).map(|it| it.guard.clone()).unwrap_or_default();
        let listener = listener.map(|listener| Arc::clone(&listener.plan));
        Self::Fault { fault, listener, grpc: head.is_grpc(), guard }
    }
}

/// What a listener asks of clients: a certificate of its authorities, or one of the mesh.
fn asked(listener: &ListenerTable) -> (Option<&ClientValidation>, Option<&MeshClients>) {
    let tls = listener.plan.protocol().tls();
    (tls.and_then(|tls| tls.client.as_ref()), tls.and_then(|tls| tls.mesh.as_ref()))
}

fn all_same<T>(before: &[Arc<T>], now: &[Arc<T>]) -> bool {
    before.len() == now.len() && before.iter().zip(now).all(|(before, now)| Arc::ptr_eq(before, now))
}

fn strictest(a: &Limits, b: &Limits) -> Limits {
    Limits {
        head_deadline: a.head_deadline.min(b.head_deadline),
        head_bytes: a.head_bytes.min(b.head_bytes),
        head_fields: a.head_fields.min(b.head_fields),
        target_bytes: a.target_bytes.min(b.target_bytes),
        handshake_deadline: a.handshake_deadline.min(b.handshake_deadline),
        idle: a.idle.min(b.idle),
        stream_idle: a.stream_idle.min(b.stream_idle),
        body_grace: a.body_grace.min(b.body_grace),
        read_grace: a.read_grace.min(b.read_grace),
        body_rate: a.body_rate.max(b.body_rate),
        streams: a.streams.min(b.streams),
        tcp_idle: a.tcp_idle.min(b.tcp_idle),
        udp_idle: a.udp_idle.min(b.udp_idle),
        trusted_hops: a.trusted_hops.min(b.trusted_hops),
    }
}
