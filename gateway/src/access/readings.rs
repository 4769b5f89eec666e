// SPDX-License-Identifier: Apache-2.0
//! How a backend may read a path that policies have seen as it is written: escapes decoded until none is left, `\` and
//! several slashes taken for one, parameters (`;…`) left away, dot segments resolved, a slash at the end ignored. Backends
//! do some of that, and what a policy forbids is not to be had by another spelling.
//!
//! Never changes what is forwarded.

/// Rounds of decoding: more escapes within escapes than that nobody unwraps.
const ROUNDS: usize = 4;

/// The most that can be read into a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// The path.
    pub(super) path: String,
    /// It leads out of where the path as it is written seems to be.
    pub(super) climbs: bool,
}

impl Reading {
    /// What may be read into `path`; `None` if that is the path itself.
    pub(super) fn of(path: &str) -> Option<Self> {
        let plain = |bytes: &[u8]| !bytes.iter().any(|byte| matches!(byte, b'%' | b'\\' | b';'));
        let bytes = path.as_bytes();
        let ends = bytes.len() > 1 && bytes.ends_with(b"/");
        if plain(bytes) && !ends && !bytes.windows(2).any(|pair| pair == b"//" || pair == b"/.") {
            return None;
        }
        let decoded = decoded(bytes);
        let mut climbs = false;
        let mut segments: Vec<&[u8]> = Vec::new();
        for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
            match segment.split(|byte| *byte == b';').next().unwrap_or_default() {
                b"" | b"." => {}
                b".." => {
                    climbs = true;
                    segments.pop();
                }
                name => segments.push(name),
            }
        }
        let mut read = Vec::with_capacity(decoded.len() + 1);
        for segment in &segments {
            read.push(b'/');
            read.extend_from_slice(segment);
        }
        if read.is_empty() {
            read.push(b'/');
        }
        let read = String::from_utf8_lossy(&read).into_owned();
        (read != path || climbs).then_some(Self { path: read, climbs })
    }
}

/// With escapes decoded until there is none, but for those that are broken.
fn decoded(path: &[u8]) -> Vec<u8> {
    let mut path = path.to_vec();
    for _ in 0..ROUNDS {
        let next = once(&path);
        if next.len() == path.len() {
            break;
        }
        path = next;
    }
    path
}

fn once(path: &[u8]) -> Vec<u8> {
    let digit = |at: usize| path.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(byte) = path.get(at) {
        let escape = digit(at + 1).zip(digit(at + 2)).filter(|_| *byte == b'%');
        let value = escape.and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
        decoded.push(value.unwrap_or(*byte));
        at += if value.is_some() { 3 } else { 1 };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_path_is_read_alike() {
        for spelling in [
            "/admin/",
            "//admin",
            "/admin;x",
            "/admin;x=1/",
            "/%61dmin",
            "/adm%69n",
            "/./admin",
            "/a/../admin",
            "/a/..%2fadmin",
            "/a%2f..%2fadmin",
            "/a/..;/admin",
            "/%2561dmin",
            "/a/%252e%252e/admin",
            "/\\admin",
            "/%5cadmin",
            "/.;/admin",
            "/../../admin",
            "/%25252561dmin",
        ] {
            assert_eq!(Reading::of(spelling).map(|it| it.path).as_deref(), Some("/admin"), "{spelling}");
        }
    }

    #[test]
    fn what_can_be_read_in_one_way_has_no_other() {
        for path in ["/", "/admin", "/a/b.c", "/a/b..c", "/.a".trim_start_matches("/.a"), "/a-b_c~d"] {
            assert_eq!(Reading::of(path), None, "{path}");
        }
        // A bad escape is no escape.
        assert_eq!(Reading::of("/%zz"), None);
    }

    #[test]
    fn only_what_leads_out_climbs() {
        for (path, climbs) in [
            ("/a/", false),
            ("/a%2fb", false),
            ("/a;v=1", false),
            ("/a/..%2fb", true),
            ("/a/..;/b", true),
            ("/..", true),
        ] {
            assert_eq!(Reading::of(path).map(|it| it.climbs), Some(climbs), "{path}");
        }
    }
}
