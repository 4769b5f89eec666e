// SPDX-License-Identifier: Apache-2.0
//! The client's side of a question of our own: its body is at hand, its answer is kept, up to a bound.

use bytes::Bytes;

use crate::head::{Fields, ResponseHead};
use crate::http::piece::{Broken, Data, Piece};
use crate::http::watchdog::Watchdog;

/// Bytes of an answer that are kept; a longer one is none.
const MOST: usize = 64 << 10;

/// A question, and what has come of its answer.
#[derive(Default)]
pub(crate) struct Down {
    body: Bytes,
    /// The body was asked for, which gives all of it.
    received: bool,
    pub(crate) head: Option<ResponseHead>,
    pub(crate) answer: Vec<u8>,
    pub(crate) trailers: Option<Fields>,
    pub(crate) watchdog: Watchdog,
}

impl Down {
    pub(crate) fn new(body: Bytes) -> Self {
        Self { body, ..Self::default() }
    }

    pub(crate) fn received(&self) -> bool {
        self.received
    }

    pub(crate) fn started(&self) -> bool {
        self.head.is_some()
    }

    pub(crate) fn piece(&mut self) -> Piece<'static> {
        self.received = true;
        if self.body.is_empty() { Piece::End } else { Piece::Last(Data::Shared(std::mem::take(&mut self.body))) }
    }

    pub(crate) fn start(&mut self, head: &ResponseHead) {
        self.head = Some(head.clone());
    }

    pub(crate) fn send(&mut self, data: &Data<'_>) -> Result<(), Broken> {
        if self.answer.len() + data.as_slice().len() > MOST {
            return Err(Broken::UpstreamProtocol);
        }
        self.answer.extend_from_slice(data.as_slice());
        Ok(())
    }

    pub(crate) fn finish(&mut self, trailers: Option<&Fields>) {
        self.trailers = trailers.cloned();
    }
}
