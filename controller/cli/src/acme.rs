// SPDX-License-Identifier: Apache-2.0
//! `--data FOLDER`: where certificates are kept that this process obtains by ACME, and from whom, where a Gateway does not
//! say so. Without a folder nothing is ordered.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::watch;
use torana_controller::acme::vault::{ClusterVault, FolderVault, Vault};
use torana_controller::acme::{Checks, Clock, Connector, Engine, Happening, Parts, Told};
use torana_controller::api::Client;
use torana_controller::clock::now;
use torana_controller::embedded;
use torana_controller::issuance::{Answer, Wanted};
use torana_controller::leader::Leadership;
use torana_controller::metrics::Metrics;
use torana_controller::status::Board;
use torana_controller::store::Acme;

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

/// Where the control loop says what is wanted and what proxies can answer.
pub(crate) type Heralds = (watch::Sender<Arc<Vec<Wanted>>>, watch::Sender<BTreeSet<Answer>>);

impl ClusterAcmeArgs {
    /// What translation must know; Torana keeps what is its own in `home`.
    pub(crate) fn settings(&self, home: &str) -> Acme {
        let (email, issuer) = (self.acme_email.clone(), self.acme_issuer.clone());
        Acme { home: home.to_owned(), email, issuer, has_storage: self.acme }
    }

    /// Orders while this replica leads, if it is to.
    pub(crate) fn start(
        &self,
        client: &Client,
        home: &str,
        leadership: &watch::Receiver<Leadership>,
        (metrics, board): (&Metrics, &Arc<Board>),
    ) -> Heralds {
        let (wanted, of_wanted) = watch::channel(Arc::default());
        let (answers, of_answers) = watch::channel(BTreeSet::new());
        if self.acme {
            let acme = embedded::Acme { wanted: of_wanted, answers: of_answers };
            let (vault, leadership) = (ClusterVault::new(client.clone()), leadership.clone());
            let told = told(metrics.clone(), Arc::clone(board));
            tokio::spawn(order_as_leader(vault, home.to_owned(), (acme, leadership), told));
        }
        (wanted, answers)
    }
}

/// Orders what listeners want, for as long as anybody does.
pub(crate) async fn order(vault: FolderVault, acme: embedded::Acme) {
    // Alone, it leads.
    let (_leader, leads) = watch::channel(true);
    // What happens is in the log.
    let told = Told::new(|_, _| ());
    let embedded::Acme { wanted, answers } = acme;
    engine(Arc::new(vault), Acme::default().home, (wanted, answers, leads), told).run().await;
}

/// Counts what happens, and tells it with the objects whose listeners want the certificate.
fn told(metrics: Metrics, board: Arc<Board>) -> Told {
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

/// As [`order`], in a cluster: while this replica leads.
async fn order_as_leader(
    vault: ClusterVault,
    home: String,
    (acme, mut leadership): (embedded::Acme, watch::Receiver<Leadership>),
    told: Told,
) {
    let (leader, leads) = watch::channel(leadership.borrow().leads());
    let embedded::Acme { wanted, answers } = acme;
    let engine = engine(Arc::new(vault), home, (wanted, answers, leads), told);
    let following = async move {
        while leadership.changed().await.is_ok() {
            leader.send_replace(leadership.borrow_and_update().leads());
        }
    };
    tokio::join!(engine.run(), following);
}

type Heard = (watch::Receiver<Arc<Vec<Wanted>>>, watch::Receiver<BTreeSet<Answer>>, watch::Receiver<bool>);

fn engine(vault: Arc<dyn Vault>, home: String, (wanted, answers, leads): Heard, told: Told) -> Engine {
    Engine::new(Parts {
        vault,
        connect: Arc::new(Connector),
        reach: Arc::new(Checks::default()),
        home,
        clock: Clock::new(now),
        wanted,
        answers,
        leads,
        told,
    })
}
