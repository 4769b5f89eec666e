// SPDX-License-Identifier: Apache-2.0
//! Opening a connection to an endpoint, with TLS where its backend asks for it, under its deadline. Whether there may be one
//! more is asked before.

use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use torana_ir::Keepalive;

use super::{Target, caller};
use crate::fault::Fault;
use crate::io::Io;
use crate::observe::Metrics;
use crate::tls;
use crate::tls::backends::{Alpn, Originator, failure};

/// Connects, and shakes hands if the backend is spoken to in TLS; `alpn` is what the connection will carry. Without it the
/// connection carries bytes that are not ours, which have whatever TLS their sender gave them. Every failure is [`Fault::Connect`], [`Fault::UpstreamTls`] or [`Fault::InvalidConfig`]: nothing was sent.
pub(super) async fn open(target: &Target<'_>, alpn: Option<Alpn>, metrics: &Metrics) -> Result<Box<Io>, Fault> {
    if alpn.is_some() && target.backend.refusal().is_some() {
        return Err(Fault::InvalidConfig);
    }
    let started = Instant::now();
    let deadline = target.connect_deadline();
    let connecting = TcpStream::connect(target.endpoint.address);
    let mut stream = match tokio::time::timeout_at(deadline, connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(endpoint = %target.endpoint.address, %error, "connect failed");
            return Err(Fault::Connect);
        }
        Err(_) => {
            tracing::debug!(endpoint = %target.endpoint.address, "connect timed out");
            return Err(Fault::Connect);
        }
    };
    prepare(&stream, target.backend.config.connections.keepalive);
    if let Some(version) = target.backend.config.connections.proxy_protocol {
        let header = caller::header(version, target.caller.map(|caller| &**caller));
        let sending = tokio::time::timeout_at(deadline, stream.write_all(&header)).await;
        sending.ok().and_then(Result::ok).ok_or(Fault::Connect)?;
    }
    let io = match alpn.and_then(|alpn| Some((target.backend.tls()?, alpn))) {
        None => Io::tcp(stream),
        // Boxed: a handshake is large, and most connections have none.
        Some((tls, alpn)) => Box::pin(shake(stream, tls, target, (alpn, deadline))).await?,
    };
    metrics.upstream_connected(target.backend.key(), started.elapsed());
    Ok(Box::new(io))
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

async fn shake(
    stream: TcpStream,
    originator: &Originator,
    target: &Target<'_>,
    (alpn, deadline): (Alpn, Instant),
) -> Result<Io, Fault> {
    let connector = TlsConnector::from(originator.config(originator.identity(target.identity), alpn));
    let name = target.sni.as_ref().map_or_else(|| originator.server_name(), |sni| sni.name.clone());
    let shaking = tokio::time::timeout_at(deadline, connector.connect(name, stream));
    let why = match shaking.await {
        Ok(Ok(stream)) => return Ok(Io::tls_client(stream)),
        Ok(Err(error)) => {
            let (backend, endpoint) = (target.backend.key(), target.endpoint.address);
            tracing::debug!(%backend, %endpoint, %error, "TLS handshake failed");
            tls::reason(&error, failure)
        }
        Err(_) => "timeout",
    };
    Err(Fault::UpstreamTls(why))
}
