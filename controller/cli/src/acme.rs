// SPDX-License-Identifier: Apache-2.0
//! `--data FOLDER`: where certificates are kept that this process obtains by ACME, and from whom, where a Gateway does not
//! say so. Without a folder nothing is ordered.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::{mpsc, watch};
use torana_controller::acme::vault::{ClusterVault, FolderVault, Vault};
use torana_controller::acme::{Asker, AskerParts, Checks, Clock, Connector, Engine, Happening, Parts, Tally, Told};
use torana_controller::api::Client;
use torana_controller::clock::now;
use torana_controller::feed::Hub;
use torana_controller::herald::{Heard, Heralds, heralds};
use torana_controller::leader::Leadership;
use torana_controller::metrics::Metrics;
use torana_controller::status::Board;
use torana_controller::store::Acme;
use torana_ir::Demand;

/// Flags about certificates.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct AcmeArgs {
    /// Where certificates by ACME, accounts and orders are kept; without it none are ordered
    #[arg(long, value_name = "FOLDER", env = "TORANA_DATA")]
    pub data: Option<PathBuf>,
    /// Where the authorities that need no AcmeIssuer write to
    #[arg(long, value_name = "ADDRESS", env = "TORANA_ACME_EMAIL")]
    pub acme_email: Option<String>,
    /// Who signs for Gateways without the annotation torana.dev/acme [default: nobody]
    #[arg(long, value_name = "ISSUER", env = "TORANA_ACME_ISSUER")]
    pub acme_issuer: Option<String>,
}

impl AcmeArgs {
    /// The folder, if there is one, and what translation must know.
    ///
    /// # Errors
    /// If the folder cannot be used, or another process does.
    pub(crate) fn open(&self) -> anyhow::Result<(Acme, Option<FolderVault>)> {
        let open = |path: &PathBuf| FolderVault::open(path).with_context(|| format!("--data {}", path.display()));
        let vault = self.data.as_ref().map(open).transpose()?;
        let (email, issuer) = (self.acme_email.clone(), self.acme_issuer.clone());
        Ok((Acme { email, issuer, has_storage: vault.is_some(), ..Acme::default() }, vault))
    }
}

/// Flags about certificates of a controller.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ClusterAcmeArgs {
    /// Obtain certificates by ACME; the service account must be allowed to write Secrets
    #[arg(long, env = "TORANA_ACME")]
    pub acme: bool,
    /// Where the authorities that need no AcmeIssuer write to
    #[arg(long, value_name = "ADDRESS", env = "TORANA_ACME_EMAIL")]
    pub acme_email: Option<String>,
    /// Who signs by ACME for Gateways without the annotation torana.dev/acme [default: nobody]
    #[arg(long, value_name = "ISSUER", env = "TORANA_ACME_ISSUER")]
    pub acme_issuer: Option<String>,
}

/// What clients ask for that may wait.
pub(crate) const DEMANDS: usize = 256;

impl ClusterAcmeArgs {
    /// What translation must know; Torana keeps what is its own in `home`.
    pub(crate) fn settings(&self, home: &str) -> Acme {
        let (email, issuer) = (self.acme_email.clone(), self.acme_issuer.clone());
        Acme { home: home.to_owned(), email, issuer, has_storage: self.acme }
    }

    /// Obtains certificates while this replica leads, if it is to; what clients ask for, `hub` hears.
    pub(crate) fn start(
        &self,
        (client, home): (&Client, &str),
        hub: &Hub,
        leadership: &watch::Receiver<Leadership>,
        (metrics, board): (&Metrics, &Arc<Board>),
    ) -> Heralds {
        let (heralds, heard) = heralds();
        if self.acme {
            let (told, demands) = mpsc::channel(DEMANDS);
            hub.hear(told);
            let vault = (Arc::new(ClusterVault::new(client.clone())) as Arc<dyn Vault>, home.to_owned());
            let (leader, leads) = watch::channel(leadership.borrow().leads());
            let engine = engine(vault.clone(), &heard, leads.clone(), told_by(metrics.clone(), Arc::clone(board)));
            let counting = metrics.clone();
            let tally = Tally::new(move |answer| counting.asked(answer));
            let asker = asker(vault, (&heard, demands), leads, tally);
            let mut leadership = leadership.clone();
            let following = async move {
                while leadership.changed().await.is_ok() {
                    leader.send_replace(leadership.borrow_and_update().leads());
                }
            };
            tokio::spawn(async move { tokio::join!(engine.run(), asker.run(), following) });
        }
        heralds
    }
}

/// Obtains what listeners want and clients ask for, for as long as anybody does.
pub(crate) async fn order(vault: FolderVault, heard: Heard, demands: mpsc::Receiver<Demand>) {
    // Alone, it leads.
    let (_leader, leads) = watch::channel(true);
    let vault = (Arc::new(vault) as Arc<dyn Vault>, Acme::default().home);
    // What happens is in the log.
    let engine = engine(vault.clone(), &heard, leads.clone(), Told::new(|_, _| ()));
    let asker = asker(vault, (&heard, demands), leads, Tally::new(|_| ()));
    tokio::join!(engine.run(), asker.run());
}

/// Counts what happens, and tells it with the objects whose listeners want the certificate.
fn told_by(metrics: Metrics, board: Arc<Board>) -> Told {
    Told::new(move |wanted, happening| {
        if let Some((result, reason)) = happening.result() {
            metrics.ordered(result, reason);
        }
        let (reason, note) = happening.event(wanted);
        let is_warning = matches!(happening, Happening::Failed { .. });
        for owner in &wanted.owners {
            board.happened(owner, is_warning, (reason, &note));
        }
    })
}

type Place = (Arc<dyn Vault>, String);

fn engine((vault, home): Place, heard: &Heard, leads: watch::Receiver<bool>, told: Told) -> Engine {
    Engine::new(Parts {
        vault,
        connect: Arc::new(Connector),
        reach: Arc::new(Checks::default()),
        home,
        clock: Clock::new(now),
        wanted: heard.wanted.clone(),
        answers: heard.answers.clone(),
        leads,
        told,
    })
}

fn asker(
    vault: Place,
    (heard, demands): (&Heard, mpsc::Receiver<Demand>),
    leads: watch::Receiver<bool>,
    tally: Tally,
) -> Asker {
    Asker::new(AskerParts { vault, clock: Clock::new(now), offers: heard.offers.clone(), demands, leads, tally })
}
