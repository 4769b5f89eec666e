// SPDX-License-Identifier: Apache-2.0
//! No package of `Cargo.lock` is older than its floor in `deny.toml`. For machines without cargo-deny, which also knows
//! the advisories of today.

use std::fs;

use super::source::root;

type Version = [u32; 3];

/// `[from, below)` of a package is refused.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    name: String,
    from: Version,
    below: Version,
}

fn version(text: &str) -> Version {
    let plain = text.split(['-', '+']).next().unwrap_or_default();
    let mut parts = plain.split('.').map(|part| part.parse().expect("a number"));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}

/// Entries such as `{ crate = "rand@>=0.9.0, <0.9.3", … }`.
fn refused(deny: &str) -> Vec<Refused> {
    let entries = deny.lines().filter_map(|line| line.split("crate = \"").nth(1)?.split('"').next());
    let ranges = entries.filter_map(|entry| {
        let (name, range) = entry.split_once([':', '@'])?;
        let (from, below) = range.split_once(", ").unwrap_or((">=0.0.0", range));
        let (from, below) = (from.strip_prefix(">=")?, below.strip_prefix('<')?);
        Some(Refused { name: name.to_owned(), from: version(from), below: version(below) })
    });
    ranges.collect()
}

/// Names and versions of a lock file.
fn locked(lock: &str) -> Vec<(String, Version)> {
    let field = |line: Option<&str>, name: &str| {
        let value = line?.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"')?;
        Some(value.to_owned())
    };
    let packages = lock.split("[[package]]\n").skip(1).filter_map(|package| {
        let mut lines = package.lines();
        Some((field(lines.next(), "name")?, version(&field(lines.next(), "version")?)))
    });
    packages.collect()
}

fn too_old(deny: &str, lock: &str) -> Vec<String> {
    let refused = refused(deny);
    let mut found = Vec::new();
    for (name, version) in locked(lock) {
        for range in refused.iter().filter(|range| range.name == name) {
            if range.from <= version && version < range.below {
                found.push(format!("{name} {version:?} is below {:?}: cargo update -p {name}", range.below));
            }
        }
    }
    found
}

#[test]
fn no_package_is_below_its_floor() {
    let read = |name| fs::read_to_string(root().join(name)).unwrap();
    let (deny, lock) = (read("deny.toml"), read("Cargo.lock"));
    assert!(refused(&deny).len() >= 15 && locked(&lock).len() > 100, "both files are understood");
    assert_eq!(too_old(&deny, &lock), Vec::<String>::new());
}

#[test]
fn an_old_package_is_seen() {
    let deny =
        "{ crate = \"rand@>=0.9.0, <0.9.3\", reason = \"\" },\n{ crate = \"h2@<0.4.16\" },\n{ crate = \"syn@1\" },";
    let lock = |name: &str, version: &str| format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n");
    assert_eq!(refused(deny).len(), 2);
    assert_eq!(too_old(deny, &lock("h2", "0.4.15")).len(), 1);
    assert_eq!(too_old(deny, &lock("rand", "0.9.2")).len(), 1);
    for (name, version) in [("h2", "0.4.16"), ("rand", "0.8.8"), ("rand", "0.9.3"), ("syn", "1.0.0")] {
        assert_eq!(too_old(deny, &lock(name, version)), Vec::<String>::new());
    }
}
