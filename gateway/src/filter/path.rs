// SPDX-License-Identifier: Apache-2.0
//! `HTTPPathModifier`, shared by redirect and rewrite.

use torana_ir::PathRewrite;

/// The new path. `prefix_len` bytes of `path` were matched by path element.
///
/// `ReplacePrefixMatch`: what follows the prefix stays; an empty or slash-ended replacement makes no double slash.
pub(crate) fn replaced(rewrite: &PathRewrite, path: &str, prefix_len: usize) -> String {
    match rewrite {
        PathRewrite::Full(full) => rooted(full.clone()),
        PathRewrite::Prefix(prefix) => {
            let rest = path.get(prefix_len..).unwrap_or_default();
            let prefix = if rest.is_empty() { prefix } else { prefix.trim_end_matches('/') };
            rooted(format!("{prefix}{rest}"))
        }
    }
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
            assert_eq!(got, expected, "{path} {prefix} → {with}");
        }
    }

    #[test]
    fn an_empty_full_path_is_the_root() {
        assert_eq!(replaced(&PathRewrite::Full(String::new()), "/a", 2), "/");
        assert_eq!(replaced(&PathRewrite::Full("/x".to_owned()), "/a", 2), "/x");
    }

    #[test]
    fn a_prefix_beyond_the_path_replaces_all_of_it() {
        assert_eq!(replaced(&PathRewrite::Prefix("/x".to_owned()), "/a", 9), "/x");
    }
}
