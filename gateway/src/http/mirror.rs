// SPDX-License-Identifier: Apache-2.0
//! A mirror: a copy of a request that plays the client towards another backend and drops the answer.

use std::task::{Context, Poll, ready};

use tokio::sync::mpsc;

use crate::http::piece::{Broken, Data, Piece};
use crate::http::tee::Copied;
use crate::http::watchdog::Watchdog;

/// The client's side of a mirrored request: the body comes from the original, the response goes nowhere.
pub(crate) struct Down {
    body: Option<mpsc::Receiver<Copied>>,
    started: bool,
    touched: bool,
    pub(crate) watchdog: Watchdog,
}

impl Down {
    /// `None`: the request has no body.
    pub(crate) fn new(body: Option<mpsc::Receiver<Copied>>) -> Self {
        Self { body, started: false, touched: false, watchdog: Watchdog::default() }
    }

    pub(crate) fn received(&self) -> bool {
        self.body.is_none()
    }

    pub(crate) fn touched(&self) -> bool {
        self.touched
    }

    pub(crate) fn started(&self) -> bool {
        self.started
    }

    pub(crate) fn start(&mut self) {
        self.started = true;
    }

    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece<'static>, Broken>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(Piece::End)) };
        self.touched = true;
        match ready!(body.poll_recv(cx)) {
            Some(Copied::Data(bytes)) => Poll::Ready(Ok(Piece::Data(Data::Shared(bytes)))),
            Some(Copied::End) => {
                self.body = None;
                Poll::Ready(Ok(Piece::End))
            }
            None => Poll::Ready(Err(Broken::Client)),
        }
    }
}
