// SPDX-License-Identifier: Apache-2.0
//! How backends may read a path that policies have seen as it is written. Some decode escapes, once or more often; some take
//! `\` for a slash, and several slashes for one; some leave parameters (`;…`) away, before they decode or after; some resolve
//! dot segments then. What a policy forbids is not to be had by another spelling, whoever reads it.
//!
//! Never changes what is forwarded.

use crate::route::unescaped;

/// Rounds of decoding: more escapes within escapes than that nobody unwraps.
const ROUNDS: usize = 3;

/// One way to read a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// The path.
    pub(super) path: String,
    /// It leads out of where the path as it is written seems to be.
    pub(super) climbs: bool,
}

impl Reading {
    /// Every other way in which `path` may be read, each once; none of most paths.
    pub(super) fn all(path: &str) -> Vec<Self> {
        let bytes = path.as_bytes();
        let is_plain = !bytes.iter().any(|byte| matches!(byte, b'%' | b'\\' | b';'));
        if is_plain && !bytes.windows(2).any(|pair| pair == b"//" || pair == b"/.") {
            return Vec::new();
        }
        let mut all: Vec<Self> = Vec::new();
        let mut add = |bytes: &[u8], resolves: bool| {
            let reading = read(bytes, resolves);
            if (reading.path != path || reading.climbs) && !all.contains(&reading) {
                all.push(reading);
            }
        };
        let mut decoded = bytes.to_vec();
        for _ in 0..=ROUNDS {
            // Parameters may be left away at any point, and what is left may be decoded further.
            let mut bare = without_parameters(&decoded);
            for _ in 0..=ROUNDS {
                for resolves in [true, false] {
                    add(&bare, resolves);
                }
                let next = without_parameters(&unescaped(&bare).collect::<Vec<_>>());
                if next == bare {
                    break;
                }
                bare = next;
            }
            for resolves in [true, false] {
                add(&decoded, resolves);
            }
            let next: Vec<u8> = unescaped(&decoded).collect();
            if next == decoded {
                break;
            }
            decoded = next;
        }
        all
    }
}

/// With slashes that are slashes, and one where there are several; a slash at the end stays.
fn read(path: &[u8], resolves: bool) -> Reading {
    let mut climbs = false;
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut last: &[u8] = b"";
    for segment in path.split(|byte| is_slash(*byte)) {
        last = segment;
        match segment {
            b"" => {}
            b"." if resolves => {}
            b".." if resolves => {
                climbs = true;
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    let mut read = Vec::with_capacity(path.len() + 1);
    for segment in &segments {
        read.push(b'/');
        read.extend_from_slice(segment);
    }
    let ends = last.is_empty() || (resolves && matches!(last, b"." | b".."));
    if segments.is_empty() || ends {
        read.push(b'/');
    }
    read.dedup_by(|one, before| (*one, *before) == (b'/', b'/'));
    Reading { path: String::from_utf8_lossy(&read).into_owned(), climbs }
}

fn is_slash(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

/// Without what stands from a `;` to the end of its segment.
fn without_parameters(path: &[u8]) -> Vec<u8> {
    let mut is_parameter = false;
    let kept = path.iter().filter(|byte| {
        match **byte {
            b';' => is_parameter = true,
            byte if is_slash(byte) => is_parameter = false,
            _ => {}
        }
        !is_parameter
    });
    kept.copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(path: &str) -> Vec<String> {
        Reading::all(path).into_iter().map(|reading| reading.path).collect()
    }

    #[test]
    fn whoever_may_read_a_path_as_another_does() {
        for spelling in [
            "//admin",
            "/admin;x",
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
            // Parameters are left away before what is in them is decoded.
            "/admin;%2f..",
            "//admin;%2f..",
            "/public/..%2fadmin;%2f..%2fpublic%2fx",
        ] {
            assert!(readings(spelling).iter().any(|path| path == "/admin"), "{spelling}: {:?}", readings(spelling));
        }
        // Decoded once, and no more.
        let once = readings("/x/..%2fadmin%2fa%252f..%252f..");
        assert!(once.iter().any(|path| path.starts_with("/admin/")), "{once:?}");
    }

    #[test]
    fn what_can_be_read_in_one_way_has_no_other() {
        for path in ["/", "/admin", "/admin/", "/a/b.c", "/a/b..c", "/a-b_c~d"] {
            assert_eq!(readings(path), Vec::<String>::new(), "{path}");
        }
        // A bad escape is no escape.
        assert_eq!(readings("/%zz"), Vec::<String>::new());
    }

    #[test]
    fn only_what_leads_out_climbs() {
        for (path, climbs) in [
            ("/a%2fb", false),
            ("/a;v=1", false),
            ("/a/..%2fb", true),
            ("/a/..;/b", true),
            ("/..", true),
            ("/.a", false),
        ] {
            assert_eq!(Reading::all(path).iter().any(|reading| reading.climbs), climbs, "{path}");
        }
    }

    #[test]
    fn a_path_has_few_readings_however_it_is_made() {
        for path in ["/%2525252561;a%252f..;b/..%255c;c//", &"/%2e;%2f".repeat(500)] {
            assert!(Reading::all(path).len() <= 40, "{}", Reading::all(path).len());
        }
    }
}
