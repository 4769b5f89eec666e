// SPDX-License-Identifier: Apache-2.0
//! `ConnectionPoolSettings` and `OutlierDetection`: how much an endpoint gets, and when it gets nothing. A limit that
//! is absent is unlimited. Never counts anything.

use std::time::Duration;

use serde::Deserialize;

use crate::istio::scalars::{limit, words};
use crate::istio::{MaybeDuration, duration};

/// `ConnectionPoolSettings`; at least one of both.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ConnectionPool {
    /// Connections.
    pub tcp: Option<TcpPool>,
    /// Requests.
    pub http: Option<HttpPool>,
}

/// `TCPSettings`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpPool {
    /// At once, to the whole host.
    #[serde(deserialize_with = "limit")]
    pub max_connections: Option<u32>,
    /// `None`: what the mesh says, 10 s.
    #[serde(deserialize_with = "duration::optional")]
    pub connect_timeout: MaybeDuration,
    /// `None`: none is asked for.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// `None`: for ever.
    #[serde(deserialize_with = "duration::optional")]
    pub max_connection_duration: MaybeDuration,
    /// Without bytes; `None`: 1 h, zero: for ever.
    #[serde(deserialize_with = "duration::optional")]
    pub idle_timeout: MaybeDuration,
}

/// `TcpKeepalive`; what is absent is the system's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct TcpKeepalive {
    /// Without an answer to so many the connection is dead.
    #[serde(deserialize_with = "limit")]
    pub probes: Option<u32>,
    /// Idle before the first.
    #[serde(deserialize_with = "duration::optional")]
    pub time: MaybeDuration,
    /// Between two.
    #[serde(deserialize_with = "duration::optional")]
    pub interval: MaybeDuration,
}

words! {
    /// `H2UpgradePolicy`.
    #[derive(Default)]
    H2UpgradePolicy {
        /// What the mesh says.
        #[default]
        Default = "DEFAULT",
        /// HTTP/1.1 stays HTTP/1.1.
        DoNotUpgrade = "DO_NOT_UPGRADE",
        /// HTTP/1.1 becomes HTTP/2.
        Upgrade = "UPGRADE",
    }
}

/// `HTTPSettings`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpPool {
    /// Requests that wait for a connection.
    #[serde(deserialize_with = "limit")]
    pub http1_max_pending_requests: Option<u32>,
    /// Requests at once, of any protocol.
    #[serde(deserialize_with = "limit")]
    pub http2_max_requests: Option<u32>,
    /// Then a connection is closed.
    #[serde(deserialize_with = "limit")]
    pub max_requests_per_connection: Option<u32>,
    /// Tries after the first at once.
    #[serde(deserialize_with = "limit")]
    pub max_retries: Option<u32>,
    /// Without requests; `None`: 1 h.
    #[serde(deserialize_with = "duration::optional")]
    pub idle_timeout: MaybeDuration,
    /// Whether HTTP/1.1 becomes HTTP/2.
    pub h2_upgrade_policy: H2UpgradePolicy,
    /// The protocol of the client is kept.
    pub use_client_protocol: bool,
    /// Of one connection of HTTP/2.
    #[serde(deserialize_with = "limit")]
    pub max_concurrent_streams: Option<u32>,
    /// `None`: none.
    pub http2_keep_alive: Option<Http2KeepAlive>,
}

/// `HTTP2KeepAlive`; both are required.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Http2KeepAlive {
    /// Between two pings.
    #[serde(deserialize_with = "duration::optional")]
    pub interval: MaybeDuration,
    /// Until the answer.
    #[serde(deserialize_with = "duration::optional")]
    pub timeout: MaybeDuration,
}

/// `OutlierDetection`, with Envoy's defaults.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutlierDetection {
    /// So many 5xx in a row eject an endpoint; default 5, 0 never.
    pub consecutive_5xx_errors: u32,
    /// So many 502, 503, 504 in a row do; default 0, never.
    pub consecutive_gateway_errors: u32,
    /// Failures to connect are counted apart; default false.
    pub split_external_local_origin_errors: bool,
    /// Then so many failures to connect in a row do.
    #[serde(deserialize_with = "limit")]
    pub consecutive_local_origin_failures: Option<u32>,
    /// Between two looks; default 10 s.
    #[serde(deserialize_with = "duration::required")]
    pub interval: Duration,
    /// Times the number of ejections; default 30 s.
    #[serde(deserialize_with = "duration::required")]
    pub base_ejection_time: Duration,
    /// Of the endpoints; `None`: 10.
    #[serde(deserialize_with = "limit")]
    pub max_ejection_percent: Option<u32>,
    /// With fewer healthy endpoints ejection stops; default 0.
    pub min_health_percent: u32,
    /// Status codes that count as 5xx; empty: those.
    #[serde(rename = "outlierDetectionHttpErrorCodes")]
    pub http_error_codes: Vec<u16>,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_5xx_errors: 5,
            consecutive_gateway_errors: 0,
            split_external_local_origin_errors: false,
            consecutive_local_origin_failures: None,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_percent: None,
            min_health_percent: 0,
            http_error_codes: Vec::new(),
        }
    }
}
