// SPDX-License-Identifier: Apache-2.0
//! Rust sources as the house rules see them: code without comments, strings and tests, line for line.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{env, fs};

/// The packages whose code is the product, each with its `src` folder.
pub(super) const PACKAGES: [&str; 5] = ["crds", "gateway/ir", "gateway", "controller", "controller/cli"];

/// A Rust file.
pub(super) struct Source {
    /// Relative to the root of the checkout.
    pub(super) path: String,
    /// As it is on disk.
    pub(super) text: String,
    /// The same lines; comments, contents of literals and `#[cfg(test)]` items are blank.
    pub(super) code: String,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: without_tests(&blank(text)) }
    }

    /// Lines that hold code.
    pub(super) fn lines(&self) -> usize {
        code_lines(&self.code)
    }
}

/// Lines that are not blank.
pub(super) fn code_lines(code: &str) -> usize {
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

/// Asked of cargo when the tests run: two checkouts that share a target folder may share this very binary.
static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    let package = env::var_os("CARGO_MANIFEST_DIR").expect("CARGO_MANIFEST_DIR is not set: run this with cargo test");
    Path::new(&package).parent().expect("the package tests lies in the checkout").to_owned()
});

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    &ROOT
}

/// The product's sources; files of tests (`tests.rs`, `tests/`) are left out.
pub(super) fn product() -> Vec<Source> {
    PACKAGES.iter().flat_map(|package| package_sources(package)).collect()
}

/// The sources of one package, without its files of tests.
pub(super) fn package_sources(package: &str) -> Vec<Source> {
    let folder = root().join(package).join("src");
    let sources: Vec<Source> = files(&folder).iter().filter(|path| is_product(path)).map(|path| read(path)).collect();
    assert!(!sources.is_empty(), "{package} has no sources");
    let tests: Vec<String> = sources.iter().flat_map(|source| test_modules(&source.path, &source.text)).collect();
    let is_test = |path: &str| {
        let module = path.trim_end_matches("/mod.rs").trim_end_matches(".rs");
        tests.iter().any(|test| {
            module.strip_prefix(test.as_str()).is_some_and(|rest| matches!(rest.get(..1), None | Some("/")))
        })
    };
    sources.into_iter().filter(|source| !is_test(&source.path)).collect()
}

/// Modules that a file declares as `#[cfg(test)] mod x;`, as paths without their ending.
fn test_modules(path: &str, text: &str) -> Vec<String> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let inside = match file.trim_end_matches(".rs") {
        "mod" | "lib" | "main" => folder.to_owned(),
        name => format!("{folder}/{name}"),
    };
    let code = blank(text);
    let declared = code.split("#[cfg(test)]").skip(1).filter_map(|rest| {
        let rest = rest.trim_start();
        let rest = rest.strip_prefix("pub(super) ").or_else(|| rest.strip_prefix("pub(crate) ")).unwrap_or(rest);
        rest.strip_prefix("mod ")?.split_once(';').map(|(name, _)| name.to_owned())
    });
    declared.filter(|name| !name.contains('{')).map(|name| format!("{inside}/{name}")).collect()
}

/// Every Rust file of the checkout.
pub(super) fn everything() -> Vec<Source> {
    files(root()).iter().filter(|path| is_rust(path)).map(|path| read(path)).collect()
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

fn is_product(path: &Path) -> bool {
    let inside = path.strip_prefix(root()).unwrap_or(path);
    is_rust(path) && !inside.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

fn read(path: &Path) -> Source {
    let text = fs::read_to_string(path).unwrap();
    Source::new(&path.strip_prefix(root()).unwrap().to_string_lossy(), &text)
}

/// Every file below `folder` that could be committed, sorted.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let (path, kind, name) = (entry.path(), entry.file_type().unwrap(), entry.file_name());
            if kind.is_file() {
                found.push(path);
            } else if kind.is_dir() && ![".git", "target", "__pycache__"].contains(&&*name.to_string_lossy()) {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Blanks comments and the contents of string and character literals; lines stay where they are.
pub(super) fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = at + token(&bytes[at..], at.checked_sub(1).map(|before| bytes[before]));
        if end - at > 1 {
            out[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        }
        at = end;
    }
    String::from_utf8(out).unwrap()
}

/// Length of the comment or literal that `rest` begins with, else 1.
fn token(rest: &[u8], before: Option<u8>) -> usize {
    let in_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => nested_comment(rest),
        [b'"', ..] => quoted(rest),
        [b'r', b'"' | b'#', ..] if !in_word || before == Some(b'b') => raw_string(rest),
        [b'\'', b'\\', _, tail @ ..] => 4 + tail.iter().position(|byte| *byte == b'\'').unwrap_or(0),
        [b'\'', tail @ ..] => {
            // A character of up to four bytes, or else a lifetime.
            let close = tail.iter().take(5).position(|byte| *byte == b'\'');
            let one = close.filter(|close| std::str::from_utf8(&tail[..*close]).is_ok_and(|t| t.chars().count() == 1));
            one.map_or(1, |close| close + 2)
        }
        _ => 1,
    }
}

fn nested_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 1;
    }
    let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let body = &rest[2 + hashes..];
    let end = body.windows(close.len()).position(|window| window == close);
    end.map_or(rest.len(), |end| 2 + hashes + end + close.len())
}

/// Blanks every item under `#[cfg(test)]`; `code` is free of comments and literals.
fn without_tests(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    let mut from = 0;
    while let Some(start) = code[from..].find("#[cfg(test)]").map(|at| from + at) {
        let end = item_end(code, start + "#[cfg(test)]".len());
        out[start..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        from = end;
    }
    String::from_utf8(out).unwrap()
}

/// Where the item that begins at `from` ends: its `;`, or the brace that closes its block.
fn item_end(code: &str, from: usize) -> usize {
    match code[from..].find([';', '{']) {
        Some(at) if code.as_bytes()[from + at] == b'{' => block_end(code, from + at),
        Some(at) => from + at + 1,
        None => code.len(),
    }
}

/// One past the brace that closes the block opened at `open`.
pub(super) fn block_end(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

#[test]
fn comments_literals_and_tests_are_blank_and_lines_stay() {
    let text = r##"
fn a<'x>(b: &'x str) -> char { // crate::no
    /* crate::no /* nested */ crate::no */
    let raw = r#"crate::no "quoted" "#; let text = "crate::no \" crate::no";
    let byte = b'\''; let quote = '"'; 'ä'
}
#[cfg(test)]
mod tests {
    fn b() { crate::no(); }
}
fn yes() {}
"##;
    let source = Source::new("x.rs", text);
    assert!(!source.code.contains("crate::no"), "{}", source.code);
    assert!(source.code.contains("fn a<'x>") && source.code.contains("fn yes()"));
    assert_eq!(source.code.lines().count(), text.lines().count());
    assert_eq!(source.lines(), 5);
}

#[test]
fn modules_of_tests_are_told_by_their_declaration() {
    let text = "mod a;\n#[cfg(test)]\nmod b;\n#[cfg(test)]\nmod c { fn d() {} }\n// #[cfg(test)] mod e;\n";
    assert_eq!(test_modules("x/src/y/mod.rs", text), ["x/src/y/b"]);
    assert_eq!(test_modules("x/src/y.rs", text), ["x/src/y/b"]);
    assert_eq!(test_modules("x/src/lib.rs", text), ["x/src/b"]);
}
