// SPDX-License-Identifier: Apache-2.0
//! The flags of every program that serves: `torana run` and `torana-gateway` have the same. Starts nothing but the log.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use torana_ir::Locality;

use super::duration::duration;
use super::identity::MeshIdentity;
use super::{Config, LogFormat as AccessLog, Site};
use crate::logging::{LogFormat, Logging};

/// The address of one of the gateway's own servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server(pub Option<SocketAddr>);

impl Server {
    /// Where debugging is served by default.
    pub const ADMIN: Self = Self(Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15000)));
    /// Where health and metrics are served by default.
    pub const HEALTH: Self = Self(Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 15021)));
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            text => text.parse().map(|address| Self(Some(address))).map_err(|_| "write IP:PORT, or off".to_owned()),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("off"),
        }
    }
}

/// How to serve.
#[derive(Debug, Clone, clap::Args)]
pub struct Serving {
    /// Where debugging is served, or off
    #[arg(long, value_name = "ADDRESS", default_value_t = Server::ADMIN, env = "TORANA_ADMIN")]
    pub admin: Server,
    /// Where health and metrics are served, or off
    #[arg(long, value_name = "ADDRESS", default_value_t = Server::HEALTH, env = "TORANA_HEALTH")]
    pub health: Server,
    /// Worker threads; 0 means one a core
    #[arg(long, value_name = "N", default_value_t = 0, env = "TORANA_WORKERS")]
    pub workers: usize,
    /// Access log on standard output: json, text or off
    #[arg(long, value_name = "FORMAT", default_value = "json", env = "TORANA_ACCESS_LOG")]
    pub access_log: AccessLog,
    /// DNS server that backends with an externalName are asked of, instead of those of the system
    #[arg(long, value_name = "ADDRESS", env = "TORANA_RESOLVER")]
    pub resolver: Option<SocketAddr>,
    /// Level of the log on standard error: error, warn, info, debug, trace, or a list like info,torana_gateway=debug
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "TORANA_LOG_LEVEL")]
    pub log_level: String,
    /// Format of the log on standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "TORANA_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// Name of the workload that the proxies are, for Istio's metrics [default: that of the Gateway]
    #[arg(long, value_name = "NAME", env = "TORANA_WORKLOAD")]
    pub workload: Option<String>,
    /// How long requests in flight get when the gateway ends
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration, env = "TORANA_DRAIN_DEADLINE")]
    pub drain_deadline: Duration,
    /// How long the gateway still accepts after it says that it is not ready any more
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration, env = "TORANA_PRE_STOP")]
    pub pre_stop: Duration,
    /// Where it stands: REGION/ZONE/SUBZONE, as far as it is known. Endpoints that are near may be preferred
    #[arg(long, value_name = "PLACE", default_value = "", hide_default_value = true, value_parser = locality, env = "TORANA_LOCALITY")]
    pub locality: Locality,
    /// Labels of its pod, such as team=web,tier=edge: endpoints that have them in common may be preferred
    #[arg(long, value_name = "LABELS", default_value = "", hide_default_value = true, value_parser = labels, env = "TORANA_LABELS")]
    pub labels: Labels,
    /// Who it is in its mesh
    #[command(flatten)]
    pub mesh: MeshIdentity,
}

/// Labels by key.
pub type Labels = BTreeMap<String, String>;

impl Serving {
    /// Starts the log of the process; may be called once.
    pub fn logging(&self) -> anyhow::Result<Logging> {
        Logging::start(&self.log_level, self.log_format)
    }

    /// What the flags say of the data plane.
    pub fn config(&self, logging: &Logging) -> Config {
        Config {
            workers: self.workers,
            admin: self.admin.0,
            health: self.health.0,
            access_log: self.access_log,
            pre_stop: self.pre_stop,
            drain_deadline: self.drain_deadline,
            resolver: self.resolver,
            workload: self.workload.clone(),
            identity: self.mesh.source(),
            site: Site { locality: self.locality.clone(), labels: self.labels.clone() },
            log_level: Some(Arc::new(logging.clone())),
            ..Config::default()
        }
    }
}

fn locality(text: &str) -> Result<Locality, String> {
    let is_one = text.matches('/').count() < 3;
    is_one
        .then(|| text.to_owned().into())
        .ok_or_else(|| "write REGION/ZONE/SUBZONE; what is not known is empty".to_owned())
}

fn labels(text: &str) -> Result<Labels, String> {
    let each = text.split(',').filter(|label| !label.is_empty()).map(|label| {
        let (key, value) = label.split_once('=').filter(|(key, _)| !key.is_empty())?;
        Some((key.to_owned(), value.to_owned()))
    });
    each.collect::<Option<_>>().ok_or_else(|| "write labels like team=web,tier=edge".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_an_address_or_is_off() {
        assert_eq!("off".parse(), Ok(Server(None)));
        assert_eq!("[::1]:1".parse(), Ok(Server(Some("[::1]:1".parse().unwrap()))));
        assert!("localhost:80".parse::<Server>().is_err() && "".parse::<Server>().is_err());
    }

    #[test]
    fn a_place_has_three_parts_at_most() {
        for (text, expected) in [("", ""), ("//", ""), ("r/z/", "r/z"), ("/z/", "/z"), ("r/z/s", "r/z/s")] {
            assert_eq!(locality(text).unwrap().as_str(), expected, "{text}");
        }
        assert!(locality("r/z/s/t").is_err());
    }

    #[test]
    fn labels_have_a_key_and_perhaps_a_value() {
        let found = labels("a=b,example.com/c=,,d=e=f").unwrap();
        let found: Vec<_> = found.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(found, [("a", "b"), ("d", "e=f"), ("example.com/c", "")]);
        assert!(labels("").unwrap().is_empty() && labels("a").is_err() && labels("=b").is_err());
    }
}
