// SPDX-License-Identifier: Apache-2.0
//! `metadata` and label selectors. Never keeps managed fields, owners or finalizers.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};

/// Labels or annotations.
pub type StringMap = BTreeMap<String, String>;

/// What Torana reads of `metadata`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMeta {
    /// `""` for cluster-scoped objects, never for others once decoded.
    pub namespace: String,
    /// Never empty once decoded.
    pub name: String,
    /// Given by the API server; `""` in standalone mode.
    pub uid: String,
    /// Rises with every change of the spec; 0 in standalone mode.
    pub generation: i64,
    /// Opaque; `""` in standalone mode.
    pub resource_version: String,
    /// Unix seconds of `creationTimestamp`.
    #[serde(rename = "creationTimestamp", deserialize_with = "unix_seconds")]
    pub created: Option<i64>,
    /// Labels.
    pub labels: StringMap,
    /// Annotations.
    pub annotations: StringMap,
    /// Unix seconds of `deletionTimestamp`: the object is going away.
    #[serde(rename = "deletionTimestamp", deserialize_with = "unix_seconds")]
    pub deletion: Option<i64>,
}

type MaybeSeconds = Option<i64>;

fn unix_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MaybeSeconds, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time: jiff::Timestamp = text.parse().map_err(|_| de::Error::custom("not a date and time of RFC 3339"))?;
    Ok(Some(time.as_second()))
}

/// `LabelSelector` of Kubernetes: all requirements must hold; without any, everything matches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Labels that must have exactly these values.
    pub match_labels: StringMap,
    /// Further requirements.
    pub match_expressions: Vec<LabelRequirement>,
}

/// One entry of `matchExpressions`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LabelRequirement {
    /// The label.
    pub key: String,
    /// What is asked of it.
    pub operator: LabelOperator,
    /// For `In` and `NotIn` not empty, for the others empty; else the selector is invalid.
    #[serde(default)]
    pub values: Vec<String>,
}

/// Operator of a [`LabelRequirement`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum LabelOperator {
    /// The label has one of the values.
    In,
    /// The label is absent or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// Not an operator of Kubernetes: the selector is invalid.
    #[serde(untagged)]
    Other(String),
}

impl LabelSelector {
    /// Whether `labels` satisfy every requirement; an invalid requirement is never satisfied.
    pub fn matches(&self, labels: &StringMap) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.matches(labels))
    }

    /// The first requirement that Kubernetes would refuse, as one sentence.
    pub fn invalid(&self) -> Option<String> {
        self.match_expressions.iter().find_map(LabelRequirement::invalid)
    }
}

impl LabelRequirement {
    fn matches(&self, labels: &StringMap) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            LabelOperator::In => value.is_some_and(|value| self.values.contains(value)),
            LabelOperator::NotIn => value.is_none_or(|value| !self.values.contains(value)) && !self.values.is_empty(),
            LabelOperator::Exists => value.is_some() && self.values.is_empty(),
            LabelOperator::DoesNotExist => value.is_none() && self.values.is_empty(),
            LabelOperator::Other(_) => false,
        }
    }

    fn invalid(&self) -> Option<String> {
        let key = &self.key;
        match (&self.operator, self.values.is_empty()) {
            (LabelOperator::In | LabelOperator::NotIn, true) => Some(format!("label {key} is compared with no values")),
            (LabelOperator::Exists | LabelOperator::DoesNotExist, false) => {
                Some(format!("the values for label {key} must be empty with Exists and DoesNotExist"))
            }
            (LabelOperator::Other(other), _) => Some(format!("{other:?} is not a selector operator (label {key})")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(json: serde_json::Value) -> LabelSelector {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn selectors_read_as_kubernetes_reads_them() {
        let labels = StringMap::from([("team".into(), "a".into()), ("tier".into(), "web".into())]);
        let expression = |operator: &str, key: &str, values: &[&str]| {
            selector(serde_json::json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]}))
        };
        for (selector, expected) in [
            (LabelSelector::default(), true),
            (selector(serde_json::json!({"matchLabels": {"team": "a"}})), true),
            (selector(serde_json::json!({"matchLabels": {"team": "b"}})), false),
            (expression("In", "team", &["a", "b"]), true),
            (expression("In", "absent", &["a"]), false),
            (expression("NotIn", "team", &["a"]), false),
            (expression("NotIn", "absent", &["a"]), true),
            (expression("Exists", "tier", &[]), true),
            (expression("DoesNotExist", "tier", &[]), false),
            (expression("DoesNotExist", "absent", &[]), true),
        ] {
            assert_eq!(selector.matches(&labels), expected, "{selector:?}");
            assert_eq!(selector.invalid(), None);
        }
    }

    #[test]
    fn an_invalid_requirement_matches_nothing_and_says_why() {
        for (operator, values) in [("Near", vec!["a"]), ("In", vec![]), ("NotIn", vec![]), ("Exists", vec!["a"])] {
            let expression = serde_json::json!([{"key": "team", "operator": operator, "values": values}]);
            let selector = selector(serde_json::json!({"matchExpressions": expression}));
            assert!(!selector.matches(&StringMap::from([("team".into(), "a".into())])), "{operator}");
            assert!(selector.invalid().is_some(), "{operator}");
        }
    }

    #[test]
    fn timestamps_become_unix_seconds() {
        let meta: ObjectMeta = serde_json::from_value(serde_json::json!({
            "name": "a", "creationTimestamp": "2026-01-01T00:00:10Z", "generation": 3,
        }))
        .unwrap();
        assert_eq!((meta.created, meta.generation, meta.deletion), (Some(1_767_225_610), 3, None));
    }
}
