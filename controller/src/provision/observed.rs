// SPDX-License-Identifier: Apache-2.0
//! What the cluster has of what is provisioned, and what of it is not as it should be. Waits for nothing, asks nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::api::is_older;
use crate::provision::desired::drift::{self, HASH};
use crate::provision::desired::names::hash;
use crate::provision::kinds::Place;
use crate::store::unlink;

/// Objects with Torana's label, as watched.
#[derive(Debug, Default)]
pub(super) struct Observed {
    seen: BTreeMap<Place, Seen>,
    /// Places by the uid of the Gateway that controls them.
    owned: BTreeMap<String, BTreeSet<Place>>,
    /// What a list that is not over yet has brought, by kind.
    listing: BTreeMap<String, BTreeSet<Place>>,
    listed: BTreeSet<String>,
}

/// One object.
#[derive(Debug)]
struct Seen {
    owner: String,
    uid: String,
    live: Arc<Value>,
    /// Hash of the part that is desired, as it was when it was applied last: with what the API server made of it.
    baseline: Option<(String, u64)>,
}

/// What is to be done for one Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Difference {
    /// To apply, in this order.
    pub(super) apply: Vec<Value>,
    /// To remove, each with its uid.
    pub(super) remove: Vec<(Place, String)>,
}

impl Observed {
    /// A list of a kind begins.
    pub(super) fn begin(&mut self, kind: &str) {
        self.listing.insert(kind.to_owned(), BTreeSet::new());
    }

    /// A list of a kind is over; returns the owners of what is not in it.
    pub(super) fn end(&mut self, kind: &str) -> BTreeSet<String> {
        self.listed.insert(kind.to_owned());
        let Some(listed) = self.listing.remove(kind) else { return BTreeSet::new() };
        let gone = self.seen.keys().filter(|place| place.kind == kind && !listed.contains(place)).cloned();
        gone.collect::<Vec<_>>().iter().filter_map(|place| self.gone(place)).collect()
    }

    /// Whether this many kinds were listed.
    pub(super) fn has_listed(&self, kinds: usize) -> bool {
        self.listed.len() >= kinds
    }

    /// An object is there; returns the uid of the Gateway that controls it.
    pub(super) fn there(&mut self, mut live: Value) -> Option<String> {
        let place = Place::of(&live);
        if let Some(listing) = self.listing.get_mut(&place.kind) {
            listing.insert(place.clone());
        }
        if let Some(metadata) = live["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        if place.kind != "Service"
            && let Some(fields) = live.as_object_mut()
        {
            fields.remove("status");
        }
        let owners = live["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        let owner = owners.filter(|owner| owner["controller"] == true).find_map(|owner| owner["uid"].as_str());
        let Some(owner) = owner.map(str::to_owned) else {
            // Somebody took the owner away.
            return self.gone(&place);
        };
        let uid = live["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let before = self.seen.remove(&place);
        if let Some(before) = before.as_ref().filter(|before| before.owner != owner) {
            unlink(&mut self.owned, &before.owner, &place);
        }
        let baseline = before.and_then(|before| before.baseline);
        self.owned.entry(owner.clone()).or_default().insert(place.clone());
        self.seen.insert(place, Seen { owner: owner.clone(), uid, live: Arc::new(live), baseline });
        Some(owner)
    }

    /// An object is gone; returns the uid of the Gateway that controlled it.
    pub(super) fn gone(&mut self, place: &Place) -> Option<String> {
        let seen = self.seen.remove(place)?;
        unlink(&mut self.owned, &seen.owner, place);
        Some(seen.owner)
    }

    /// An object was applied: what the API server answered is from now on as it should be. The watch may have told of
    /// a later version already.
    pub(super) fn applied(&mut self, desired: &Value, answer: Value) {
        let baseline = (mark(desired).to_owned(), projected(&answer, desired));
        let place = Place::of(desired);
        if !self.seen.get(&place).is_some_and(|seen| is_earlier(&answer, &seen.live)) {
            self.there(answer);
        }
        if let Some(seen) = self.seen.get_mut(&place) {
            seen.baseline = Some(baseline);
        }
    }

    /// The Service of a Gateway.
    pub(super) fn service(&self, owner: &str) -> Option<Arc<Value>> {
        let mut places = self.owned.get(owner).into_iter().flatten();
        let place = places.find(|place| place.kind == "Service")?;
        self.seen.get(place).map(|seen| Arc::clone(&seen.live))
    }

    /// What is to be done so that `desired` (marked) is there, and nothing else that the Gateway controls.
    pub(super) fn difference(&self, owner: &str, desired: &[Value]) -> Difference {
        let mut difference = Difference::default();
        let mut wanted = BTreeSet::new();
        for object in desired {
            let place = Place::of(object);
            if !self.seen.get(&place).is_some_and(|seen| seen.owner == owner && is_as_desired(seen, object)) {
                difference.apply.push(object.clone());
            }
            wanted.insert(place);
        }
        if !desired.is_empty() {
            let surplus = self.owned.get(owner).into_iter().flatten().filter(|place| !wanted.contains(place));
            let with_uid = surplus.filter_map(|place| Some((place.clone(), self.seen.get(place)?.uid.clone())));
            difference.remove.extend(with_uid);
        }
        difference
    }
}

fn is_as_desired(seen: &Seen, desired: &Value) -> bool {
    if seen.live["metadata"]["annotations"][HASH] != mark(desired)
        || !seen.live["metadata"]["deletionTimestamp"].is_null()
    {
        return false;
    }
    match &seen.baseline {
        Some((of, baseline)) if of == mark(desired) => *baseline == projected(&seen.live, desired),
        // Applied by an earlier controller: as it should be, if nothing of it reads otherwise.
        _ => drift::projection(&seen.live, desired) == *desired,
    }
}

/// Whether `one` is an earlier version of the object `other`.
fn is_earlier(one: &Value, other: &Value) -> bool {
    let field = |it: &'_ Value, name: &str| it["metadata"][name].as_str().unwrap_or_default().to_owned();
    let same = field(one, "uid") == field(other, "uid");
    same && is_older(&field(one, "resourceVersion"), &field(other, "resourceVersion"))
}

fn mark(desired: &Value) -> &str {
    desired["metadata"]["annotations"][HASH].as_str().unwrap_or_default()
}

fn projected(live: &Value, desired: &Value) -> u64 {
    hash(drift::projection(live, desired).to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn desired(name: &str, size: &str) -> Value {
        let owner = json!({"kind": "Gateway", "name": "edge", "uid": "1", "controller": true});
        let metadata = json!({"namespace": "a", "name": name, "ownerReferences": [owner]});
        drift::marked(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"size": size}}))
    }

    /// As the API server has it: with a uid, and quantities in its own form.
    fn live(mut object: Value) -> Value {
        object["metadata"]["uid"] = "u".into();
        object["metadata"]["managedFields"] = json!([{"manager": "torana"}]);
        if object["data"]["size"] == "1000m" {
            object["data"]["size"] = "1".into();
        }
        object
    }

    fn names(difference: &Difference) -> (Vec<&str>, Vec<&str>) {
        let apply = difference.apply.iter().map(|object| object["metadata"]["name"].as_str().unwrap());
        (apply.collect(), difference.remove.iter().map(|(place, _)| place.name.as_str()).collect())
    }

    #[test]
    fn what_is_missing_is_applied_and_what_is_there_is_left_alone() {
        let mut observed = Observed::default();
        let all = [desired("x", "1"), desired("y", "1")];
        assert_eq!(observed.there(live(all[0].clone())), Some("1".into()));
        assert_eq!(names(&observed.difference("1", &all)), (vec!["y"], vec![]));
        assert_eq!(observed.gone(&Place::of(&all[0])), Some("1".into()));
        assert_eq!(names(&observed.difference("1", &all)), (vec!["x", "y"], vec![]));
    }

    #[test]
    fn a_change_by_others_is_drift_and_a_change_of_what_is_desired_too() {
        let mut observed = Observed::default();
        let one = desired("x", "1");
        observed.applied(&one, live(one.clone()));
        assert_eq!(observed.difference("1", std::slice::from_ref(&one)), Difference::default());
        assert_eq!(names(&observed.difference("1", &[desired("x", "2")])).0, ["x"]);
        let mut touched = live(one.clone());
        touched["data"]["other"] = "theirs".into();
        touched["metadata"]["resourceVersion"] = "9".into();
        observed.there(touched.clone());
        assert_eq!(observed.difference("1", std::slice::from_ref(&one)), Difference::default());
        touched["data"]["size"] = "7".into();
        observed.there(touched);
        assert_eq!(names(&observed.difference("1", &[one])).0, ["x"]);
    }

    #[test]
    fn what_the_api_server_writes_otherwise_is_applied_once() {
        let mut observed = Observed::default();
        let one = desired("x", "1000m");
        observed.there(live(one.clone()));
        assert_eq!(names(&observed.difference("1", std::slice::from_ref(&one))).0, ["x"]);
        observed.applied(&one, live(one.clone()));
        observed.there(live(one.clone()));
        assert_eq!(observed.difference("1", &[one]), Difference::default());
    }

    #[test]
    fn an_answer_that_the_watch_was_faster_than_does_not_take_back_what_it_told() {
        let mut observed = Observed::default();
        let one = desired("x", "1");
        let version = |version: &str| {
            let mut object = live(one.clone());
            object["metadata"]["resourceVersion"] = version.into();
            object["data"]["version"] = version.into();
            object
        };
        let kept = |observed: &Observed| observed.seen[&Place::of(&one)].live["data"]["version"].clone();
        observed.there(version("10"));
        observed.applied(&one, version("9"));
        assert_eq!(kept(&observed), "10");
        observed.applied(&one, version("11"));
        assert_eq!(kept(&observed), "11");
        assert_eq!(observed.difference("1", std::slice::from_ref(&one)), Difference::default());
    }

    #[test]
    fn what_is_no_longer_desired_goes_and_nothing_goes_where_nothing_is_desired() {
        let mut observed = Observed::default();
        let (one, two) = (desired("x", "1"), desired("y", "1"));
        observed.there(live(one.clone()));
        observed.there(live(two.clone()));
        assert_eq!(names(&observed.difference("1", std::slice::from_ref(&one))), (vec![], vec!["y"]));
        assert_eq!(observed.difference("1", &[]), Difference::default());
        let mut foreign = live(two);
        foreign["metadata"]["ownerReferences"][0]["uid"] = "2".into();
        observed.there(foreign);
        assert_eq!(observed.difference("1", &[one]), Difference::default());
    }

    #[test]
    fn a_new_list_tells_what_went_unseen() {
        let mut observed = Observed::default();
        observed.there(live(desired("x", "1")));
        observed.there(live(desired("y", "1")));
        observed.begin("ConfigMap");
        observed.there(live(desired("y", "1")));
        assert_eq!(observed.end("ConfigMap"), BTreeSet::from(["1".to_owned()]));
        assert!(observed.has_listed(1) && !observed.has_listed(2));
        assert_eq!(names(&observed.difference("1", &[desired("x", "1"), desired("y", "1")])).0, ["x"]);
    }
}
