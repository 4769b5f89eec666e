// SPDX-License-Identifier: Apache-2.0
//! Istio's own policies, from its Go module. `TORANA_ISTIO_SOURCE` is its folder; without it a test says that it was
//! skipped.

use std::env;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::draw::Vocabulary;
use super::reference::Policy;

/// Files and what is in them; those that ask somebody else are left out.
pub(super) fn read() -> Option<Vec<(String, Vec<Policy>)>> {
    let Some(source) = env::var_os("TORANA_ISTIO_SOURCE").map(PathBuf::from) else {
        println!("skipped: TORANA_ISTIO_SOURCE is not set");
        return None;
    };
    let folder = source.join("pilot/pkg/security/authz/builder/testdata");
    let mut files: Vec<_> = ["http", "tcp"].iter().flat_map(|kind| inputs(&folder.join(kind))).collect();
    files.sort();
    let read = files.iter().map(|file| (file.strip_prefix(&folder).unwrap().display().to_string(), policies(file)));
    Some(read.filter(|(_, policies)| !policies.is_empty()).collect())
}

fn inputs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files = entries.map(|entry| entry.unwrap().path());
    files.filter(|file| file.to_str().is_some_and(|name| name.ends_with("-in.yaml"))).collect()
}

fn policies(file: &Path) -> Vec<Policy> {
    let text = std::fs::read_to_string(file).unwrap();
    let documents = serde_saphyr::from_multiple::<Value>(&text).unwrap();
    let all: Vec<_> = documents.into_iter().filter(|it| it["kind"] == "AuthorizationPolicy").collect();
    let policy = |mut it: Value| {
        // What would be denied by what only filters of Envoy set lets nobody through here.
        if let ("DENY" | "CUSTOM", Some(rules)) =
            (it["spec"]["action"].clone().as_str().unwrap_or_default(), it["spec"]["rules"].as_array_mut())
        {
            rules.retain(|rule| !rule.to_string().contains("experimental."));
        }
        Policy {
            namespace: it["metadata"]["namespace"].as_str().unwrap_or("foo").to_owned(),
            dry_run: it["metadata"]["annotations"]["istio.io/dry-run"] == "true",
            spec: it["spec"].clone(),
        }
    };
    all.into_iter().map(policy).collect()
}

/// Every text in them, so that requests are made of what they speak of.
pub(super) fn vocabulary(policies: &[Policy]) -> Vocabulary {
    let mut texts = Vec::new();
    for policy in policies {
        collect(&policy.spec["rules"], &mut texts);
    }
    Vocabulary::of(texts)
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|it| collect(it, texts)),
        Value::Object(all) => all.values().for_each(|it| collect(it, texts)),
        _ => {}
    }
}
