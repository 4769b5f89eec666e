// SPDX-License-Identifier: Apache-2.0
//! Streams: bytes that are passed on unread, a client's connection to one backend connection, a client's datagrams to
//! one backend socket.
//!
//! ```text
//! listen ─▶ (hello ─▶) route ─▶ dial ─▶ relay ─▶ account        connections
//! listen ─▶ flows: route ─▶ flow ◀─▶ backend ─▶ account         datagrams
//! ```
//!
//! A stream stays with its backend until it is over, whatever becomes of the configuration. Nothing here reads a byte of
//! what it carries.

mod account;

mod dial;

mod relay;

mod tcp;

mod flow;

mod flows;

use std::sync::Arc;

use crate::access::{Facts, Judgement};
use crate::balance::BackendState;
use crate::fault::Fault;
use crate::observe::Watch;
use crate::table::{StreamPlan, StreamRouted};

pub(crate) use flows::Flows;
pub(crate) use tcp::{Client, serve};

/// Where a stream goes, decided once.
pub(crate) struct Course {
    routed: StreamRouted,
    onward: Result<Arc<BackendState>, Fault>,
    /// What policies say of it.
    judgement: Option<Box<Judgement>>,
    /// What says whether it has a line in the access log; `None`: its listener does.
    watch: Option<Box<Watch>>,
}

impl Course {
    /// Takes a turn of the rule, if policies let these through.
    pub(crate) fn set(routed: StreamRouted, facts: &Facts<'_>) -> Self {
        Intent::of(routed).judged(facts)
    }

    /// What policies say of it, if they end it or want it told.
    fn judgement(&self) -> Option<&Judgement> {
        self.judgement.as_deref()
    }
}

/// Where a stream would go. Nothing goes anywhere before it is judged.
pub(crate) struct Intent(Course);

impl Intent {
    /// Takes a turn of the rule.
    pub(crate) fn of(routed: StreamRouted) -> Self {
        let onward = match &routed.plan {
            None => Err(Fault::NoRoute),
            Some(plan) => onward(plan),
        };
        Self(Course { routed, onward, judgement: None, watch: None })
    }

    /// Whether it goes nowhere, whoever comes.
    pub(crate) fn is_refused(&self) -> bool {
        self.0.onward.is_err()
    }

    /// Has policies say whether these are let through.
    pub(crate) fn judged(self, facts: &Facts<'_>) -> Course {
        let Self(mut course) = self;
        course.watch = course.routed.listener.logging.watch(facts);
        if let Some(access) = &course.routed.access {
            let judgement = access.judge(facts);
            if judgement.is_denial() {
                course.onward = Err(Fault::PolicyDenied);
            }
            course.judgement = Some(Box::new(judgement));
        }
        course
    }
}

fn onward(plan: &StreamPlan) -> Result<Arc<BackendState>, Fault> {
    plan.choose(fastrand::u64(..)).map(Arc::clone).map_err(|invalid| {
        // The user finds out from status and `lint`; here it would be one line a connection.
        tracing::debug!(rule = %plan.key(), reason = %invalid.reason, message = %invalid.message, "invalid backend");
        Fault::InvalidConfig
    })
}
