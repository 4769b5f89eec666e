// SPDX-License-Identifier: Apache-2.0
//! The gateway's own servers: where they are by default, and what translation must know of them. Serves nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use anyhow::anyhow;
use torana_controller::plane::now;
use torana_controller::store::Settings;
use torana_ir::SessionKey;

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

/// One standalone process whose own servers no listener may take the place of.
pub(crate) fn settings(admin: Server, health: Server) -> Settings {
    let servers = [(admin, "the admin server"), (health, "the health server")];
    let reserved = servers.into_iter().filter_map(|(server, name)| Some((server.0?, name))).collect();
    Settings { reserved, ..Settings::standalone(now()) }
}

/// What this process seals the sessions of its clients with: they end with it.
pub(crate) fn session_key() -> anyhow::Result<SessionKey> {
    let mut bytes = [0; 32];
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| anyhow!("the system gives no randomness"))?;
    Ok(SessionKey::new(bytes))
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
    fn a_server_that_is_off_reserves_nothing() {
        assert_eq!(
            settings(Server::ADMIN, Server(None)).reserved,
            [("127.0.0.1:15000".parse().unwrap(), "the admin server")]
        );
    }
}
