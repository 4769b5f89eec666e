// SPDX-License-Identifier: Apache-2.0
//! One request with one backend connection: both directions polled on their own, so neither can hold the other back.
//!
//! It moves pieces and keeps deadlines. It chooses no backend, retries nothing and builds no response.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::grpc;
use crate::head::{BodyLength, Fields, ResponseHead};
use crate::http::pace::Pace;
use crate::http::piece::{Broken, Piece};
use crate::http::replay::Replay;
use crate::http::retry::{Asked, Retries};
use crate::http::scratch;
use crate::http::side::{Down, Up};
use crate::http::tee::Tee;

/// More interim responses than this are an attack (RFC 9110 §15.2 sets no bound).
const MAX_INTERIM: u8 = 10;

/// Deadlines of one exchange.
pub(crate) struct Deadlines {
    /// The whole request, retries included.
    pub(crate) request: Option<Instant>,
    /// This try.
    pub(crate) attempt: Option<Instant>,
    /// No byte in either direction for so long.
    pub(crate) idle: Duration,
    /// How slowly the client may send, until it is answered; `None`: as slowly as it likes.
    pub(crate) sending: Option<Pace>,
    /// How slowly it may read.
    pub(crate) reading: Option<Pace>,
}

/// How an exchange ended without the end of its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// One side broke.
    Broken(Broken),
    /// The backend answered with this status, and the rule would rather try again; the try is granted.
    Declined(u16),
    /// [`Deadlines::request`] passed.
    RequestTimeout,
    /// [`Deadlines::attempt`] passed.
    AttemptTimeout,
    /// [`Deadlines::idle`] passed.
    Idle,
    /// [`Deadlines::sending`] passed.
    SlowBody,
    /// [`Deadlines::reading`] passed.
    SlowReader,
}

/// An exchange that ended without the end of its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopped {
    /// How.
    pub(crate) stop: Stop,
    /// Whose turn it was.
    pub(crate) turn: Turn,
}

/// Who had to do something for an exchange to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The client had to send: the backend had taken all that there was.
    Sender,
    /// The client had to take some of the response.
    Reader,
    /// The backend had to take, or to answer.
    Backend,
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// What the exchange tells the log.
#[derive(Default, Clone)]
pub(crate) struct Moved {
    /// Bytes of the request body.
    pub(crate) received: u64,
    /// Bytes of the response body.
    pub(crate) sent: u64,
    /// Status that the backend sent.
    pub(crate) status: u16,
    /// The status of gRPC that came last, in the trailers or in a head without a body.
    pub(crate) grpc_status: Option<u8>,
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Response {
    Head,
    /// Not passed on: there will be another try.
    Declined(u16),
    Body,
    Ended,
}

/// Who looks at the request's body besides the backend, and what outlives a try.
pub(crate) struct Lasting<'a, 'r> {
    /// Its mirrors.
    pub(crate) tee: &'a mut Tee,
    /// What was taken of it.
    pub(crate) replay: &'a mut Replay,
    /// Tries that are left.
    pub(crate) retries: &'a mut Retries<'r>,
    /// What the log is told.
    pub(crate) moved: &'a mut Moved,
}

impl Lasting<'_, '_> {
    /// Takes note of a piece that came from the client.
    fn take(&mut self, piece: &Piece<'_>) {
        if let Piece::Data(data) | Piece::Last(data) = piece {
            self.tee.send(data);
        }
        if !matches!(piece, Piece::Data(_)) {
            self.tee.end();
        }
        self.moved.received += self.replay.take(piece);
    }
}

/// The exchange itself. `edit` sees the response head before the client does.
pub(crate) struct Exchange<'a, 'r, F> {
    down: &'a mut Down,
    up: &'a mut Up,
    lasting: Lasting<'a, 'r>,
    edit: F,
    /// The request's method was HEAD.
    head_only: bool,
    deadlines: Deadlines,
    active_at: Instant,
    request_ended: bool,
    /// The backend takes no more of the request.
    refused: bool,
    response: Response,
    tunnel: bool,
    interims: u8,
    /// The next piece of the request has to come from the client.
    awaits_body: bool,
    /// The client has to take some of the response before there is room for more.
    awaits_reader: bool,
}

impl<'a, 'r, F: FnMut(&mut ResponseHead)> Exchange<'a, 'r, F> {
    pub(crate) fn new(
        (down, up): (&'a mut Down, &'a mut Up),
        lasting: Lasting<'a, 'r>,
        deadlines: Deadlines,
        head_only: bool,
        edit: F,
    ) -> Self {
        let request_ended = down.received() && !lasting.replay.is_pending();
        Self {
            down,
            up,
            lasting,
            edit,
            head_only,
            deadlines,
            active_at: Instant::now(),
            request_ended,
            refused: false,
            response: Response::Head,
            tunnel: false,
            interims: 0,
            awaits_body: false,
            awaits_reader: false,
        }
    }

    /// Runs until the response is wholly with the client, or something breaks.
    pub(crate) async fn run(mut self) -> Result<(), Stopped> {
        let ended = std::future::poll_fn(|cx| self.poll(cx)).await;
        let turn = match (self.awaits_body, self.awaits_reader) {
            (true, _) => Turn::Sender,
            (false, true) => Turn::Reader,
            (false, false) => Turn::Backend,
        };
        ended.map_err(|stop| Stopped { stop, turn })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        let before = self.progress();
        let outcome = scratch::with(|scratch| {
            if let Poll::Ready(Err(broken)) = self.poll_request(cx, scratch) {
                let lost = matches!(broken, Broken::Upstream { .. } | Broken::Refused);
                if self.tunnel || !lost {
                    return match (lost, self.poll_response(cx, scratch)) {
                        (true, Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
                        _ => Poll::Ready(Err(broken)),
                    };
                }
                // A backend that takes no more of the request has the last word (RFC 9113 §8.1): its answer, which may
                // be on the way, or the error that waiting for it gives.
                self.refused = true;
            }
            self.poll_response(cx, scratch)
        });
        if let (Response::Declined(status), Poll::Ready(Ok(()))) = (self.response, &outcome) {
            return Poll::Ready(Err(Stop::Declined(status)));
        }
        match outcome {
            Poll::Ready(Ok(())) if self.tunnel && !self.request_ended => {}
            // However a tunnel ends, it is over: what its ends have said to each other is theirs to know.
            Poll::Ready(Err(Broken::Client | Broken::Upstream { .. })) if self.tunnel => return Poll::Ready(Ok(())),
            Poll::Ready(result) => return Poll::Ready(result.map_err(Stop::from)),
            Poll::Pending => {}
        }
        if !self.tunnel
            && self.request_ended
            && let Poll::Ready(gone) = self.down.poll_gone(cx)
        {
            return Poll::Ready(Err(gone.into()));
        }
        if before != self.progress() {
            self.active_at = Instant::now();
        }
        self.poll_deadlines(cx).map(Err)
    }

    fn progress(&self) -> (u64, u64, Response) {
        (self.lasting.moved.received, self.lasting.moved.sent, self.response)
    }

    fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Poll<Stop> {
        let idle = Some(self.active_at + self.deadlines.idle);
        let (sending, reading) = self.client_deadlines();
        let bounds = [self.deadlines.request, self.deadlines.attempt, idle, sending, reading];
        let watchdog = self.down.watchdog();
        watchdog.set(bounds.into_iter().flatten().min());
        ready!(watchdog.poll(cx));
        let now = Instant::now();
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        Poll::Ready(if passed(self.deadlines.request) {
            Stop::RequestTimeout
        } else if passed(self.deadlines.attempt) {
            Stop::AttemptTimeout
        } else if passed(reading) {
            Stop::SlowReader
        } else if passed(sending) {
            Stop::SlowBody
        } else {
            Stop::Idle
        })
    }

    /// Until when the client has to send, and to take. One that was answered before it has sent everything is in a
    /// conversation: its turns are not timed.
    fn client_deadlines(&mut self) -> (Option<Instant>, Option<Instant>) {
        if self.tunnel {
            return (None, None);
        }
        let (moved, sends) = (&*self.lasting.moved, self.awaits_body && self.response == Response::Head);
        let Deadlines { sending, reading, .. } = &mut self.deadlines;
        (
            sending.as_mut().and_then(|pace| pace.poll(moved.received, sends, Instant::now)),
            reading.as_mut().and_then(|pace| pace.poll(moved.sent, self.awaits_reader, Instant::now)),
        )
    }

    /// Request body, client to backend.
    fn poll_request(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<Result<(), Broken>> {
        loop {
            self.awaits_body = false;
            if self.refused {
                return Poll::Ready(Ok(()));
            }
            ready!(self.up.poll_ready(cx))?;
            if self.request_ended || (self.response == Response::Ended && !self.tunnel) {
                return Poll::Ready(Ok(()));
            }
            let piece = if let Some(again) = self.lasting.replay.next() {
                again
            } else {
                self.awaits_body = true;
                let taken = ready!(self.down.poll_piece(cx, scratch))?;
                self.lasting.take(&taken);
                taken
            };
            self.request_ended = !matches!(piece, Piece::Data(_));
            match piece {
                Piece::Data(data) => self.up.send(cx, &data)?,
                Piece::Last(data) => self.up.send_last(cx, &data)?,
                Piece::Trailers(fields) => self.up.finish(Some(&fields))?,
                Piece::End => self.up.finish(None)?,
            }
        }
    }

    /// Response, backend to client.
    fn poll_response(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<Result<(), Broken>> {
        while self.response == Response::Head {
            ready!(self.poll_head(cx, scratch))?;
        }
        if matches!(self.response, Response::Declined(_)) {
            return Poll::Ready(Ok(()));
        }
        loop {
            // What came with the head leaves with the head.
            if !self.up.buffered() || self.response == Response::Ended {
                self.awaits_reader = true;
                ready!(self.down.poll_ready(cx))?;
                self.awaits_reader = false;
            }
            if self.response == Response::Ended {
                return Poll::Ready(Ok(()));
            }
            match ready!(self.up.poll_piece(cx, scratch)) {
                Ok(Piece::Data(data)) => {
                    self.lasting.moved.sent += data.as_slice().len() as u64;
                    self.down.send(cx, &data)?;
                }
                Ok(Piece::Last(data)) => {
                    self.lasting.moved.sent += data.as_slice().len() as u64;
                    self.response = Response::Ended;
                    self.down.send_last(cx, &data)?;
                }
                Ok(Piece::Trailers(fields)) => self.end(Some(&fields))?,
                Ok(Piece::End) => self.end(None)?,
                // A tunnel ends as it likes.
                Err(Broken::Upstream { .. }) if self.tunnel => self.end(None)?,
                Err(broken) => return Poll::Ready(Err(broken)),
            }
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<Result<(), Broken>> {
        let mut head = ready!(self.up.poll_head(cx, scratch))?;
        if head.status < 200 && head.status != 101 {
            self.interims += 1;
            if self.interims > MAX_INTERIM {
                return Poll::Ready(Err(Broken::UpstreamProtocol));
            }
            // Our own 100 was sent when the body was first asked for; a second one would answer the next request.
            let relay = head.status != 100;
            return Poll::Ready(if relay { self.down.interim(&head) } else { Ok(()) });
        }
        if self.lasting.retries.lists_answer(&head) && self.lasting.retries.grant(self.asked()) {
            self.response = Response::Declined(head.status);
            return Poll::Ready(Ok(()));
        }
        self.lasting.replay.release();
        self.lasting.moved.status = head.status;
        let end = head.body == BodyLength::None || self.head_only || matches!(head.status, 204 | 304);
        if end {
            self.lasting.moved.grpc_status = grpc::status(&head.fields);
        }
        (self.edit)(&mut head);
        if head.status == 101 {
            self.tunnel = true;
            self.down.start(&head, false)?;
            self.down.tunnel();
            self.up.tunnel();
            self.request_ended = false;
            self.response = Response::Body;
            cx.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        self.down.start(&head, end)?;
        self.response = if end { Response::Ended } else { Response::Body };
        Poll::Ready(Ok(()))
    }

    fn asked(&self) -> Asked {
        Asked { replayable: !self.down.touched() || self.lasting.replay.is_whole(), elsewhere: false }
    }

    fn end(&mut self, trailers: Option<&Fields>) -> Result<(), Broken> {
        self.lasting.moved.grpc_status = trailers.and_then(grpc::status);
        self.response = Response::Ended;
        self.down.finish(trailers)
    }
}
