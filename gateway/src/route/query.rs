// SPDX-License-Identifier: Apache-2.0
//! Query parameters, compared after percent-decoding (as Envoy does; `+` stays a plus). What is forwarded is untouched.

use std::borrow::Cow;

use torana_ir::TextMatch;

/// The still encoded value of the first parameter named `name`; a parameter without `=` has an empty one.
pub(crate) fn first<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| decoded(key).eq(name.bytes()))
        .map(|(_, value)| value)
}

/// Whether the decoded value matches. Only a regular expression over an escaped value allocates.
pub(crate) fn is_match(value: &str, expected: &TextMatch) -> bool {
    match expected {
        TextMatch::Exact(exact) => decoded(value).eq(exact.bytes()),
        TextMatch::Prefix(prefix) => decoded(value).take(prefix.len()).eq(prefix.bytes()),
        TextMatch::Present => true,
        TextMatch::Regex(regex) => regex.is_match(&text(value)),
    }
}

/// The decoded text, lossy outside UTF-8.
pub(crate) fn text(value: &str) -> Cow<'_, str> {
    if !value.contains('%') {
        return Cow::Borrowed(value);
    }
    let bytes: Vec<u8> = decoded(value).collect();
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn decoded(text: &str) -> impl Iterator<Item = u8> {
    unescaped(text.as_bytes())
}

/// Bytes with `%XX` resolved; a `%` that starts no escape stands for itself.
pub(crate) fn unescaped(mut rest: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (first, tail) = rest.split_first()?;
        if let (b'%', [high, low, after @ ..]) = (first, tail)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            rest = after;
            return Some(high << 4 | low);
        }
        rest = tail;
        Some(*first)
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_occurrence_counts() {
        assert_eq!(first("a=1&b=2&a=3", "a"), Some("1"));
        assert_eq!(first("a&b=2", "a"), Some(""));
        assert_eq!(first("b=a", "a"), None);
        assert_eq!(first("&&x=1&", ""), None);
        assert_eq!(first("A=1", "a"), None);
    }

    #[test]
    fn names_and_values_are_compared_decoded() {
        assert_eq!(first("%61=%2f", "a"), Some("%2f"));
        assert!(is_match("%2f+%", &TextMatch::Exact("/+%".to_owned())));
        assert!(!is_match("a+b", &TextMatch::Exact("a b".to_owned())));
        assert!(is_match("%61b", &TextMatch::Prefix("a".to_owned())) && is_match("", &TextMatch::Present));
        assert!(!is_match("a", &TextMatch::Prefix("ab".to_owned())));
        assert!(is_match("%61b", &TextMatch::Regex(torana_ir::Regex::new("a.").unwrap())));
        assert_eq!(text("%ff%2"), "\u{fffd}%2");
    }
}
