// SPDX-License-Identifier: Apache-2.0
//! Names as people write them. Pure; knows no server.

use hickory_resolver::proto::rr::Name;

use super::error::DnsError;

/// Characters of the longest name (RFC 1035 §2.3.4, without its length octets) and of its longest label.
const LONGEST: usize = 253;
const LONGEST_LABEL: usize = 63;

/// An absolute name, in lower case. Letters, digits, `-` and `_` only: anything else is a mistake, and would mean
/// something else to a program that it is given to. International names are expected as A-labels (`xn--…`).
pub(super) fn parse(text: &str) -> Result<Name, DnsError> {
    let none = || DnsError::NoName(text.chars().take(LONGEST).collect());
    let plain = text.strip_suffix('.').unwrap_or(text);
    if plain.len() > LONGEST || !plain.split('.').all(is_label) {
        return Err(none());
    }
    Name::from_ascii(format!("{}.", plain.to_ascii_lowercase())).map_err(|_| none())
}

fn is_label(label: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=LONGEST_LABEL).contains(&label.len()) && !label.starts_with('-') && label.bytes().all(fits)
}

/// As people write it: without the trailing dot.
pub(super) fn plain(name: &Name) -> String {
    let text = name.to_ascii();
    text.strip_suffix('.').filter(|text| !text.is_empty()).map_or(text.clone(), str::to_owned)
}

/// The name and all above it, without the root.
pub(super) fn upwards(name: &Name) -> impl Iterator<Item = Name> {
    let first = (!name.is_root()).then(|| name.clone());
    std::iter::successors(first, |name| Some(name.base_name()).filter(|above| !above.is_root()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_absolute_and_in_lower_case() {
        for text in ["_acme-challenge.Example.com", "_acme-challenge.example.com."] {
            let name = parse(text).unwrap();
            assert_eq!((name.to_ascii(), plain(&name)), ("_acme-challenge.example.com.".into(), text_of(&name)));
        }
        assert_eq!(plain(&Name::root()), ".");
    }

    fn text_of(name: &Name) -> String {
        name.to_ascii().trim_end_matches('.').to_owned()
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let (long_label, long) = ("a".repeat(64), "ab.".repeat(90));
        for text in
            ["", ".", "a..b", ".a", "a b", "*.example.com", "-rf.example", "ä.example", "a\\.b", &long_label, &long]
        {
            assert!(matches!(parse(text), Err(DnsError::NoName(_))), "{text:?}");
        }
    }

    #[test]
    fn upwards_ends_below_the_root() {
        let names: Vec<String> = upwards(&parse("a.b.example").unwrap()).map(|name| plain(&name)).collect();
        assert_eq!(names, ["a.b.example", "b.example", "example"]);
        assert_eq!(upwards(&Name::root()).count(), 0);
    }
}
