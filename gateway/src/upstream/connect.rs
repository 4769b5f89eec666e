// SPDX-License-Identifier: Apache-2.0
//! Opening a connection to an endpoint: straight, in the mutual TLS of a mesh, or through a tunnel of one; inside, with TLS
//! where its backend asks for it; all under one deadline. Whether there may be one more is asked before.

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use torana_ir::{HBONE_PORT, Keepalive, MeshTransport};

use super::way::{Standing, Way};
use super::{Caller, caller};
use crate::balance::{BackendState, Endpoint, Peer};
use crate::fault::Fault;
use crate::hbone;
use crate::io::{Io, Socket};
use crate::mesh::{AlpnClass, Credential};
use crate::observe::Metrics;
use crate::tls;
use crate::tls::backends::{Alpn, Identity, Sni, failure};

/// Why a workload of the mesh opens no tunnel: its policy says so.
const DENIED: &str = "denied";

/// Where to, and as whom.
pub(crate) struct Reach<'a> {
    pub(crate) backend: &'a BackendState,
    pub(crate) endpoint: &'a Endpoint,
    /// Another port than its own, if that is meant.
    pub(crate) port: Option<u16>,
    pub(crate) way: &'a Way,
    pub(crate) deadline: Instant,
    /// What the backend is shown if it asks for a certificate and has none of its own for that.
    pub(crate) identity: Option<&'a Arc<Identity>>,
    /// What it is called in TLS, where that is the request's host.
    pub(crate) sni: Option<&'a Sni>,
    /// Whose connection it is; `None`: one's own.
    pub(crate) caller: Option<&'a Caller>,
}

/// What connections are opened with.
pub(crate) struct Wires {
    /// As whom.
    standing: Standing,
    tunnels: hbone::Pool,
    metrics: Arc<Metrics>,
}

impl Wires {
    /// Of a worker that counts its connections in `metrics`.
    pub(crate) fn new(standing: Standing, metrics: Arc<Metrics>) -> Self {
        Self { standing, tunnels: hbone::Pool::new(), metrics }
    }

    /// As whom an endpoint is spoken to now.
    pub(crate) fn way(&self, endpoint: &Endpoint) -> Result<Way, Fault> {
        Way::to(endpoint, &self.standing)
    }

    /// Who the proxy is in its mesh now, if it is anybody.
    pub(crate) fn credential(&self) -> Option<Arc<Credential>> {
        self.standing.load().credential().map(Arc::clone)
    }

    /// As [`Wires::connect`], and counted.
    pub(crate) async fn open(&self, reach: &Reach<'_>, alpn: Option<Alpn>) -> Result<Io, Fault> {
        let started = Instant::now();
        let io = self.connect(reach, alpn).await?;
        self.metrics.upstream_connected(reach.backend.key(), started.elapsed());
        Ok(io)
    }

    /// Connects, and shakes hands if there is TLS; `alpn` is what the connection will carry. Without it the connection
    /// carries bytes that are not ours, which have whatever TLS their sender gave them, and get none of the backend's; that
    /// of a mesh they get all the same. Every failure is [`Fault::Connect`], [`Fault::UpstreamTls`], [`Fault::Tunnel`] or
    /// [`Fault::InvalidConfig`]: nothing was sent.
    pub(crate) async fn connect(&self, reach: &Reach<'_>, alpn: Option<Alpn>) -> Result<Io, Fault> {
        if alpn.is_some() && reach.backend.refusal().is_some() {
            return Err(Fault::InvalidConfig);
        }
        match (reach.way, reach.endpoint.peer.as_deref()) {
            (Way::Mesh(credential), Some(peer)) => match peer.transport {
                // Boxed: a handshake is large, and most connections have none.
                MeshTransport::Mtls => Box::pin(mutual(reach, (credential, peer), alpn)).await,
                MeshTransport::Hbone => Box::pin(self.tunnelled(reach, (credential, peer), alpn)).await,
            },
            _ => straight(reach, alpn).await,
        }
    }

    /// Through a tunnel to the workload's own proxy.
    async fn tunnelled(
        &self,
        reach: &Reach<'_>,
        (credential, peer): (&Arc<Credential>, &Peer),
        alpn: Option<Alpn>,
    ) -> Result<Io, Fault> {
        let outer = SocketAddr::new(reach.endpoint.address.ip(), HBONE_PORT);
        let dial = || async {
            let stream = dialled(outer, reach).await?;
            let config = credential.client(&peer.names, AlpnClass::Hbone);
            let stream = shaken(Socket(stream), (config, ServerName::from(outer.ip())), reach).await?;
            Ok(Box::new(Io::tls_client(stream)))
        };
        let key = hbone::Key { identity: credential.id, peers: peer.id, address: outer };
        let ask = hbone::Ask { authority: &reach.authority(), headers: &self.standing.headers(credential) };
        let opened = self.tunnels.open(key, &ask, reach.deadline, dial).await;
        let mut tunnel = opened.map_err(|why| untunnelled(why, reach.endpoint))?.into_inner();
        introduced(&mut tunnel, reach).await?;
        match of_backend(reach, alpn) {
            None => Ok(Io::tunnel(tunnel)),
            Some(terms) => Ok(Io::tls_in_tunnel(shaken(tunnel, terms, reach).await?)),
        }
    }

    /// Closes tunnels' connections that nobody needs, or that were opened as somebody that we are no more; called once a
    /// second.
    pub(crate) fn sweep(&self, now: Instant) {
        self.tunnels.sweep(now);
        let identity = self.standing.load().credential().map(|credential| credential.id);
        self.tunnels.retain(|key| Some(key.identity) == identity);
    }
}

impl Reach<'_> {
    fn address(&self) -> SocketAddr {
        let own = self.endpoint.address;
        SocketAddr::new(own.ip(), self.port.unwrap_or(own.port()))
    }

    /// What a tunnel is asked for.
    fn authority(&self) -> String {
        let address = self.address();
        match &self.backend.config.waypoint_for {
            Some(host) => format!("{host}:{}", address.port()),
            None => address.to_string(),
        }
    }
}

/// To the endpoint itself.
async fn straight(reach: &Reach<'_>, alpn: Option<Alpn>) -> Result<Io, Fault> {
    let mut stream = dialled(reach.address(), reach).await?;
    introduced(&mut stream, reach).await?;
    match of_backend(reach, alpn) {
        None => Ok(Io::tcp(stream)),
        // Boxed, as above.
        Some(terms) => Ok(Io::tls_client(Box::pin(shaken(Socket(stream), terms, reach)).await?)),
    }
}

/// To the sidecar, which takes what comes for the endpoint.
async fn mutual(
    reach: &Reach<'_>,
    (credential, peer): (&Arc<Credential>, &Peer),
    alpn: Option<Alpn>,
) -> Result<Io, Fault> {
    let mut stream = dialled(reach.address(), reach).await?;
    introduced(&mut stream, reach).await?;
    let class = match alpn {
        Some(Alpn::Http1) => AlpnClass::Http1,
        Some(Alpn::Http2) => AlpnClass::Http2,
        Some(Alpn::None) | None => AlpnClass::Tcp,
    };
    // Without a name none is sent; who the endpoint is does not depend on it.
    let nameless = || ServerName::from(reach.endpoint.address.ip());
    let name = reach.backend.config.mesh_name.as_ref().map_or_else(nameless, torana_ir::DnsName::server_name);
    Ok(Io::tls_client(shaken(Socket(stream), (credential.client(&peer.names, class), name), reach).await?))
}

/// How hands are shaken: with which configuration, and calling the other by which name.
type Terms = (Arc<ClientConfig>, ServerName<'static>);

/// TLS that the backend asks for, for bytes that are ours.
fn of_backend(reach: &Reach<'_>, alpn: Option<Alpn>) -> Option<Terms> {
    let originator = reach.backend.tls()?;
    let name = reach.sni.map_or_else(|| originator.server_name(), |sni| sni.name.clone());
    Some((originator.config(originator.identity(reach.identity), alpn?), name))
}

async fn dialled(address: SocketAddr, reach: &Reach<'_>) -> Result<TcpStream, Fault> {
    let stream = match tokio::time::timeout_at(reach.deadline, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(endpoint = %address, %error, "connect failed");
            return Err(Fault::Connect);
        }
        Err(_) => {
            tracing::debug!(endpoint = %address, "connect timed out");
            return Err(Fault::Connect);
        }
    };
    prepare(&stream, reach.backend.config.connections.keepalive);
    Ok(stream)
}

/// Says whose connection it is, where the backend is told that.
async fn introduced(stream: &mut (impl AsyncWrite + Unpin), reach: &Reach<'_>) -> Result<(), Fault> {
    let Some(version) = reach.backend.config.connections.proxy_protocol else { return Ok(()) };
    let header = caller::header(version, reach.caller);
    let sending = tokio::time::timeout_at(reach.deadline, stream.write_all(&header)).await;
    sending.ok().and_then(Result::ok).ok_or(Fault::Connect)
}

/// What cannot be set is as the system has it: the connection works all the same.
fn prepare(stream: &TcpStream, keepalive: Option<Keepalive>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay not set");
    }
    let Some(Keepalive { probes, time, interval }) = keepalive else { return };
    let mut probing = TcpKeepalive::new();
    if let Some(time) = time {
        probing = probing.with_time(time);
    }
    if let Some(interval) = interval {
        probing = probing.with_interval(interval);
    }
    if let Some(probes) = probes {
        probing = probing.with_retries(probes.get());
    }
    if let Err(error) = SockRef::from(stream).set_tcp_keepalive(&probing) {
        tracing::debug!(%error, "keepalive not set");
    }
}

async fn shaken<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    (config, name): Terms,
    reach: &Reach<'_>,
) -> Result<TlsStream<S>, Fault> {
    let shaking = tokio::time::timeout_at(reach.deadline, TlsConnector::from(config).connect(name, stream));
    let why = match shaking.await {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(error)) => {
            let (backend, endpoint) = (reach.backend.key(), reach.endpoint.address);
            tracing::debug!(%backend, %endpoint, %error, "TLS handshake failed");
            tls::reason(&error, failure)
        }
        Err(_) => "timeout",
    };
    Err(Fault::UpstreamTls(why))
}

/// Why there is no tunnel. A policy that says no says so for others of its kind too.
fn untunnelled(why: hbone::Failure, endpoint: &Endpoint) -> Fault {
    tracing::debug!(endpoint = %endpoint.address, ?why, "no tunnel");
    match why {
        hbone::Failure::Refused(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Fault::Tunnel(DENIED),
        hbone::Failure::Dial(fault) => fault,
        hbone::Failure::Refused(_) | hbone::Failure::Broken | hbone::Failure::TimedOut => Fault::Connect,
    }
}
