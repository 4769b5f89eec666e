// SPDX-License-Identifier: Apache-2.0
//! Regular expressions of users: linear time, limited size, whole-text match.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Largest compiled program of one expression, in bytes. Beyond it the route is rejected.
pub const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    /// It does not parse (RE2-like syntax: no look-around, no back-references).
    #[error("{pattern:?} is not a valid RE2-style regular expression: {why}")]
    Syntax {
        /// The expression as written.
        pattern: String,
        /// The parser's reason, on one line.
        why: String,
    },
    /// It compiles to more than [`REGEX_SIZE_LIMIT`].
    #[error("{pattern:?} compiles to more than 1 MiB: simplify it or reduce its counted repetitions")]
    TooLarge {
        /// The expression as written, cut to 64 characters.
        pattern: String,
    },
}

/// A checked expression that must match the whole text (as Envoy and Istio read it).
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Regex {
    source: String,
    whole: regex::Regex,
}

impl Regex {
    /// Parses and compiles `pattern` under the size limit.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        // Checked alone first: `a)|(b` must not become valid by our own parentheses.
        let compile = |text: &str| {
            regex::RegexBuilder::new(text)
                .size_limit(REGEX_SIZE_LIMIT)
                .dfa_size_limit(REGEX_SIZE_LIMIT)
                .nest_limit(64)
                .build()
        };
        let whole = compile(pattern).and_then(|_| compile(&format!(r"\A(?:{pattern})\z")));
        match whole {
            Ok(whole) => Ok(Self { source: pattern.to_owned(), whole }),
            Err(regex::Error::CompiledTooBig(_)) => {
                Err(RegexError::TooLarge { pattern: pattern.chars().take(64).collect() })
            }
            Err(error) => {
                let text = error.to_string();
                let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                Err(RegexError::Syntax { pattern: pattern.chars().take(256).collect(), why })
            }
        }
    }

    /// Whether the whole of `text` matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.whole.is_match(text)
    }

    /// The expression as the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Regex {}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source)
    }
}

impl TryFrom<String> for Regex {
    type Error = RegexError;
    fn try_from(pattern: String) -> Result<Self, RegexError> {
        Self::new(&pattern)
    }
}

impl From<Regex> for String {
    fn from(regex: Regex) -> Self {
        regex.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_must_match() {
        let regex = Regex::new("/a|/b").unwrap();
        assert!(regex.is_match("/a") && regex.is_match("/b"));
        assert!(!regex.is_match("/ab") && !regex.is_match("x/a"));
    }

    #[test]
    fn parentheses_cannot_be_closed_from_inside() {
        assert!(Regex::new("a)|(b").is_err());
    }

    #[test]
    fn a_huge_expression_is_refused() {
        assert!(matches!(Regex::new("(a{1000}){1000}"), Err(RegexError::TooLarge { .. })));
    }
}
