// SPDX-License-Identifier: Apache-2.0
//! A response that Torana makes itself: a redirect, a preflight, a fault. Plain data; `http` writes it.

use bytes::Bytes;

use crate::head::Fields;

/// A whole response. Framing fields are not in it: each protocol writes its own.
#[derive(Debug, Clone)]
pub struct Answer {
    /// 200 to 599.
    pub status: u16,
    /// Every field but framing and hop-by-hop ones.
    pub fields: Fields,
    /// The body; may be empty.
    pub body: Bytes,
}

impl Answer {
    /// An answer without fields and body.
    pub fn new(status: u16) -> Self {
        Self { status, fields: Fields::default(), body: Bytes::new() }
    }

    /// Adds one field.
    #[must_use]
    pub fn with(mut self, name: &str, value: &[u8]) -> Self {
        self.fields.push(name.as_bytes(), value);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_carries_what_it_was_given() {
        let answer = Answer::new(302).with("location", b"http://a/");
        assert_eq!((answer.status, answer.fields.first("location")), (302, Some(&b"http://a/"[..])));
        assert!(answer.body.is_empty());
    }
}
