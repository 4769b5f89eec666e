// SPDX-License-Identifier: Apache-2.0
//! The request target's canonical form, Istio's `BASE`: dot segments are resolved, escaped unreserved characters are
//! decoded once, `\` becomes `/`. `%2F`, `%5C`, `//`, `;` and the query are left as they are. A listener may want more or
//! less of it ([`PathMode`]); what is refused is refused in every mode. Never looks at a query but for what is refused.

use std::borrow::Cow;

use torana_ir::PathMode;

use crate::fault::Reject;
use crate::head::Head;

/// Never part of a target: controls, space, `"`, `<`, `>`, DEL, what is not ASCII.
const BAD: u8 = 1;
/// `#`: a fragment is never sent (RFC 9112 §3.2).
const FRAGMENT: u8 = 2;
/// Asks for a closer look in a path.
const CLOSER: u8 = 4;
/// A backtick: allowed in a query only (browsers send it there).
const TICK: u8 = 8;

const TARGET: [u8; 256] = {
    let mut table = [BAD; 256];
    let mut at = 0x21;
    while at < 0x7f {
        table[at] = 0;
        at += 1;
    }
    table[b'"' as usize] = BAD;
    table[b'<' as usize] = BAD;
    table[b'>' as usize] = BAD;
    table[b'#' as usize] = FRAGMENT;
    table[b'`' as usize] = TICK;
    table[b'%' as usize] = CLOSER;
    table[b'\\' as usize] = CLOSER;
    table[b'.' as usize] = CLOSER;
    table
};

/// The canonical form of `path[?query]`; borrowed if it is canonical already.
pub(crate) fn canonical(target: &[u8]) -> Result<Cow<'_, str>, Reject> {
    const BAD_TARGET: Reject = Reject::bad("bad_target");
    let path_len = memchr::memchr(b'?', target).unwrap_or(target.len());
    let (path, query) = target.split_at(path_len);
    let (in_path, in_query) = (kinds(path), kinds(query));
    if (in_path | in_query) & FRAGMENT != 0 {
        return Err(Reject::bad("fragment_in_target"));
    }
    if (in_path | in_query) & BAD != 0 || in_path & TICK != 0 {
        return Err(BAD_TARGET);
    }
    // All of it is ASCII from here on.
    let text = std::str::from_utf8(target).map_err(|_| BAD_TARGET)?;
    if in_path & CLOSER == 0 || !changes(path)? {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(target.len());
    decode(path, is_unreserved, &mut bytes);
    resolve(&mut bytes);
    bytes.extend_from_slice(query);
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| BAD_TARGET)
}

/// Gives a head that passed the gate the target that a listener of this mode wants: made of the target as it came, so
/// that no step is taken twice.
///
/// # Errors
/// What came is no path in that mode: `\a`, which only `BASE` makes one of.
pub(crate) fn normalise(head: &mut Head, mode: PathMode) -> Result<(), Reject> {
    let written = head.take_written();
    match mode {
        PathMode::Base => {}
        PathMode::None => match written {
            Some(written) if written.starts_with('/') => head.set_target(&written),
            Some(_) => return Err(Reject::bad("bad_target")),
            None => {}
        },
        PathMode::MergeSlashes => {
            if let Some(path) = merged(head.path().as_bytes()) {
                head.set_path(&text(path)?);
            }
        }
        PathMode::DecodeAndMergeSlashes => {
            let target = written.as_deref().unwrap_or_else(|| head.target());
            let path = target.split('?').next().unwrap_or_default().as_bytes();
            let hidden = memchr::memchr_iter(b'%', path).any(|at| escaped(&path[at..]).is_some_and(is_slash));
            if hidden {
                let mut bytes = Vec::with_capacity(path.len());
                decode(path, |byte| is_unreserved(byte) || is_slash(byte), &mut bytes);
                resolve(&mut bytes);
                head.set_path(&text(merged(&bytes).unwrap_or(bytes))?);
            } else if let Some(path) = merged(head.path().as_bytes()) {
                head.set_path(&text(path)?);
            }
        }
    }
    Ok(())
}

/// One slash where there are several in a row; `None` if there is nothing to do.
fn merged(path: &[u8]) -> Option<Vec<u8>> {
    memchr::memmem::find(path, b"//")?;
    let mut path = path.to_vec();
    path.dedup_by(|one, before| (*one, *before) == (b'/', b'/'));
    Some(path)
}

fn text(path: Vec<u8>) -> Result<String, Reject> {
    String::from_utf8(path).map_err(|_| Reject::bad("bad_target"))
}

fn kinds(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |seen, byte| seen | TARGET[usize::from(*byte)])
}

/// Whether anything in the path has to be rewritten; refuses bad escapes.
fn changes(path: &[u8]) -> Result<bool, Reject> {
    let mut changes = false;
    let mut lead = 0;
    for at in memchr::memchr_iter(b'%', path) {
        let byte = escaped(&path[at..]).ok_or(Reject::bad("bad_escape"))?;
        if byte == 0 {
            return Err(Reject::bad("nul_in_target"));
        }
        // The escape right before this one, if it begins an UTF-8 sequence.
        let before = if at >= 3 && path[at - 3] == b'%' { lead } else { 0 };
        if overlong(before, byte) {
            return Err(Reject::bad("overlong_utf8"));
        }
        lead = byte;
        changes |= is_unreserved(byte);
    }
    Ok(changes || memchr::memchr(b'\\', path).is_some() || path.windows(2).any(|pair| pair == b"/."))
}

/// The byte of `%XX` at the front of `text`.
fn escaped(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    u8::try_from(digit(1)? << 4 | digit(2)?).ok()
}

/// A lead byte that only an overlong form has, or a lead byte with a continuation that makes it one (RFC 3629 §3).
fn overlong(before: u8, byte: u8) -> bool {
    matches!((before, byte), (_, 0xc0 | 0xc1) | (0xe0, 0x80..=0x9f) | (0xf0, 0x80..=0x8f) | (0xf8 | 0xfc, 0x80..=0xbf))
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What other systems take for one.
fn is_slash(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

/// Decodes those escaped characters that are `meant`, once; turns `\` into `/`, also where it was escaped.
fn decode(path: &[u8], meant: impl Fn(u8) -> bool, into: &mut Vec<u8>) {
    let mut at = 0;
    while at < path.len() {
        let (byte, len) = match path[at] {
            b'%' => match escaped(&path[at..]) {
                Some(byte) if meant(byte) => (byte, 3),
                _ => (b'%', 1),
            },
            byte => (byte, 1),
        };
        into.push(if byte == b'\\' { b'/' } else { byte });
        at += len;
    }
}

/// Removes dot segments in place (RFC 3986 §5.2.4); what would go above the root stays at the root.
fn resolve(path: &mut Vec<u8>) {
    let mut written = 0;
    let mut at = 0;
    while at < path.len() {
        // `at` is at a `/`; the segment is what follows it.
        let end = memchr::memchr(b'/', &path[at + 1..]).map_or(path.len(), |len| at + 1 + len);
        let last = end == path.len();
        match &path[at + 1..end] {
            b"." => {}
            b".." => written = memchr::memrchr(b'/', &path[..written]).unwrap_or(0),
            segment => {
                let len = segment.len() + 1;
                path.copy_within(at..end, written);
                written += len;
                at = end;
                continue;
            }
        }
        if last {
            path[written] = b'/';
            written += 1;
        }
        at = end;
    }
    path.truncate(written);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::head::{Scheme, Version};

    const MODES: [PathMode; 4] =
        [PathMode::None, PathMode::Base, PathMode::MergeSlashes, PathMode::DecodeAndMergeSlashes];

    fn canonical_text(target: &str) -> Result<String, &'static str> {
        canonical(target.as_bytes()).map(Cow::into_owned).map_err(|reject| reject.reason)
    }

    #[test]
    fn paths_are_normalised_once_and_only_as_far_as_base_goes() {
        let rows = [
            ("/", "/"),
            ("/a/../admin", "/admin"),
            ("/./admin", "/admin"),
            ("//admin", "//admin"),
            ("/admin/", "/admin/"),
            ("/admin;x", "/admin;x"),
            ("/admin%2f", "/admin%2f"),
            ("/%61dmin", "/admin"),
            ("/adm%69n?", "/admin?"),
            ("\\admin", "/admin"),
            ("/%5cadmin", "/%5cadmin"),
            ("/%252e%252e/admin", "/%252e%252e/admin"),
            ("/a/%2e%2e/b", "/b"),
            ("/a/%2E", "/a/"),
            ("/..", "/"),
            ("/../../a", "/a"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a//../b", "/a/b"),
            ("/a/..\\..\\b", "/b"),
            ("/a/..;/b", "/a/..;/b"),
            ("/.hidden/..x", "/.hidden/..x"),
            ("/...", "/..."),
            ("/a?b=/../c&d=%zz\\", "/a?b=/../c&d=%zz\\"),
            ("/%c3%a9", "/%c3%a9"),
            ("/%e9", "/%e9"),
            ("/%7euser", "/~user"),
            ("/a%20b", "/a%20b"),
            ("/{id}|^", "/{id}|^"),
        ];
        for (given, expected) in rows {
            assert_eq!(canonical_text(given).as_deref(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn what_cannot_be_read_in_one_way_is_refused() {
        let rows = [
            ("/admin#x", "fragment_in_target"),
            ("/a?b#c", "fragment_in_target"),
            ("/admin%00", "nul_in_target"),
            ("/%zz", "bad_escape"),
            ("/%", "bad_escape"),
            ("/%2", "bad_escape"),
            ("/%u002f", "bad_escape"),
            ("/%+1", "bad_escape"),
            ("/%c0%af", "overlong_utf8"),
            ("/%C1%9c", "overlong_utf8"),
            ("/%e0%80%af", "overlong_utf8"),
            ("/%f0%80%80%af", "overlong_utf8"),
            ("/a b", "bad_target"),
            ("/a\tb", "bad_target"),
            ("/a\0", "bad_target"),
            ("/\u{e9}", "bad_target"),
            ("/a?\u{7f}", "bad_target"),
            ("/a\"", "bad_target"),
            ("/<x>", "bad_target"),
            ("/`", "bad_target"),
        ];
        for (given, expected) in rows {
            assert_eq!(canonical_text(given), Err(expected), "{given:?}");
        }
    }

    #[test]
    fn a_canonical_target_is_not_copied() {
        assert!(matches!(canonical(b"/index.html?x=../y"), Ok(Cow::Borrowed(_))));
        assert!(matches!(canonical(b"/a%2Fb/c.d"), Ok(Cow::Borrowed(_))));
    }

    /// What a listener of that mode makes of a target that passed the gate, which is written here as a client sends it.
    fn in_mode(mode: PathMode, target: &str) -> Result<String, &'static str> {
        let canonical = canonical(target.as_bytes()).map_err(|reject| reject.reason)?;
        let mut head = Head::new(Version::Http11, Scheme::Http, "GET", "a.com", &canonical);
        if let Cow::Owned(_) = canonical {
            head.keep_written(target);
        }
        normalise(&mut head, mode).map_err(|reject| reject.reason)?;
        assert_eq!(head.take_written(), None, "nobody takes what came for what is in force");
        Ok(head.target().to_owned())
    }

    #[test]
    fn every_mode_has_its_own_form_of_a_path() {
        // What came; NONE, BASE, MERGE_SLASHES, DECODE_AND_MERGE_SLASHES.
        let rows = [
            ("/", "/", "/", "/", "/"),
            ("/a?b=//%2f..\\", "/a?b=//%2f..\\", "/a?b=//%2f..\\", "/a?b=//%2f..\\", "/a?b=//%2f..\\"),
            ("/a/../b", "/a/../b", "/b", "/b", "/b"),
            ("/%61/./b?", "/%61/./b?", "/a/b?", "/a/b?", "/a/b?"),
            ("/a\\b", "/a\\b", "/a/b", "/a/b", "/a/b"),
            ("//a///b//", "//a///b//", "//a///b//", "/a/b/", "/a/b/"),
            ("/a//../b", "/a//../b", "/a/b", "/a/b", "/a/b"),
            ("/a\\\\b", "/a\\\\b", "/a//b", "/a/b", "/a/b"),
            ("/a/.//b", "/a/.//b", "/a//b", "/a/b", "/a/b"),
            ("/a%2Fb", "/a%2Fb", "/a%2Fb", "/a%2Fb", "/a/b"),
            ("/a%2fb%5Cc%5cd", "/a%2fb%5Cc%5cd", "/a%2fb%5Cc%5cd", "/a%2fb%5Cc%5cd", "/a/b/c/d"),
            ("/a/%2F/b?%2F", "/a/%2F/b?%2F", "/a/%2F/b?%2F", "/a/%2F/b?%2F", "/a/b?%2F"),
            ("/a%2fb/..", "/a%2fb/..", "/", "/", "/a/"),
            ("/a/%2e%2e%2f..%5cb", "/a/%2e%2e%2f..%5cb", "/a/..%2f..%5cb", "/a/..%2f..%5cb", "/b"),
            ("/a/b/..%2f..%2fadmin", "/a/b/..%2f..%2fadmin", "/a/b/..%2f..%2fadmin", "/a/b/..%2f..%2fadmin", "/admin"),
            ("/a/..%5c..%5c../b", "/a/..%5c..%5c../b", "/a/..%5c..%5c../b", "/a/..%5c..%5c../b", "/b"),
            ("/%2e%2e%2f%2e%2e%2fb", "/%2e%2e%2f%2e%2e%2fb", "/..%2f..%2fb", "/..%2f..%2fb", "/b"),
            ("/a%252Fb", "/a%252Fb", "/a%252Fb", "/a%252Fb", "/a%252Fb"),
            ("/a%25%32%46b", "/a%25%32%46b", "/a%252Fb", "/a%252Fb", "/a%252Fb"),
            ("/a/%252e%252e/b", "/a/%252e%252e/b", "/a/%252e%252e/b", "/a/%252e%252e/b", "/a/%252e%252e/b"),
            ("/a/..;/b", "/a/..;/b", "/a/..;/b", "/a/..;/b", "/a/..;/b"),
            ("/x2Fy", "/x2Fy", "/x2Fy", "/x2Fy", "/x2Fy"),
            ("/%c3%a9%2f", "/%c3%a9%2f", "/%c3%a9%2f", "/%c3%a9%2f", "/%c3%a9/"),
        ];
        for (came, none, base, merged, decoded) in rows {
            let expected = MODES.into_iter().zip([none, base, merged, decoded]);
            for (mode, expected) in expected {
                assert_eq!(in_mode(mode, came).as_deref(), Ok(expected), "{mode:?} {came}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_in_one_way_is_refused_in_every_mode() {
        for mode in MODES {
            for (target, reason) in [
                ("/a%00", "nul_in_target"),
                ("/a%2f%00b", "nul_in_target"),
                ("/%2", "bad_escape"),
                ("/%2g", "bad_escape"),
                ("/%%32F", "bad_escape"),
                ("/%c0%af", "overlong_utf8"),
                ("/a#b", "fragment_in_target"),
                ("/a b", "bad_target"),
            ] {
                assert_eq!(in_mode(mode, target), Err(reason), "{mode:?} {target}");
            }
        }
        // A path begins with a slash, and there a backslash is none.
        assert_eq!(in_mode(PathMode::None, "\\admin"), Err("bad_target"));
        assert_eq!(in_mode(PathMode::MergeSlashes, "\\\\admin").as_deref(), Ok("/admin"));
        assert_eq!(in_mode(PathMode::DecodeAndMergeSlashes, "\\%5cadmin").as_deref(), Ok("/admin"));
    }

    proptest! {
        #[test]
        fn a_path_in_the_form_of_a_mode_stays_as_it_is(
            mode in proptest::sample::select(&MODES[..]),
            target in "/([a./\\\\;]|%2e|%2f|%5C|%25|%41|%32|%46|%c3%a9){0,24}(\\?[a./%\\\\]{0,5})?",
        ) {
            let once = in_mode(mode, &target).unwrap();
            let path = once.split('?').next().unwrap();
            prop_assert_eq!(once.split_once('?').map(|it| it.1), target.split_once('?').map(|it| it.1));
            prop_assert!(path.starts_with('/'));
            prop_assert_eq!(in_mode(mode, &once), Ok(once.clone()));
            if mode == PathMode::None {
                prop_assert_eq!(&once, &target);
            } else {
                prop_assert!(!path.split('/').any(|segment| segment == "." || segment == ".."), "{}", once);
                prop_assert!(!path.contains('\\'));
            }
            if matches!(mode, PathMode::MergeSlashes | PathMode::DecodeAndMergeSlashes) {
                prop_assert!(!path.contains("//"), "{}", once);
            }
            if mode == PathMode::DecodeAndMergeSlashes {
                let lower = path.to_ascii_lowercase();
                prop_assert!(!lower.contains("%2f") && !lower.contains("%5c"), "{}", once);
            }
        }

        #[test]
        fn normalising_twice_changes_nothing(target in "/([a./\\\\;]|%2e|%2f|%5c|%25|%41|%c3%a9){0,24}(\\?[a./%\\\\]{0,5})?") {
            let once = canonical_text(&target).unwrap();
            let path = once.split('?').next().unwrap();
            prop_assert!(path.starts_with('/'));
            prop_assert!(!path.split('/').any(|segment| segment == "." || segment == ".."), "{}", once);
            prop_assert!(!path.contains('\\'));
            prop_assert_eq!(canonical_text(&once), Ok(once.clone()));
        }

        #[test]
        fn no_bytes_make_it_panic(target in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut rooted = vec![b'/'];
            rooted.extend(target);
            if let Ok(text) = canonical(&rooted) {
                prop_assert!(text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
