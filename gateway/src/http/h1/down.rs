// SPDX-License-Identifier: Apache-2.0
//! The client's side of an HTTP/1 connection: heads and bodies out of it, responses into it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite as _;
use tokio::sync::watch;
use torana_ir::Limits;

use crate::fault::Reject;
use crate::gate::Passed;
use crate::head::{BodyLength, Fields, Head, ResponseHead, Scheme, Version};
use crate::http::h1::incoming::{Bad, Incoming, Input};
use crate::http::h1::out::{Out, poll_read};
use crate::http::h1::request::{self, Parsed};
use crate::http::h1::write;
use crate::http::piece::{Broken, Piece};
use crate::http::scratch;
use crate::http::watchdog::Watchdog;
use crate::io::Io;

/// What came next on a connection.
pub(crate) enum Next {
    /// A request, and how many of its fields were dropped for their names.
    Request(Box<Head>, u32),
    /// `OPTIONS *`: about the gateway itself (RFC 9110 §9.3.7).
    Asterisk,
    /// Something that the gate refuses.
    Bad(Reject),
    /// Nothing more.
    Closed,
}

/// How the response is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outgoing {
    /// No response yet.
    Waiting,
    /// As the head says, or until the connection ends.
    Plain,
    /// Chunks.
    Chunked,
    /// All of it is queued.
    Ended,
}

/// A client's connection.
pub(crate) struct Down {
    io: Box<Io>,
    out: Out,
    input: Input,
    incoming: Incoming,
    outgoing: Outgoing,
    scheme: Scheme,
    drain: watch::Receiver<bool>,
    version: Version,
    /// The connection may carry another request.
    keep_alive: bool,
    /// `100 Continue` is owed before the body is read (RFC 9110 §10.1.1).
    owes_continue: bool,
    touched: bool,
    tunnel: bool,
    half_closed: bool,
    /// What was kept has not been looked at.
    unparsed: bool,
    /// For what the connection waits for now.
    pub(crate) watchdog: Watchdog,
}

impl Down {
    pub(crate) fn new(io: Box<Io>, sniffed: Vec<u8>, scheme: Scheme, drain: watch::Receiver<bool>) -> Self {
        Self {
            io,
            out: Out::default(),
            input: Input::new(sniffed),
            incoming: Incoming::Ended,
            outgoing: Outgoing::Waiting,
            scheme,
            drain,
            version: Version::Http11,
            keep_alive: true,
            owes_continue: false,
            touched: false,
            tunnel: false,
            half_closed: false,
            unparsed: true,
            watchdog: Watchdog::default(),
        }
    }

    // === request ===

    /// The next head. Bytes after it stay.
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>, limits: &Limits) -> Poll<Next> {
        if self.unparsed {
            self.unparsed = false;
            if let Some(next) = self.parse_kept(limits) {
                return Poll::Ready(next);
            }
        }
        scratch::with(|scratch| {
            loop {
                let Ok(read @ 1..) = ready!(poll_read(&mut self.io, cx, scratch)) else {
                    return Poll::Ready(Next::Closed);
                };
                let bytes = &scratch[..read];
                if self.input.is_empty() {
                    match request::parse(bytes, self.scheme, limits) {
                        Parsed::Partial => self.input.keep(bytes),
                        parsed => {
                            let (next, used) = self.accept(parsed);
                            self.input.keep(&bytes[used..]);
                            return Poll::Ready(next);
                        }
                    }
                    continue;
                }
                self.input.keep(bytes);
                // A head ends with a line; looking again before one has ended would let a client that sends single
                // bytes buy work with the square of their number.
                let worth = memchr::memchr(b'\n', bytes).is_some() || self.input.rest().len() > limits.head_bytes;
                if worth && let Some(next) = self.parse_kept(limits) {
                    return Poll::Ready(next);
                }
            }
        })
    }

    /// A head has begun to arrive.
    pub(crate) fn begun(&self) -> bool {
        !self.input.is_empty()
    }

    fn parse_kept(&mut self, limits: &Limits) -> Option<Next> {
        if self.input.is_empty() {
            return None;
        }
        match request::parse(self.input.rest(), self.scheme, limits) {
            Parsed::Partial => None,
            parsed => {
                let (next, used) = self.accept(parsed);
                self.input.advance(used);
                Some(next)
            }
        }
    }

    /// Takes over what was parsed; gives the bytes it used.
    fn accept(&mut self, parsed: Parsed) -> (Next, usize) {
        match parsed {
            Parsed::Complete { passed, used } => {
                let Passed { head, keep_alive, asterisk, dropped_names } = passed;
                self.version = head.version;
                self.keep_alive = keep_alive;
                self.owes_continue = head.expects_continue;
                self.incoming = Incoming::of(head.body);
                if asterisk { (Next::Asterisk, used) } else { (Next::Request(head, dropped_names), used) }
            }
            Parsed::Bad(reject) => {
                self.keep_alive = false;
                (Next::Bad(reject), 0)
            }
            // Not called with it; closing is the harmless answer.
            Parsed::Partial => (Next::Closed, 0),
        }
    }

    pub(crate) fn received(&self) -> bool {
        self.incoming.ended()
    }

    pub(crate) fn touched(&self) -> bool {
        self.touched
    }

    pub(crate) fn started(&self) -> bool {
        self.outgoing != Outgoing::Waiting
    }

    /// The next piece of the request body. Asking for it sends the `100 Continue` that is owed.
    pub(crate) fn poll_piece<'a>(
        &'a mut self,
        cx: &mut Context<'_>,
        scratch: &'a mut [u8],
    ) -> Poll<Result<Piece<'a>, Broken>> {
        if self.owes_continue {
            self.owes_continue = false;
            if self.input.is_empty() && !self.started() {
                self.out.buffer().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
        }
        if !self.out.settled() && !self.started() {
            ready!(self.poll_ready(cx))?;
        }
        self.touched = true;
        let piece = ready!(self.incoming.poll_piece(cx, &mut self.io, &mut self.input, scratch));
        Poll::Ready(piece.map_err(|bad| match bad {
            Bad::Cut => Broken::Client,
            Bad::Framing(reject) => Broken::ClientProtocol(reject),
        }))
    }

    /// Ready when the client has left while we wait. Bytes of a next request are kept; then no more is asked, so a
    /// client that pipelines is bounded by one read.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        if !self.input.is_empty() || self.tunnel {
            return Poll::Pending;
        }
        scratch::with(|scratch| match ready!(poll_read(&mut self.io, cx, scratch)) {
            Ok(read @ 1..) => {
                self.input.keep(&scratch[..read]);
                Poll::Pending
            }
            _ => Poll::Ready(Broken::Client),
        })
    }

    // === response ===

    /// 1xx but 101. HTTP/1.0 knows none (RFC 9110 §15.2).
    pub(crate) fn interim(&mut self, head: &ResponseHead) {
        if self.version == Version::Http11 {
            write::interim(self.out.buffer(), head);
        }
    }

    /// The client asked for, or we decided on, the end of the connection after this response.
    pub(crate) fn close_after(&mut self) {
        self.keep_alive = false;
    }

    /// Queues the response head; `end` if no body follows.
    pub(crate) fn start(&mut self, head: &ResponseHead, end: bool) {
        // A body that has not wholly come must not be taken for the next request (RFC 9112 §9.3).
        if !self.received() && !self.tunnel && head.status != 101 {
            self.keep_alive = false;
        }
        self.owes_continue = false;
        let open_ended = !end && head.body == BodyLength::Unknown && head.status != 101;
        let chunked = open_ended && self.version == Version::Http11;
        if open_ended && !chunked {
            self.keep_alive = false;
        }
        if *self.drain.borrow() {
            self.keep_alive = false;
        }
        let sending = write::Sending { version: self.version, chunked, keep_alive: self.keep_alive };
        write::response(self.out.buffer(), head, sending);
        self.outgoing = match (end, chunked) {
            (true, _) => Outgoing::Ended,
            (false, true) => Outgoing::Chunked,
            (false, false) => Outgoing::Plain,
        };
    }

    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if !self.out.settled() {
            ready!(self.out.poll_flush(&mut self.io, cx)).map_err(|_| Broken::Client)?;
        }
        self.poll_half_close(cx)
    }

    /// In a tunnel the backend's end is passed on, once, while the client may still send.
    fn poll_half_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.tunnel && self.outgoing == Outgoing::Ended && !self.half_closed {
            ready!(Pin::new(&mut *self.io).poll_shutdown(cx)).map_err(|_| Broken::Client)?;
            self.half_closed = true;
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Result<(), Broken> {
        if self.outgoing == Outgoing::Chunked {
            write::chunk(self.out.buffer(), data);
            return Ok(());
        }
        self.out.send(&mut self.io, cx, data).map_err(|_| Broken::Client)
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
    }

    // === between requests ===

    /// Makes ready for the next request; `false` if the connection has to end.
    pub(crate) fn reset_for_next(&mut self) -> bool {
        let whole = self.outgoing == Outgoing::Ended && self.out.settled() && self.received();
        if !whole || !self.keep_alive {
            return false;
        }
        self.outgoing = Outgoing::Waiting;
        self.owes_continue = false;
        self.touched = false;
        self.unparsed = true;
        self.out.slim();
        self.input.slim();
        true
    }

    /// Ends the connection so that what was sent can still be read: our half first, then what the client still sends.
    /// A response that was cut ends without its last chunk and without waiting.
    pub(crate) async fn linger(&mut self, most: usize) {
        let cut = self.started() && self.outgoing != Outgoing::Ended;
        let io = &mut self.io;
        if poll_fn(|cx| Pin::new(&mut **io).poll_shutdown(cx)).await.is_err() || cut {
            return;
        }
        let mut left = most;
        while left > 0 {
            let read = poll_fn(|cx| scratch::with(|scratch| poll_read(io, cx, scratch))).await;
            match read {
                Ok(read @ 1..) => left = left.saturating_sub(read),
                _ => return,
            }
        }
    }
}
