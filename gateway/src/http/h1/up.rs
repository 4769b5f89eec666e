// SPDX-License-Identifier: Apache-2.0
//! The backend's side of an HTTP/1.1 connection: a request into it, a response out of it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite as _;

use crate::head::{BodyLength, Fields, Head, ResponseHead};
use crate::http::h1::incoming::{Bad, Incoming, Input};
use crate::http::h1::out::{Out, poll_read};
use crate::http::h1::response::{self, Framing, Parsed};
use crate::http::h1::write;
use crate::http::piece::{Broken, Piece};
use crate::upstream::Carrier;

/// How the request body is framed.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Outgoing {
    Plain,
    Chunked,
    Ended,
}

/// A connection to a backend with one request on it.
pub(crate) struct Up {
    carrier: Box<Carrier>,
    out: Out,
    input: Input,
    incoming: Incoming,
    outgoing: Outgoing,
    asked: response::Asked,
    /// A byte of the response has come.
    heard: bool,
    keep_alive: bool,
    tunnel: bool,
    half_closed: bool,
}

impl Up {
    /// Queues the request head.
    pub(crate) fn begin(mut carrier: Box<Carrier>, head: &Head) -> Self {
        let mut buffer = std::mem::take(&mut carrier.output);
        write::request(&mut buffer, head);
        let outgoing = match head.body {
            BodyLength::None => Outgoing::Ended,
            BodyLength::Exact(_) => Outgoing::Plain,
            BodyLength::Unknown => Outgoing::Chunked,
        };
        let input = Input::new(std::mem::take(&mut carrier.input));
        Self {
            carrier,
            out: Out::new(buffer),
            input,
            incoming: Incoming::Ended,
            outgoing,
            asked: response::Asked { head: head.method() == "HEAD", upgrade: head.upgrade },
            heard: false,
            keep_alive: false,
            tunnel: false,
            half_closed: false,
        }
    }

    /// The response head.
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<Result<ResponseHead, Broken>> {
        if !self.input.is_empty() {
            // What is left behind an interim response, or the first part of a head.
            if let Some(head) = self.parse_kept()? {
                return Poll::Ready(Ok(head));
            }
        }
        loop {
            let read = ready!(poll_read(&mut self.carrier.io, cx, scratch)).map_err(|_| self.broken())?;
            if read == 0 {
                return Poll::Ready(Err(self.broken()));
            }
            self.heard = true;
            let bytes = &scratch[..read];
            if !self.input.is_empty() {
                self.input.keep(bytes);
                if let Some(head) = self.parse_kept()? {
                    return Poll::Ready(Ok(head));
                }
                continue;
            }
            match response::parse(bytes, self.asked) {
                Parsed::Partial => self.input.keep(bytes),
                parsed => {
                    let (head, used) = self.accept(parsed)?;
                    self.input.keep(&bytes[used..]);
                    return Poll::Ready(Ok(head));
                }
            }
        }
    }

    fn parse_kept(&mut self) -> Result<Option<ResponseHead>, Broken> {
        match response::parse(self.input.rest(), self.asked) {
            Parsed::Partial => Ok(None),
            parsed => {
                let (head, used) = self.accept(parsed)?;
                self.input.advance(used);
                Ok(Some(head))
            }
        }
    }

    fn accept(&mut self, parsed: Parsed) -> Result<(ResponseHead, usize), Broken> {
        match parsed {
            Parsed::Complete { head, framing, used, keep_alive } => {
                self.keep_alive = keep_alive;
                self.incoming = match framing {
                    Framing::None => Incoming::Ended,
                    Framing::Exact(length) => Incoming::of(BodyLength::Exact(length)),
                    Framing::Chunked => Incoming::of(BodyLength::Unknown),
                    Framing::Close => Incoming::Close,
                };
                Ok((head, used))
            }
            Parsed::Bad(reason) => {
                tracing::debug!(reason, "backend's response refused");
                Err(Broken::UpstreamProtocol)
            }
            Parsed::Partial => Err(Broken::UpstreamProtocol),
        }
    }

    pub(crate) fn poll_piece<'a>(
        &'a mut self,
        cx: &mut Context<'_>,
        scratch: &'a mut [u8],
    ) -> Poll<Result<Piece<'a>, Broken>> {
        let piece = ready!(self.incoming.poll_piece(cx, &mut self.carrier.io, &mut self.input, scratch));
        Poll::Ready(piece.map_err(|bad| match bad {
            Bad::Cut => Broken::Upstream { before_response: false },
            Bad::Framing(_) => Broken::UpstreamProtocol,
        }))
    }

    pub(crate) fn buffered(&self) -> bool {
        !self.input.is_empty() || matches!(self.incoming, Incoming::Ending(_))
    }

    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let io = &mut *self.carrier.io;
        if !self.out.settled() {
            ready!(self.out.poll_flush(io, cx)).map_err(|_| Broken::Upstream { before_response: !self.heard })?;
        }
        // In a tunnel the client's end is passed on, once, while the backend may still send.
        if self.tunnel && self.outgoing == Outgoing::Ended && !self.half_closed {
            ready!(Pin::new(io).poll_shutdown(cx)).map_err(|_| Broken::Upstream { before_response: false })?;
            self.half_closed = true;
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Result<(), Broken> {
        if self.outgoing == Outgoing::Chunked {
            write::chunk(self.out.buffer(), data);
            return Ok(());
        }
        let sent = self.out.send(&mut self.carrier.io, cx, data);
        sent.map_err(|_| Broken::Upstream { before_response: !self.heard })
    }

    pub(crate) fn finish(&mut self, trailers: Option<&Fields>) {
        if self.outgoing == Outgoing::Chunked {
            write::last_chunk(self.out.buffer(), trailers);
        }
        self.outgoing = Outgoing::Ended;
    }

    pub(crate) fn tunnel(&mut self) {
        self.tunnel = true;
        self.keep_alive = false;
        self.incoming = Incoming::Close;
        self.outgoing = Outgoing::Plain;
    }

    /// The connection, if request and response are wholly done and nothing follows the response.
    pub(crate) fn into_reusable(self) -> Option<Box<Carrier>> {
        let done = self.outgoing == Outgoing::Ended && self.out.settled() && self.incoming.ended();
        if !done || !self.keep_alive || !self.input.is_empty() {
            return None;
        }
        let mut carrier = self.carrier;
        carrier.input = self.input.into_buffer();
        carrier.output = self.out.into_buffer();
        Some(carrier)
    }

    fn broken(&self) -> Broken {
        Broken::Upstream { before_response: !self.heard }
    }
}
