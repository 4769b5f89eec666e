// SPDX-License-Identifier: Apache-2.0
//! Names that follow from those of Gateways, which may be four times as long as what they name. Never the same for two
//! Gateways of a namespace, but by a collision of hashes or of `a-b` of class `c` with `a` of class `b-c`; whoever
//! applies the objects sees that they belong to another.

use torana_crds::gateway::Gateway;

/// Longest name of a Service, and longest value of a label (RFC 1123).
const LIMIT: usize = 63;
/// Hexadecimal digits of a hash in a name.
const DIGITS: usize = 10;

/// The name of everything that is provisioned for a Gateway: `NAME-CLASS` (GEP-1762), shortened where that is no name
/// of a Service.
pub fn name(gateway: &Gateway) -> String {
    of_service(&format!("{}-{}", gateway.meta.name, gateway.spec.gateway_class_name))
}

/// A name of an object as name of a Service: itself, or a shortened form that is as unique.
pub fn of_service(whole: &str) -> String {
    if whole.len() <= LIMIT && !whole.contains('.') && whole.starts_with(|first: char| first.is_ascii_lowercase()) {
        return whole.to_owned();
    }
    // Dots may not stand in the name of a Service, nor a digit in front (RFC 1035).
    let mut plain = whole.replace('.', "-");
    if !plain.starts_with(|first: char| first.is_ascii_lowercase()) {
        plain.insert_str(0, "gw-");
    }
    shortened(&plain, whole)
}

/// The name of an object as value of a label: itself, or a shortened form that is as unique.
pub fn label(name: &str) -> String {
    if name.len() <= LIMIT { name.to_owned() } else { shortened(name, name) }
}

/// The beginning of `text`, and the hash of `whole`.
fn shortened(text: &str, whole: &str) -> String {
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at < LIMIT - DIGITS).last().unwrap_or(0);
    let end = if text.len() < LIMIT - DIGITS { text.len() } else { end };
    let stem = text[..end].trim_end_matches(['-', '.']);
    format!("{stem}-{:0width$x}", hash(whole.as_bytes()) >> (64 - 4 * DIGITS), width = DIGITS)
}

/// FNV-1a: the same in every build and on every replica. Nobody is kept out by it.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(gateway: &str, class: &str) -> String {
        let json =
            serde_json::json!({"metadata": {"name": gateway}, "spec": {"gatewayClassName": class, "listeners": []}});
        name(&serde_json::from_value(json).unwrap())
    }

    fn is_service_name(name: &str) -> bool {
        name.len() <= 63
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && !name.ends_with('-')
    }

    #[test]
    fn a_short_name_is_kept() {
        assert_eq!(named("edge", "torana"), "edge-torana");
        assert_eq!(label("a.b"), "a.b");
    }

    #[test]
    fn a_long_or_odd_name_becomes_the_name_of_a_service() {
        let long = "a".repeat(253);
        let dashes = format!("{}{}", "a".repeat(51), "-b".repeat(20));
        for gateway in [long.as_str(), "0-first", "with.dots", "9", &"1.".repeat(100), &dashes] {
            let name = named(gateway.trim_end_matches('.'), "torana");
            assert!(is_service_name(&name), "{gateway}: {name}");
            assert_eq!(name, named(gateway.trim_end_matches('.'), "torana"));
        }
    }

    #[test]
    fn names_that_differ_at_their_end_stay_different() {
        let (one, two) = (format!("{}x", "a".repeat(252)), format!("{}y", "a".repeat(252)));
        assert_ne!(named(&one, "torana"), named(&two, "torana"));
        assert_ne!(named("a.b", "torana"), named("a-b", "torana"));
        assert_ne!(label(&one), label(&two));
        assert!(label(&one).len() <= 63);
    }

    #[test]
    fn hashes_are_those_of_every_other_build() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
