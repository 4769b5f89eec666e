// SPDX-License-Identifier: Apache-2.0
//! What translation must know of the gateway's own servers. Serves nothing.

use anyhow::anyhow;
use torana_controller::clock::now;
use torana_controller::store::Settings;
use torana_ir::SessionKey;

pub use torana_gateway::app::Server;

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
    fn a_server_that_is_off_reserves_nothing() {
        assert_eq!(
            settings(Server::ADMIN, Server(None)).reserved,
            [("127.0.0.1:15000".parse().unwrap(), "the admin server")]
        );
    }
}
