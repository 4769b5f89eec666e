// SPDX-License-Identifier: Apache-2.0
//! `HTTPPathModifier`, shared by redirect and rewrite.

use torana_ir::PathRewrite;

/// The new path. `prefix_len` bytes of `path` were matched by path element.
///
/// `ReplacePrefixMatch`: what follows the prefix stays; an empty or slash-ended replacement makes no double slash.
///
/// A text replaces the matched bytes as they are (Istio), an expression what it finds: `None` if that grows beyond bounds.
pub(crate) fn replaced(rewrite: &PathRewrite, path: &str, prefix_len: usize) -> Option<String> {
    Some(match rewrite {
        PathRewrite::Text(text) => rooted(format!("{text}{}", path.get(prefix_len..).unwrap_or_default())),
        PathRewrite::Regex(regex) => rooted(plain(&regex.apply(path)?)),
        PathRewrite::Full(full) => rooted(full.clone()),
        PathRewrite::Prefix(prefix) => {
            let rest = path.get(prefix_len..).unwrap_or_default();
            let prefix = if rest.is_empty() { prefix } else { prefix.trim_end_matches('/') };
            rooted(format!("{prefix}{rest}"))
        }
    })
}

/// What an expression makes of a path may hold anything; what may not stand in one is escaped.
fn plain(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#') {
            text.push(char::from(byte));
        } else {
            text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    text
}

/// Of a nibble.
pub(super) fn digit(nibble: u8) -> char {
    char::from(b"0123456789ABCDEF"[usize::from(nibble & 15)])
}

/// A path starts with a slash, whatever was configured.
fn rooted(path: String) -> String {
    if path.starts_with('/') { path } else { format!("/{path}") }
}

#[cfg(test)]
mod tests {
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
            let got = replaced(&PathRewrite::Prefix(with.to_owned()), path, prefix.len());
            assert_eq!(got.as_deref(), Some(expected), "{path} {prefix} → {with}");
        }
    }

    #[test]
    fn a_text_replaces_the_matched_bytes_as_they_are() {
        // path, matched bytes, replacement, result (Istio, HTTPRewrite.uri)
        let rows = [
            ("/foo/bar", 4, "/", "//bar"),
            ("/foo/bar", 5, "/", "/bar"),
            ("/abc", 1, "/v1", "/v1abc"),
            ("/foobar", 4, "/x", "/xbar"),
            ("/foo", 4, "/x", "/x"),
            ("/foo", 4, "", "/"),
            ("/foo", 4, "x", "/x"),
        ];
        for (path, matched, with, expected) in rows {
            let got = replaced(&PathRewrite::Text(with.to_owned()), path, matched);
            assert_eq!(got.as_deref(), Some(expected), "{path} {matched} → {with}");
        }
    }

    #[test]
    fn an_expression_makes_a_path_and_nothing_else() {
        let regex = |pattern, with| PathRewrite::Regex(torana_ir::RegexRewrite::new(pattern, with).unwrap());
        for (rewrite, expected) in [
            (regex("/v[0-9]+", ""), "/items"),
            (regex("^/", ""), "/v1/items"),
            (regex("items", "a?b#c d"), "/v1/a%3Fb%23c%20d"),
        ] {
            assert_eq!(replaced(&rewrite, "/v1/items", 0).as_deref(), Some(expected));
        }
        assert_eq!(replaced(&regex(".", &"x".repeat(1024)), &"/a".repeat(64), 0), None);
    }

    #[test]
    fn an_empty_full_path_is_the_root() {
        assert_eq!(replaced(&PathRewrite::Full(String::new()), "/a", 2).as_deref(), Some("/"));
        assert_eq!(replaced(&PathRewrite::Full("/x".to_owned()), "/a", 2).as_deref(), Some("/x"));
    }

    #[test]
    fn a_prefix_beyond_the_path_replaces_all_of_it() {
        assert_eq!(replaced(&PathRewrite::Prefix("/x".to_owned()), "/a", 9).as_deref(), Some("/x"));
    }
}
