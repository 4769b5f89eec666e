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

    /// A body of which nobody has said of which kind it is, is text (as Envoy says of its direct responses).
    #[must_use]
    pub fn sealed(self) -> Self {
        let silent = self.body.is_empty() || self.fields.first("content-type").is_some();
        if silent { self } else { self.with("content-type", b"text/plain") }
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

    #[test]
    fn a_body_is_text_unless_somebody_says_otherwise() {
        let body = || Bytes::from_static(b"x");
        let kind = |answer: Answer| answer.sealed().fields.joined("content-type").map(std::borrow::Cow::into_owned);
        assert_eq!(kind(Answer::new(200)), None);
        assert_eq!(kind(Answer { body: body(), ..Answer::new(200) }).as_deref(), Some("text/plain"));
        let said = Answer { body: body(), ..Answer::new(200) }.with("content-type", b"a/b");
        assert_eq!(kind(said).as_deref(), Some("a/b"));
    }
}
