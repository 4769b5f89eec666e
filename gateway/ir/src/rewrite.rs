// SPDX-License-Identifier: Apache-2.0
//! What a path becomes, and which statuses end a request: of filters, and of those that they ask.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::pattern::RegexRewrite;

/// `HTTPPathModifier`, `HTTPRewrite`. Texts are canonical paths (checked in translation by [`PathRewrite::checked`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub enum PathRewrite {
    /// The whole path; the query stays.
    Full(String),
    /// The matched prefix, by path element; only on rules whose match is a prefix.
    Prefix(String),
    /// The matched prefix as text: `/` instead of `/foo` makes `/foo/bar` `//bar` (Istio).
    Text(String),
    /// Every place that an expression finds.
    Regex(RegexRewrite),
}

impl PathRewrite {
    /// Refuses what cannot stand in a path: control characters, blanks, `?`, `#`, bad escapes, non-ASCII.
    pub fn checked(self) -> Option<Self> {
        let (text, is_whole) = match &self {
            Self::Full(text) | Self::Prefix(text) => (text.as_str(), true),
            Self::Text(text) => (text.as_str(), false),
            // What comes of it is made canonical where it is used.
            Self::Regex(_) => return Some(self),
        };
        let bytes = text.as_bytes();
        let plain = bytes.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
        let escapes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
            bytes.get(at + 1).is_some_and(u8::is_ascii_hexdigit) && bytes.get(at + 2).is_some_and(u8::is_ascii_hexdigit)
        });
        (plain && escapes && (!is_whole || text.is_empty() || text.starts_with('/'))).then_some(self)
    }
}

/// A path rewrite as it arrives over the wire.
#[derive(Deserialize)]
enum Unchecked {
    Full(String),
    Prefix(String),
    Text(String),
    Regex(RegexRewrite),
}

impl TryFrom<Unchecked> for PathRewrite {
    type Error = &'static str;

    fn try_from(unchecked: Unchecked) -> Result<Self, Self::Error> {
        let rewrite = match unchecked {
            Unchecked::Full(text) => Self::Full(text),
            Unchecked::Prefix(text) => Self::Prefix(text),
            Unchecked::Text(text) => Self::Text(text),
            Unchecked::Regex(rewrite) => Self::Regex(rewrite),
        };
        rewrite.checked().ok_or("not a canonical path")
    }
}

/// 200 to 599.
pub(crate) fn final_status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let status = u16::deserialize(deserializer)?;
    let fits = (200..600).contains(&status);
    fits.then_some(status).ok_or_else(|| D::Error::custom(format_args!("{status} is no status of an answer")))
}
