// SPDX-License-Identifier: Apache-2.0
//! A question on its way to a running gateway and back: `url=…&method=…&header=…`, percent-encoded.

use std::fmt::Write;

/// Writes `name=value` pairs as a query.
pub(super) fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut query = String::new();
    for (name, value) in pairs {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(name);
        query.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                query.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                write!(query, "%{byte:02X}").ok();
            }
        }
    }
    query
}

/// Reads a query; what is not UTF-8 after decoding is replaced.
pub(super) fn decode(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (plain(name), plain(value)))
        .collect()
}

fn plain(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escaped = (*byte == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let digits = escaped.filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let value = digits.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match value {
            Some(value) => decoded.push(value),
            None => decoded.push(if *byte == b'+' { b' ' } else { *byte }),
        }
        at += if value.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded() {
        let pairs = [("url", "https://a/?b=c&d=%41+ä"), ("header", "X: y"), ("method", "")];
        let decoded = decode(&encode(pairs));
        assert_eq!(decoded, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn bad_escapes_stay_as_they_are() {
        assert_eq!(decode("a=%zz%4&b"), [("a".into(), "%zz%4".into()), ("b".into(), String::new())]);
        assert_eq!(decode("a=%+1"), [("a".into(), "% 1".into())]);
    }
}
