// SPDX-License-Identifier: Apache-2.0
//! Characters and numbers of HTTP, strictly read.

use crate::fault::Reject;

/// Longest method; longer ones get 501 (RFC 9110 §9.1).
const MAX_METHOD: usize = 32;

/// Not a `tchar` (RFC 9110 §5.6.2).
const BAD: u8 = 1;
/// `_`: a `tchar` that many backends confuse with `-`.
const UNDERSCORE: u8 = 2;

const NAME: [u8; 256] = {
    let mut table = [BAD; 256];
    let marks = b"!#$%&'*+-.^`|~";
    let mut at = 0;
    while at < 256 {
        if (at as u8).is_ascii_alphanumeric() {
            table[at] = 0;
        }
        at += 1;
    }
    at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = 0;
        at += 1;
    }
    table[b'_' as usize] = UNDERSCORE;
    table
};

/// What a field name is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// A token without `_`.
    Plain,
    /// A token with `_`.
    Underscored,
    /// No token.
    Bad,
}

pub(super) fn name(name: &[u8]) -> Name {
    let seen = name.iter().fold(0, |seen, byte| seen | NAME[usize::from(*byte)]);
    if name.is_empty() || seen & BAD != 0 {
        Name::Bad
    } else if seen & UNDERSCORE != 0 {
        Name::Underscored
    } else {
        Name::Plain
    }
}

/// A token (RFC 9110 §5.6.2).
pub(crate) fn is_token(text: &[u8]) -> bool {
    name(text) != Name::Bad
}

/// A field value: no control character but a tab inside, no blank at either end (RFC 9110 §5.5).
pub(crate) fn is_value(value: &[u8]) -> bool {
    // Without a branch, so that it is done many bytes at a time.
    let control = value
        .iter()
        .fold(0, |seen, byte| seen | u8::from(*byte < 0x20) & u8::from(*byte != b'\t') | u8::from(*byte == 0x7f));
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    control == 0 && !blank(value.first()) && !blank(value.last())
}

/// A method that may be forwarded.
pub(super) fn method(method: &[u8]) -> Result<&str, Reject> {
    if method.len() > MAX_METHOD {
        return Err(Reject::with(501, "method_too_long"));
    }
    if !is_token(method) {
        return Err(Reject::bad("bad_method"));
    }
    match std::str::from_utf8(method) {
        // A tunnel to anywhere, and an echo of what the edge added (RFC 9110 §9.3.6, §9.3.8).
        Ok("CONNECT" | "TRACE") => Err(Reject::with(405, "method_not_allowed")),
        Ok(method) => Ok(method),
        Err(_) => Err(Reject::bad("bad_method")),
    }
}

/// The number of a `Content-Length`: digits only, less than 2^64 (RFC 9110 §8.6).
pub(crate) fn content_length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The elements of a comma list, without blanks around them (RFC 9110 §5.6.1); empty ones included.
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(|element| {
        let start = element.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(element.len());
        let end = element.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).map_or(start, |at| at + 1);
        &element[start..end]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_digits_below_two_to_the_64() {
        assert_eq!(content_length(b"0"), Some(0));
        assert_eq!(content_length(b"18446744073709551615"), Some(u64::MAX));
        for bad in ["18446744073709551616", "", "+5", "-5", "5 ", "0x5", "5,5", "000000000000000000005", "\u{665}"] {
            assert_eq!(content_length(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_value_has_no_control_characters_and_no_blank_ends() {
        for good in [&b""[..], b"a", b"a\tb", b"\xff\x80", b"a b"] {
            assert!(is_value(good), "{good:?}");
        }
        for bad in [&b"\0"[..], b"a\rb", b"a\nb", b" a", b"a\t", b"\x7f", b"a\x0bb"] {
            assert!(!is_value(bad), "{bad:?}");
        }
    }

    #[test]
    fn long_methods_are_not_implemented_and_some_are_not_allowed() {
        assert_eq!(method(b"M-SEARCH"), Ok("M-SEARCH"));
        assert_eq!(method(&[b'A'; 32]).map(str::len), Ok(32));
        for (bad, status) in [(&[b'A'; 33][..], 501), (b"CONNECT", 405), (b"TRACE", 405), (b"GE T", 400), (b"", 400)] {
            assert_eq!(method(bad).map_err(|reject| reject.status), Err(status), "{bad:?}");
        }
    }

    #[test]
    fn list_elements_lose_their_blanks() {
        assert_eq!(list(b" a,\tb ,,c").collect::<Vec<_>>(), [&b"a"[..], b"b", b"", b"c"]);
    }
}
