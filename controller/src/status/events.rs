// SPDX-License-Identifier: Apache-2.0
//! Events: what `kubectl describe` of the edited object shows. A good turn (Accepted, Programmed) is Normal, everything
//! else a Warning with the reason of the condition and the remark as its note.
//!
//! Nothing is remembered: what a status write changes is what is told, so a controller that starts again tells nothing
//! twice. Remarks that stand in no condition are told when the report first has them; an Event's name follows from what
//! it says, so that even then the API server keeps one. Pure, and never about an object that nobody edited.

use std::hash::BuildHasher;

use serde_json::Value;
use torana_crds::ObjectRef;

use crate::report::{Entry, Remark, Severity};
use crate::status::merge::{cut, type_of};
use crate::status::patches::Patch;

/// `note` of an Event, in bytes.
const NOTE: usize = 1024;
/// `metadata.name`.
const NAME: usize = 253;
/// Of one change of one object; more says no more.
const AT_ONCE: usize = 8;

/// One Event about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The object.
    pub object: ObjectRef,
    /// Its API version: `v1`.
    pub api_version: String,
    /// Its `metadata.uid`.
    pub uid: String,
    /// Whether somebody has something to repair.
    pub is_warning: bool,
    /// In one word.
    pub reason: String,
    /// For people: which field, what is wrong, what to change.
    pub note: String,
}

impl Event {
    /// `metadata.name`: the same for the same words about the same object.
    pub fn name(&self) -> String {
        let words = (&self.uid, self.is_warning, &self.reason, &self.note);
        let hash = foldhash::quality::FixedState::with_seed(0).hash_one(words);
        let kept = cut(&self.object.name, NAME - 17).trim_end_matches(['.', '-']);
        format!("{kept}.{hash:016x}")
    }

    /// `metadata.namespace`: that of the object; of cluster-scoped objects `default`, as Kubernetes wants it.
    pub fn namespace(&self) -> &str {
        if self.object.namespace.is_empty() { "default" } else { &self.object.namespace }
    }
}

/// What a write changes.
pub fn of_patch(patch: &Patch) -> Vec<Event> {
    let before = Told::of(&patch.before);
    let mut events: Vec<Event> = Vec::new();
    for (place, condition) in Told::of(&patch.status).0 {
        if before.has(&place, condition) {
            continue;
        }
        let Some((is_warning, reason)) = turn(&place, condition) else { continue };
        let message = condition["message"].as_str().unwrap_or_default();
        let note = if place.is_empty() { message.to_owned() } else { format!("{place}: {message}") };
        let note = short(&note);
        // A listener that is not accepted is not programmed either, for the same reason.
        let is_known = events.iter().any(|event| event.is_warning && is_warning && event.note == note);
        if !is_known && events.len() < AT_ONCE {
            let Patch { object, api_version, uid, .. } = patch;
            let (object, api_version, uid) = (object.clone(), api_version.clone(), uid.clone());
            events.push(Event { object, api_version, uid, is_warning, reason, note });
        }
    }
    events
}

/// What an entry has to say that stands in none of its conditions and was not said before.
pub fn of_remarks<'e>(before: Option<&Entry>, after: &'e Entry) -> Vec<&'e Remark> {
    let is_old = |remark: &Remark| before.is_some_and(|before| before.remarks.contains(remark));
    let listeners = after.listeners.iter().flat_map(|listener| &listener.conditions);
    let parents = after.parents.iter().flat_map(|parent| &parent.conditions);
    let ancestors = after.ancestors.iter().flat_map(|ancestor| &ancestor.conditions);
    let messages: Vec<_> =
        after.conditions.iter().chain(listeners).chain(parents).chain(ancestors).map(|it| &it.message).collect();
    let is_told = |remark: &Remark| {
        let text = remark.to_string();
        messages.iter().any(|message| message.contains(&text))
    };
    let matters = after.remarks.iter().filter(|remark| remark.severity > Severity::Note);
    matters.filter(|remark| !is_old(remark) && !is_told(remark)).take(AT_ONCE).collect()
}

/// The note of a remark.
pub fn note(remark: &Remark) -> String {
    short(&remark.to_string())
}

/// No longer than a note may be.
pub(super) fn short(text: &str) -> String {
    cut(text, NOTE).to_owned()
}

/// Conditions of a status with where they stand: `""`, `listener https`, `Gateway edge`.
struct Told<'a>(Vec<(String, &'a Value)>);

impl<'a> Told<'a> {
    fn of(status: &'a Value) -> Self {
        let list = |value: &'a Value| value.as_array().map(Vec::as_slice).unwrap_or_default().iter();
        let mut told: Vec<_> = list(&status["conditions"]).map(|condition| (String::new(), condition)).collect();
        for listener in list(&status["listeners"]) {
            let place = format!("listener {}", listener["name"].as_str().unwrap_or_default());
            told.extend(list(&listener["conditions"]).map(|condition| (place.clone(), condition)));
        }
        for (entries, name) in [("parents", "parentRef"), ("ancestors", "ancestorRef")] {
            let ours = list(&status[entries]).filter(|it| it["controllerName"] == crate::class::CONTROLLER_NAME);
            for entry in ours {
                let place = reference(&entry[name]);
                told.extend(list(&entry["conditions"]).map(|condition| (place.clone(), condition)));
            }
        }
        Self(told)
    }

    /// Whether the same was said there already. Of what is bad the message counts too: something else is wrong now.
    fn has(&self, place: &str, condition: &Value) -> bool {
        let same = |other: &Value, field: &str| other[field] == condition[field];
        self.0.iter().any(|(other_place, other)| {
            other_place == place
                && ["type", "status", "reason"].iter().all(|field| same(other, field))
                && (same(other, "message") || turn(place, condition).is_none_or(|(is_warning, _)| !is_warning))
        })
    }
}

/// `Gateway edge`, `Gateway infra/edge listener https port 443`.
fn reference(reference: &Value) -> String {
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let mut place = format!("{} ", text("kind"));
    if !text("namespace").is_empty() {
        place.push_str(text("namespace"));
        place.push('/');
    }
    place.push_str(text("name"));
    if !text("sectionName").is_empty() {
        place.push_str(" listener ");
        place.push_str(text("sectionName"));
    }
    if let Some(port) = reference["port"].as_u64() {
        place = format!("{place} port {port}");
    }
    place
}

/// Whether a condition is a warning, and its reason; `None` if there is nothing to tell.
fn turn(place: &str, condition: &Value) -> Option<(bool, String)> {
    let holds = condition["status"] == "True";
    let reason = condition["reason"].as_str().unwrap_or_default();
    let is_listener = place.starts_with("listener ");
    let name = type_of(condition);
    let is_warning = match (name.strip_prefix("torana.dev/").unwrap_or(name), holds) {
        ("Conflicted" | "PartiallyInvalid" | "OverlappingTLSConfig" | "InsecureFrontendValidationMode", holds) => {
            return holds.then(|| (true, reason.to_owned()));
        }
        // Accepted, with `ListenersNotValid`: in part.
        (name @ ("Accepted" | "Programmed"), true) => name != reason,
        ("Accepted" | "Programmed" | "ResolvedRefs" | "SupportedVersion", false) => true,
        // As it should be, or somebody else's.
        _ => return None,
    };
    let passes = reason == "Pending" || (is_listener && !is_warning);
    (!passes).then(|| (is_warning, reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use torana_crds::Kind;

    use super::*;
    use crate::report::conditions;

    fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
        json!({"type": kind, "status": status, "reason": reason, "message": message})
    }

    fn told(before: Value, status: Value) -> Vec<(bool, String, String)> {
        let patch = Patch {
            object: ObjectRef::new(Kind::Gateway, "default", "edge"),
            api_version: "v1".into(),
            uid: "u".into(),
            resource_version: "1".into(),
            before,
            status,
        };
        of_patch(&patch).into_iter().map(|it| (it.is_warning, it.reason, it.note)).collect()
    }

    fn warning(reason: &str, note: &str) -> (bool, String, String) {
        (true, reason.to_owned(), note.to_owned())
    }

    #[test]
    fn a_turn_is_told_once_and_pending_is_none() {
        let pending = json!({"conditions": [condition("Accepted", "True", "Accepted", "fine"), condition("Programmed", "False", "Pending", "soon")]});
        let done = json!({"conditions": [condition("Accepted", "True", "Accepted", "fine"), condition("Programmed", "True", "Programmed", "served")]});
        let accepted = (false, "Accepted".to_owned(), "fine".to_owned());
        let programmed = (false, "Programmed".to_owned(), "served".to_owned());
        assert_eq!(told(json!({}), pending.clone()), [accepted]);
        assert_eq!(told(pending, done.clone()), [programmed]);
        assert_eq!(told(done.clone(), done), []);
    }

    #[test]
    fn the_same_fault_in_two_conditions_is_one_event_with_its_place() {
        let status = json!({"listeners": [{"name": "https", "conditions": [
            condition("Accepted", "False", "HostnameConflict", "taken"),
            condition("Conflicted", "True", "HostnameConflict", "taken"),
            condition("Programmed", "False", "Invalid", "taken"),
            condition("ResolvedRefs", "False", "InvalidCertificateRef", "no Secret"),
        ]}, {"name": "http", "conditions": [condition("Accepted", "True", "Accepted", "fine")]}]});
        let expected = [
            warning("HostnameConflict", "listener https: taken"),
            warning("InvalidCertificateRef", "listener https: no Secret"),
        ];
        assert_eq!(told(json!({}), status), expected);
    }

    #[test]
    fn another_fault_under_the_same_reason_is_told_and_other_controllers_are_not() {
        let parent = |controller: &str, message: &str| {
            json!({"controllerName": controller, "parentRef": {"kind": "Gateway", "name": "edge", "sectionName": "http", "port": 80},
                "conditions": [condition("ResolvedRefs", "False", "BackendNotFound", message)]})
        };
        let ours = crate::class::CONTROLLER_NAME;
        let before = json!({"parents": [parent(ours, "no a")]});
        let after = json!({"parents": [parent(ours, "no b"), parent("example.com/other", "no c")]});
        assert_eq!(told(before, after), [warning("BackendNotFound", "Gateway edge listener http port 80: no b")]);
    }

    #[test]
    fn a_remark_without_a_condition_is_told_once() {
        let remark = Remark::warning("UnsupportedValue", "spec.x", "x has no effect", "remove it");
        let note = Remark::note("NotProvisioned", "", "nothing", "");
        let mut entry = Entry { remarks: vec![remark.clone(), note], ..Entry::default() };
        assert_eq!(of_remarks(None, &entry), [&remark]);
        assert_eq!(of_remarks(Some(&entry.clone()), &entry), Vec::<&Remark>::new());
        entry.conditions.push(conditions::gateway::invalid_parameters(remark.to_string()));
        assert_eq!(of_remarks(None, &entry), Vec::<&Remark>::new(), "the condition tells it");
    }

    #[test]
    fn the_name_follows_from_the_words_and_always_fits() {
        let event = |name: &str, note: &str| Event {
            object: ObjectRef::new(Kind::GatewayClass, "", name),
            api_version: "v1".into(),
            uid: "u".into(),
            is_warning: true,
            reason: "X".into(),
            note: note.into(),
        };
        assert_eq!(event("a", "x").name(), event("a", "x").name());
        assert_ne!(event("a", "x").name(), event("a", "y").name());
        assert_eq!(event("a", "x").namespace(), "default");
        let long = event(&format!("{}.{}", "a".repeat(235), "b".repeat(17)), "x").name();
        assert!(long.len() <= 253 && !long.contains(".."), "{long}");
    }
}
