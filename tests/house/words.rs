// SPDX-License-Identifier: Apache-2.0
//! Words that must be there, and words that must not.

use std::fs;

use super::source::{Source, everything, files, product, root};

/// Code that ends a process, or was not meant to stay.
const FORBIDDEN_CALLS: [&str; 7] =
    [".unwrap()", "panic!(", "todo!(", "unimplemented!(", "unreachable!(", "dbg!(", ".unwrap_err()"];
/// Names that say nothing.
const FORBIDDEN_ENDINGS: [&str; 5] = ["Manager", "Handler", "Helper", "Info", "Impl"];
const FORBIDDEN_MODULES: [&str; 5] = ["utils", "util", "common", "helpers", "prelude"];

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn complaints(source: &Source) -> Vec<String> {
    let path = &source.path;
    let mut found = Vec::new();
    for call in FORBIDDEN_CALLS {
        for (at, _) in source.code.match_indices(call) {
            let line = source.code[..at].lines().count().max(1);
            found.push(format!("{path}:{line}: {call}"));
        }
    }
    let all: Vec<&str> = words(&source.code).collect();
    for pair in all.windows(2) {
        let is_type = ["struct", "enum", "trait", "type"].contains(&pair[0]);
        if is_type && FORBIDDEN_ENDINGS.iter().any(|ending| pair[1].ends_with(ending)) {
            found.push(format!("{path}: {} says nothing about what it is", pair[1]));
        }
        if pair[0] == "mod" && FORBIDDEN_MODULES.contains(&pair[1]) {
            found.push(format!("{path}: mod {}: name it for what it holds", pair[1]));
        }
    }
    // Functions of other people's traits are not public by a word of their own.
    for line in source.code.lines().filter(|line| line.trim_start().starts_with("pub") && line.contains("fn get_")) {
        found.push(format!("{path}: leave out get_: {}", line.trim()));
    }
    if source.code.contains("use crate::*") {
        found.push(format!("{path}: use crate::*"));
    }
    found
}

/// A licence line, then what the module is; what a file of tests is, its name says.
fn has_header(path: &str, text: &str) -> bool {
    let mut lines = text.lines();
    let licence = lines.next() == Some("// SPDX-License-Identifier: Apache-2.0");
    licence && (path.ends_with("/tests.rs") || lines.next().is_some_and(|line| line.starts_with("//! ")))
}

#[test]
fn no_file_panics_or_hides_behind_an_empty_name() {
    let found: Vec<String> = product().iter().flat_map(complaints).collect();
    assert!(found.is_empty(), "{}:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_file_begins_with_its_licence_and_what_it_is() {
    let sources = everything();
    let found: Vec<&str> = sources
        .iter()
        .filter(|source| !has_header(&source.path, &source.text))
        .map(|source| source.path.as_str())
        .collect();
    assert!(found.is_empty(), "without header:\n{}", found.join("\n"));
}

#[test]
fn a_todo_names_its_issue() {
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat()];
    let mut found = Vec::new();
    for source in everything() {
        for line in source.text.lines() {
            let marked = marks.iter().any(|mark| words(line).any(|word| word == mark));
            if marked && !line.contains("(#") {
                found.push(format!("{}: {}", source.path, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_file_names_a_place_outside_the_checkout() {
    // Put together here, so that this file does not name them either.
    let mut places = vec![["..", "/shared"].concat(), ["/ro", "ot/"].concat()];
    let checkout = format!("{}/", root().display());
    // A checkout in `/src` says nothing; one in `/home/me/torana` does.
    if checkout.matches('/').count() > 2 {
        places.push(checkout);
    }
    let mut found = Vec::new();
    for path in files(root()) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for place in places.iter().filter(|place| text.contains(place.as_str())) {
            found.push(format!("{} names {place}", path.display()));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_merge_left_a_file_behind() {
    let is_left =
        |path: &std::path::Path| path.extension().is_some_and(|it| ["orig", "rej", "bak"].iter().any(|end| it == *end));
    let found: Vec<_> = files(root()).into_iter().filter(|path| is_left(path)).collect();
    assert!(found.is_empty(), "{found:?}");
}

/// A target folder that two checkouts share may hold a test that was built in the other one: ask when it runs.
#[test]
fn no_path_of_the_checkout_is_built_in() {
    // Put together here, so that this file does not name it either.
    let built_in = ["env!(\"CARGO", "_MANIFEST_DIR\")"].concat();
    let found: Vec<String> =
        everything().into_iter().filter(|source| source.text.contains(&built_in)).map(|source| source.path).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn forbidden_words_are_found_and_tests_may_use_them() {
    let bad = "mod utils;\nstruct RouteManager;\npub(crate) fn get_route() { x.unwrap(); }\nuse crate::*;\n";
    assert_eq!(complaints(&Source::new("x.rs", bad)).len(), 5);
    let fine = "#[cfg(test)]\nmod tests {\n fn a() { x.unwrap(); }\n}\nfn b() { x.unwrap_or(\"panic!()\") }\n";
    assert_eq!(complaints(&Source::new("x.rs", fine)), Vec::<String>::new());
    assert!(!has_header("x.rs", "//! What.\n"));
    assert!(!has_header("x.rs", "// SPDX-License-Identifier: Apache-2.0\nfn f() {}\n"));
    assert!(has_header("x.rs", "// SPDX-License-Identifier: Apache-2.0\n//! What.\n"));
}
