// SPDX-License-Identifier: Apache-2.0
//! What a control loop tells whoever obtains certificates: cells, of which the newest value counts.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use crate::cell::put;
use crate::issuance::{Answer, Offer, Wanted};
use crate::translate::Translation;

/// Where it is told.
#[derive(Debug)]
pub struct Heralds {
    wanted: watch::Sender<Arc<Vec<Wanted>>>,
    answers: watch::Sender<BTreeSet<Answer>>,
    offers: watch::Sender<Arc<Vec<Offer>>>,
}

/// Where it is heard.
#[derive(Debug, Clone)]
pub struct Heard {
    /// What listeners want.
    pub wanted: watch::Receiver<Arc<Vec<Wanted>>>,
    /// Answers to authorities that all proxies know.
    pub answers: watch::Receiver<BTreeSet<Answer>>,
    /// Listeners whose certificates are obtained on demand.
    pub offers: watch::Receiver<Arc<Vec<Offer>>>,
}

/// Both ends; nothing is wanted yet.
pub fn heralds() -> (Heralds, Heard) {
    let (wanted, of_wanted) = watch::channel(Arc::default());
    let (answers, of_answers) = watch::channel(BTreeSet::new());
    let (offers, of_offers) = watch::channel(Arc::default());
    (Heralds { wanted, answers, offers }, Heard { wanted: of_wanted, answers: of_answers, offers: of_offers })
}

impl Heralds {
    /// Tells what listeners want and offer.
    pub(crate) fn translated(&self, translation: &Translation) {
        put(&self.offers, Arc::clone(translation.offers()));
        put(&self.wanted, Arc::clone(translation.wanted()));
    }

    /// Tells which answers all proxies know.
    pub(crate) fn known(&self, answers: BTreeSet<Answer>) {
        put(&self.answers, answers);
    }
}
