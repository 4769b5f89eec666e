// SPDX-License-Identifier: Apache-2.0
//! What is deployed, against the code: metrics that are asked for exist, values of the chart are read, and the image has
//! what its programs need.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::bin;
use super::readme::families;
use crate::house::source::{files, root};

/// Words that begin with `torana_`.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let metrics = words.filter(|word| word.starts_with("torana_"));
    let bare = |word: &str| {
        let parts = ["_bucket", "_count", "_sum"];
        parts.iter().find_map(|part| word.strip_suffix(part)).unwrap_or(word).to_owned()
    };
    metrics.map(bare).collect()
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

#[test]
fn boards_and_alerts_ask_for_metrics_that_exist() {
    let known = families();
    for folder in ["deploy/dashboards", "deploy/alerts"] {
        for path in files(&root().join(folder)) {
            let asked = metrics(&text(&path));
            assert!(asked.len() >= 5, "{}: {asked:?}", path.display());
            let unknown: Vec<_> = asked.difference(&known).collect();
            assert!(unknown.is_empty(), "{}: {unknown:?}", path.display());
        }
    }
}

#[test]
fn the_board_shows_every_metric() {
    let mut shown = metrics(&text("deploy/dashboards/torana.json"));
    // A histogram of hours: for those who look for something.
    shown.insert("torana_upgraded_duration_seconds".to_owned());
    assert_eq!(families().difference(&shown).collect::<Vec<_>>(), Vec::<&String>::new());
    let board: Value = serde_json::from_str(&text("deploy/dashboards/torana.json")).unwrap();
    assert!(board["panels"].as_array().unwrap().len() > 10);
}

/// Names of the keys of `values.yaml`, with their lines.
fn keys(values: &str) -> Vec<(usize, String)> {
    let lines = values.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#'));
    let keys = lines.filter_map(|(at, line)| Some((at, line.split_once(':')?.0.trim().to_owned())));
    keys.collect()
}

#[test]
fn every_value_of_the_charts_is_read_and_explained() {
    for chart in ["deploy/charts/torana", "deploy/charts/torana-crds"] {
        let folder = root().join(chart).join("templates");
        let templates: String = files(&folder).iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        let values = text(Path::new(chart).join("values.yaml"));
        let lines: Vec<&str> = values.lines().collect();
        // Defaults of maps that are handed on whole.
        let inside = ["requests", "cpu", "memory", "grafana_dashboard", "istio"];
        for (at, key) in keys(&values).iter().filter(|(_, key)| !inside.contains(&key.as_str())) {
            assert!(templates.contains(&format!(".{key}")), "{chart}: nothing reads {key}");
            let is_group = lines[*at].ends_with(':') && lines[at + 1].starts_with(' ');
            let comment = at.checked_sub(1).map_or("", |before| lines[before].trim_start());
            assert!(is_group || comment.starts_with("# "), "{chart}: {key} is not explained");
        }
    }
}

#[test]
fn the_root_of_the_image_has_what_its_programs_need() {
    let folder = tempfile::tempdir().unwrap();
    let torana = bin().join("torana");
    let made = Command::new(root().join("deploy/docker/rootfs.sh")).arg(&torana).arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(fs::read_to_string(folder.path().join("etc/passwd")).unwrap().contains("65532"));
    // With nothing of the machine's around it.
    let mut inside = if rustix::process::geteuid().is_root() {
        Command::new("chroot")
    } else {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "chroot"]);
        command
    };
    let said = inside.arg(folder.path()).args(["/bin/torana", "version"]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(String::from_utf8_lossy(&said.stdout).starts_with("torana"));
}

#[test]
fn metrics_and_keys_are_found() {
    let asked = metrics("rate(torana_a_total[5m]) / torana_b_seconds_bucket{le=\"1\"}, xtorana_c");
    assert_eq!(asked, BTreeSet::from(["torana_a_total".to_owned(), "torana_b_seconds".to_owned()]));
    assert_eq!(keys("# no: 1\na:\n  # -- x\n  b: 1\n"), [(1, "a".to_owned()), (3, "b".to_owned())]);
}
