// SPDX-License-Identifier: Apache-2.0
//! What is in the cluster against what is desired: whose it is, and whether somebody changed it. Looks only at what is
//! desired; what defaults, controllers and other people add is theirs.

use serde_json::{Map, Value};

use crate::provision::desired::names::hash;

/// Holds the hash of what was desired when the object was applied last.
pub const HASH: &str = "torana.dev/hash";

/// Whose an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belonging {
    /// The Gateway controls it.
    Ours,
    /// An earlier Gateway of the same name controls it: it is on its way out.
    Earlier,
    /// Somebody else's: it is not touched.
    Foreign,
}

/// Whose an object is that bears the name of one of ours: `name` and `uid` are the Gateway's.
pub fn belonging(live: &Value, (name, uid): (&str, &str)) -> Belonging {
    let owners = live["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let mut controllers = owners.filter(|owner| owner["controller"] == true);
    match controllers.next() {
        Some(owner) if owner["uid"] == uid => Belonging::Ours,
        Some(owner) if owner["kind"] == "Gateway" && owner["name"] == name => Belonging::Earlier,
        _ => Belonging::Foreign,
    }
}

/// `desired` with its hash as an annotation; objects with equal hashes are equal.
pub fn marked(desired: &Value) -> Value {
    let mut marked = desired.clone();
    let hash = format!("{:016x}", hash(desired.to_string().as_bytes()));
    if let Some(metadata) = marked.get_mut("metadata").and_then(Value::as_object_mut) {
        let annotations = metadata.entry("annotations").or_insert_with(|| Map::new().into());
        annotations[HASH] = hash.into();
    }
    marked
}

/// The part of `live` that `desired` speaks about.
pub fn projection(live: &Value, desired: &Value) -> Value {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => {
            let each =
                desired.iter().filter_map(|(field, part)| Some((field.clone(), projection(live.get(field)?, part))));
            Value::Object(each.collect())
        }
        // A list with more or fewer entries is another list.
        (Value::Array(live), Value::Array(desired)) if live.len() == desired.len() => {
            live.iter().zip(desired).map(|(live, desired)| projection(live, desired)).collect()
        }
        (live, _) => live.clone(),
    }
}

/// Whether the number of replicas is (also) ours, so that it would go if it were no longer said (server-side apply
/// removes a field that its last owner drops, and the default is 1).
pub fn owns_replicas(live: &Value, manager: &str) -> bool {
    let fields = live["metadata"]["managedFields"].as_array().into_iter().flatten();
    let mut ours = fields.filter(|it| it["manager"] == manager && it["operation"] == "Apply");
    ours.any(|it| !it["fieldsV1"]["f:spec"]["f:replicas"].is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_belongs_to_the_gateway_that_controls_it() {
        let owned = |owners: Value| json!({"metadata": {"ownerReferences": owners}});
        let owner = |kind: &str, uid: &str| json!({"kind": kind, "name": "edge", "uid": uid, "controller": true});
        for (live, expected) in [
            (owned(json!([owner("Gateway", "1")])), Belonging::Ours),
            (owned(json!([owner("Gateway", "0")])), Belonging::Earlier),
            (owned(json!([owner("Deployment", "0")])), Belonging::Foreign),
            (owned(json!([{"kind": "Gateway", "name": "edge", "uid": "1"}])), Belonging::Foreign),
            (json!({"metadata": {}}), Belonging::Foreign),
        ] {
            assert_eq!(belonging(&live, ("edge", "1")), expected, "{live}");
        }
    }

    #[test]
    fn only_what_is_desired_is_compared() {
        let desired = json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
        let live =
            json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30_000}], "clusterIP": "x"}});
        assert_eq!(projection(&live, &desired), desired);
        for changed in [
            json!({"spec": {"type": "ClusterIP", "ports": [{"port": 80}]}}),
            json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 80}, {"port": 81}]}}),
            json!({"spec": {"type": "LoadBalancer"}}),
            json!({}),
        ] {
            assert_ne!(projection(&changed, &desired), desired, "{changed}");
        }
    }

    #[test]
    fn a_mark_follows_from_the_content_alone() {
        let one = json!({"kind": "Service", "metadata": {"name": "a"}});
        let mark = |object: &Value| marked(object)["metadata"]["annotations"][HASH].clone();
        assert_eq!(mark(&one), mark(&one.clone()));
        assert_ne!(mark(&one), mark(&json!({"kind": "Service", "metadata": {"name": "b"}})));
    }

    #[test]
    fn replicas_are_ours_while_we_apply_them() {
        let live = |fields: Value| {
            json!({"metadata": {"managedFields": [
            {"manager": "torana", "operation": "Apply", "fieldsV1": {"f:spec": fields}},
            {"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]}})
        };
        assert!(owns_replicas(&live(json!({"f:replicas": {}})), "torana"));
        assert!(!owns_replicas(&live(json!({"f:template": {}})), "torana"));
        assert!(!owns_replicas(&json!({}), "torana"));
    }
}
