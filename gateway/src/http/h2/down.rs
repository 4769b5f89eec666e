// SPDX-License-Identifier: Apache-2.0
//! One HTTP/2 stream of a client: request body out of it, response into it.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Response, StatusCode};

use crate::fault::Reject;
use crate::gate;
use crate::head::{BodyLength, Fields, Head, ResponseHead};
use crate::http::h2::ledger::Ticket;
use crate::http::h2::map;
use crate::http::piece::{Broken, Data, Piece};
use crate::http::watchdog::Watchdog;

/// Capacity asked for at a time; with the connection's send buffer it bounds what a slow reader costs.
const CAPACITY: usize = 32 << 10;

/// A client's stream.
pub(crate) struct Down {
    receive: RecvStream,
    respond: SendResponse<Bytes>,
    send: Option<SendStream<Bytes>>,
    /// Everything of the request was read.
    received: bool,
    /// A byte of the request body was handed on.
    touched: bool,
    /// `100 Continue` is owed before the body is read (RFC 9110 §10.1.1).
    owes_continue: bool,
    /// Bytes that are still to come, if `content-length` said so.
    left: Option<u64>,
    /// Bytes that were handed on, and are not given back to the window yet.
    unreleased: usize,
    /// The last of them, until the client has ended its request.
    held: Option<Bytes>,
    /// The response's last frame was queued.
    ended: bool,
    /// For what the stream waits for now.
    pub(crate) watchdog: Watchdog,
    /// Its place on the connection; given back when this is dropped.
    ticket: Ticket,
}

impl Down {
    /// `received`: the HEADERS of the request carried END_STREAM.
    pub(crate) fn new(receive: RecvStream, respond: SendResponse<Bytes>, received: bool, ticket: Ticket) -> Self {
        Self {
            receive,
            respond,
            send: None,
            received,
            touched: false,
            owes_continue: false,
            left: None,
            unreleased: 0,
            held: None,
            ended: false,
            watchdog: Watchdog::default(),
            ticket,
        }
    }

    /// Takes note of what the head says of the body.
    pub(crate) fn begin(&mut self, head: &Head) {
        self.owes_continue = head.expects_continue;
        self.left = if let BodyLength::Exact(length) = head.body { Some(length) } else { None };
    }

    pub(crate) fn received(&self) -> bool {
        self.received
    }

    pub(crate) fn touched(&self) -> bool {
        self.touched
    }

    pub(crate) fn started(&self) -> bool {
        self.send.is_some() || self.ended
    }

    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece<'static>, Broken>> {
        if self.owes_continue && !self.started() {
            self.owes_continue = false;
            self.interim(&ResponseHead::new(100))?;
        }
        if self.unreleased > 0 {
            // The next piece is asked for only when the last one has gone on: its capacity given back is backpressure. What
            // is left at the end the library gives back itself.
            let released = self.receive.flow_control().release_capacity(std::mem::take(&mut self.unreleased));
            released.map_err(|error| client_error(&error))?;
        }
        while let Some(data) = ready!(self.receive.poll_data(cx)) {
            let data = data.map_err(|error| client_error(&error))?;
            self.unreleased += data.len();
            if let Some(data) = self.pass(data) {
                return Poll::Ready(Ok(self.piece(data)));
            }
        }
        if let Some(data) = self.held.take() {
            return Poll::Ready(Ok(self.piece(data)));
        }
        let trailers = ready!(self.receive.poll_trailers(cx)).map_err(|error| client_error(&error))?;
        self.received = true;
        Poll::Ready(Ok(match trailers {
            Some(trailers) => {
                let mut fields = map::fields(&trailers);
                fields.retain(|_, name, _| !gate::forbidden_in_trailers(name));
                Piece::Trailers(fields)
            }
            None => Piece::End,
        }))
    }

    /// Data, and the end if nothing follows it.
    fn piece(&mut self, data: Bytes) -> Piece<'static> {
        self.touched = true;
        if self.receive.is_end_stream() {
            self.received = true;
            return Piece::Last(Data::Shared(data));
        }
        Piece::Data(Data::Shared(data))
    }

    /// What may go on. The last bytes of a said length wait for END_STREAM: a backend that has them all would take for
    /// whole what its client has not ended, and may yet make malformed by sending more (RFC 9113 §8.1.1).
    fn pass(&mut self, data: Bytes) -> Option<Bytes> {
        if data.is_empty() {
            return None;
        }
        let Some(left) = &mut self.left else { return Some(data) };
        *left = left.saturating_sub(data.len() as u64);
        if *left > 0 || self.receive.is_end_stream() {
            return Some(data);
        }
        self.held = Some(data);
        None
    }

    /// Ready when the client has reset the stream.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        let reset = match &mut self.send {
            Some(send) => send.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        reset.map(|_| Broken::Client)
    }

    /// 1xx but 101.
    pub(crate) fn interim(&mut self, head: &ResponseHead) -> Result<(), Broken> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(head.status).map_err(|_| Broken::UpstreamProtocol)?;
        map::header_map(&head.fields, response.headers_mut());
        self.respond.send_informational(response).map_err(|error| client_error(&error))
    }

    /// Queues the response head; `end` if nothing follows.
    pub(crate) fn start(&mut self, head: &ResponseHead, end: bool) -> Result<(), Broken> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(head.status).map_err(|_| Broken::UpstreamProtocol)?;
        map::header_map(&head.fields, response.headers_mut());
        if let BodyLength::Exact(length) = head.body {
            response.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
        }
        let send = self.respond.send_response(response, end).map_err(|error| client_error(&error))?;
        self.ended = end;
        self.send = Some(send);
        Ok(())
    }

    /// Ready when more may be sent.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Some(send) = &mut self.send else { return Poll::Ready(Ok(())) };
        if self.ended || send.capacity() > 0 {
            return Poll::Ready(Ok(()));
        }
        send.reserve_capacity(CAPACITY);
        match ready!(send.poll_capacity(cx)) {
            Some(Ok(_)) => Poll::Ready(Ok(())),
            Some(Err(_)) | None => Poll::Ready(Err(Broken::Client)),
        }
    }

    pub(crate) fn send(&mut self, data: &Data<'_>) -> Result<(), Broken> {
        let Some(send) = &mut self.send else { return Err(Broken::Client) };
        self.ticket.ledger().answered(data.as_slice().len());
        send.send_data(data.to_bytes(), false).map_err(|error| client_error(&error))
    }

    /// Data and END_STREAM in one frame.
    pub(crate) fn send_last(&mut self, data: &Data<'_>) -> Result<(), Broken> {
        let Some(send) = &mut self.send else { return Err(Broken::Client) };
        self.ended = true;
        self.ticket.ledger().answered(data.as_slice().len());
        send.send_data(data.to_bytes(), true).map_err(|error| client_error(&error))
    }

    pub(crate) fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), Broken> {
        let Some(send) = &mut self.send else { return Err(Broken::Client) };
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        match trailers {
            Some(fields) => {
                let mut trailers = HeaderMap::new();
                map::header_map(fields, &mut trailers);
                send.send_trailers(trailers).map_err(|error| client_error(&error))
            }
            None => send.send_data(Bytes::new(), true).map_err(|error| client_error(&error)),
        }
    }

    /// Tells the client that the response is cut. What of it is still queued is taken back.
    pub(crate) fn reset(&mut self, reason: Reason) {
        match &mut self.send {
            Some(send) => send.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }

    /// The client does not take what was queued.
    pub(crate) fn abandon(&mut self) {
        self.reset(Reason::CANCEL);
        self.ended = true;
        self.received = true;
    }

    /// After the exchange. `hasty`: the client has not waited for an answer; asked only if there was none.
    pub(crate) fn close(&mut self, hasty: impl FnOnce() -> bool) {
        if !self.started() && hasty() {
            self.ticket.ledger().took_back();
        }
        if !self.ended {
            self.reset(Reason::INTERNAL_ERROR);
        }
        // What the client still sends is not wanted: dropping the stream tells it so, NO_ERROR, once the answer has left
        // (RFC 9113 §8.1). A reset by hand would overtake the answer and throw it away.
    }
}

fn client_error(error: &h2::Error) -> Broken {
    if error.is_library() && error.reason() == Some(Reason::PROTOCOL_ERROR) {
        return Broken::ClientProtocol(Reject::bad("h2_protocol"));
    }
    Broken::Client
}
