// SPDX-License-Identifier: Apache-2.0
//! What `explain` says: the way of a request through listener, route, filters and backend, and what to change.

use std::fmt;
use std::net::IpAddr;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use torana_controller::source::Place;
use torana_crds::ObjectRef;
use torana_gateway::route::{DecidingKey, Loser, Loss, Winner};
use torana_gateway::table::{ListenerFate, ListenerVerdict};
use torana_ir::{ListenerKey, RuleKey};

/// Losers that are printed for people; JSON has them all.
const LOSERS: usize = 8;

/// The whole answer.
#[derive(Debug, Default, Serialize)]
pub struct Answer {
    /// `GET http://a.example.com/x`.
    pub request: String,
    /// What the gateway itself answers; absent where a backend answers.
    pub status: Option<u16>,
    /// What happens, in one sentence.
    pub outcome: String,
    /// Why, the likeliest cause first. Empty if all is well.
    pub causes: Vec<Cause>,
    /// Listeners of the port, the most specific first.
    pub listeners: Vec<ListenerVerdict>,
    /// What the connection is, if its bytes are passed on and no request is looked for in them.
    pub stream: Option<StreamStep>,
    /// It is a question of ACME, and the gateway itself has the answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub challenge: bool,
    /// What policies make of it, if there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyStep>,
    /// The match that takes the request.
    pub winner: Option<Winner>,
    /// The others, those that came closest first.
    pub losers: Vec<Loser>,
    /// The rule's filters in words.
    pub filters: Vec<String>,
    /// The request as the backend sees it.
    pub forwarded: Option<String>,
    /// Where it may go.
    pub backends: Vec<BackendStep>,
}

/// A reason, with the object to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What to change.
    pub object: Option<ObjectRef>,
    /// Where it stands, if a file holds it.
    pub place: Option<Place>,
    /// What is wrong with it.
    pub what: String,
    /// How to change it; may be `""`.
    pub remedy: String,
}

/// One entry of `backendRefs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackendStep {
    /// `default/web:80`, or what is wrong with the reference.
    pub backend: String,
    /// Its weight and that of all entries together.
    pub share: (u32, u64),
    /// What requests get that go here, if not a backend's answer.
    pub status: Option<u16>,
    /// Connections that go here are reset.
    pub refused: bool,
    /// `127.0.0.1:80`, `web.example.com:80 (DNS)`.
    pub endpoints: Vec<String>,
    /// What endpoints are asked before they are sent anything: `GET /healthz every 5s`.
    pub check: Option<String>,
}

/// What policies make of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyStep {
    /// The client's address.
    pub client: IpAddr,
    /// How that was found.
    pub how: String,
    /// Whether they let it through.
    pub allowed: bool,
    /// The same with the rule that decides, or what is missing.
    pub decision: String,
    /// The rule that wants it told.
    pub audited: Option<String>,
    /// What would become of it if policies counted that only tell so.
    pub dry_run: Option<String>,
}

/// A connection that is passed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamStep {
    /// Where it comes in.
    pub listener: ListenerKey,
    /// What is passed on.
    pub what: &'static str,
    /// The rule that takes it.
    pub rule: Option<RuleKey>,
}

impl Answer {
    /// Whether a backend or a filter answers as its author wanted, or the gateway an authority of ACME.
    pub fn arrives(&self) -> bool {
        if self.stream.is_some() {
            return self.backends.iter().any(|step| step.share.0 > 0 && !step.refused);
        }
        self.challenge || self.winner.is_some() && self.status.is_none_or(|status| status < 400)
    }
}

impl BackendStep {
    /// A reference that leads nowhere.
    pub(super) fn nowhere(backend: String, share: (u32, u64)) -> Self {
        Self { backend, share, status: None, refused: false, endpoints: Vec::new(), check: None }
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Cause", 4)?;
        fields.serialize_field("object", &self.object.as_ref().map(ToString::to_string))?;
        fields.serialize_field("place", &self.place)?;
        fields.serialize_field("what", &self.what)?;
        fields.serialize_field("remedy", &self.remedy)?;
        fields.end()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.request)?;
        for verdict in &self.listeners {
            let (mark, why) = fate(&verdict.fate);
            writeln!(f, "  {mark} listener  {} (hostname {}){why}", verdict.listener, verdict.hostname)?;
        }
        if let Some(StreamStep { listener, what, rule }) = &self.stream {
            writeln!(f, "  ✔ listener  {listener}: {what}")?;
            if let Some(rule) = rule {
                writeln!(f, "  ✔ route     {rule}")?;
            }
        }
        if let Some(policy) = &self.policy {
            policy.fmt(f)?;
        }
        if let Some(winner) = &self.winner {
            let Winner { rule, index, hostname, path } = winner;
            writeln!(f, "  ✔ route     {rule} match {index}: {path} (hostname {hostname})")?;
        }
        for loser in self.losers.iter().take(LOSERS) {
            writeln!(f, "  · not       {} match {}: {}, {}", loser.rule, loser.index, loser.path, lost(loser))?;
        }
        if self.losers.len() > LOSERS {
            writeln!(f, "  · and {} more, see -o json", self.losers.len() - LOSERS)?;
        }
        for filter in &self.filters {
            writeln!(f, "  ✔ filter    {filter}")?;
        }
        for backend in &self.backends {
            writeln!(f, "  {backend}")?;
        }
        if let Some(forwarded) = &self.forwarded {
            writeln!(f, "  ✔ forwards  {forwarded}")?;
        }
        let mark = if self.arrives() { '✔' } else { '✘' };
        writeln!(f, "{mark} {}", self.outcome)?;
        for cause in &self.causes {
            writeln!(f, "  {cause}")?;
        }
        Ok(())
    }
}

impl fmt::Display for PolicyStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  ✔ client    {}: {}", self.client, self.how)?;
        let mark = if self.allowed { '✔' } else { '✘' };
        writeln!(f, "  {mark} policies  {}", self.decision)?;
        if let Some(label) = &self.audited {
            writeln!(f, "  · audit     {label} has it told")?;
        }
        if let Some(would) = &self.dry_run {
            writeln!(f, "  · dry run   {would}")?;
        }
        Ok(())
    }
}

impl fmt::Display for BackendStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, status) = match self.status {
            Some(status) => ('✘', format!(" → {status}")),
            None if self.refused => ('✘', " → reset".to_owned()),
            None => ('✔', String::new()),
        };
        let endpoints = if self.endpoints.is_empty() { "no endpoints".to_owned() } else { self.endpoints.join(", ") };
        let (weight, total) = self.share;
        let check = self.check.as_ref().map(|check| format!(", checked by {check}")).unwrap_or_default();
        write!(f, "{mark} backend   {} (weight {weight} of {total}): {endpoints}{check}{status}", self.backend)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.object {
            Some(object) => write!(f, "{object}: {}", self.what)?,
            None => f.write_str(&self.what)?,
        }
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        match &self.place {
            Some(place) => write!(f, " ({place})"),
            None => Ok(()),
        }
    }
}

fn fate(fate: &ListenerFate) -> (char, &'static str) {
    match fate {
        ListenerFate::Chosen => ('✔', ""),
        ListenerFate::Misdirected => ('✘', ": the host is this listener's, but TLS was set up for another one"),
        ListenerFate::HostNotCovered => ('·', ": does not cover the host"),
        ListenerFate::LessSpecific => ('·', ": a more specific listener covers the host (listener isolation)"),
    }
}

/// Why a match lost, in words.
pub(super) fn lost(loser: &Loser) -> String {
    let came = |got: &Option<String>| got.as_ref().map_or("absent".to_owned(), |got| format!("{got:?}"));
    match &loser.why {
        Loss::Shadowed { winner, key } => format!("fits too, but {winner} goes first: {}", ahead(*key)),
        Loss::Query { name, wants, got } => format!("query {name} must be {wants:?}, is {}", came(got)),
        Loss::Header { name, wants, got } => format!("header {name} must be {wants:?}, is {}", came(got)),
        Loss::Method { wants } => format!("method must be {wants}"),
        Loss::Path => "another path".to_owned(),
        Loss::Host => format!("another host: {}", loser.hostname),
    }
}

fn ahead(key: DecidingKey) -> &'static str {
    match key {
        DecidingKey::Api => "rules of Gateway API go before those of Istio",
        DecidingKey::TakesAll => "what takes every request goes last",
        DecidingKey::Rank => "fewer namespaces see it, or it redirects to https",
        DecidingKey::Hostname => "its hostname is more specific",
        DecidingKey::PathKind => "exact paths go before regular expressions, these before prefixes",
        DecidingKey::PathLength => "its path is longer",
        DecidingKey::Method => "it names a method",
        DecidingKey::Headers => "it names more headers",
        DecidingKey::Query => "it names more query parameters",
        DecidingKey::Age => "its route is older",
        DecidingKey::Name => "its route comes first by namespace and name",
        DecidingKey::RuleOrder => "it comes first in the route",
        DecidingKey::MatchOrder => "it comes first in the rule",
    }
}
