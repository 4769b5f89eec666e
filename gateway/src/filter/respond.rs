// SPDX-License-Identifier: Apache-2.0
//! `HTTPDirectResponse` (Istio): the rule itself answers.

use bytes::Bytes;
use torana_ir::DirectResponse;

use crate::answer::Answer;

/// Answers with a status and a body.
#[derive(Debug)]
pub struct Respond {
    status: u16,
    body: Bytes,
}

impl Respond {
    /// Prepares `response`.
    pub fn compile(response: &DirectResponse) -> Self {
        Self { status: response.status, body: Bytes::copy_from_slice(&response.body) }
    }

    /// The answer. Of which kind its body is, is said last ([`Answer::sealed`]): edits of the rule go before it.
    pub fn apply(&self) -> Answer {
        Answer { body: self.body.clone(), ..Answer::new(self.status) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_written() {
        let answer = Respond::compile(&DirectResponse { status: 418, body: b"short".to_vec() }).apply();
        assert_eq!((answer.status, &answer.body[..]), (418, &b"short"[..]));
        assert_eq!(answer.sealed().fields.first("content-type"), Some(&b"text/plain"[..]));
        let empty = Respond::compile(&DirectResponse { status: 204, body: Vec::new() }).apply();
        assert_eq!((empty.status, empty.fields.len()), (204, 0));
    }
}
