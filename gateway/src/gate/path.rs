// SPDX-License-Identifier: Apache-2.0
//! The request target's canonical form, Istio's `BASE`: dot segments are resolved, escaped unreserved characters are
//! decoded once, `\` becomes `/`. `%2F`, `%5C`, `//`, `;` and the query are left as they are.

use std::borrow::Cow;

use crate::fault::Reject;

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
    decode(path, &mut bytes);
    resolve(&mut bytes);
    bytes.extend_from_slice(query);
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| BAD_TARGET)
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

/// Decodes escaped unreserved characters, once; turns `\` into `/`.
fn decode(path: &[u8], into: &mut Vec<u8>) {
    let mut at = 0;
    while at < path.len() {
        let (byte, len) = match path[at] {
            b'%' => match escaped(&path[at..]) {
                Some(byte) if is_unreserved(byte) => (byte, 3),
                _ => (b'%', 1),
            },
            b'\\' => (b'/', 1),
            byte => (byte, 1),
        };
        into.push(byte);
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

    proptest! {
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
