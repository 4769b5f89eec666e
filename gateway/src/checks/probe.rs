// SPDX-License-Identifier: Apache-2.0
//! One check of one endpoint: a connection of its own, TLS as requests have it, a question, all within one deadline.

use std::sync::Arc;

use tokio::time::Instant;
use torana_ir::{Authority, HealthCheck, Probe, UpstreamProtocol, hostname_of};

use super::failure::Failure;
use super::{http1, http2};
use crate::balance::{BackendState, Endpoint};
use crate::fault::Fault;
use crate::io::Io;
use crate::tls::backends::{Alpn, Identity};
use crate::upstream::{Reach, Wires};

/// What checks say that they are.
pub(super) const USER_AGENT: &str = "torana-health-check";

/// Asks an endpoint; `identity` is what listeners have to show its backend.
pub(super) async fn probe(
    wires: &Wires,
    (backend, endpoint): (&BackendState, &Endpoint),
    check: &HealthCheck,
    identity: Option<&Arc<Identity>>,
) -> Result<(), Failure> {
    let mut rest = None;
    let asked = Asked { wires, backend, endpoint, port: check.port, until: Instant::now() + check.timeout, identity };
    let asking = ask(asked, check, &mut rest);
    let result = tokio::time::timeout(check.timeout, asking).await.unwrap_or(Err(Failure::Timeout));
    if let Some(io) = rest {
        http1::finish(io).await;
    }
    result
}

/// Who is asked.
struct Asked<'a> {
    wires: &'a Wires,
    backend: &'a BackendState,
    endpoint: &'a Endpoint,
    /// Another port than its own.
    port: Option<u16>,
    until: Instant,
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
        let tls = self.backend.tls();
        let sni = host.and_then(|host| tls?.sni(hostname_of(host.as_str())));
        let way = self.wires.way(self.endpoint).map_err(failed)?;
        let reach = Reach {
            backend: self.backend,
            endpoint: self.endpoint,
            port: self.port,
            way: &way,
            deadline: self.until,
            identity: self.identity,
            sni: sni.as_deref(),
            caller: None,
        };
        self.wires.connect(&reach, Some(alpn)).await.map_err(failed)
    }
}

fn failed(fault: Fault) -> Failure {
    match fault {
        Fault::UpstreamTls(why) => Failure::Tls(why),
        Fault::NoIdentity(_) => Failure::NoIdentity,
        _ => Failure::Connect,
    }
}
