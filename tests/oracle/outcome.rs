// SPDX-License-Identifier: Apache-2.0
//! What becomes of a call, in words that both sides can say.

use std::collections::BTreeMap;

/// What one side makes of a scenario.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Answer {
    /// `Kind/namespace/name` of objects that are refused by themselves, sorted.
    pub(super) rejected: Vec<String>,
    /// One for each call.
    pub(super) outcomes: Vec<Outcome>,
}

/// What becomes of one call.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// Nobody listens on the port.
    NoListener,
    /// The connection is closed, in TLS by an alert: no server has the name, or what was sent is not its protocol.
    Closed,
    /// 404: no host, or no rule of it.
    NoRoute,
    /// 421: the host is another server's than the one that the handshake was for.
    Misdirected,
    /// Answered by the gateway: also the redirect of a server to HTTPS.
    Redirect {
        status: u16,
        location: String,
        headers: Vec<Operations>,
    },
    Direct {
        status: u16,
        body: String,
        headers: Vec<Operations>,
    },
    Forward(Box<Forward>),
    /// Bytes go to one of these.
    Stream(Vec<Target>),
    /// Envoy would refuse what Istio makes of it; why.
    Undefined(String),
}

/// A request that goes on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Forward {
    /// Sorted, see [`shares`].
    pub(super) targets: Vec<Target>,
    /// Path and query, as the upstream sees them.
    pub(super) path: String,
    /// Authority, as the upstream sees it; a target may have its own.
    pub(super) authority: String,
    /// Of the whole request, in milliseconds.
    pub(super) timeout: Option<u64>,
    pub(super) retries: Option<Retries>,
    /// By what requests are hashed: `header NAME`, `cookie NAME`, `query NAME`, `source_ip`.
    pub(super) hash: Vec<String>,
    /// Operations, one after the other ([`edits`]): of the rule and its target if it has one, else nothing.
    pub(super) request: Vec<Operations>,
    pub(super) response: Vec<Operations>,
    pub(super) cors: Option<Cors>,
    pub(super) fault: Option<Fault>,
    /// Where copies go, and how many of a million.
    pub(super) mirrors: Vec<(Destination, u32)>,
}

/// A destination, by what it is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Destination {
    Known {
        host: String,
        port: u16,
        subset: Option<String>,
    },
    /// No such host, port or subset: 503.
    Unknown,
}

/// A destination with its share.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    pub(super) destination: Destination,
    pub(super) weight: u32,
    /// Of several: its own, then those of the rule.
    pub(super) request: Vec<Operations>,
    pub(super) response: Vec<Operations>,
    pub(super) authority: Option<String>,
}

/// Changes of headers. Names in lower case; the order of one list does not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Operations {
    pub(super) set: BTreeMap<String, String>,
    pub(super) add: BTreeMap<String, Vec<String>>,
    pub(super) remove: Vec<String>,
}

/// When a request is tried again. Durations in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Retries {
    pub(super) count: u32,
    /// Statuses of answers, sorted.
    pub(super) answers: Vec<u16>,
    /// Statuses of gRPC, sorted.
    pub(super) grpc: Vec<u8>,
    /// What is answered with `x-envoy-ratelimited`.
    pub(super) rate_limited: bool,
    /// What got no answer, or none in time.
    pub(super) unanswered: bool,
    /// What was never processed.
    pub(super) unsent: bool,
    pub(super) per_try: Option<u64>,
    pub(super) backoff: Option<u64>,
    /// Another host than those of earlier tries is preferred.
    pub(super) other_hosts: bool,
}

/// Shares in millionths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fault {
    /// Milliseconds, and of how many.
    pub(super) delay: Option<(u64, u32)>,
    /// `http 418` or `grpc 14`, and of how many.
    pub(super) abort: Option<(String, u32)>,
}

/// Who may ask from elsewhere. Lists are sorted, and joined by commas where Envoy joins them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cors {
    /// `exact X`, `prefix X`, `regex X`.
    pub(super) origins: Vec<String>,
    pub(super) methods: String,
    pub(super) headers: String,
    pub(super) expose: String,
    /// Seconds.
    pub(super) max_age: Option<u64>,
    pub(super) credentials: bool,
    pub(super) forward_unmatched: bool,
}

impl Forward {
    /// A request that gets 503.
    pub(super) fn nowhere(why: &str) -> Self {
        Self {
            targets: Vec::new(),
            path: why.to_owned(),
            authority: String::new(),
            timeout: None,
            retries: None,
            hash: Vec::new(),
            request: Vec::new(),
            response: Vec::new(),
            cors: None,
            fault: None,
            mirrors: Vec::new(),
        }
    }
}

/// Operations one after the other, as few as say the same: removals go before all else within one.
pub(super) fn edits(list: Vec<Operations>) -> Vec<Operations> {
    let mut found: Vec<Operations> = Vec::new();
    for next in list.into_iter().filter(|it| *it != Operations::default()) {
        match found.last_mut() {
            Some(last) if last.set.is_empty() && last.add.is_empty() => {
                last.remove.extend(next.remove);
                last.remove.sort();
                last.remove.dedup();
                (last.set, last.add) = (next.set, next.add);
            }
            _ => found.push(next),
        }
    }
    found
}

/// Targets in order, the same ones counted once, their weights as small as they can be. What leads nowhere is the same
/// whatever it was called, and whatever would have been done to its requests.
pub(super) fn shares(targets: Vec<Target>) -> Vec<Target> {
    let mut found: Vec<Target> = Vec::new();
    for mut target in targets {
        if target.destination == Destination::Unknown {
            (target.request, target.response, target.authority) = Default::default();
        }
        let same = found.iter_mut().find(|other| Target { weight: target.weight, ..(**other).clone() } == target);
        match same {
            Some(other) => other.weight += target.weight,
            None => found.push(target),
        }
    }
    let divisor = found.iter().fold(0, |divisor, target| common(divisor, target.weight)).max(1);
    for target in &mut found {
        target.weight /= divisor;
    }
    found.sort_by(|one, other| (&one.destination, one.weight).cmp(&(&other.destination, other.weight)));
    found
}

fn common(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { common(other, one % other) }
}
