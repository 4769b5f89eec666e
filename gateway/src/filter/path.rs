// SPDX-License-Identifier: Apache-2.0
//! `HTTPPathModifier`, `HTTPRewrite`: the path of a redirect or a rewrite.

use std::borrow::Cow;

use torana_ir::{PathMode, PathRewrite};

use crate::fault::Reject;
use crate::gate;

/// What comes of an expression is longer than a target may be.
const TOO_LONG: Reject = Reject::with(414, "target_too_long");

/// The new path. `prefix_len` bytes of `path` were matched.
///
/// `ReplacePrefixMatch`: what follows the prefix stays; an empty or slash-ended replacement makes no double slash. As text
/// (Istio) it makes whatever the two make together: slashes in a row stay even where those of clients are merged, for
/// their author wrote them. Where nothing of a client's path is normalised (`mode`), nothing of this is.
pub(crate) fn replaced(rewrite: &PathRewrite, path: &str, prefix_len: usize, mode: PathMode) -> Result<String, Reject> {
    let rest = path.get(prefix_len..).unwrap_or_default();
    match rewrite {
        PathRewrite::Full(full) => Ok(rooted(full.clone())),
        PathRewrite::Prefix(prefix) => {
            let prefix = if rest.is_empty() { prefix } else { prefix.trim_end_matches('/') };
            Ok(rooted(format!("{prefix}{rest}")))
        }
        PathRewrite::Text(text) => made([text, rest].concat(), mode),
        PathRewrite::Regex(rewrite) => made(rewrite.apply(path).ok_or(TOO_LONG)?, mode),
    }
}

/// A path starts with a slash, whatever was configured.
fn rooted(path: String) -> String {
    if path.starts_with('/') { path } else { format!("/{path}") }
}

/// What was put together from texts, made a canonical path: `/foo..` without `/foo` must not climb, whoever wrote it.
fn made(text: String, mode: PathMode) -> Result<String, Reject> {
    let path = rooted(escaped(text, mode));
    let canonical = match gate::canonical(path.as_bytes())? {
        Cow::Owned(canonical) if mode != PathMode::None => Some(canonical),
        _ => None,
    };
    Ok(canonical.unwrap_or(path))
}

/// What may not stand in a path is escaped; a `%` that begins no escape is one.
fn escaped(text: String, mode: PathMode) -> String {
    let as_it_came = |byte: u8| byte == b'\\' && mode == PathMode::None;
    let stands = |byte: u8| byte.is_ascii_graphic() && (!br#"?#"<>\`%"#.contains(&byte) || as_it_came(byte));
    if text.bytes().all(stands) {
        return text;
    }
    let bytes = text.as_bytes();
    let mut path = String::with_capacity(text.len() + 16);
    for (at, byte) in bytes.iter().enumerate() {
        let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
        if stands(*byte) || (*byte == b'%' && hex(at + 1) && hex(at + 2)) {
            path.push(char::from(*byte));
        } else {
            path.extend(escape(*byte));
        }
    }
    path
}

/// `%XX`.
pub(super) fn escape(byte: u8) -> [char; 3] {
    let digit = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble & 15)]);
    ['%', digit(byte >> 4), digit(byte)]
}

#[cfg(test)]
mod tests {
    use torana_ir::RegexRewrite;

    use super::*;

    #[test]
    fn the_table_of_the_spec_holds() {
        // path, matched prefix, replacement, result (HTTPPathModifier.replacePrefixMatch)
        let rows = [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/bar", "", "/xyz", "/xyz/bar"),
            ("/", "", "/xyz", "/xyz/"),
        ];
        for (path, prefix, with, expected) in rows {
            let got = replaced(&PathRewrite::Prefix(with.to_owned()), path, prefix.len(), PathMode::Base);
            assert_eq!(got.as_deref(), Ok(expected), "{path} {prefix} → {with}");
        }
    }

    #[test]
    fn an_empty_full_path_is_the_root() {
        assert_eq!(replaced(&PathRewrite::Full(String::new()), "/a", 2, PathMode::Base).as_deref(), Ok("/"));
        assert_eq!(replaced(&PathRewrite::Full("/x".to_owned()), "/a", 2, PathMode::Base).as_deref(), Ok("/x"));
    }

    #[test]
    fn a_prefix_beyond_the_path_replaces_all_of_it() {
        assert_eq!(replaced(&PathRewrite::Prefix("/x".to_owned()), "/a", 9, PathMode::Base).as_deref(), Ok("/x"));
    }

    #[test]
    fn a_matched_prefix_is_replaced_as_raw_text() {
        let rows = [
            ("/foo/bar", "/foo", "/", "//bar"),
            ("/foo/bar", "/foo/", "/", "/bar"),
            ("/foobar", "/foo", "/x", "/xbar"),
            ("/foo", "/foo", "/x", "/x"),
            ("/abc", "/", "/v1", "/v1abc"),
            ("/foo/bar", "/foo", "x", "/x/bar"),
            ("/foo", "/foo", "", "/"),
            ("/foo", "/foo", "x", "/x"),
            ("/foo../secret", "/foo", "/public/", "/secret"),
            ("/foo.", "/foo", "/a/", "/a/"),
            ("/foo%2e", "/foo", "/a", "/a."),
        ];
        for (path, prefix, with, expected) in rows {
            let got = replaced(&PathRewrite::Text(with.to_owned()), path, prefix.len(), PathMode::Base);
            assert_eq!(got.as_deref(), Ok(expected), "{path} {prefix} → {with}");
        }
    }

    #[test]
    fn a_path_that_is_not_normalised_is_not_after_a_rewrite_either() {
        let rows = [
            (PathMode::None, "/a/../%61\\b", "/x/../%61\\b"),
            (PathMode::Base, "/a/../%61", "/a"),
            (PathMode::MergeSlashes, "/a//b", "/x//b"),
            (PathMode::DecodeAndMergeSlashes, "/a/b%2Fc", "/x/b%2Fc"),
        ];
        for (mode, path, expected) in rows {
            let got = replaced(&PathRewrite::Text("/x".to_owned()), path, "/a".len(), mode);
            assert_eq!(got.as_deref(), Ok(expected), "{mode:?} {path}");
        }
        let nul = replaced(&PathRewrite::Text("/x".to_owned()), "/a%00", "/a".len(), PathMode::None);
        assert_eq!(nul.map_err(|reject| reject.reason), Err("nul_in_target"));
    }

    fn by_regex(pattern: &str, substitution: &str, path: &str) -> Result<String, Reject> {
        replaced(
            &PathRewrite::Regex(RegexRewrite::new(pattern, substitution).unwrap()),
            path,
            path.len(),
            PathMode::Base,
        )
    }

    #[test]
    fn all_occurrences_of_an_expression_are_replaced_and_a_canonical_path_comes_of_it() {
        let rows = [
            ("/service/([^/]+)(/.*)?", r"\2/instance/\1", "/service/foo/v1/api", "/v1/api/instance/foo"),
            ("one", "two", "/one/one", "/two/two"),
            ("^/a", "b", "/a/c", "/b/c"),
            (".*", "", "/a", "/"),
            ("a", "ä ?#", "/a", "/%C3%A4%20%3F%23"),
            ("a", "%", "/a2f", "/%2f"),
            ("a", "%", "/ax", "/%25x"),
            ("x", "", "/a/.x./b", "/b"),
            ("/v[0-9]+", "", "/v1/items", "/items"),
            ("^/", "", "/v1/items", "/v1/items"),
            ("a", r"\\", "/a", "/%5C"),
        ];
        for (pattern, substitution, path, expected) in rows {
            assert_eq!(by_regex(pattern, substitution, path).as_deref(), Ok(expected), "{pattern} → {substitution}");
        }
    }

    #[test]
    fn what_an_expression_makes_is_refused_beyond_its_bound_and_with_a_nul() {
        let long = format!("/{}", "a".repeat(1000));
        assert_eq!(by_regex("a", &"b".repeat(1000), &long), Err(TOO_LONG));
        assert_eq!(by_regex("a", "%00", "/a").map_err(|reject| reject.status), Err(400));
    }
}
