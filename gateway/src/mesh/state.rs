// SPDX-License-Identifier: Apache-2.0
//! Whether there is an identity, for those who need one, for operators and for numbers. Decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::SystemTime;

use serde::Serialize;

use super::credential::Credential;

/// Whether there is an identity.
#[derive(Debug, Clone)]
pub enum State {
    /// The process is configured for none.
    Absent,
    /// The first is being obtained.
    Initializing,
    /// There is one.
    Available(Arc<Credential>),
    /// There is none, or none any more: what needs it answers 503, and it is asked for all the time.
    Unavailable {
        /// In one sentence. Never holds a key or a token.
        why: Arc<str>,
        /// From when on.
        since: SystemTime,
    },
}

impl State {
    /// The identity, if there is one.
    pub fn credential(&self) -> Option<&Arc<Credential>> {
        match self {
            Self::Available(credential) => Some(credential),
            Self::Absent | Self::Initializing | Self::Unavailable { .. } => None,
        }
    }

    /// In one word.
    pub fn word(&self) -> &'static str {
        WORDS.get(self.rank()).copied().unwrap_or_default()
    }

    fn rank(&self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Initializing => 1,
            Self::Available(_) => 2,
            Self::Unavailable { .. } => 3,
        }
    }

    /// What operators are told: nothing that is secret.
    pub fn describe(&self) -> Description {
        match self {
            Self::Absent => Description::Absent,
            Self::Initializing => Description::Initializing,
            Self::Available(credential) => Description::Available {
                generation: credential.id,
                spiffe_id: credential.spiffe_id.clone(),
                serial: credential.serial.clone(),
                not_before: seconds(credential.not_before),
                not_after: seconds(credential.not_after),
                roots: credential.roots.len(),
            },
            Self::Unavailable { why, since } => {
                Description::Unavailable { why: why.as_ref().to_owned(), since: seconds(*since) }
            }
        }
    }
}

const WORDS: [&str; 4] = ["absent", "initializing", "available", "unavailable"];

/// A [`State`] as operators are shown it. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Description {
    /// The process is configured for none.
    Absent,
    /// The first is being obtained.
    Initializing,
    /// There is one.
    Available {
        /// Number of this generation, unique in the process.
        generation: u64,
        /// Who we are.
        spiffe_id: String,
        /// Serial number of the certificate, in hexadecimal.
        serial: String,
        /// From when on it is valid.
        not_before: u64,
        /// Until when.
        not_after: u64,
        /// How many authorities vouch for others.
        roots: usize,
    },
    /// There is none.
    Unavailable {
        /// In one sentence.
        why: String,
        /// From when on.
        since: u64,
    },
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What is counted of it.
#[derive(Debug, Default)]
pub struct Tally {
    renewed: AtomicU64,
    failed: AtomicU64,
    expires_at: AtomicU64,
    state: AtomicU8,
}

impl Tally {
    /// Generations that were put in force.
    pub fn renewed(&self) -> u64 {
        self.renewed.load(Ordering::Relaxed)
    }

    /// Attempts to obtain one that failed, and contents of files that were of no use.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// When the certificate in force ends, in seconds since 1970; 0 if there is none.
    pub fn expires_at(&self) -> u64 {
        self.expires_at.load(Ordering::Relaxed)
    }

    /// [`State::word`] of the state.
    pub fn state(&self) -> &'static str {
        WORDS.get(usize::from(self.state.load(Ordering::Relaxed))).copied().unwrap_or_default()
    }

    pub(super) fn renew(&self) {
        self.renewed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn enter(&self, state: &State) {
        let end = state.credential().map_or(0, |credential| seconds(credential.not_after));
        self.expires_at.store(end, Ordering::Relaxed);
        self.state.store(state.rank() as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::samples::{Root, WEB, day};
    use super::*;

    #[test]
    fn an_operator_is_told_everything_but_secrets() {
        let root = Root::new("root");
        let issued = root.issue(&[WEB], day());
        let credential = Credential::new(issued.svid(&root), SystemTime::now()).unwrap();
        let (id, serial) = (credential.id, credential.serial.clone());
        let state = State::Available(credential);
        let json = serde_json::to_value(state.describe()).unwrap();
        assert_eq!(json["state"], "available");
        assert_eq!((json["generation"].as_u64(), json["roots"].as_u64()), (Some(id), Some(1)));
        assert_eq!((json["spiffe_id"].as_str(), json["serial"].as_str()), (Some(WEB), Some(&*serial)));
        assert!(json["not_after"].as_u64() > json["not_before"].as_u64());
        let secret = issued.key.lines().nth(1).unwrap();
        assert!(!format!("{json} {state:?}").contains(secret));
    }

    #[test]
    fn every_state_has_a_word_and_its_numbers() {
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(7);
        let gone = State::Unavailable { why: "because".into(), since };
        for (state, word) in
            [(State::Absent, "absent"), (State::Initializing, "initializing"), (gone.clone(), "unavailable")]
        {
            let tally = Tally::default();
            tally.enter(&state);
            assert_eq!((state.word(), tally.state(), tally.expires_at()), (word, word, 0));
            assert_eq!(serde_json::to_value(state.describe()).unwrap()["state"], word);
        }
        assert_eq!(gone.describe(), Description::Unavailable { why: "because".to_owned(), since: 7 });
    }
}
