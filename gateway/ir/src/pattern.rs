// SPDX-License-Identifier: Apache-2.0
//! Regular expressions of users: linear time, limited size, whole-text match.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Largest compiled program of one expression, in bytes. Beyond it the route is rejected.
pub const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// Most bytes that may come of a text that is rewritten.
pub const LONGEST_REWRITE: usize = 64 << 10;

/// Most bytes of what is put in place of what an expression finds.
const LONGEST_SUBSTITUTION: usize = 1024;

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
    /// What is put in its place cannot be read.
    #[error("{substitution:?} cannot be put in place of what an expression finds: {why}")]
    Substitution {
        /// As written.
        substitution: String,
        /// What is wrong with it.
        why: &'static str,
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
        let whole = compiled(pattern).and_then(|_| compiled(&format!(r"\A(?:{pattern})\z")));
        match whole {
            Ok(whole) => Ok(Self { source: pattern.to_owned(), whole }),
            Err(error) => Err(refusal(pattern, &error)),
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

/// An expression that is found anywhere in a text.
pub(crate) fn found(pattern: &str) -> Result<regex::Regex, RegexError> {
    compiled(pattern).map_err(|error| refusal(pattern, &error))
}

fn compiled(pattern: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(pattern)
        .size_limit(REGEX_SIZE_LIMIT)
        .dfa_size_limit(REGEX_SIZE_LIMIT)
        .nest_limit(64)
        .build()
}

fn refusal(pattern: &str, error: &regex::Error) -> RegexError {
    if matches!(error, regex::Error::CompiledTooBig(_)) {
        return RegexError::TooLarge { pattern: pattern.chars().take(64).collect() };
    }
    let text = error.to_string();
    let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
    RegexError::Syntax { pattern: pattern.chars().take(256).collect(), why }
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

/// An expression that is looked for in a text, and what is put in its place (Istio, `RegexRewrite`).
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "(String, String)", into = "(String, String)")]
pub struct RegexRewrite {
    source: String,
    written: String,
    found: regex::Regex,
    /// Texts and groups by turns, as the expression's own syntax has them.
    template: String,
}

impl RegexRewrite {
    /// Checks `pattern` as [`Regex::new`] does. In `substitution` `\1` is the text of the first group, `\0` that of the
    /// whole, `\\` a backslash (RE2).
    pub fn new(pattern: &str, substitution: &str) -> Result<Self, RegexError> {
        let found = compiled(pattern).map_err(|error| refusal(pattern, &error))?;
        let template = template(substitution, found.captures_len())
            .map_err(|why| RegexError::Substitution { substitution: substitution.chars().take(256).collect(), why })?;
        Ok(Self { source: pattern.to_owned(), written: substitution.to_owned(), found, template })
    }

    /// `text` with every place replaced that the expression finds; `None` if that is longer than [`LONGEST_REWRITE`].
    pub fn apply(&self, text: &str) -> Option<String> {
        let (mut made, mut done) = (String::with_capacity(text.len()), 0);
        for captures in self.found.captures_iter(text) {
            let Some(whole) = captures.get(0) else { continue };
            made.push_str(text.get(done..whole.start()).unwrap_or_default());
            captures.expand(&self.template, &mut made);
            done = whole.end();
            if made.len() > LONGEST_REWRITE {
                return None;
            }
        }
        made.push_str(text.get(done..).unwrap_or_default());
        (made.len() <= LONGEST_REWRITE).then_some(made)
    }
}

/// RE2's substitution as this library writes it.
fn template(substitution: &str, groups: usize) -> Result<String, &'static str> {
    if substitution.len() > LONGEST_SUBSTITUTION {
        return Err("it is longer than 1,024 bytes");
    }
    let mut template = String::with_capacity(substitution.len());
    let mut rest = substitution.chars();
    while let Some(next) = rest.next() {
        match next {
            '$' => template.push_str("$$"),
            '\\' => match rest.next() {
                Some('\\') => template.push('\\'),
                Some(digit) if digit.to_digit(10).is_some_and(|group| (group as usize) < groups) => {
                    template.extend(["${", digit.encode_utf8(&mut [0; 4]), "}"]);
                }
                Some(digit) if digit.is_ascii_digit() => {
                    return Err("it names a group that the expression does not have");
                }
                _ => return Err("after a backslash only a digit or another backslash may stand"),
            },
            other => template.push(other),
        }
    }
    Ok(template)
}

impl PartialEq for RegexRewrite {
    fn eq(&self, other: &Self) -> bool {
        (&self.source, &self.written) == (&other.source, &other.written)
    }
}

impl Eq for RegexRewrite {}

impl fmt::Debug for RegexRewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/ → {:?}", self.source, self.written)
    }
}

impl TryFrom<(String, String)> for RegexRewrite {
    type Error = RegexError;
    fn try_from((pattern, substitution): (String, String)) -> Result<Self, RegexError> {
        Self::new(&pattern, &substitution)
    }
}

impl From<RegexRewrite> for (String, String) {
    fn from(rewrite: RegexRewrite) -> Self {
        (rewrite.source, rewrite.written)
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

    #[test]
    fn every_place_is_rewritten_and_groups_are_kept() {
        for (pattern, substitution, text, expected) in [
            ("/a/([^/]+)", r"/b/\1", "/a/x/a/y", "/b/x/b/y"),
            ("a", "$1", "/a", "/$1"),
            ("(x)(y)", r"\2\1\0", "/xy", "/yxxy"),
            ("a", r"\\", "a", r"\"),
            ("z", "y", "/a", "/a"),
            (r"/v1(\d)", r"/\10", "/v12", "/20"),
        ] {
            let rewrite = RegexRewrite::new(pattern, substitution).unwrap();
            assert_eq!(rewrite.apply(text).as_deref(), Some(expected), "{pattern}");
        }
    }

    #[test]
    fn what_a_rewrite_makes_has_a_bound() {
        let rewrite = RegexRewrite::new("a", &"b".repeat(1024)).unwrap();
        assert!(rewrite.apply(&"a".repeat(64)).is_some());
        assert_eq!(rewrite.apply(&"a".repeat(65)), None);
        assert!(RegexRewrite::new("a", &"b".repeat(1025)).is_err());
    }

    #[test]
    fn a_substitution_names_only_groups_that_are_there() {
        for bad in [r"\2", r"\x", "\\"] {
            let refused = RegexRewrite::new("(a)", bad);
            assert!(matches!(refused, Err(RegexError::Substitution { .. })), "{bad}");
        }
        assert!(RegexRewrite::new("(", "").is_err());
    }
}
