// SPDX-License-Identifier: Apache-2.0
//! `testdata/istio-fields.txt` lists the fields of Istio's API that decide something at an edge, and the rules of order
//! and merging. Each has a golden that names it first, and no golden of Istio is about anything else. Never translates.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::translate::tests::golden::{cases, testdata};

const LIST: &str = "istio-fields.txt";

/// The fields, one a line; `#` begins a comment.
fn listed() -> Vec<String> {
    let text = fs::read_to_string(testdata().join(LIST)).unwrap();
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

fn is_of_istio(case: &Path) -> bool {
    case.parent().and_then(Path::file_name).is_some_and(|folder| folder.to_string_lossy().starts_with("istio-"))
}

/// The field that a case is about: its first line is `# field: rule`. A field may have a colon itself, so the longest is
/// meant.
fn subject<'f>(fields: &'f [String], first_line: &str) -> Option<&'f str> {
    let text = first_line.strip_prefix("# ")?;
    let named = fields.iter().filter(|field| text.strip_prefix(field.as_str()).is_some_and(|it| it.starts_with(": ")));
    named.max_by_key(|field| field.len()).map(String::as_str)
}

#[test]
fn every_field_of_istio_has_a_golden_and_every_golden_of_istio_a_field() {
    let fields = listed();
    let mut missing: BTreeSet<&str> = fields.iter().map(String::as_str).collect();
    assert_eq!(missing.len(), fields.len(), "{LIST} has a field twice");
    let mut strangers = Vec::new();
    for case in cases().iter().filter(|case| is_of_istio(case)) {
        let text = fs::read_to_string(case).unwrap();
        let first_line = text.lines().next().unwrap_or_default();
        match subject(&fields, first_line) {
            Some(field) => drop(missing.remove(field)),
            None => strangers.push(format!("{}: {first_line}", case.display())),
        }
    }
    assert!(missing.is_empty(), "no golden begins with `# field: rule` for: {missing:#?}");
    assert!(strangers.is_empty(), "not in {LIST}: {strangers:#?}");
}

#[test]
fn a_golden_is_about_the_longest_field_that_it_names() {
    let fields = ["Kind.a", "Kind.a.b", "Kind: order", "Kind: order: late"].map(str::to_owned);
    for (line, field) in [
        ("# Kind.a: a rule.", Some("Kind.a")),
        ("# Kind.a.b: a rule: a colon.", Some("Kind.a.b")),
        ("# Kind: order: a rule.", Some("Kind: order")),
        ("# Kind: order: late: a rule.", Some("Kind: order: late")),
        ("# Kind.a.c: a rule.", None),
        ("# Kind.a a rule.", None),
        ("Kind.a: a rule.", None),
    ] {
        assert_eq!(subject(&fields, line), field, "{line}");
    }
}
