// SPDX-License-Identifier: Apache-2.0
//! `lib.rs` is the layer diagram: modules are declared lowest first, a blank line between them, and a module imports
//! only what is declared above it. Limit: it reads text, so a re-export by a lower module of a higher one would pass.

use super::source::{PACKAGES, Source, package_sources};

/// The modules that `lib.rs` declares, lowest first.
fn modules(lib: &str) -> Vec<String> {
    lib.lines().filter_map(|line| declared(line).map(str::to_owned)).collect()
}

fn declared(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub ")).unwrap_or(line);
    line.strip_prefix("mod ")?.strip_suffix(';')
}

/// Everything wrong with the layers of one crate.
fn violations(lib: &Source, others: &[Source]) -> Vec<String> {
    let order = modules(&lib.code);
    let mut found = Vec::new();
    if order.is_empty() {
        found.push(format!("{} declares no modules", lib.path));
    }
    let lines: Vec<&str> = lib.text.lines().collect();
    for pair in lines.windows(2).filter(|pair| declared(pair[0]).is_some() && declared(pair[1]).is_some()) {
        found.push(format!("{}: a blank line belongs between {:?} and {:?}", lib.path, pair[0], pair[1]));
    }
    for source in others {
        let Some(place) = place(&lib.path, &source.path) else { continue };
        let Some(rank) = order.iter().position(|module| *module == place[0]) else {
            found.push(format!("{} belongs to no module of {}", source.path, lib.path));
            continue;
        };
        for name in imports(&source.code, place.len()) {
            match order.iter().position(|module| *module == name) {
                Some(other) if other > rank => found.push(format!("{} imports upwards: {name}", source.path)),
                Some(_) => {}
                None => found.push(format!("{} names {name} through the crate's root: name its module", source.path)),
            }
        }
    }
    found
}

/// `src/a/b.rs` and `src/a/b/mod.rs` are the module `a`, `b`; `lib.rs` and `main.rs` are none.
fn place<'a>(lib: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let inside = path.strip_prefix(lib.strip_suffix("lib.rs")?)?.strip_suffix(".rs")?;
    let inside = inside.strip_suffix("/mod").unwrap_or(inside);
    (inside != "lib" && inside != "main" && !inside.starts_with("bin/")).then(|| inside.split('/').collect())
}

/// The names below the crate's root that `code`, `depth` modules deep, uses.
fn imports(code: &str, depth: usize) -> Vec<String> {
    let climb = "super::".repeat(depth);
    let mut names = Vec::new();
    for prefix in ["crate::", climb.as_str()] {
        for (at, _) in code.match_indices(prefix) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            // `super::super::` is found once, at its beginning.
            if before.is_alphanumeric() || before == '_' || before == ':' || before == '$' {
                continue;
            }
            names.extend(heads(&code[at + prefix.len()..]));
        }
    }
    names
}

/// The first names of the paths that `rest` begins with: one, or the items of a group.
fn heads(rest: &str) -> Vec<String> {
    let word =
        |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let mut names = vec![word(group)];
    let mut depth = 0;
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => break,
            b'}' => depth -= 1,
            b',' if depth == 0 => names.push(word(&group[at + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn no_module_imports_upwards() {
    let mut found = Vec::new();
    for package in PACKAGES {
        let sources = package_sources(package);
        let lib_path = format!("{package}/src/lib.rs");
        let lib = sources.iter().find(|source| source.path == lib_path).expect("every package is a library");
        found.extend(violations(lib, &sources));
    }
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = "//! mod no;\npub mod low;\n\npub(crate) mod middle;\n\nmod high;\n";

    fn check(path: &str, text: &str) -> Vec<String> {
        violations(&Source::new("x/src/lib.rs", LIB), &[Source::new(path, text)])
    }

    #[test]
    fn modules_are_read_in_order() {
        assert_eq!(modules(LIB.replace("//! mod no;", "").as_str()), ["low", "middle", "high"]);
    }

    #[test]
    fn downward_imports_are_fine() {
        let text = "use crate::{low::{A, B}, middle::C};\nuse super::low;\nuse crate::low;\n";
        assert_eq!(check("x/src/high.rs", text), Vec::<String>::new());
        assert_eq!(check("x/src/high/part.rs", "use super::super::low; use super::other;"), Vec::<String>::new());
    }

    #[test]
    fn upward_imports_fail_in_every_form() {
        for text in [
            "use crate::high::A;",
            "use crate::{low::A, high::{B, C}};",
            "use crate::{low::{A, B},\n high};",
            "fn f() { crate::high::g(); }",
            "use super::high::A;",
        ] {
            assert_eq!(check("x/src/middle.rs", text), ["x/src/middle.rs imports upwards: high"], "{text}");
        }
        assert_eq!(check("x/src/low/part.rs", "use super::super::high;").len(), 1);
    }

    #[test]
    fn tests_and_comments_may_name_anything() {
        let text = "// crate::high\n#[cfg(test)]\nmod tests {\n use crate::high::A;\n}\n";
        assert_eq!(check("x/src/low.rs", text), Vec::<String>::new());
    }

    #[test]
    fn shortcuts_through_the_root_fail() {
        assert_eq!(check("x/src/high.rs", "use crate::A;").len(), 1);
        assert_eq!(check("x/src/stray.rs", "").len(), 1);
    }

    #[test]
    fn modules_stand_apart() {
        let lib = Source::new("x/src/lib.rs", "mod low;\nmod high;\n");
        assert_eq!(violations(&lib, &[]).len(), 1);
        assert_eq!(violations(&Source::new("x/src/lib.rs", "fn f() {}"), &[]).len(), 1);
    }
}
