// SPDX-License-Identifier: Apache-2.0
//! Backends: what rules forward to. Their endpoints are a resource of their own.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::balance::{LoadBalance, WarmUp};
use crate::check::HealthCheck;
use crate::connection::ConnectionPolicy;
use crate::health::{Caps, OutlierDetection};
use crate::key::BackendKey;
use crate::locality::LocalityPolicy;
use crate::origination::{BackendTls, DnsName};
use crate::percent::Percent;

/// What a rule forwards to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Who it is.
    pub key: BackendKey,
    /// What its endpoints speak to HTTPRoutes and GRPCRoutes. Streams are passed on as they come.
    pub protocol: UpstreamProtocol,
    /// Whether TLS is between.
    pub tls: BackendTls,
    /// What workloads of a mesh are called by in mutual TLS ([`Endpoint::mesh`](crate::Endpoint::mesh)); it authenticates
    /// nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh_name: Option<DnsName>,
    /// Its endpoints are those of a waypoint, which is asked for this host by its tunnels (`:authority`; an IPv6 address in
    /// brackets). `None`: each is asked for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waypoint_for: Option<String>,
    /// How one endpoint is chosen.
    pub balance: LoadBalance,
    /// Deadline of one connect.
    pub connect_deadline: Duration,
    /// Pooled connections close after this long without a request.
    pub idle: Duration,
    /// Connections that may be open or opening to this backend.
    pub max_connections: u32,
    /// What else is bounded.
    #[serde(default)]
    pub caps: Caps,
    /// How connections are opened, and when they end.
    #[serde(default, skip_serializing_if = "ConnectionPolicy::is_usual")]
    pub connections: ConnectionPolicy,
    /// Whether new endpoints get their share little by little.
    #[serde(default)]
    pub warm_up: Option<WarmUp>,
    /// When endpoints are not chosen for what became of requests to them; `None`: never.
    #[serde(default = "unreachable_ones")]
    pub outliers: Option<OutlierDetection>,
    /// While less than this share of the endpoints is left, ejections and failed checks are ignored: few must not take
    /// the load of all (panic threshold; `outlierDetection.minHealthPercent`). 0: they never are.
    #[serde(default)]
    pub panic: Percent,
    /// Whether it matters where endpoints stand; `None`: they are all alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locality: Option<LocalityPolicy>,
    /// How endpoints are asked whether they may be chosen; `None`: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<HealthCheck>,
}

impl Backend {
    /// A backend with the defaults: HTTP/1.1 in cleartext, least request, connect in 5 s, idle 60 s, 4,096 connections;
    /// endpoints that cannot be reached are left out ([`OutlierDetection::of_the_unreachable`]).
    pub fn new(key: BackendKey) -> Self {
        Self {
            key,
            protocol: UpstreamProtocol::Http1,
            tls: BackendTls::Plain,
            mesh_name: None,
            waypoint_for: None,
            balance: LoadBalance::LeastRequest,
            connect_deadline: Duration::from_secs(5),
            idle: Duration::from_mins(1),
            max_connections: 4096,
            caps: Caps::default(),
            connections: ConnectionPolicy::default(),
            warm_up: None,
            outliers: unreachable_ones(),
            panic: Percent::NONE,
            locality: None,
            check: None,
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is the field's default")]
fn unreachable_ones() -> Option<OutlierDetection> {
    Some(OutlierDetection::of_the_unreachable())
}

/// `appProtocol` of a Service port. It is fixed, under TLS too: what else a backend would agree to by ALPN is not asked,
/// so that every request of a backend may do the same (upgrade, share a connection).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpstreamProtocol {
    /// HTTP/1.1 (also `kubernetes.io/ws`).
    Http1,
    /// HTTP/2 (`kubernetes.io/h2c`; always for GRPCRoute): with prior knowledge in cleartext, by ALPN under TLS.
    H2c,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_controller_does_not_say_is_the_default() {
        let backend = Backend::new(BackendKey::tcp("n", "b", 80));
        let mut written = serde_json::to_value(&backend).unwrap();
        for later in ["caps", "warm_up", "outliers", "panic"] {
            assert!(written.as_object_mut().unwrap().remove(later).is_some(), "{later}");
        }
        assert_eq!(serde_json::from_value::<Backend>(written).unwrap(), backend);
    }
}
