// SPDX-License-Identifier: Apache-2.0
//! Why a certificate is not there: everything that an authority would find about a host, asked from here, in sentences.
//! Reads what is kept; changes nothing.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::checks::{Checks, Reach as _, addresses};
use super::dns::{Caa, Resolver};
use super::record::states;
use super::vault::{Vault, VaultError};
use crate::issuance::{Challenge, State};

/// Of one attempt to connect.
const DEADLINE: Duration = Duration::from_secs(5);

/// What there is to say of `host`, a line each.
///
/// # Errors
/// If what is kept cannot be listed.
pub async fn examine(vault: &dyn Vault, checks: &Checks, host: &str) -> Result<Vec<String>, VaultError> {
    let host = host.to_ascii_lowercase();
    let mut lines = Vec::new();
    let mut challenges = Vec::new();
    let all = states(vault).await?;
    for (_, state) in all.into_iter().filter(|(_, state)| state.hosts.contains_key(&host)) {
        lines.extend(of_state(&state));
        challenges.extend(state.order.into_iter().flat_map(|order| order.challenges));
    }
    if lines.is_empty() {
        lines.push(format!("No listener has asked for a certificate of {host} by ACME."));
    }
    let name = host.strip_prefix("*.").unwrap_or(&host);
    lines.push(caa(name).await);
    match addresses(name).await {
        Err(why) => lines.push(why),
        Ok(found) => lines.extend(at(&found, checks, name).await),
    }
    challenges.retain(|challenge: &Challenge| challenge.host == name);
    for challenge in challenges {
        let found = checks.look(&challenge).await;
        lines.push(format!("{} of the order: {}", challenge.kind, found.err().unwrap_or("answered".to_owned())));
    }
    Ok(lines)
}

fn of_state(state: &State) -> Vec<String> {
    let order = match &state.order {
        Some(order) => format!("order {} goes on", order.url),
        None => "no order is under way".to_owned(),
    };
    let mut lines = vec![format!("Secret {}, signed by {}: {order}.", state.certificate, state.issuer)];
    if let Some(trouble) = &state.trouble {
        lines.push(format!(
            "Attempts that failed since the last success: {}; the last: {}.",
            state.failures, trouble.message
        ));
    }
    lines
}

async fn caa(name: &str) -> String {
    let found = match Resolver::system() {
        Ok(resolver) => resolver.caa(name).await,
        Err(error) => Err(error),
    };
    match found {
        Err(error) => format!("CAA: cannot be found out, {error}"),
        Ok(Caa { at: None, .. }) => "CAA: no records, so every authority may sign".to_owned(),
        Ok(Caa { at: Some(at), issue, .. }) => {
            let domains: Vec<_> = issue.iter().map(|issuer| issuer.domain.as_str()).collect();
            format!("CAA: the records of {at} name {}", domains.join(", "))
        }
    }
}

async fn at(found: &BTreeSet<IpAddr>, checks: &Checks, name: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for address in found {
        for port in checks.ports() {
            let socket = SocketAddr::new(*address, port);
            let connected = timeout(DEADLINE, TcpStream::connect(socket)).await;
            lines.push(match connected {
                Ok(Ok(_)) => format!("{name} leads to {socket}, which can be connected to"),
                Ok(Err(error)) => format!("{name} leads to {socket}, which cannot be connected to: {error}"),
                Err(_) => format!("{name} leads to {socket}, which does not answer in {} s", DEADLINE.as_secs()),
            });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use torana_ir::CertificateKey;

    use super::*;
    use crate::acme::record::Record;
    use crate::acme::vault::FolderVault;
    use crate::issuance::{ChallengeType, Trouble};

    #[tokio::test]
    async fn whoever_asks_why_is_told_what_failed_and_where_the_name_leads() {
        let root = tempfile::tempdir().unwrap();
        let vault: Arc<dyn Vault> = Arc::new(FolderVault::open(root.path()).unwrap());
        let secret = CertificateKey { namespace: "shop".into(), name: "tls".into() };
        let mut record = Record::open(Arc::clone(&vault), "home", &secret).await.unwrap();
        record.state = State {
            hosts: [("localhost".to_owned(), Some(ChallengeType::Http01))].into(),
            failures: 3,
            trouble: Some(Trouble { reason: "preflight".into(), message: "port 80 is closed".into(), at: 1 }),
            ..State::new(&secret)
        };
        record.save().await.unwrap();
        let text = examine(&*vault, &Checks::at(1, 2), "LOCALHOST").await.unwrap().join("\n");
        for part in ["Secret shop/tls", "3; the last: port 80 is closed", "leads to 127.0.0.1:1, which cannot be"] {
            assert!(text.contains(part), "{text}");
        }
        let text = examine(&*vault, &Checks::at(1, 2), "nobody.invalid").await.unwrap().join("\n");
        assert!(text.contains("No listener has asked") && text.contains("DNS has no A or AAAA record"), "{text}");
    }
}
