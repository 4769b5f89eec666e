// SPDX-License-Identifier: Apache-2.0
//! What somebody else says, in an error of ours: bounded, on one line, without control characters. Pure.

/// Bytes that are taken of it.
pub(in crate::acme) const LIMIT: usize = 4 << 10;

/// The beginning of `bytes` as one line, or that there is nothing.
pub(in crate::acme) fn line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LIMIT)]);
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    if line.is_empty() { "it says nothing more".to_owned() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_bounded_line() {
        assert_eq!(line(b" no such zone\r\n\x1b[31mtry\x00 again\n"), "no such zone [31mtry again");
        assert_eq!(line(b"\n \n"), "it says nothing more");
        assert!(line(&[0xff; 2 * LIMIT]).len() <= 3 * LIMIT);
    }
}
