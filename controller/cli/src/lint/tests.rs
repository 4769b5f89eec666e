// SPDX-License-Identifier: Apache-2.0
//! Every broken manifest of `testdata/broken` beside a good neighbour: lint names it, the neighbour notices nothing.

use std::path::{Path, PathBuf};
use std::{env, fs};

use super::*;

/// A broken manifest and what its first lines promise.
struct Broken {
    name: String,
    path: PathBuf,
    expect: String,
    object: String,
}

/// Asked of cargo when the test runs: two checkouts that share a target folder may share this very binary.
fn testdata() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").expect("CARGO_MANIFEST_DIR is not set: run this with cargo test");
    Path::new(&package).join("testdata")
}

fn all() -> Vec<Broken> {
    let mut paths: Vec<_> =
        fs::read_dir(testdata().join("broken")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let promise = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        Broken { name, path, expect: promise("# expect:"), object: promise("# object:") }
    };
    paths.into_iter().map(read).collect()
}

/// A folder with the neighbour and perhaps a broken manifest beside it.
fn folder(broken: Option<&Broken>) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::copy(testdata().join("neighbour.yaml"), root.path().join("00-neighbour.yaml")).unwrap();
    if let Some(broken) = broken {
        fs::copy(&broken.path, root.path().join(&broken.name)).unwrap();
    }
    root
}

/// What is wrong with the lint of one broken manifest.
fn unnamed(broken: &Broken) -> Option<String> {
    let root = folder(Some(broken));
    let verdict = lint(&[root.path().to_owned()]);
    let file = root.path().join(&broken.name).display().to_string();
    let named = verdict.findings.iter().find(|finding| {
        let object = finding.object.as_ref().map_or("-".to_owned(), ToString::to_string);
        let here = finding.place.as_ref().is_some_and(|place| place.file == file && place.line > 2);
        let whole = finding.place.as_ref().is_some_and(|place| place.file == file) && broken.expect == "not UTF-8";
        object == broken.object && finding.to_string().contains(&broken.expect) && (here || whole)
    });
    let elsewhere = verdict.findings.iter().any(|it| it.place.as_ref().is_none_or(|place| place.file != file));
    let failed = verdict.code(true) == 0;
    let lines: Vec<_> = verdict.findings.iter().map(ToString::to_string).collect();
    (named.is_none() || elsewhere || failed)
        .then(|| format!("== {}: {} {}\n{}", broken.name, broken.object, broken.expect, lines.join("\n")))
}

#[test]
fn every_broken_manifest_is_named_with_its_line() {
    let all = all();
    assert!(all.len() >= 40, "{}", all.len());
    let failed: Vec<_> = all.iter().filter_map(unnamed).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_broken_manifest_breaks_only_itself() {
    let alone = folder(None);
    let alone = Plane::open(&[alone.path().to_owned()], settings(Server::ADMIN, Server::HEALTH)).snapshot();
    assert!(!alone.rules.is_empty() && !alone.listeners.is_empty() && !alone.endpoints.is_empty());
    for broken in all() {
        let beside = folder(Some(&broken));
        let beside = Plane::open(&[beside.path().to_owned()], settings(Server::ADMIN, Server::HEALTH)).snapshot();
        let same = alone.listeners.iter().all(|(key, it)| beside.listeners.get(key) == Some(it))
            && alone.rules.iter().all(|(key, it)| beside.rules.get(key) == Some(it))
            && alone.backends.iter().all(|(key, it)| beside.backends.get(key) == Some(it))
            && alone.endpoints.iter().all(|(key, it)| beside.endpoints.get(key) == Some(it));
        assert!(same, "{}", broken.name);
    }
}

#[test]
fn the_exit_code_follows_the_worst_finding() {
    let code = |name: &str| {
        let all = all();
        let broken = all.iter().find(|broken| broken.name.contains(name)).unwrap();
        let root = folder(Some(broken));
        let verdict = lint(&[root.path().to_owned()]);
        (verdict.code(false), verdict.code(true))
    };
    assert_eq!(code("missing-service."), (1, 1));
    assert_eq!(code("unknown-field"), (0, 1));
    let root = folder(None);
    let clean = lint(&[root.path().to_owned()]);
    assert_eq!((clean.code(false), clean.code(true)), (0, 0), "{:?}", clean.findings);
}

#[test]
fn findings_are_printed_for_people_and_for_programs() {
    let all = all();
    let root = folder(all.iter().find(|broken| broken.name.contains("missing-service.")));
    let verdict = lint(&[root.path().to_owned()]);
    let print = |output| {
        let mut text = Vec::new();
        verdict.print(output, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    };
    let text = print(Output::Text);
    assert!(text.contains(".yaml:10: error: HTTPRoute default/x: spec.rules[0].backendRefs[0]: "), "{text}");
    assert!(text.ends_with("✘ 5 objects, 1 errors, 0 warnings\n"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&print(Output::Json)).unwrap();
    assert_eq!((&json[0]["line"], &json[0]["reason"]), (&10.into(), &"BackendNotFound".into()));
}
