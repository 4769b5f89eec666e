// SPDX-License-Identifier: Apache-2.0
//! The two sides of an exchange, each of either protocol. A switchboard without opinions.

use std::task::{Context, Poll};

use crate::head::{Fields, ResponseHead};
use crate::http::piece::{Broken, Data, Piece};
use crate::http::watchdog::Watchdog;
use crate::http::{asking, h1, h2, mirror};

/// The client's side.
pub(crate) enum Down {
    /// A connection.
    H1(Box<h1::down::Down>),
    /// A stream.
    H2(Box<h2::down::Down>),
    /// The copy of a request.
    Mirror(mirror::Down),
    /// A question of our own.
    Asking(Box<asking::Down>),
}

impl Down {
    /// The one timer of the connection or stream: no request pays for a timer of its own.
    pub(crate) fn watchdog(&mut self) -> &mut Watchdog {
        match self {
            Self::H1(down) => &mut down.watchdog,
            Self::H2(down) => &mut down.watchdog,
            Self::Mirror(down) => &mut down.watchdog,
            Self::Asking(down) => &mut down.watchdog,
        }
    }

    /// The whole request was read.
    pub(crate) fn received(&self) -> bool {
        match self {
            Self::H1(down) => down.received(),
            Self::H2(down) => down.received(),
            Self::Mirror(down) => down.received(),
            Self::Asking(down) => down.received(),
        }
    }

    /// Part of the request body was handed on, so it cannot be sent again.
    pub(crate) fn touched(&self) -> bool {
        match self {
            Self::H1(down) => down.touched(),
            Self::H2(down) => down.touched(),
            Self::Mirror(down) => down.touched(),
            Self::Asking(down) => down.received(),
        }
    }

    /// The response head was queued: a failure can only cut it.
    pub(crate) fn started(&self) -> bool {
        match self {
            Self::H1(down) => down.started(),
            Self::H2(down) => down.started(),
            Self::Mirror(down) => down.started(),
            Self::Asking(down) => down.started(),
        }
    }

    /// The next part of the request body.
    pub(crate) fn poll_piece<'a>(
        &'a mut self,
        cx: &mut Context<'_>,
        scratch: &'a mut [u8],
    ) -> Poll<Result<Piece<'a>, Broken>> {
        match self {
            Self::H1(down) => down.poll_piece(cx, scratch),
            Self::H2(down) => down.poll_piece(cx),
            Self::Mirror(down) => down.poll_piece(cx),
            Self::Asking(down) => Poll::Ready(Ok(down.piece())),
        }
    }

    /// Ready when the client has left while we wait for the backend.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        match self {
            Self::H1(down) => down.poll_gone(cx),
            Self::H2(down) => down.poll_gone(cx),
            Self::Mirror(_) | Self::Asking(_) => Poll::Pending,
        }
    }

    /// 1xx but 101.
    pub(crate) fn interim(&mut self, head: &ResponseHead) -> Result<(), Broken> {
        match self {
            Self::H1(down) => {
                down.interim(head);
                Ok(())
            }
            Self::H2(down) => down.interim(head),
            Self::Mirror(_) | Self::Asking(_) => Ok(()),
        }
    }

    /// Queues the response head; `end` if no body follows.
    pub(crate) fn start(&mut self, head: &ResponseHead, end: bool) -> Result<(), Broken> {
        match self {
            Self::H1(down) => {
                down.start(head, end);
                Ok(())
            }
            Self::H2(down) => down.start(head, end),
            Self::Mirror(down) => {
                down.start();
                Ok(())
            }
            Self::Asking(down) => {
                down.start(head);
                Ok(())
            }
        }
    }

    /// Ready when nothing that was queued waits for the client.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        match self {
            Self::H1(down) => down.poll_ready(cx),
            Self::H2(down) => down.poll_ready(cx),
            Self::Mirror(_) | Self::Asking(_) => Poll::Ready(Ok(())),
        }
    }

    /// Queues body bytes; call after [`Down::poll_ready`] or directly after [`Down::start`].
    pub(crate) fn send(&mut self, cx: &mut Context<'_>, data: &Data<'_>) -> Result<(), Broken> {
        match self {
            Self::H1(down) => down.send(cx, data.as_slice()),
            Self::H2(down) => down.send(data),
            Self::Mirror(_) => Ok(()),
            Self::Asking(down) => down.send(data),
        }
    }

    /// Queues the last body bytes and the end of the body.
    pub(crate) fn send_last(&mut self, cx: &mut Context<'_>, data: &Data<'_>) -> Result<(), Broken> {
        match self {
            Self::H1(down) => {
                down.send(cx, data.as_slice())?;
                down.finish(None);
                Ok(())
            }
            Self::H2(down) => down.send_last(data),
            Self::Mirror(_) => Ok(()),
            Self::Asking(down) => down.send(data),
        }
    }

    /// Queues the end of the body.
    pub(crate) fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), Broken> {
        match self {
            Self::H1(down) => {
                down.finish(trailers);
                Ok(())
            }
            Self::H2(down) => down.finish(trailers),
            Self::Mirror(_) => Ok(()),
            Self::Asking(down) => {
                down.finish(trailers);
                Ok(())
            }
        }
    }

    /// The client does not take what was queued: it is thrown away. A connection of HTTP/1 ends by itself.
    pub(crate) fn abandon(&mut self) {
        if let Self::H2(down) = self {
            down.abandon();
        }
    }

    /// After a 101: both directions carry bytes until they end.
    pub(crate) fn tunnel(&mut self) {
        if let Self::H1(down) = self {
            down.tunnel();
        }
    }
}

/// The backend's side.
pub(crate) enum Up {
    /// A connection.
    H1(Box<h1::up::Up>),
    /// A stream.
    H2(Box<h2::up::Up>),
}

impl Up {
    /// The response head.
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<Result<ResponseHead, Broken>> {
        match self {
            Self::H1(up) => up.poll_head(cx, scratch),
            Self::H2(up) => up.poll_head(cx),
        }
    }

    /// The next part of the response body.
    pub(crate) fn poll_piece<'a>(
        &'a mut self,
        cx: &mut Context<'_>,
        scratch: &'a mut [u8],
    ) -> Poll<Result<Piece<'a>, Broken>> {
        match self {
            Self::H1(up) => up.poll_piece(cx, scratch),
            Self::H2(up) => up.poll_piece(cx),
        }
    }

    /// Bytes of the response body are at hand without waiting for the socket.
    pub(crate) fn buffered(&self) -> bool {
        match self {
            Self::H1(up) => up.buffered(),
            Self::H2(_) => false,
        }
    }

    /// Ready when nothing that was queued waits for the backend.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        match self {
            Self::H1(up) => up.poll_ready(cx),
            Self::H2(up) => up.poll_ready(cx),
        }
    }

    /// Queues request body bytes.
    pub(crate) fn send(&mut self, cx: &mut Context<'_>, data: &Data<'_>) -> Result<(), Broken> {
        match self {
            Self::H1(up) => up.send(cx, data.as_slice()),
            Self::H2(up) => up.send(data),
        }
    }

    /// Queues the last bytes of the request body and its end.
    pub(crate) fn send_last(&mut self, cx: &mut Context<'_>, data: &Data<'_>) -> Result<(), Broken> {
        match self {
            Self::H1(up) => {
                up.send(cx, data.as_slice())?;
                up.finish(None);
                Ok(())
            }
            Self::H2(up) => up.send_last(data),
        }
    }

    /// Queues the end of the request body.
    pub(crate) fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), Broken> {
        match self {
            Self::H1(up) => {
                up.finish(trailers);
                Ok(())
            }
            Self::H2(up) => up.finish(trailers),
        }
    }

    /// After a 101.
    pub(crate) fn tunnel(&mut self) {
        if let Self::H1(up) = self {
            up.tunnel();
        }
    }
}
