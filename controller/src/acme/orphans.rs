// SPDX-License-Identifier: Apache-2.0
//! Certificates that nobody wants any more: they are not renewed, and after a week what was kept of them is forgotten. The
//! certificate itself stays where it is: perhaps somebody else serves it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use torana_ir::CertificateKey;

use super::attempt::Clock;
use super::failure::Failure;
use super::record::{Record, states};
use super::vault::Vault;
use crate::issuance::Wanted;

/// So long what was kept of a certificate is kept, in seconds.
const KEPT: i64 = 7 * 86_400;
/// Pause between two looks.
const PAUSE: Duration = Duration::from_hours(1);

/// Looks now and then, while this replica leads.
pub(super) async fn forget(
    (vault, home, clock): (Arc<dyn Vault>, String, Clock),
    mut wanted: watch::Receiver<Arc<Vec<Wanted>>>,
    mut leads: watch::Receiver<bool>,
) {
    // What is wanted is known only when it was told.
    while wanted.changed().await.is_ok() {
        if leads.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        let known = wanted.borrow_and_update().iter().map(|it| it.secret.clone()).collect();
        if let Err(failure) = look(&vault, &home, &known, clock.now()).await {
            tracing::debug!(why = failure.message, "certificates that nobody wants are looked for later");
        }
        sleep(PAUSE).await;
        // Also when nothing changes.
        wanted.mark_changed();
    }
}

/// Marks what nobody wants, and forgets what nobody wanted for long.
async fn look(vault: &Arc<dyn Vault>, home: &str, known: &BTreeSet<CertificateKey>, now: i64) -> Result<(), Failure> {
    for (secret, state) in states(&**vault).await? {
        match (known.contains(&secret), state.orphan) {
            (true, None) => {}
            (false, Some(since)) if since + KEPT > now => {}
            (false, Some(_)) => {
                Record::open(Arc::clone(vault), home, &secret).await?.remove().await?;
                tracing::info!(certificate = %secret, "nobody has wanted this certificate for a week: it is forgotten");
            }
            (is_known, _) => {
                let mut record = Record::open(Arc::clone(vault), home, &secret).await?;
                record.state.orphan = (!is_known).then_some(now);
                record.save().await?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::vault::FolderVault;
    use crate::issuance::State;

    #[tokio::test]
    async fn what_nobody_wants_for_a_week_is_forgotten_and_what_is_wanted_again_is_not() {
        let root = tempfile::tempdir().unwrap();
        let vault: Arc<dyn Vault> = Arc::new(FolderVault::open(root.path()).unwrap());
        let [kept, gone] = ["kept", "gone"].map(|name| CertificateKey { namespace: "n".into(), name: name.into() });
        for secret in [&kept, &gone] {
            Record::open(Arc::clone(&vault), "home", secret).await.unwrap().save().await.unwrap();
        }
        let only = |secret: &CertificateKey| BTreeSet::from([secret.clone()]);
        look(&vault, "home", &BTreeSet::new(), 100).await.unwrap();
        look(&vault, "home", &only(&kept), 200).await.unwrap();
        look(&vault, "home", &only(&kept), 100 + KEPT - 1).await.unwrap();
        let since = |found: Vec<(CertificateKey, State)>| -> Vec<_> {
            found.into_iter().map(|(_, state)| state.orphan).collect()
        };
        let mut orphans = since(states(&*vault).await.unwrap());
        orphans.sort_unstable();
        assert_eq!(orphans, [None, Some(100)]);
        look(&vault, "home", &only(&kept), 100 + KEPT).await.unwrap();
        assert_eq!(since(states(&*vault).await.unwrap()), [None]);
    }
}
