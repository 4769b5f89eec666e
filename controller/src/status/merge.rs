// SPDX-License-Identifier: Apache-2.0
//! Ours among others': lists of a status to which several controllers write. What is not ours stays byte for byte and
//! in its place; what of ours no longer applies goes; what is as it was is not touched.

use serde_json::{Value, json};
use torana_crds::ParentRef;

use crate::class::CONTROLLER_NAME;
use crate::report::{Condition, Status};
use crate::status::patches::Stamp;

/// `maxItems` of every list of conditions.
const CONDITIONS: usize = 8;
/// `maxLength` of a message, in characters; cut in bytes, of which there are at least as many.
const MESSAGE: usize = 32_768;

/// The list of conditions that follows from the `stored` one and ours. `own` are the types that only Torana writes.
pub(super) fn conditions(stored: Option<&Value>, own: &[&str], wanted: &[Condition], stamp: &Stamp) -> Vec<Value> {
    let stored = items(stored);
    let find = |entry: &Value| wanted.iter().position(|condition| type_of(entry) == condition.condition_type);
    let foreign = stored.iter().filter(|entry| find(entry).is_none() && !own.contains(&type_of(entry))).count();
    // Where others leave too little room, the first of ours say most.
    let wanted = &wanted[..wanted.len().min(CONDITIONS.saturating_sub(foreign))];
    let find = |entry: &Value| wanted.iter().position(|condition| type_of(entry) == condition.condition_type);
    let mut merged = Vec::with_capacity(foreign + wanted.len());
    let mut placed = vec![false; wanted.len()];
    for entry in stored {
        match find(entry) {
            Some(at) if placed[at] => {}
            Some(at) => {
                placed[at] = true;
                merged.push(condition(Some(entry), &wanted[at], stamp));
            }
            None if own.contains(&type_of(entry)) => {}
            None => merged.push(entry.clone()),
        }
    }
    let new = wanted.iter().zip(placed).filter(|(_, placed)| !placed);
    merged.extend(new.map(|(wanted, _)| condition(None, wanted, stamp)));
    merged
}

fn condition(stored: Option<&Value>, wanted: &Condition, stamp: &Stamp) -> Value {
    let status = wanted.status.to_string();
    if let Some(stored) = stored.filter(|stored| is_still_so(stored, wanted, stamp)) {
        return stored.clone();
    }
    // `lastTransitionTime`: when the status changed, not when something was said about it.
    let before = stored.filter(|stored| stored["status"].as_str() == Some(&status));
    let since = before.and_then(|stored| stored["lastTransitionTime"].as_str()).unwrap_or(&stamp.now);
    json!({
        "type": wanted.condition_type,
        "status": status,
        "observedGeneration": stamp.generation,
        "lastTransitionTime": since,
        "reason": wanted.reason,
        "message": cut(&wanted.message, MESSAGE),
    })
}

/// Whoever takes the next change still serves the last one: what was in force for this generation of the object is not
/// called pending again. Thus neither a changed route nor a restarted controller makes a Gateway flicker.
fn is_still_so(stored: &Value, wanted: &Condition, stamp: &Stamp) -> bool {
    let is_pending =
        wanted.condition_type == "Programmed" && wanted.reason == "Pending" && wanted.status == Status::False;
    is_pending && stored["status"] == "True" && stored["observedGeneration"].as_i64() == Some(stamp.generation)
}

/// The list of parents or ancestors that follows from the `stored` one and ours. `name` is `parentRef` or
/// `ancestorRef`; at most `limit` entries.
pub(super) fn references<'w>(
    stored: Option<&Value>,
    (name, limit): (&str, usize),
    own: &[&str],
    wanted: impl Iterator<Item = (&'w ParentRef, &'w [Condition])>,
    stamp: &Stamp,
) -> Vec<Value> {
    let stored = items(stored);
    let is_ours = |entry: &&Value| entry["controllerName"] == CONTROLLER_NAME;
    let room = limit.saturating_sub(stored.iter().filter(|entry| !is_ours(entry)).count());
    let mut ours: Vec<(&ParentRef, &[Condition])> = Vec::new();
    for (parent, conditions) in wanted {
        if !conditions.is_empty() && ours.len() < room && !ours.iter().any(|(other, _)| *other == parent) {
            ours.push((parent, conditions));
        }
    }
    let mut placed = vec![false; ours.len()];
    let mut merged = Vec::with_capacity(stored.len() + ours.len());
    for entry in stored {
        if !is_ours(&entry) {
            merged.push(entry.clone());
            continue;
        }
        let at = declared(&entry[name]).and_then(|parent| ours.iter().position(|(ours, _)| **ours == parent));
        if let Some(at) = at.filter(|at| !placed[*at]) {
            placed[at] = true;
            merged.push(reference(Some(entry), name, own, ours[at], stamp));
        }
    }
    let new = ours.into_iter().zip(placed).filter(|(_, placed)| !placed);
    merged.extend(new.map(|(ours, _)| reference(None, name, own, ours, stamp)));
    merged
}

fn reference(
    stored: Option<&Value>,
    name: &str,
    own: &[&str],
    (parent, wanted): (&ParentRef, &[Condition]),
    stamp: &Stamp,
) -> Value {
    let before = stored.and_then(|stored| stored.get("conditions"));
    json!({
        name: parent,
        "controllerName": CONTROLLER_NAME,
        "conditions": conditions(before, own, wanted, stamp),
    })
}

fn declared(value: &Value) -> Option<ParentRef> {
    serde_json::from_value(value.clone()).ok()
}

fn items(list: Option<&Value>) -> &[Value] {
    list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn type_of(condition: &Value) -> &str {
    condition["type"].as_str().unwrap_or_default()
}

/// At most `limit` bytes, whole characters.
pub(super) fn cut(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
