// SPDX-License-Identifier: Apache-2.0
//! The authority of a mesh without Istio, as part of `torana controller`: its arguments, and what runs for it. Serves
//! nothing unless it is asked to.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use torana_controller::api::Client;
use torana_controller::feed::Reviewer;
use torana_controller::leader::Leadership;
use torana_controller::mesh_ca::{self, LONGEST_LIFETIME, MeshCa, Policy, TrustDomain};
use torana_controller::reconcile::authority::{Keeper, certificates};
use torana_controller::reconcile::roots;

/// The Secret with the roots and their keys.
const SECRET: &str = "torana-mesh-ca";
/// What asks again and again would be busy with nothing else.
const SHORTEST_LIFETIME: Duration = Duration::from_mins(5);

/// Arguments of `torana controller` that begin with `--mesh-ca`.
#[derive(Debug, Clone, clap::Args)]
pub struct MeshCaArgs {
    /// Where workloads get certificates from, by Istio's protocol [default: nowhere]
    #[arg(long = "mesh-ca-listen", value_name = "ADDRESS", env = "TORANA_MESH_CA_LISTEN")]
    listen: Option<SocketAddr>,
    /// The trust domain of their identities
    #[arg(
        long = "mesh-ca-trust-domain",
        value_name = "NAME",
        default_value = "cluster.local",
        requires = "listen",
        env = "TORANA_MESH_CA_TRUST_DOMAIN"
    )]
    trust_domain: TrustDomain,
    /// The most that a certificate is good for, from 5m to 2160h; who asks for nothing gets a day of it
    #[arg(
        long = "mesh-ca-lifetime",
        value_name = "DURATION",
        default_value = "24h",
        value_parser = lifetime,
        requires = "listen",
        env = "TORANA_MESH_CA_LIFETIME"
    )]
    lifetime: Duration,
    /// What this cluster is called: workloads that say they are of another one are refused [default: nobody is asked]
    #[arg(long = "mesh-ca-cluster-id", value_name = "NAME", requires = "listen", env = "TORANA_MESH_CA_CLUSTER_ID")]
    cluster_id: Option<String>,
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let parsed = torana_crds::parse_duration(text).filter(|it| (SHORTEST_LIFETIME..=LONGEST_LIFETIME).contains(it));
    parsed.ok_or_else(|| "write it like 24h or 1h30m, from 5m to 2160h".to_owned())
}

/// Serves from now on, if it is asked to. Every replica does, for all share the Secret; the leader renews that, and
/// publishes the roots.
pub(crate) async fn start(
    args: MeshCaArgs,
    client: Client,
    namespace: String,
    (leadership, proxies): (watch::Receiver<Leadership>, watch::Receiver<BTreeSet<String>>),
) -> anyhow::Result<()> {
    let MeshCaArgs { listen, trust_domain, lifetime, cluster_id } = args;
    let Some(address) = listen else { return Ok(()) };
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen at {address}"))?;
    let policy = Policy { trust_domain, lifetime, cluster_id };
    // Nothing else waits for a Secret that may be damaged.
    tokio::spawn(async move {
        let keeper = Keeper::new(client.clone(), &namespace, SECRET);
        let (authority, authorities) = watch::channel(keeper.authority().await);
        tokio::spawn(keeper.keep(authority, leadership.clone()));
        let wanted = roots::both(roots::labelled(client.clone()), proxies);
        tokio::spawn(roots::publish(client.clone(), namespace.clone(), wanted, authorities.clone(), leadership));
        let Some(tls) = certificates(authorities.clone(), names(&namespace), mesh_ca::tls) else { return };
        let ca = Arc::new(MeshCa::new(policy, authorities, Reviewer::new(client, mesh_ca::AUDIENCE)));
        tracing::info!(%address, "workloads get certificates");
        ca.serve(&listener, tls, std::future::pending()).await;
    });
    Ok(())
}

/// What the Service is called, from near and from far.
fn names(namespace: &str) -> Vec<String> {
    let service = format!("{}.{namespace}.svc", mesh_ca::SERVICE);
    vec![service.clone(), format!("{service}.cluster.local")]
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: MeshCaArgs,
    }

    fn parse(arguments: &[&str]) -> Result<MeshCaArgs, clap::Error> {
        let listen = ["x", "--mesh-ca-listen", "127.0.0.1:0"];
        Command::try_parse_from(listen.iter().chain(arguments)).map(|command| command.args)
    }

    #[test]
    fn it_is_off_unless_asked_for_and_nothing_is_said_in_vain() {
        assert_eq!(Command::try_parse_from(["x"]).unwrap().args.listen, None);
        assert!(Command::try_parse_from(["x", "--mesh-ca-lifetime", "1h"]).is_err());
    }

    #[test]
    fn lifetimes_and_trust_domains_that_cannot_be_are_refused() {
        let args = parse(&["--mesh-ca-lifetime", "1h30m", "--mesh-ca-trust-domain", "td.example"]).unwrap();
        assert_eq!((args.lifetime.as_secs(), args.trust_domain.to_string().as_str()), (5400, "td.example"));
        assert!(parse(&["--mesh-ca-lifetime", "2160h"]).is_ok());
        for bad in ["", "1", "4m", "2161h", "-1h", "1d"] {
            assert!(parse(&["--mesh-ca-lifetime", bad]).is_err(), "{bad:?}");
        }
        assert!(parse(&["--mesh-ca-trust-domain", "Cluster/Local"]).is_err());
    }
}
