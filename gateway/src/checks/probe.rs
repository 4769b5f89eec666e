// SPDX-License-Identifier: Apache-2.0
//! One check of one endpoint: a connection of its own, TLS as requests have it, a question, all within one deadline.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use torana_ir::{Authority, HealthCheck, Probe, UpstreamProtocol, hostname_of};

use super::failure::Failure;
use super::{http1, http2};
use crate::balance::BackendState;
use crate::io::Io;
use crate::tls;
use crate::tls::backends::{Alpn, Identity, failure};

/// What checks say that they are.
pub(super) const USER_AGENT: &str = "torana-health-check";

/// Asks the endpoint at an address; `identity` is what listeners have to show its backend.
pub(super) async fn probe(
    backend: &BackendState,
    address: SocketAddr,
    check: &HealthCheck,
    identity: Option<&Arc<Identity>>,
) -> Result<(), Failure> {
    let address = SocketAddr::new(address.ip(), check.port.unwrap_or(address.port()));
    let mut rest = None;
    let asking = ask(Asked { backend, address, identity }, check, &mut rest);
    let result = tokio::time::timeout(check.timeout, asking).await.unwrap_or(Err(Failure::Timeout));
    if let Some(io) = rest {
        http1::finish(io).await;
    }
    result
}

/// Who is asked.
struct Asked<'a> {
    backend: &'a BackendState,
    address: SocketAddr,
    identity: Option<&'a Arc<Identity>>,
}

/// A connection whose answer is known and not read to its end is left in `rest`.
async fn ask(asked: Asked<'_>, check: &HealthCheck, rest: &mut Option<Io>) -> Result<(), Failure> {
    let is_tls = asked.backend.tls().is_some();
    match &check.probe {
        Probe::Tcp => asked.connect(Alpn::None, None).await.map(drop),
        Probe::Grpc { host, service } => {
            let io = asked.connect(Alpn::Http2, Some(host)).await?;
            http2::serves(io, (host, service), is_tls).await
        }
        Probe::Http(probe) => {
            // Who answers on another port need not speak what the backend speaks.
            let is_http2 = asked.backend.config.protocol == UpstreamProtocol::H2c && check.port.is_none();
            let alpn = if is_http2 { Alpn::Http2 } else { Alpn::Http1 };
            let mut io = asked.connect(alpn, Some(&probe.host)).await?;
            let status = if is_http2 {
                http2::status(io, probe, is_tls).await?
            } else {
                let status = http1::status(&mut io, probe).await?;
                *rest = Some(io);
                status
            };
            if probe.expects(status) { Ok(()) } else { Err(Failure::Status(status)) }
        }
    }
}

impl Asked<'_> {
    async fn connect(&self, alpn: Alpn, host: Option<&Authority>) -> Result<Io, Failure> {
        let stream = TcpStream::connect(self.address).await.map_err(|_| Failure::Connect)?;
        // Small and slow is good enough.
        stream.set_nodelay(true).ok();
        let Some(originator) = self.backend.tls() else { return Ok(Io::tcp(stream)) };
        let connector = TlsConnector::from(originator.config(originator.identity(self.identity), alpn));
        let sni = host.and_then(|host| originator.sni(hostname_of(host.as_str())));
        let name = sni.map_or_else(|| originator.server_name(), |sni| sni.name.clone());
        let shaken = connector.connect(name, stream).await;
        Ok(Io::tls_client(shaken.map_err(|error| Failure::Tls(tls::reason(&error, failure)))?))
    }
}
