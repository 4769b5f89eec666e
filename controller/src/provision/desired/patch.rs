// SPDX-License-Identifier: Apache-2.0
//! `podPatch`: the strategic merge of Kubernetes, for the template of a pod. Total: what does not fit together is
//! replaced, and the API server says what is wrong with the result.

use serde_json::{Map, Value};

/// What a map says of itself: `delete`, `replace`, or nothing.
const DIRECTIVE: &str = "$patch";

/// Lists of a pod that are merged entry by entry, with the field that entries are told apart by (`patchMergeKey` of
/// the core types).
const KEYED: [(&str, &str); 11] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("ephemeralContainers", "name"),
    ("volumes", "name"),
    ("env", "name"),
    ("imagePullSecrets", "name"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("ports", "containerPort"),
    ("topologySpreadConstraints", "topologyKey"),
    ("hostAliases", "ip"),
];

/// Merges `patch` into `target`.
pub(super) fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (field, new) in patch.iter().filter(|(field, _)| *field != DIRECTIVE) {
        match (directive(new), target.get_mut(field), new) {
            (Some("delete"), ..) => {
                target.remove(field);
            }
            (None, Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (None, Some(Value::Array(old)), Value::Array(new)) => match key(field) {
                Some(key) => entries(old, new, key),
                None => *old = list(new),
            },
            _ => {
                target.insert(field.clone(), plain(new));
            }
        }
    }
}

fn key(field: &str) -> Option<&'static str> {
    KEYED.iter().find(|(list, _)| *list == field).map(|(_, key)| *key)
}

fn directive(value: &Value) -> Option<&str> {
    value.get(DIRECTIVE).and_then(Value::as_str)
}

fn entries(old: &mut Vec<Value>, new: &[Value], key: &str) {
    if new.iter().any(|entry| directive(entry) == Some("replace") && entry.get(key).is_none()) {
        old.clear();
    }
    for entry in new {
        let Some(name) = entry.get(key) else { continue };
        let place = old.iter().position(|it| it.get(key) == Some(name));
        match (directive(entry), place) {
            (Some("delete"), Some(place)) => drop(old.remove(place)),
            (Some("delete"), None) => {}
            (None, Some(place)) => match (&mut old[place], entry) {
                (Value::Object(old), Value::Object(new)) => merge(old, new),
                (old, new) => *old = new.clone(),
            },
            (_, Some(place)) => old[place] = plain(entry),
            (_, None) => old.push(plain(entry)),
        }
    }
}

/// Without directives.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(field, it)| *field != DIRECTIVE && directive(it) != Some("delete"));
            Value::Object(kept.map(|(field, it)| (field.clone(), plain(it))).collect())
        }
        Value::Array(items) => list(items).into(),
        other => other.clone(),
    }
}

fn list(items: &[Value]) -> Vec<Value> {
    items.iter().filter(|it| directive(it) != Some("delete")).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "rows read better")]
    fn becomes(mut target: Value, patch: Value, expected: Value) {
        merge(target.as_object_mut().unwrap(), patch.as_object().unwrap());
        assert_eq!(target, expected);
    }

    #[expect(clippy::needless_pass_by_value, reason = "rows read better")]
    fn pod(containers: Value) -> Value {
        json!({"spec": {"containers": containers}})
    }

    #[test]
    fn maps_are_merged_by_key_and_the_rest_is_replaced() {
        becomes(
            json!({"metadata": {"labels": {"a": "1"}}, "spec": {"tolerations": [{"key": "x"}], "dnsPolicy": "a"}}),
            json!({"metadata": {"labels": {"b": "2"}}, "spec": {"tolerations": [{"key": "y"}], "dnsPolicy": "b"}}),
            json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"tolerations": [{"key": "y"}], "dnsPolicy": "b"}}),
        );
    }

    #[test]
    fn containers_are_told_apart_by_name() {
        becomes(
            pod(json!([{"name": "torana", "image": "a", "env": [{"name": "A", "value": "1"}]}])),
            pod(json!([{"name": "torana", "env": [{"name": "B", "value": "2"}]}, {"name": "side", "image": "b"}])),
            pod(json!([
                {"name": "torana", "image": "a", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
                {"name": "side", "image": "b"},
            ])),
        );
    }

    #[test]
    fn directives_delete_and_replace() {
        becomes(
            pod(
                json!([{"name": "torana", "livenessProbe": {"x": 1}, "resources": {"limits": {"cpu": 1}}}, {"name": "b"}]),
            ),
            pod(json!([
                {"name": "torana", "livenessProbe": {"$patch": "delete"}, "resources": {"$patch": "replace", "requests": {}}},
                {"name": "b", "$patch": "delete"},
                {"name": "c", "$patch": "delete"},
            ])),
            pod(json!([{"name": "torana", "resources": {"requests": {}}}])),
        );
        becomes(
            pod(json!([{"name": "a"}])),
            pod(json!([{"$patch": "replace"}, {"name": "b"}])),
            pod(json!([{"name": "b"}])),
        );
    }

    #[test]
    fn what_does_not_fit_together_is_replaced() {
        becomes(json!({"spec": {"a": [1]}}), json!({"spec": {"a": {"b": 1}}}), json!({"spec": {"a": {"b": 1}}}));
        becomes(
            json!({"spec": 1}),
            json!({"spec": {"a": {"$patch": "replace", "b": 1}}}),
            json!({"spec": {"a": {"b": 1}}}),
        );
        becomes(pod(json!([1])), pod(json!([{"name": "a"}, 2])), pod(json!([1, {"name": "a"}])));
    }
}
