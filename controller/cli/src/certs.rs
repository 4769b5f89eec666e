// SPDX-License-Identifier: Apache-2.0
//! `torana certs`: certificates by ACME, how each stands, and why one is not there. Reads what the process or the leader
//! keeps; it is they who act.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use jiff::Timestamp;
use torana_controller::acme::vault::{ClusterVault, FolderVault, Vault};
use torana_controller::acme::{Checks, Standing, examine, overview, renew};
use torana_controller::api;
use torana_controller::clock::now;
use torana_controller::store::Acme;

use crate::output::{self, Output};

/// Arguments of `torana certs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  torana certs --data /var/lib/torana           of `torana run --data /var/lib/torana`
  torana certs                                  of the cluster of KUBECONFIG
  torana certs renew shop.example.com           order it anew, whatever its age
  torana certs debug shop.example.com           why is it not there?")]
pub struct CertsArgs {
    /// The folder of `torana run --data` [default: the cluster]
    #[arg(long, value_name = "FOLDER", env = "TORANA_DATA")]
    pub data: Option<PathBuf>,
    /// How to reach the API server [default: KUBECONFIG, ~/.kube/config, or the pod's service account]
    #[arg(long, value_name = "FILE", env = "TORANA_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// Where the controllers live
    #[arg(long, value_name = "NAMESPACE", default_value = "torana-system", env = "TORANA_NAMESPACE")]
    pub namespace: String,
    /// How to print them
    #[arg(short = 'o', long, value_enum, default_value_t = Output::Text, env = "TORANA_OUTPUT")]
    pub output: Output,
    /// What to do
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Order the certificates of a host anew, whatever their age
    Renew {
        /// One of their names
        #[arg(env = "TORANA_HOST")]
        host: String,
    },
    /// Tell why a host has no certificate: what is kept, DNS, CAA, ports and answers, asked from here
    Debug {
        /// The host
        #[arg(env = "TORANA_HOST")]
        host: String,
    },
}

/// Prints them, or has them renewed; 1 if one is not well.
pub(crate) async fn main(args: CertsArgs) -> anyhow::Result<u8> {
    let (vault, home): (Arc<dyn Vault>, String) = if let Some(path) = &args.data {
        let vault = FolderVault::beside(path).with_context(|| format!("--data {}", path.display()))?;
        (Arc::new(vault), Acme::default().home)
    } else {
        let access = api::access(args.kubeconfig.as_deref()).await?;
        (Arc::new(ClusterVault::new(access.client)), args.namespace.clone())
    };
    if let Some(Action::Renew { host }) = &args.action {
        let count = renew(&vault, &home, host, now()).await.map_err(|why| anyhow!(why))?;
        if count == 0 {
            bail!("no certificate by ACME has the name {host:?}; torana certs lists them");
        }
        output::print(format!("{count} to be renewed; torana certs tells how far it is\n").as_bytes())?;
        return Ok(0);
    }
    if let Some(Action::Debug { host }) = &args.action {
        let lines = examine(&*vault, &Checks::default(), host).await?;
        output::print((lines.join("\n") + "\n").as_bytes())?;
        return Ok(0);
    }
    let all = overview(&*vault, now()).await?;
    let text = match args.output {
        Output::Json => serde_json::to_string_pretty(&all)? + "\n",
        Output::Text => table(&all),
    };
    output::print(text.as_bytes())?;
    Ok(u8::from(all.iter().any(|it| it.error.is_some() || it.expires.is_none())))
}

/// As `kubectl get` prints: columns as wide as they must be.
fn table(all: &[Standing]) -> String {
    let mut rows =
        vec![["HOST", "ISSUER", "CHALLENGE", "STATE", "EXPIRES", "RENEWS", "NEXT-TRY", "ERROR"].map(str::to_owned)];
    for it in all {
        let hosts = if it.hosts.is_empty() { it.certificate.clone() } else { it.hosts.join(",") };
        rows.push([
            hosts,
            it.issuer.clone(),
            it.challenges.join(","),
            format!("{:?}", it.state),
            moment(it.expires),
            moment(it.renews),
            moment(it.next_try),
            it.error.clone().unwrap_or_default(),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row.get(column).map_or(0, |cell| cell.chars().count())).max();
    let widths: Vec<usize> = (0..8).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &[String; 8]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn moment(seconds: Option<i64>) -> String {
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "-".to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use torana_controller::acme::Stage;

    use super::*;

    #[test]
    fn columns_are_aligned_and_what_is_not_known_is_a_dash() {
        let standing = |hosts: &[&str], error: Option<&str>| Standing {
            certificate: "shop/tls".into(),
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            issuer: "letsencrypt".into(),
            challenges: vec!["http-01"],
            state: if error.is_some() { Stage::Pending } else { Stage::Ready },
            expires: error.is_none().then_some(1_800_000_000),
            renews: None,
            next_try: None,
            error: error.map(str::to_owned),
        };
        let text = table(&[standing(&["a.example", "b.example"], None), standing(&[], Some("no address"))]);
        assert_eq!(
            text,
            "HOST                 ISSUER       CHALLENGE  STATE    EXPIRES               RENEWS  NEXT-TRY  ERROR\n\
             a.example,b.example  letsencrypt  http-01    Ready    2027-01-15T08:00:00Z  -       -\n\
             shop/tls             letsencrypt  http-01    Pending  -                     -       -         no address\n"
        );
    }
}
