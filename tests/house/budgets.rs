// SPDX-License-Identifier: Apache-2.0
//! Sizes: a file is read in one sitting, a function on one screen. Tests and comments are not counted.

use super::source::{Source, block_end, code_lines, product};

/// Nine files of ten.
const FILE_AIM: usize = 250;
/// Every file.
const FILE_LIMIT: usize = 500;
/// Every function.
const FUNCTION_LIMIT: usize = 80;
/// A file of `filter/`: one filter with all there is to it.
const FILTER_LIMIT: usize = 200;
/// `main.rs`.
const MAIN_LIMIT: usize = 40;

fn file_limit(path: &str) -> usize {
    match path {
        _ if path.ends_with("/main.rs") => MAIN_LIMIT,
        _ if path.starts_with("gateway/src/filter/") => FILTER_LIMIT,
        _ => FILE_LIMIT,
    }
}

/// Name and lines of code of every function's body.
fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let signature = &code[at + 3..];
        let name: String = signature.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if let Some(open) = body(signature).filter(|_| !name.is_empty()) {
            let end = block_end(signature, open);
            found.push((name, code_lines(&signature[open..end]).saturating_sub(2)));
        }
    }
    found
}

/// Where the body of a function opens, unless it has none; `[u8; 4]` among its arguments is not its end.
fn body(signature: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in signature.bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(at),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn too_large(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let (lines, limit) = (source.lines(), file_limit(&source.path));
    if lines > limit {
        found.push(format!("{}: {lines} lines of code, {limit} are the limit", source.path));
    }
    for (name, lines) in functions(&source.code) {
        if lines > FUNCTION_LIMIT {
            found.push(format!("{}: fn {name} has {lines} lines, {FUNCTION_LIMIT} are the limit", source.path));
        }
    }
    found
}

#[test]
fn files_and_functions_keep_their_budgets() {
    let found: Vec<String> = product().iter().flat_map(too_large).collect();
    assert!(found.is_empty(), "{} too large:\n{}", found.len(), found.join("\n"));
}

#[test]
fn nine_files_of_ten_are_short() {
    let sources = product();
    let long: Vec<String> = sources
        .iter()
        .filter(|source| source.lines() > FILE_AIM)
        .map(|source| format!("{}: {}", source.path, source.lines()))
        .collect();
    let (long_count, all) = (long.len(), sources.len());
    assert!(long_count * 10 <= all, "{long_count} of {all} files exceed {FILE_AIM} lines:\n{}", long.join("\n"));
}

#[test]
fn a_budget_that_is_exceeded_is_noticed() {
    let body = "    step();\n".repeat(81);
    let source = Source::new("gateway/src/filter/x.rs", &format!("fn long(a: [u8; 2]) {{\n{body}}}\nfn no();\n"));
    assert_eq!(functions(&source.code).len(), 1);
    assert_eq!(too_large(&source), ["gateway/src/filter/x.rs: fn long has 81 lines, 80 are the limit"]);
    let many = Source::new("gateway/src/filter/x.rs", &"fn f() {}\n// not code\n".repeat(201));
    assert_eq!(too_large(&many).len(), 1);
}
