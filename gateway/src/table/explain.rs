// SPDX-License-Identifier: Apache-2.0
//! Why a request goes where it goes: listeners first, then the router's own record.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::Serialize;
use torana_ir::{Limits, ListenerKey, ProviderKey};

use super::Table;
use super::bind::{BindTable, Routed};
use crate::access::{Facts, Judgement, Label};
use crate::client::{self, Client};
use crate::fault::{Fault, Reject};
use crate::gate::{self, Draft};
use crate::head::{Head, Scheme, Version};
use crate::route::{Decision, Explained};

/// The head that the gate makes of a request that nobody sent, as if it had come by HTTP/1.1, or its objection. `Host`
/// is among the `fields`; what is said there of clients is kept until [`Asker::client`] takes it out.
pub fn imagine(scheme: Scheme, method: &str, target: &str, fields: &[(&str, &str)]) -> Result<Head, Reject> {
    let draft = Draft {
        version: Version::Http11,
        scheme,
        method: method.as_bytes(),
        target: target.as_bytes(),
        authority: None,
        fields: fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
    };
    gate::judge(draft, &Limits { trusted_hops: 1, ..Limits::default() }).map(|passed| *passed.head)
}

/// Who asks, of a request that nobody sent.
#[derive(Debug, Clone)]
pub struct Asker {
    /// The other end of the connection.
    pub peer: IpAddr,
    /// Where it came in.
    pub local: SocketAddr,
    /// The server name of the handshake.
    pub server_name: Option<String>,
    /// Names in its certificate, which was verified.
    pub names: Vec<Box<str>>,
}

/// What policies make of a request, and of whom they took it to be.
#[derive(Debug)]
pub struct Admission {
    /// The client.
    pub client: IpAddr,
    /// How that was found.
    pub how: String,
    /// Who would be asked first, and by which rule.
    pub asked: Vec<(ProviderKey, Label)>,
    /// What they say, unless one of those says no.
    pub judgement: Judgement,
    /// Of each rule that could allow it, what of it does not hold.
    pub misses: Vec<(Label, &'static str)>,
}

impl Asker {
    /// Who the client is, and how that was found. What is said of it is taken out of `head`, as it is of requests.
    pub fn client(&self, bind: &BindTable, head: &mut Head) -> (IpAddr, String) {
        let hops = bind.limits().trusted_hops;
        let said = head.fields.joined("x-forwarded-for").map(Cow::into_owned);
        let client = Client::of(head, hops, self.peer).address;
        (client, client::how(hops, said.as_deref(), client, self.peer))
    }

    /// Has the policies of a request's listener judge it, if it has some.
    pub fn admission(&self, routed: &Routed, (client, how): (IpAddr, String), head: &Head) -> Option<Admission> {
        let (Routed::Plan { guard, .. } | Routed::Fault { guard, .. }) = routed else { return None };
        let access = guard.access.as_ref()?;
        let facts =
            Facts::of(self.peer, (SocketAddr::new(self.peer, 0), self.local), self.server_name.as_deref(), &self.names);
        let facts = facts.with(client, head);
        let asked = access.asked(&facts).into_iter().map(|(provider, label)| (provider.clone(), label)).collect();
        Some(Admission { client, how, asked, judgement: access.judge(&facts), misses: access.misses(&facts) })
    }
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
            Err(Routed::Plan { .. } | Routed::Challenge { .. } | Routed::Tokens { .. }) => None,
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
            Some(found) => listener.found(&found),
            None => Routed::fault(Fault::NoRoute, Some(listener), head),
        };
        Explanation { listeners, decision, routed }
    }
}
