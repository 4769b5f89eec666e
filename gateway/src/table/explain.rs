// SPDX-License-Identifier: Apache-2.0
//! Why a request goes where it goes: listeners first, then the router's own record.

use std::sync::Arc;

use serde::Serialize;
use torana_ir::{Limits, ListenerKey};

use super::Table;
use super::bind::{BindTable, Routed};
use crate::fault::{Fault, Reject};
use crate::gate::{self, Draft};
use crate::head::{Head, Scheme, Version};
use crate::route::{Decision, Explained};

/// The head that the gate makes of a request that nobody sent, as if it had come by HTTP/1.1, or its objection. `Host`
/// is among the `fields`.
pub fn imagine(scheme: Scheme, method: &str, target: &str, fields: &[(&str, &str)]) -> Result<Head, Reject> {
    let draft = Draft {
        version: Version::Http11,
        scheme,
        method: method.as_bytes(),
        target: target.as_bytes(),
        authority: None,
        fields: fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
    };
    gate::judge(draft, &Limits::default()).map(|passed| *passed.head)
}

/// The whole decision about one request.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The listeners of the socket, the most specific first.
    pub listeners: Vec<ListenerVerdict>,
    /// What the chosen listener's routes decided; empty if none was chosen.
    pub decision: Decision,
    /// The same result that [`Table::route`] gives.
    #[serde(skip)]
    pub routed: Routed,
}

/// One listener's part in the decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListenerVerdict {
    /// Which listener.
    pub listener: ListenerKey,
    /// Its hostname, `*` if it has none.
    pub hostname: String,
    /// Whether it was chosen, and if not, why.
    pub fate: ListenerFate,
}

/// Whether a listener was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerFate {
    /// Its routes decide.
    Chosen,
    /// It is the host's listener, but the TLS handshake chose another one (421).
    Misdirected,
    /// Its hostname does not cover the host.
    HostNotCovered,
    /// A more specific listener covers the host; no route of this one is looked at (listener isolation).
    LessSpecific,
}

impl Table {
    /// Decides as [`Table::route`] does, does the same to `head`, and says why.
    pub fn explain(&self, bind: &Arc<BindTable>, head: &mut Head, sni_listener: Option<&ListenerKey>) -> Explanation {
        let before = self.asked(Some(bind), head);
        let explanation = bind.explain(head, sni_listener);
        let asked = match before {
            None if explanation.routed.is_decided() => self.asked(Some(bind), head),
            before => before,
        };
        match asked {
            Some(routed) => Explanation { listeners: Vec::new(), decision: Decision::default(), routed },
            None => explanation,
        }
    }
}

impl BindTable {
    /// Decides as [`BindTable::route`] does, does the same to `head`, and says why.
    pub fn explain(&self, head: &mut Head, sni_listener: Option<&ListenerKey>) -> Explanation {
        let chosen = self.admit(head.host(), head, sni_listener);
        let best = match &chosen {
            Ok(listener) => Some(&listener.plan.key),
            Err(Routed::Fault { listener, .. }) => listener.as_ref().map(|listener| &listener.key),
            Err(Routed::Plan { .. } | Routed::Challenge { .. }) => None,
        };
        let listeners = self.ordered().into_iter().map(|listener| ListenerVerdict {
            listener: listener.plan.key.clone(),
            hostname: listener.plan.hostname.to_string(),
            fate: match (best == Some(&listener.plan.key), chosen.is_ok()) {
                (true, true) => ListenerFate::Chosen,
                (true, false) => ListenerFate::Misdirected,
                (false, _) if listener.plan.hostname.covers(head.host()) => ListenerFate::LessSpecific,
                (false, _) => ListenerFate::HostNotCovered,
            },
        });
        let listeners = listeners.collect();
        let listener = match chosen {
            Ok(listener) => listener,
            Err(routed) => return Explanation { listeners, decision: Decision::default(), routed },
        };
        if let Err(routed) = listener.normalise(head) {
            return Explanation { listeners, decision: Decision::default(), routed };
        }
        let Explained { found, decision } = listener.router.explain(head);
        let routed = match found {
            Some(found) => Routed::Plan { plan: Arc::clone(found.candidate.target()), prefix_len: found.prefix_len },
            None => Routed::fault(Fault::NoRoute, Some(listener), head),
        };
        Explanation { listeners, decision, routed }
    }
}
