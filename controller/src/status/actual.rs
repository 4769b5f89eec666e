// SPDX-License-Identifier: Apache-2.0
//! From *would be programmed* to *is*: what the report says of a Gateway or ListenerSet, seen against what its proxies
//! acknowledged and refused. Never makes a condition better than the report does.

use torana_crds::{Kind, ObjectRef};
use torana_ir::{ListenerKey, ResourceKey};

use crate::plane::object_of;
use crate::publish::Rejection;
use crate::report::conditions::{gateway as gateways, listener as listeners, listener_set as sets};
use crate::report::{Condition, Entry, ListenerEntry, Status};
use crate::status::programmed::{Force, Programmed, Standing};

/// Conditions as they are to be written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Actual {
    /// Of the object.
    pub(super) conditions: Vec<Condition>,
    /// Of each listener, in the order of the entry.
    pub(super) listeners: Vec<Vec<Condition>>,
}

/// What holds of a Gateway or ListenerSet `object`.
pub(super) fn of(object: &ObjectRef, entry: &Entry, programmed: &Programmed) -> Actual {
    let Some(gateway) = &entry.gateway else {
        return Actual { conditions: entry.conditions.clone(), listeners: Vec::new() };
    };
    let nothing = Standing::default();
    let view = View {
        object,
        force: programmed.force(object, gateway),
        standing: programmed.gateways.get(gateway).unwrap_or(&nothing),
    };
    let refused: Vec<_> = entry.listeners.iter().map(|listener| view.refused(listener)).collect();
    let listeners = entry.listeners.iter().zip(&refused).map(|(listener, refused)| view.listener(listener, *refused));
    Actual { listeners: listeners.collect(), conditions: view.whole(entry, &refused) }
}

struct View<'a> {
    object: &'a ObjectRef,
    force: Force,
    standing: &'a Standing,
}

impl View<'_> {
    /// Why the proxies do not serve a listener that they should serve.
    fn refused(&self, listener: &ListenerEntry) -> Option<&str> {
        if !listener.conditions.iter().any(is_programmed) {
            return None;
        }
        let names = |key: &ListenerKey| key.name == listener.name && is_owner(self.object, key);
        let found = self.standing.rejected.iter().find_map(|rejection| match &rejection.key {
            ResourceKey::Listener(key) if names(key) => Some(rejection.reason.as_str()),
            _ => None,
        });
        // A generation that is not in force has been refused by nobody.
        found.filter(|_| self.force == Force::Held)
    }

    fn listener(&self, listener: &ListenerEntry, refused: Option<&str>) -> Vec<Condition> {
        let actual = |condition: &Condition| match (condition.condition_type, condition.status, refused) {
            ("Accepted", Status::True, Some(why)) => listeners::not_accepted(listeners::PORT_UNAVAILABLE, remedy(why)),
            ("Programmed", Status::True, Some(why)) => listeners::not_programmed(remedy(why)),
            ("Programmed", Status::True, None) => match &self.force {
                Force::Held => condition.clone(),
                Force::Pending(why) | Force::Absent(why) => listeners::pending(why.clone()),
            },
            _ => condition.clone(),
        };
        listener.conditions.iter().map(actual).collect()
    }

    fn whole(&self, entry: &Entry, refused: &[Option<&str>]) -> Vec<Condition> {
        let is_set = self.object.known_kind() == Some(Kind::ListenerSet);
        let programmed =
            entry.listeners.iter().filter(|listener| listener.conditions.iter().any(is_programmed)).count();
        let names = entry.listeners.iter().zip(refused).filter(|(_, why)| why.is_some());
        let names: Vec<_> = names.map(|(listener, _)| listener.name.as_str()).collect();
        let (some, served_by_sets) = (!names.is_empty(), entry.attached_listener_sets.is_some_and(|sets| sets > 0));
        let none_left = some && names.len() == programmed && !served_by_sets;
        let why = format!("the proxies cannot open listener {}", names.join(", "));
        let actual = |condition: &Condition| match (condition.condition_type, condition.status) {
            ("Accepted", Status::True) if none_left && is_set => {
                sets::refused(sets::LISTENERS_NOT_VALID, &why).swap_remove(0)
            }
            ("Accepted", Status::True) if none_left => gateways::no_valid_listener(why.clone()),
            ("Accepted", Status::True) if some && is_set => sets::accepted_in_part(why.clone()),
            ("Accepted", Status::True) if some => gateways::accepted_in_part(why.clone()),
            ("Programmed", Status::True) if none_left && is_set => sets::not_programmed(why.clone()),
            ("Programmed", Status::True) if none_left => gateways::not_programmed(why.clone()),
            ("Programmed", Status::True) if is_set => self.set_programmed(condition),
            ("Programmed", Status::True) => self.gateway_programmed(condition),
            _ => condition.clone(),
        };
        entry.conditions.iter().map(actual).collect()
    }

    fn set_programmed(&self, hoped: &Condition) -> Condition {
        match &self.force {
            Force::Held => hoped.clone(),
            Force::Pending(why) | Force::Absent(why) => sets::pending(why.clone()),
        }
    }

    fn gateway_programmed(&self, hoped: &Condition) -> Condition {
        match &self.force {
            Force::Absent(why) => return gateways::no_resources(why.clone()),
            Force::Pending(why) => return gateways::pending(why.clone()),
            Force::Held => {}
        }
        // Valid IR that a proxy cannot use is a fault of Torana's, and not of one listener.
        let others = self.standing.rejected.iter().filter(|it| !matches!(it.key, ResourceKey::Listener(_)));
        let others: Vec<_> = others.take(SHOWN).map(fault).collect();
        if !others.is_empty() {
            return gateways::not_programmed(format!(
                "{}; this is a fault of Torana, please report it",
                others.join(", ")
            ));
        }
        if let Some(why) = &self.standing.unusable {
            return gateways::address_not_usable(why.clone());
        }
        if self.standing.addresses.as_ref().is_some_and(Vec::is_empty) {
            return gateways::address_not_assigned();
        }
        match self.standing.silent.as_slice() {
            [] => hoped.clone(),
            silent => gateways::programmed_but(format!(
                "{}; not answering, so not counted: {}",
                hoped.message,
                listed(silent)
            )),
        }
    }
}

/// Names in one message.
const SHOWN: usize = 8;

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

fn fault(rejection: &Rejection) -> String {
    format!("the proxies refused {}: {}", object_of(&rejection.key), rejection.reason)
}

fn remedy(why: &str) -> String {
    format!("{why}; free the port, or give the listener another one")
}

fn is_programmed(condition: &Condition) -> bool {
    condition.condition_type == "Programmed" && condition.status == Status::True
}

fn is_owner(object: &ObjectRef, key: &ListenerKey) -> bool {
    let (namespace, name) = match &key.set {
        Some((namespace, name)) => (namespace, name),
        None => (&key.gateway.namespace, &key.gateway.name),
    };
    let kind = if key.set.is_some() { Kind::ListenerSet } else { Kind::Gateway };
    object.known_kind() == Some(kind) && object.namespace == *namespace && object.name == *name
}
