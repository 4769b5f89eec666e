// SPDX-License-Identifier: Apache-2.0
//! What is to be written: the difference between what the API server holds and what the report says, seen against what
//! the proxies have acknowledged. Pure: the time is an argument.
//!
//! * Every condition of an object carries the generation that the report speaks of, in one write.
//! * Nothing is written where nothing changes, so a controller that starts again writes nothing.
//! * A report about an older generation than the one that is stored is not written: a newer one is on its way.
//! * What others wrote stays byte for byte (`merge`).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use torana_crds::{Kind, ObjectRef};

use crate::report::conditions::{class, gateway, route, types};
use crate::report::{Condition, Entry, Remark, Report};
use crate::status::programmed::{Address, Programmed};
use crate::status::stored::{Held, Stored};
use crate::status::{actual, features, merge};

/// `maxItems` of `status.parents`, `status.ancestors` and `status.addresses`.
const PARENTS: usize = 32;
const ANCESTORS: usize = 16;
const ADDRESSES: usize = 16;

/// A new status of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Whose.
    pub object: ObjectRef,
    /// Its API version: `v1`.
    pub api_version: String,
    /// For Events about it.
    pub uid: String,
    /// The version that it is based on: another one in the API server is a conflict.
    pub resource_version: String,
    /// The status as it is stored.
    pub before: Value,
    /// The whole new status.
    pub status: Value,
}

/// What there is to do about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Settled,
    /// There is something to say about it, but nobody observed what is stored.
    Unread,
    /// This is to be written.
    Write(Box<Patch>),
}

/// What every condition of one write has in common.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    /// `observedGeneration`.
    pub(super) generation: i64,
    /// `lastTransitionTime` of what changes, RFC 3339.
    pub(super) now: String,
}

impl Patch {
    /// A JSON merge patch for the `status` subresource.
    pub fn body(&self) -> Value {
        json!({"metadata": {"resourceVersion": self.resource_version}, "status": self.status})
    }
}

/// Everything that is to be written, in the order of the objects. `now` is in seconds since 1970.
pub fn patches(report: &Report, programmed: &Programmed, stored: &Stored, now: i64) -> Vec<Patch> {
    let objects: BTreeSet<&ObjectRef> = report.objects.keys().chain(stored.objects()).collect();
    let verdicts = objects.into_iter().map(|object| verdict(object, report, programmed, stored, now));
    verdicts.filter_map(|verdict| if let Verdict::Write(patch) = verdict { Some(*patch) } else { None }).collect()
}

/// What there is to do about `object`. `now` is in seconds since 1970.
pub fn verdict(object: &ObjectRef, report: &Report, programmed: &Programmed, stored: &Stored, now: i64) -> Verdict {
    let Some(kind) = object.known_kind() else { return Verdict::Settled };
    let entry = report.objects.get(object).map(AsRef::as_ref);
    let Some(held) = stored.held(object) else {
        return if entry.is_some_and(says_something) { Verdict::Unread } else { Verdict::Settled };
    };
    let unreadable = report.unreadable.get(object);
    let is_stale = entry.is_some_and(|entry| entry.generation < held.generation);
    if is_stale && unreadable.is_none() {
        return Verdict::Settled;
    }
    let before = held.status();
    let stamp = Stamp { generation: generation(entry, held, unreadable), now: time(now) };
    let marked = entry.zip(unreadable).map(|(entry, why)| not_read(kind, entry, why));
    let entry = marked.as_ref().or(entry);
    let subject = Subject { object, kind, programmed, stamp, before: &before };
    let Some(status) = subject.status(entry).filter(|status| *status != before) else { return Verdict::Settled };
    Verdict::Write(Box::new(Patch {
        object: object.clone(),
        api_version: stored.version(kind).to_owned(),
        uid: held.uid.clone(),
        resource_version: held.resource_version.clone(),
        before,
        status,
    }))
}

fn says_something(entry: &Entry) -> bool {
    !entry.conditions.is_empty() || !entry.parents.is_empty() || !entry.ancestors.is_empty()
}

/// What cannot be read is told of the generation that it was found in.
fn generation(entry: Option<&Entry>, held: &Held, unreadable: Option<&Remark>) -> i64 {
    entry.filter(|_| unreadable.is_none()).map_or(held.generation, |entry| entry.generation)
}

/// What an object said before it became unreadable is in force, but it is not what it says.
fn not_read(kind: Kind, entry: &Entry, why: &Remark) -> Entry {
    let refuse = |conditions: &mut Vec<Condition>| {
        for condition in conditions.iter_mut().filter(|condition| condition.condition_type == "Accepted") {
            *condition = match kind {
                Kind::GatewayClass
                | Kind::Gateway
                | Kind::ListenerSet
                | Kind::BackendTlsPolicy
                | Kind::TrafficPolicy
                | Kind::AcmeIssuer
                | Kind::ClusterAcmeIssuer => gateway::unreadable(why.to_string()),
                _ => route::not_accepted(route::UNSUPPORTED_VALUE, why.to_string()),
            };
        }
    };
    let mut entry = entry.clone();
    refuse(&mut entry.conditions);
    entry.parents.iter_mut().for_each(|parent| refuse(&mut parent.conditions));
    entry.ancestors.iter_mut().for_each(|ancestor| refuse(&mut ancestor.conditions));
    entry
}

/// RFC 3339, in UTC and whole seconds, as Kubernetes writes times.
fn time(now: i64) -> String {
    jiff::Timestamp::from_second(now).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

struct Subject<'a> {
    object: &'a ObjectRef,
    kind: Kind,
    programmed: &'a Programmed,
    stamp: Stamp,
    before: &'a Value,
}

impl Subject<'_> {
    /// The whole status, or `None` where there is nothing for Torana to write.
    fn status(&self, entry: Option<&Entry>) -> Option<Value> {
        let mut fields = self.before.as_object().cloned().unwrap_or_default();
        match self.kind {
            Kind::GatewayClass => self.class(&mut fields, entry?),
            // What is said of a Gateway that is no longer ours is the next controller's to replace.
            Kind::Gateway | Kind::ListenerSet => self.listeners(&mut fields, entry.filter(|it| says_something(it))?),
            Kind::BackendTlsPolicy | Kind::TrafficPolicy => {
                let ours = entry.into_iter().flat_map(|entry| &entry.ancestors);
                let ours = ours.map(|it| (&it.ancestor, it.conditions.as_slice()));
                let place = ("ancestorRef", ANCESTORS);
                let list = merge::references(fields.get("ancestors"), place, types::ANCESTOR, ours, &self.stamp);
                put(&mut fields, "ancestors", list);
            }
            Kind::HttpRoute | Kind::GrpcRoute | Kind::TlsRoute | Kind::TcpRoute | Kind::UdpRoute => {
                let ours = entry.into_iter().flat_map(|entry| &entry.parents);
                let ours = ours.map(|it| (&it.parent, it.conditions.as_slice()));
                let place = ("parentRef", PARENTS);
                let list = merge::references(fields.get("parents"), place, types::PARENT, ours, &self.stamp);
                put(&mut fields, "parents", list);
            }
            Kind::AcmeIssuer | Kind::ClusterAcmeIssuer => {
                let wanted = &entry?.conditions;
                let list = merge::conditions(fields.get("conditions"), types::ISSUER, wanted, &self.stamp);
                put(&mut fields, "conditions", list);
            }
            Kind::IstioGateway
            | Kind::VirtualService
            | Kind::AuthorizationPolicy
            | Kind::RequestAuthentication
            | Kind::Telemetry
            | Kind::EnvoyFilter
            | Kind::WasmPlugin
            | Kind::ProxyConfig => {
                let wanted = entry.map(|entry| entry.conditions.as_slice()).unwrap_or_default();
                let list = merge::conditions(fields.get("conditions"), types::ISTIO, wanted, &self.stamp);
                put(&mut fields, "conditions", list);
            }
            _ => return None,
        }
        Some(Value::Object(fields))
    }

    fn class(&self, fields: &mut Map<String, Value>, entry: &Entry) {
        let mut wanted = entry.conditions.clone();
        let bundles = &self.programmed.bundles;
        let others: Vec<_> =
            bundles.iter().filter(|bundle| !features::is_supported(bundle)).map(String::as_str).collect();
        // While the version is not known, what was said of it stands.
        let own = if bundles.is_empty() { &types::CLASS[..1] } else { types::CLASS };
        if !others.is_empty() {
            let (are, wants) = (others.join(", "), features::BUNDLE);
            let message =
                format!("CRDs of Gateway API {are} are installed, but Torana is made for {wants}: install those");
            wanted.push(class::unsupported_version(message));
        } else if !bundles.is_empty() {
            wanted.push(class::supported_version());
        }
        let conditions = merge::conditions(fields.get("conditions"), own, &wanted, &self.stamp);
        put(fields, "conditions", conditions);
        let features = features::SUPPORTED.iter().map(|name| json!({"name": name})).collect();
        put(fields, "supportedFeatures", features);
    }

    fn listeners(&self, fields: &mut Map<String, Value>, entry: &Entry) {
        let actual = actual::of(self.object, entry, self.programmed);
        let is_set = self.kind == Kind::ListenerSet;
        let own = if is_set { types::LISTENER_SET } else { types::GATEWAY };
        let conditions = merge::conditions(fields.get("conditions"), own, &actual.conditions, &self.stamp);
        put(fields, "conditions", conditions);
        let stored = fields.get("listeners").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let listeners = entry.listeners.iter().zip(&actual.listeners).map(|(listener, conditions)| {
            let before = stored.iter().find(|stored| stored["name"] == *listener.name);
            let before = before.and_then(|stored| stored.get("conditions"));
            let kinds = listener.supported_kinds.iter().map(|it| json!({"group": it.group, "kind": it.kind}));
            json!({
                "name": listener.name,
                "supportedKinds": kinds.collect::<Vec<_>>(),
                "attachedRoutes": listener.attached_routes,
                "conditions": merge::conditions(before, types::LISTENER, conditions, &self.stamp),
            })
        });
        let listeners = listeners.collect();
        put(fields, "listeners", listeners);
        if is_set {
            return;
        }
        if let Some(sets) = entry.attached_listener_sets {
            fields.insert("attachedListenerSets".to_owned(), sets.into());
        }
        let standing = self.programmed.gateways.get(self.object);
        if let Some(addresses) = standing.and_then(|standing| standing.addresses.as_ref()) {
            put(fields, "addresses", addresses.iter().take(ADDRESSES).map(address).collect());
        }
    }
}

fn address(address: &Address) -> Value {
    json!({"type": address.address_type, "value": address.value})
}

/// An empty list says no more than an absent one, except that `parents` and `ancestors` must be there.
fn put(fields: &mut Map<String, Value>, name: &str, list: Vec<Value>) {
    if !list.is_empty() || fields.contains_key(name) {
        fields.insert(name.to_owned(), Value::Array(list));
    }
}

#[cfg(test)]
mod tests;
