// SPDX-License-Identifier: Apache-2.0
//! How Istio matches texts of a request: `StringMatch`, and what is matched by name (headers, claims of a JWT, query
//! parameters). Expressions are texts here: nothing is compiled.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// Of one choice at most one may be given; the CRDs ask for the same (`oneOf`).
pub(super) fn at_most_one<T, const N: usize>(given: [(&str, Option<T>); N]) -> Result<Option<T>, String> {
    let mut one = None;
    for (name, value) in given {
        match (&one, value) {
            (_, None) => {}
            (None, Some(value)) => one = Some((name, value)),
            (Some((first, _)), Some(_)) => return Err(format!("has both {first} and {name}: keep one of them")),
        }
    }
    Ok(one.map(|(_, value)| value))
}

/// `StringMatch`, case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawStringMatch")]
pub enum StringMatch {
    /// `{}`: any text. Of a header, claim or parameter: that there is one.
    Any,
    /// The whole text.
    Exact(String),
    /// How the text begins: of a path not by element, `/foo` begins `/foobar`.
    Prefix(String),
    /// RE2, of the whole text.
    Regex(String),
}

#[derive(Deserialize)]
struct RawStringMatch {
    exact: Option<String>,
    prefix: Option<String>,
    regex: Option<String>,
}

impl TryFrom<RawStringMatch> for StringMatch {
    type Error = String;

    fn try_from(raw: RawStringMatch) -> Result<Self, String> {
        let given = [
            ("exact", raw.exact.map(Self::Exact)),
            ("prefix", raw.prefix.map(Self::Prefix)),
            ("regex", raw.regex.map(Self::Regex)),
        ];
        Ok(at_most_one(given)?.unwrap_or(Self::Any))
    }
}

impl StringMatch {
    /// Of what is matched by name `*` is no expression, but any value (`HTTPMatchRequest.withoutHeaders`).
    fn of_named(self) -> Self {
        if self == Self::Regex("*".to_owned()) { Self::Any } else { self }
    }
}

/// What a match of `headers` is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum MatchKey {
    /// A header field by its name in lower case; `:method`, `:scheme`, `:authority`, `:path` are the pseudo-headers.
    Header(String),
    /// A claim of the JWT, by its path: `@request.auth.claims.group`, `@request.auth.claims[a][b]`.
    Claim(Vec<String>),
}

/// What all claims begin with, in any case.
const CLAIMS: &str = "@request.auth.claims";

impl MatchKey {
    fn of(name: &str) -> Self {
        Self::claim(name).unwrap_or_else(|| Self::Header(name.to_ascii_lowercase()))
    }

    /// As it would be written.
    pub fn written(&self) -> String {
        match self {
            Self::Header(name) => name.clone(),
            Self::Claim(path) => format!("{CLAIMS}[{}]", path.join("][")),
        }
    }

    fn claim(name: &str) -> Option<Self> {
        let (begin, rest) = name.split_at_checked(CLAIMS.len())?;
        if !begin.eq_ignore_ascii_case(CLAIMS) {
            return None;
        }
        let (path, separator) = match rest.strip_prefix('.') {
            Some(path) => (path, "."),
            None => (rest.strip_prefix('[')?.strip_suffix(']')?, "]["),
        };
        (!path.is_empty()).then(|| Self::Claim(path.split(separator).map(str::to_owned).collect()))
    }
}

/// One entry of `headers` or `withoutHeaders`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMatch {
    /// Which header or claim.
    pub key: MatchKey,
    /// What is asked of it.
    pub value: StringMatch,
}

/// `headers` and `withoutHeaders`, in the order of their names as written.
pub(super) fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HeaderMatch>, D::Error> {
    let matches = BTreeMap::<String, StringMatch>::deserialize(deserializer)?;
    let of = |(name, value): (String, StringMatch)| HeaderMatch { key: MatchKey::of(&name), value: value.of_named() };
    Ok(matches.into_iter().map(of).collect())
}

/// Matches by the name of a query parameter.
pub type QueryMatches = BTreeMap<String, StringMatch>;

/// `queryParams`.
pub(super) fn query<'de, D: Deserializer<'de>>(deserializer: D) -> Result<QueryMatches, D::Error> {
    let matches = QueryMatches::deserialize(deserializer)?;
    Ok(matches.into_iter().map(|(name, value)| (name, value.of_named())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_told_from_a_header() {
        let claim = |path: &[&str]| MatchKey::Claim(path.iter().map(|it| (*it).to_owned()).collect());
        for (name, key) in [
            ("X-User", MatchKey::Header("x-user".into())),
            (":authority", MatchKey::Header(":authority".into())),
            ("@request.auth.claims.Group", claim(&["Group"])),
            ("@Request.Auth.Claims.a.b", claim(&["a", "b"])),
            ("@request.auth.claims[a.b][c]", claim(&["a.b", "c"])),
            ("@request.auth.claims", MatchKey::Header("@request.auth.claims".into())),
            ("@request.auth.claims.", MatchKey::Header("@request.auth.claims.".into())),
            ("@request.auth.claims[]", MatchKey::Header("@request.auth.claims[]".into())),
            ("@request.auth.claimsé", MatchKey::Header("@request.auth.claimsé".into())),
        ] {
            assert_eq!(MatchKey::of(name), key, "{name}");
        }
    }
}
