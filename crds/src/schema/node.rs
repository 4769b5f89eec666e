// SPDX-License-Identifier: Apache-2.0
//! One node of a structural schema (`apiextensions.k8s.io/v1` JSONSchemaProps), as the shipped CRDs write it. Keywords
//! that no shipped CRD uses are absent; a test says so when a new CRD brings one.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value;

use crate::schema::rule::Rule;

/// Largest compiled form of a pattern, in bytes.
const PATTERN_SIZE_LIMIT: usize = 1 << 20;

/// Schema of one value.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Node {
    #[serde(rename = "type")]
    pub(crate) value_type: Option<ValueType>,
    pub(crate) format: Option<Format>,
    pub(crate) default: Option<Value>,
    #[serde(rename = "enum")]
    pub(crate) choices: Vec<Value>,
    pub(crate) pattern: Option<Pattern>,
    pub(crate) minimum: Option<i64>,
    pub(crate) maximum: Option<i64>,
    pub(crate) min_length: Option<usize>,
    pub(crate) max_length: Option<usize>,
    pub(crate) min_items: Option<usize>,
    pub(crate) max_items: Option<usize>,
    pub(crate) max_properties: Option<usize>,
    pub(crate) properties: BTreeMap<String, Self>,
    pub(crate) required: Vec<String>,
    pub(crate) additional_properties: Option<Box<Self>>,
    pub(crate) items: Option<Box<Self>>,
    pub(crate) any_of: Vec<Self>,
    pub(crate) one_of: Vec<Self>,
    pub(crate) not: Option<Box<Self>>,
    /// An integer or a text; such a node has no `type`.
    #[serde(rename = "x-kubernetes-int-or-string")]
    pub(crate) int_or_string: bool,
    #[serde(rename = "x-kubernetes-list-type")]
    pub(crate) list_type: ListType,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    pub(crate) list_map_keys: Vec<String>,
    #[serde(rename = "x-kubernetes-validations")]
    pub(crate) rules: Vec<Rule>,
}

/// `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ValueType {
    Object,
    Array,
    String,
    Integer,
    Boolean,
}

/// `format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Format {
    #[serde(rename = "int32")]
    Int32,
    #[serde(rename = "int64")]
    Int64,
    #[serde(rename = "date-time")]
    DateTime,
    #[serde(rename = "ipv4")]
    Ipv4,
    #[serde(rename = "ipv6")]
    Ipv6,
}

/// `x-kubernetes-list-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ListType {
    #[default]
    Atomic,
    Set,
    Map,
}

/// `pattern`: searched, not anchored. Compiled at its first use.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Pattern {
    source: String,
    compiled: OnceLock<Option<regex::Regex>>,
}

impl From<String> for Pattern {
    fn from(source: String) -> Self {
        Self { source, compiled: OnceLock::new() }
    }
}

impl Pattern {
    /// The expression.
    pub(crate) fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether `text` contains a match; `None` if the expression does not compile.
    pub(crate) fn is_match(&self, text: &str) -> Option<bool> {
        let compile = || regex::RegexBuilder::new(&self.source).size_limit(PATTERN_SIZE_LIMIT).build().ok();
        self.compiled.get_or_init(compile).as_ref().map(|regex| regex.is_match(text))
    }
}
