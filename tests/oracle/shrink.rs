// SPDX-License-Identifier: Apache-2.0
//! The smallest scenario that still shows a difference: objects, then parts of them, are left out one at a time while
//! it stays.

use serde_json::Value;

use super::scenario::Scenario;

/// Lists of an object whose members can be left out, as paths; `*` is every member of a list.
const LISTS: [&[&str]; 19] = [
    &["spec", "servers"],
    &["spec", "servers", "*", "hosts"],
    &["spec", "hosts"],
    &["spec", "gateways"],
    &["spec", "exportTo"],
    &["spec", "http"],
    &["spec", "http", "*", "match"],
    &["spec", "http", "*", "match", "*", "gateways"],
    &["spec", "http", "*", "route"],
    &["spec", "http", "*", "mirrors"],
    &["spec", "tls"],
    &["spec", "tls", "*", "match"],
    &["spec", "tls", "*", "match", "*", "gateways"],
    &["spec", "tls", "*", "route"],
    &["spec", "tcp"],
    &["spec", "tcp", "*", "match"],
    &["spec", "tcp", "*", "route"],
    &["spec", "subsets"],
    &["spec", "ports"],
];

/// Objects whose fields can be left out.
const FIELDS: [&[&str]; 10] = [
    &["spec"],
    &["spec", "servers", "*"],
    &["spec", "http", "*"],
    &["spec", "http", "*", "match", "*"],
    &["spec", "http", "*", "match", "*", "headers"],
    &["spec", "http", "*", "route", "*"],
    &["spec", "http", "*", "route", "*", "destination"],
    &["spec", "tls", "*", "match", "*"],
    &["spec", "tcp", "*", "match", "*"],
    &["metadata"],
];

/// How one scenario becomes a smaller one: without the part of that number, if there are so many.
type Smaller = fn(&Scenario, usize) -> Option<Scenario>;

/// Many objects at once first: most have nothing to do with it.
const STEPS: [Smaller; 5] = [without_many::<8>, without_many::<3>, without_many::<1>, without_members, without_fields];

/// Leaves out what can be left out while `shows` says that the difference is there; asks at most `patience` times.
pub(super) fn shrink(scenario: &Scenario, patience: usize, mut shows: impl FnMut(&Scenario) -> bool) -> Scenario {
    let mut smallest = scenario.clone();
    let mut left = patience;
    loop {
        let before = size(&smallest);
        for smaller in STEPS {
            let mut at = 0;
            while let Some(candidate) = smaller(&smallest, at) {
                if left == 0 {
                    return smallest;
                }
                left -= 1;
                if shows(&candidate) {
                    smallest = candidate;
                } else {
                    at += 1;
                }
            }
        }
        if size(&smallest) == before {
            return smallest;
        }
    }
}

fn size(scenario: &Scenario) -> usize {
    [&scenario.istio, &scenario.kubernetes].into_iter().flatten().map(|object| object.to_string().len()).sum()
}

/// Without so many objects in a row.
fn without_many<const COUNT: usize>(scenario: &Scenario, at: usize) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    let istio = scenario.istio.len().div_ceil(COUNT);
    let (list, chunk) = if at < istio { (&mut smaller.istio, at) } else { (&mut smaller.kubernetes, at - istio) };
    let from = chunk * COUNT;
    if from >= list.len() {
        return None;
    }
    let to = (from + COUNT).min(list.len());
    list.drain(from..to);
    Some(smaller)
}

/// Without the member of that number, of all lists of all objects. One always stays.
fn without_members(scenario: &Scenario, at: usize) -> Option<Scenario> {
    let count = |value: &Value| value.as_array().map_or(0, |list| if list.len() > 1 { list.len() } else { 0 });
    let remove = |value: &mut Value, at: usize| drop(value.as_array_mut().map(|list| list.remove(at)));
    let mut smaller = scenario.clone();
    leave_out(&mut smaller.istio, at, &LISTS, count, remove).then_some(smaller)
}

/// Without the field of that number, of all objects in objects.
fn without_fields(scenario: &Scenario, at: usize) -> Option<Scenario> {
    let remove = |value: &mut Value, at: usize| {
        let name = removable(value).swap_remove(at);
        drop(value.as_object_mut().and_then(|fields| fields.remove(&name)));
    };
    let mut smaller = scenario.clone();
    leave_out(&mut smaller.istio, at, &FIELDS, |value| removable(value).len(), remove).then_some(smaller)
}

/// Fields that can go. Without name and namespace an object would be another.
fn removable(value: &Value) -> Vec<String> {
    let names = value.as_object().into_iter().flatten().map(|(name, _)| name.clone());
    let identity = value.get("name").is_some() && value.get("namespace").is_some();
    names.filter(|name| !identity || (name != "name" && name != "namespace")).collect()
}

/// Leaves out one part, if there are so many: `count` says how many a place has, `remove` takes one away.
fn leave_out(
    objects: &mut [Value],
    mut at: usize,
    places: &[&[&str]],
    count: impl Fn(&Value) -> usize,
    remove: impl Fn(&mut Value, usize),
) -> bool {
    for object in objects {
        for place in places {
            for found in reach(object, place) {
                let here = count(found);
                if at < here {
                    remove(found, at);
                    return true;
                }
                at -= here;
            }
        }
    }
    false
}

/// Everything at a path.
fn reach<'a>(value: &'a mut Value, path: &[&str]) -> Vec<&'a mut Value> {
    let Some((first, rest)) = path.split_first() else { return vec![value] };
    if *first == "*" {
        let members = value.as_array_mut().into_iter().flatten();
        return members.flat_map(|member| reach(member, rest)).collect();
    }
    value.get_mut(*first).map_or_else(Vec::new, |inner| reach(inner, rest))
}

#[cfg(test)]
mod tests {
    use super::super::generate;
    use super::*;

    #[test]
    fn all_goes_that_the_difference_does_not_need() {
        let scenario = (0..100).map(|number| generate::scenario(3, number)).find(|it| it.istio.len() > 8).unwrap();
        let has = |scenario: &Scenario| scenario.istio.iter().any(|object| object["kind"] == "VirtualService");
        let small = shrink(&scenario, 10_000, has);
        assert_eq!((small.istio.len(), small.kubernetes.len()), (1, 0), "{:?}", small.istio);
        assert!(has(&small));
        assert_eq!(small.istio[0]["spec"], serde_json::json!({}));
    }

    #[test]
    fn what_always_shows_ends_and_what_is_asked_too_often_stays() {
        let scenario = generate::scenario(3, 1);
        assert!(shrink(&scenario, 10_000, |_| true).istio.is_empty());
        assert_eq!(shrink(&scenario, 0, |_| true).istio, scenario.istio);
    }
}
