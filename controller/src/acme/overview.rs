// SPDX-License-Identifier: Apache-2.0
//! How all certificates stand, for people who ask, and their wish to have one renewed. Reads and writes what the engine
//! keeps; never speaks to an authority.

use std::sync::Arc;

use serde::Serialize;
use torana_ir::CertificateKey;

use super::failure::Failure;
use super::record::{Record, states};
use super::vault::{Vault, VaultError};
use crate::issuance::{Current, MOST_FAILED_VALIDATIONS, State, renewal};

/// How often a wish is written again that the engine was faster than.
const TRIES: usize = 5;

/// How one certificate stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Its Secret, `namespace/name`.
    pub certificate: String,
    /// Its names.
    pub hosts: Vec<String>,
    /// Who signs.
    pub issuer: String,
    /// How its names are shown to be ours, each way once.
    pub challenges: Vec<&'static str>,
    /// Where it is.
    pub state: Stage,
    /// When it ends, in seconds since 1970.
    pub expires: Option<i64>,
    /// When it is renewed.
    pub renews: Option<i64>,
    /// When it is tried again.
    pub next_try: Option<i64>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// Where a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Stage {
    /// There is none, and none is ordered.
    Pending,
    /// One is ordered.
    Ordered,
    /// It is there.
    Ready,
    /// It is there, and the last attempt to renew it failed.
    Failing,
    /// It has ended.
    Expired,
    /// Nobody wants it.
    Orphaned,
}

/// All certificates that were ever wanted and are kept account of, by Secret.
///
/// # Errors
/// If they cannot be listed.
pub async fn overview(vault: &dyn Vault, now: i64) -> Result<Vec<Standing>, VaultError> {
    let mut found = Vec::new();
    for (secret, state) in states(vault).await? {
        let current = vault.read(&secret).await?.and_then(|found| found.kept.current(&secret));
        found.push(standing(&secret, &state, current.as_ref(), now));
    }
    found.sort_by(|one, other| one.certificate.cmp(&other.certificate));
    Ok(found)
}

fn standing(secret: &CertificateKey, state: &State, current: Option<&Current>, now: i64) -> Standing {
    let stage = match (current, &state.order, &state.trouble) {
        _ if state.orphan.is_some() => Stage::Orphaned,
        (Some(current), ..) if current.not_after <= now => Stage::Expired,
        (Some(_), _, Some(_)) => Stage::Failing,
        (_, Some(_), _) => Stage::Ordered,
        (Some(_), None, None) => Stage::Ready,
        (None, None, _) => Stage::Pending,
    };
    let mut challenges: Vec<_> = state.hosts.values().flatten().map(|kind| kind.as_str()).collect();
    challenges.sort_unstable();
    challenges.dedup();
    Standing {
        certificate: state.certificate.clone(),
        hosts: state.hosts.keys().cloned().collect(),
        issuer: state.issuer.clone(),
        challenges,
        state: stage,
        expires: current.map(|current| current.not_after),
        renews: current.filter(|_| state.orphan.is_none()).map(|current| renewal(secret, state, current)),
        next_try: state.next_try.filter(|at| *at > now),
        error: state.trouble.as_ref().map(|trouble| trouble.message.clone()),
    }
}

/// Has every certificate of `host` renewed as soon as may be; tells how many there are.
///
/// # Errors
/// If they cannot be listed or written, with what to do.
pub async fn renew(vault: &Arc<dyn Vault>, home: &str, host: &str, now: i64) -> Result<usize, String> {
    let text = |error: VaultError| error.to_string();
    let all = states(&**vault).await.map_err(text)?;
    let wanted = all.iter().filter(|(_, state)| state.hosts.keys().any(|name| name.eq_ignore_ascii_case(host)));
    let mut count = 0;
    for (secret, _) in wanted {
        wish(vault, home, secret, now).await.map_err(|failure| failure.message)?;
        count += 1;
    }
    Ok(count)
}

async fn wish(vault: &Arc<dyn Vault>, home: &str, secret: &CertificateKey, now: i64) -> Result<(), Failure> {
    for _ in 1..TRIES {
        if wish_once(vault, home, secret, now).await.is_ok() {
            return Ok(());
        }
    }
    wish_once(vault, home, secret, now).await
}

async fn wish_once(vault: &Arc<dyn Vault>, home: &str, secret: &CertificateKey, now: i64) -> Result<(), Failure> {
    let mut record = Record::open(Arc::clone(vault), home, secret).await?;
    record.state.asked = Some(now);
    // Whoever asks has perhaps repaired what was wrong; of an authority's patience nobody may ask for more.
    if record.state.refused.len() < MOST_FAILED_VALIDATIONS {
        record.state.next_try = None;
    }
    record.save().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::vault::FolderVault;
    use crate::issuance::{ChallengeType, Trouble};

    fn state() -> State {
        let secret = CertificateKey { namespace: "shop".into(), name: "tls".into() };
        State {
            issuer: "letsencrypt".into(),
            hosts: [("a.example".to_owned(), Some(ChallengeType::Http01))].into(),
            failures: 3,
            next_try: Some(500),
            trouble: Some(Trouble { reason: "dns".into(), message: "no address".into(), at: 100 }),
            ..State::new(&secret)
        }
    }

    fn current(not_after: i64) -> Current {
        Current { names: ["a.example".to_owned()].into(), not_before: 0, not_after, id: None, directory: None }
    }

    #[test]
    fn the_stage_follows_from_what_is_there_and_what_failed() {
        let secret = CertificateKey { namespace: "shop".into(), name: "tls".into() };
        let stage = |state: &State, current: Option<&Current>| standing(&secret, state, current, 1000).state;
        let calm = State { trouble: None, ..state() };
        assert_eq!(stage(&state(), None), Stage::Pending);
        assert_eq!(stage(&calm, Some(&current(9000))), Stage::Ready);
        assert_eq!(stage(&state(), Some(&current(9000))), Stage::Failing);
        assert_eq!(stage(&state(), Some(&current(900))), Stage::Expired);
        assert_eq!(stage(&State { orphan: Some(5), ..calm }, Some(&current(9000))), Stage::Orphaned);
    }

    #[tokio::test]
    async fn whoever_wants_it_renewed_is_heard_at_the_next_look() {
        let root = tempfile::tempdir().unwrap();
        let vault: Arc<dyn Vault> = Arc::new(FolderVault::open(root.path()).unwrap());
        let secret = CertificateKey { namespace: "shop".into(), name: "tls".into() };
        let mut record = Record::open(Arc::clone(&vault), "home", &secret).await.unwrap();
        record.state = state();
        record.save().await.unwrap();
        assert_eq!(renew(&vault, "home", "b.example", 1000).await, Ok(0));
        assert_eq!(renew(&vault, "home", "A.example", 1000).await, Ok(1));
        let after = Record::open(Arc::clone(&vault), "home", &secret).await.unwrap().state;
        assert_eq!((after.asked, after.next_try, after.failures), (Some(1000), None, 3));
        let shown = overview(&*vault, 1000).await.unwrap();
        assert_eq!((shown.len(), shown[0].hosts.as_slice()), (1, &["a.example".to_owned()][..]));
    }
}
