// SPDX-License-Identifier: Apache-2.0
//! Runs every `testdata/<feature>/<case>.yaml`: a sentence of the spec, the objects, and after `# Output` the program
//! and the status that follow. `TORANA_GOLDENS=write` writes that part anew; the diff is what reviewers read.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::{Map, Value, json};
use torana_crds::{Content, Decoded};

use crate::report::{Condition, Entry, Remark, Report, Severity, Status};
use crate::store::{Cluster, Event, Settings};
use crate::translate::{Translation, translate};

const SEPARATOR: &str = "# Output\n";

/// Asked of cargo when the test runs: two checkouts that share a target folder may share this very binary.
pub(super) fn testdata() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").expect("CARGO_MANIFEST_DIR is not set: run this with cargo test");
    Path::new(&package).join("testdata")
}

/// 2027-01-01: only the certificate that is meant to has expired.
fn settings() -> Settings {
    let mut settings = Settings::standalone(1_798_761_600);
    settings.reserved.push(("127.0.0.1:15000".parse().unwrap(), "the admin server"));
    settings.reserved.push(("0.0.0.0:15021".parse().unwrap(), "the health server"));
    settings
}

pub(super) fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<_> = fs::read_dir(testdata())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        // What is provisioned for Gateways has goldens of its own.
        .filter(|path| path.is_dir() && !path.ends_with("provision"))
        .flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    cases.sort();
    cases
}

/// Objects of a case. `@good.crt` as a value of a Secret or ConfigMap stands for that file of `testdata/certificates`.
fn cluster(case: &Path, input: &str) -> Cluster {
    let mut cluster = Cluster::new(settings());
    for mut value in serde_saphyr::from_multiple::<Value>(input).unwrap_or_else(|error| panic!("{case:?}: {error}")) {
        let field = if value["kind"] == "ConfigMap" { "data" } else { "stringData" };
        for text in value.get_mut(field).and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
            if let Some(file) = text.as_str().and_then(|text| text.strip_prefix('@')) {
                *text = fs::read_to_string(testdata().join("certificates").join(file)).unwrap().into();
            }
        }
        let Decoded { reference, content, unknown_paths, .. } = torana_crds::decode(value, "");
        assert!(unknown_paths.is_empty(), "{case:?}: {reference}: {unknown_paths:?}");
        let event = match content {
            Content::Object(object) => Event::Applied((*object).into()),
            Content::Unreadable(why) => Event::Unreadable(reference, why),
            Content::Foreign => panic!("{case:?}: {reference} is of a kind that is not spoken"),
        };
        assert!(!cluster.apply(event).is_empty(), "{case:?}: an object is there twice");
    }
    cluster
}

/// As it stands in a golden: keys sorted, defaults that every listener and backend has left out.
fn output(translation: &Translation) -> String {
    let snapshot = translation.snapshots.values().next().unwrap();
    let mut program = serde_json::to_value(&**snapshot).unwrap();
    let limits = serde_json::to_value(torana_ir::Limits::default()).unwrap();
    for listener in program["listeners"].as_array_mut().unwrap() {
        let fields = listener.as_object_mut().unwrap();
        if fields["limits"] == limits {
            fields.remove("limits");
        }
    }
    let usual = serde_json::to_value(torana_ir::Backend::new(torana_ir::BackendKey::tcp("n", "b", 80))).unwrap();
    for backend in program["backends"].as_array_mut().unwrap() {
        let fields = backend.as_object_mut().unwrap();
        let may_be_usual = ["connect_deadline", "idle", "max_connections", "caps", "outliers", "panic", "tls"];
        fields.retain(|name, it| !may_be_usual.contains(&&**name) || *it != usual[name]);
    }
    for bundle in program["bundles"].as_array_mut().unwrap() {
        let count = bundle["certificates"].as_array().unwrap().len();
        bundle["certificates"] = count.into();
    }
    for rule in program["rules"].as_array_mut().unwrap() {
        if let Some(session) = rule["session"].as_object_mut() {
            session.remove("key");
        }
    }
    program.as_object_mut().unwrap().retain(|_, part| part.as_array().is_some_and(|list| !list.is_empty()));
    compact(&mut program);
    let document = json!({"ir": program, "status": report(&translation.report)});
    serde_saphyr::to_string(&document).unwrap()
}

/// Keys, hosts, durations and absent things as people write them.
fn compact(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(compact),
        Value::Object(fields) => {
            fields.values_mut().for_each(compact);
            // An empty list of targets or endpoints is a statement, other empty lists are defaults.
            let says = |name: &str| matches!(name, "Forward" | "endpoints" | "backends");
            fields.retain(|name, it| !it.is_null() && it.as_array().is_none_or(|list| !list.is_empty() || says(name)));
            let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
            let set = fields
                .get("set")
                .and_then(Value::as_array)
                .map(|set| set.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("."));
            let short = match fields.len() {
                2 => match (text("namespace"), text("name"), fields.get("secs"), fields.get("nanos")) {
                    (Some(namespace), Some(name), ..) => Some(format!("{namespace}/{name}")),
                    (_, _, Some(secs), Some(nanos)) => {
                        Some(format!("{}ms", secs.as_u64().unwrap() * 1000 + nanos.as_u64().unwrap() / 1_000_000))
                    }
                    _ => match (text("gateway"), text("name")) {
                        (Some(gateway), Some(name)) => Some(format!("{gateway}/{name}")),
                        _ => None,
                    },
                },
                3 if fields.contains_key("source") => {
                    let part = |name| text(name).unwrap();
                    Some(format!("{} {}/{}", part("source"), part("namespace"), part("name")))
                }
                3 => match (text("namespace"), text("name"), text("kind"), fields.get("port")) {
                    (Some(namespace), Some(name), _, Some(port)) => Some(format!("{namespace}/{name}:{port}")),
                    (Some(namespace), Some(name), Some(kind), _) => Some(format!("{kind} {namespace}/{name}")),
                    _ => match (text("gateway"), set, text("name")) {
                        (Some(gateway), Some(set), Some(name)) => Some(format!("{gateway}/{set}/{name}")),
                        _ => None,
                    },
                },
                4 => match (text("namespace"), text("name"), text("transport"), fields.get("port")) {
                    (Some(namespace), Some(name), Some(transport), Some(port)) => {
                        Some(format!("{namespace}/{name}:{port}/{}", transport.to_lowercase()))
                    }
                    _ => None,
                },
                _ => None,
            };
            if let Some(short) = short {
                *value = short.into();
            }
        }
        _ => {}
    }
}

fn report(report: &Report) -> Value {
    let mut status = Map::new();
    for (object, entry) in &report.objects {
        status.insert(object.to_string(), said(entry));
    }
    for (object, remark) in &report.unreadable {
        let entry = status.entry(object.to_string()).or_insert_with(|| json!({}));
        entry["unreadable"] = shown(remark);
    }
    status.into()
}

fn said(entry: &Entry) -> Value {
    let mut fields = Map::new();
    if entry.generation > 0 {
        fields.insert("generation".to_owned(), entry.generation.into());
    }
    let mut put = |name: &str, values: Vec<Value>| {
        if !values.is_empty() {
            fields.insert(name.to_owned(), values.into());
        }
    };
    let conditions = |list: &[Condition]| list.iter().map(|it| Value::from(it.to_string())).collect::<Vec<_>>();
    put("conditions", conditions(&entry.conditions));
    let listeners = entry.listeners.iter().map(|listener| {
        let kinds: Vec<_> = listener.supported_kinds.iter().map(|kind| kind.kind.as_str()).collect();
        json!({"name": listener.name, "supportedKinds": kinds, "attachedRoutes": listener.attached_routes,
            "conditions": conditions(&listener.conditions)})
    });
    put("listeners", listeners.collect());
    let parents = entry.parents.iter().map(|parent| {
        let declared = serde_json::to_value(&parent.parent).unwrap();
        json!({"parentRef": declared, "conditions": conditions(&parent.conditions)})
    });
    put("parents", parents.collect());
    let ancestors = entry.ancestors.iter().map(|entry| {
        let ancestor = serde_json::to_value(&entry.ancestor).unwrap();
        json!({"ancestorRef": ancestor, "conditions": conditions(&entry.conditions)})
    });
    put("ancestors", ancestors.collect());
    put("remarks", entry.remarks.iter().map(shown).collect());
    if let Some(sets) = entry.attached_listener_sets.filter(|sets| *sets > 0) {
        fields.insert("attachedListenerSets".to_owned(), sets.into());
    }
    fields.into()
}

fn shown(remark: &Remark) -> Value {
    format!("{:?} {}: {remark}", remark.severity, remark.reason).into()
}

/// The report of every case.
pub(crate) fn reports() -> impl Iterator<Item = (PathBuf, Report)> {
    cases().into_iter().map(|case| {
        let text = fs::read_to_string(&case).unwrap();
        let input = text.split_once(SEPARATOR).map_or(text.as_str(), |(input, _)| input);
        let report = translate(&cluster(&case, input)).report;
        (case, report)
    })
}

/// What must hold of every report, whatever it is about.
fn lawful(case: &Path, report: &Report) {
    for (object, entry) in &report.objects {
        let listeners = entry.listeners.iter().flat_map(|listener| &listener.conditions);
        let parents = entry.parents.iter().flat_map(|parent| &parent.conditions);
        let ancestors = entry.ancestors.iter().flat_map(|ancestor| &ancestor.conditions);
        for condition in entry.conditions.iter().chain(listeners).chain(parents).chain(ancestors) {
            let hoped = match condition.condition_type {
                "Conflicted" | "PartiallyInvalid" => Status::False,
                _ => Status::True,
            };
            // What will be as hoped by itself is told in the same words, and is no error.
            let is_told = |remark: &Remark| remark.severity == Severity::Error || remark.message == condition.message;
            let has_remark = entry.remarks.iter().any(is_told);
            assert!(condition.status == hoped || has_remark, "{case:?}: {object}: {condition} without a remark");
            assert!(condition.message.len() <= 32_768 && !condition.message.contains('\n'), "{case:?}: {condition}");
            assert!(!condition.message.is_empty(), "{case:?}: {object}: {condition}");
        }
    }
}

#[test]
fn objects_mean_what_the_goldens_say() {
    let write = std::env::var("TORANA_GOLDENS").is_ok_and(|value| value == "write");
    let cases = cases();
    assert!(cases.len() >= 40, "only {} cases", cases.len());
    let mut failed = Vec::new();
    for case in cases {
        let text = fs::read_to_string(&case).unwrap();
        assert!(text.starts_with("# "), "{case:?} does not begin with the rule under test");
        let (input, expected) = text.split_once(SEPARATOR).unwrap_or((&text, ""));
        let translation = translate(&cluster(&case, input));
        lawful(&case, &translation.report);
        let got = output(&translation);
        if write {
            fs::write(&case, format!("{}\n{SEPARATOR}{got}", input.trim_end())).unwrap();
        } else if got != expected {
            failed.push(format!("{}\n{}", case.display(), difference(expected, &got)));
        }
    }
    assert!(failed.is_empty(), "{}\nTORANA_GOLDENS=write writes them anew", failed.join("\n"));
}

/// The lines that only one of the two has.
fn difference(expected: &str, got: &str) -> String {
    let missing =
        expected.lines().filter(|line| !got.lines().any(|other| other == *line)).map(|line| format!("- {line}"));
    let added =
        got.lines().filter(|line| !expected.lines().any(|other| other == *line)).map(|line| format!("+ {line}"));
    missing.chain(added).collect::<Vec<_>>().join("\n")
}
