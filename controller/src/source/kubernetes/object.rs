// SPDX-License-Identifier: Apache-2.0
//! An object as a list or a watch gives it, read so that none can spoil it for the others, for a reader that gives up takes
//! its whole list along: all but the metadata stays text until somebody asks for it, and JSON that is nested deeper than
//! anything that is decoded is cut off below. Managed fields, which are nested as deeply as what they are about, are not
//! looked at. Never decides whether the object is good.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::ApiResource;
use kube::core::{DynamicResourceScope, Resource};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};
use torana_crds::Unreadable;

/// More than the door lets in, so that it is the door that says so; less than the 128 at which the reader of JSON gives
/// up, with a list around it.
const DEPTH: usize = 105;

const STATUS: &str = "status";

/// One object, as it came.
#[derive(Debug, Clone, Default)]
pub(super) struct Raw {
    /// What is read of its metadata.
    pub(super) metadata: ObjectMeta,
    /// Every other field, but for what says which kind it is of.
    body: BTreeMap<String, Box<RawValue>>,
}

impl Raw {
    /// A field by its name, read as `T`; `None` if it is absent or `null`.
    ///
    /// # Errors
    /// It is something else.
    pub(super) fn part<'a, T: Deserialize<'a>>(&'a self, field: &str) -> serde_json::Result<Option<T>> {
        self.body.get(field).map_or(Ok(None), |text| serde_json::from_str(text.get()))
    }

    /// Its status; `null` if there is none, or none that is JSON.
    pub(super) fn status(&self) -> Value {
        self.body.get(STATUS).and_then(|text| value(text).ok()).unwrap_or_default()
    }

    /// Every field but metadata and status.
    ///
    /// # Errors
    /// One is no JSON that anything could be read from, such as half a surrogate pair.
    pub(super) fn values(&self) -> Result<Map<String, Value>, Unreadable> {
        let fields = self.body.iter().filter(|(field, _)| *field != STATUS);
        let values = fields.map(|(field, text)| match value(text) {
            Ok(value) => Ok((field.clone(), value)),
            Err(error) => Err(Unreadable { path: field.clone(), why: error.to_string() }),
        });
        values.collect()
    }
}

fn value(text: &RawValue) -> serde_json::Result<Value> {
    Part(1).deserialize(&mut serde_json::Deserializer::from_str(text.get()))
}

impl Resource for Raw {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.kind)
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.group)
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.version)
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.plural)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The part of `ObjectMeta` that anybody here reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    generation: Option<i64>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

impl From<Metadata> for ObjectMeta {
    fn from(read: Metadata) -> Self {
        Self {
            name: read.name,
            namespace: read.namespace,
            uid: read.uid,
            generation: read.generation,
            resource_version: read.resource_version,
            creation_timestamp: read.creation_timestamp,
            deletion_timestamp: read.deletion_timestamp,
            labels: read.labels,
            annotations: read.annotations,
            ..Self::default()
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of Kubernetes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut raw = Raw::default();
        while let Some(field) = map.next_key::<String>()? {
            match &*field {
                "metadata" => raw.metadata = map.next_value::<Metadata>()?.into(),
                // Whoever asked knows.
                "apiVersion" | "kind" => drop(map.next_value::<IgnoredAny>()?),
                _ => drop(raw.body.insert(field, map.next_value()?)),
            }
        }
        Ok(raw)
    }
}

/// A value at that depth.
struct Part(usize);

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.0 > DEPTH {
            // Skips without descending.
            return deserializer.deserialize_ignored_any(IgnoredAny).map(|_| Value::Null);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self(self.0 + 1))? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(field) = map.next_key()? {
            fields.insert(field, map.next_value_seed(Self(self.0 + 1))?);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use kube::core::ObjectList;
    use kube::core::watch::WatchEvent;
    use serde_json::json;
    use torana_crds::Content;

    use super::*;

    /// An object with something in it that is nested so deeply, in the words of an API server.
    fn nested(levels: usize) -> String {
        let deep = format!("{}1{}", r#"{"f:a":"#.repeat(levels), "}".repeat(levels));
        format!(
            r#"{{"apiVersion":"torana.dev/v1alpha1","kind":"GatewayParameters","metadata":{{"name":"p","namespace":"a",
               "resourceVersion":"7","managedFields":[{{"fieldsV1":{deep}}}]}},"spec":{{"podPatch":{deep}}}}}"#
        )
    }

    fn is_readable(raw: &Raw) -> bool {
        let mut value = raw.values().unwrap();
        value.insert("apiVersion".into(), json!("torana.dev/v1alpha1"));
        value.insert("kind".into(), json!("GatewayParameters"));
        value.insert("metadata".into(), json!({"name": raw.metadata.name, "namespace": raw.metadata.namespace}));
        matches!(torana_crds::decode(Value::Object(value), "").content, Content::Object(_))
    }

    #[test]
    fn nothing_is_nested_so_deeply_that_a_list_or_a_watch_ends() {
        for (levels, readable) in [(1, true), (90, true), (101, false), (126, false), (200, false), (9_999, false)] {
            let list = format!(r#"{{"apiVersion":"v1","kind":"List","metadata":{{}},"items":[{}]}}"#, nested(levels));
            let list: ObjectList<Raw> = serde_json::from_str(&list).unwrap();
            let change = format!(r#"{{"type":"ADDED","object":{}}}"#, nested(levels));
            let WatchEvent::Added(changed) = serde_json::from_str::<WatchEvent<Raw>>(&change).unwrap() else {
                panic!()
            };
            for raw in list.items.into_iter().chain([changed]) {
                assert_eq!(raw.metadata.resource_version.as_deref(), Some("7"));
                assert_eq!(is_readable(&raw), readable, "{levels}");
            }
        }
    }

    #[test]
    fn what_is_not_too_deep_is_as_it_came() {
        let spec = json!({"a": [1, -1, 1.5, u64::MAX, "x", true, null, {"b": {}}]});
        let raw: Raw = serde_json::from_str(&json!({"metadata": {}, "spec": spec}).to_string()).unwrap();
        assert_eq!(raw.values().unwrap()["spec"], spec);
    }

    #[test]
    fn what_is_no_text_or_number_spoils_its_object_only() {
        for (spec, why) in [(r#""\ud800""#, "hex escape"), ("1e999", "out of range")] {
            let list = format!(
                r#"{{"apiVersion":"v1","kind":"List","metadata":{{}},"items":[{{"metadata":{{"name":"a"}},"spec":{spec}}},
                   {{"metadata":{{"name":"b"}},"spec":{{}}}}]}}"#
            );
            let list: ObjectList<Raw> = serde_json::from_str(&list).unwrap();
            let [bad, good] = list.items.as_slice() else { panic!() };
            let unreadable = bad.values().unwrap_err();
            assert!(unreadable.path == "spec" && unreadable.why.contains(why), "{unreadable}");
            assert!(good.values().is_ok());
        }
    }

    #[test]
    fn a_part_is_read_as_what_it_is_asked_for() {
        let raw: Raw = serde_json::from_value(json!({"metadata": {}, "spec": {"a": 1}, "status": null})).unwrap();
        assert_eq!(raw.part::<BTreeMap<String, u8>>("spec").unwrap().unwrap()["a"], 1);
        assert!(raw.part::<String>("spec").is_err());
        assert_eq!(raw.part::<String>("status").unwrap(), None);
        assert_eq!(raw.part::<String>("data").unwrap(), None);
    }
}
