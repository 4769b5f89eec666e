// SPDX-License-Identifier: Apache-2.0
//! Path values of matches in the form that the gate gives to request paths, so that a match means what it says.
//!
//! Escaped unreserved characters are decoded (`%41` is `A`), as the gate does. What no canonical path contains is
//! refused instead of never matching: `//`, dot segments, `%2F`, fragments, queries (`HTTPPathMatch`). A prefix loses
//! its trailing slash: `/a/` and `/a` mean the same.

/// The canonical form of `value`, or why there is none.
pub(super) fn canonical(value: &str) -> Result<String, String> {
    let refuse = |why: &str| Err(format!("{value:?} {why}"));
    if !value.starts_with('/') {
        return refuse("does not begin with /");
    }
    let Some(path) = decoded(value) else {
        return refuse("contains a character that cannot stand in a path; escape it as %XX");
    };
    let lower = path.to_ascii_lowercase();
    if lower.contains("%2f") || lower.contains("%00") {
        return refuse("contains an escape that no request path may have");
    }
    if path.contains("//") {
        return refuse("contains //");
    }
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return refuse("contains a segment . or ..");
    }
    Ok(path)
}

/// The canonical form of a prefix: without its trailing slash; `/` is `""`.
pub(super) fn prefix(value: &str) -> Result<String, String> {
    let mut path = canonical(value)?;
    if path.ends_with('/') {
        path.pop();
    }
    Ok(path)
}

/// Unreserved characters unescaped (RFC 3986 §2.3), everything else as it was; `None` if something is no `pchar`.
fn decoded(value: &str) -> Option<String> {
    let mut path = String::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'%' => {
                let code = u8::from_str_radix(std::str::from_utf8(tail.get(..2)?).ok()?, 16).ok()?;
                if !tail.get(..2)?.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                if is_unreserved(code) {
                    path.push(char::from(code));
                } else {
                    path.push('%');
                    path.extend(tail.get(..2)?.iter().copied().map(char::from));
                }
                rest = tail.get(2..)?;
            }
            byte if is_unreserved(*byte) || b"/!$&'()*+,;=:@".contains(byte) => path.push(char::from(*byte)),
            _ => return None,
        }
    }
    Some(path)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_value_takes_the_form_of_a_request_path() {
        for (value, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/%41%7e", "/A~"),
            ("/a%20b", "/a%20b"),
            ("/a%5Cb", "/a%5Cb"),
            ("/a;b=c,d:@", "/a;b=c,d:@"),
            ("/...", "/..."),
        ] {
            assert_eq!(canonical(value).as_deref(), Ok(expected), "{value}");
        }
    }

    #[test]
    fn what_no_request_path_contains_is_refused() {
        for bad in [
            "", "a", "//", "/a//b", "/.", "/a/..", "/a/../b", "/%2e%2e/", "/a%2fb", "/a%2Fb", "/a?b", "/a#b", "/a b",
            "/ä", "/%", "/%4", "/%zz", "/%+1", "/%00", "/a\\b", "/\0",
        ] {
            assert!(canonical(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_prefix_has_no_trailing_slash() {
        assert_eq!(prefix("/").as_deref(), Ok(""));
        assert_eq!(prefix("/a/").as_deref(), Ok("/a"));
        assert_eq!(prefix("/a").as_deref(), Ok("/a"));
    }
}
