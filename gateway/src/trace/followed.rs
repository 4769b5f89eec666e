// SPDX-License-Identifier: Apache-2.0
//! A request that is followed, from its head to its end, with everything that is sent on its behalf.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use torana_ir::Backend;

use super::context::Context;
use super::ids::SpanId;
use super::span::{About, Span};
use super::tracer::{Came, Tracer, cut};
use crate::fault::Fault;
use crate::head::{Fields, Head, Known, Scheme, Version};
use crate::observe::Nouns;

/// Longest path that a span says, in bytes.
const LONGEST_PATH: usize = 1024;
/// Longest of the other texts of a request.
const LONGEST_TEXT: usize = 256;

/// A request that is followed.
#[derive(Debug)]
pub(crate) struct Followed {
    tracer: Arc<Tracer>,
    /// What the first try takes along.
    context: Context,
    state: Option<Box<str>>,
    /// Its client's span.
    parent: Option<SpanId>,
    own: SpanId,
    request: Request,
}

/// What is known of it when it comes, as its client sent it.
#[derive(Debug)]
pub(crate) struct Request {
    started: Instant,
    at: SystemTime,
    pub(super) client: IpAddr,
    pub(super) peer: SocketAddr,
    pub(super) method: Box<str>,
    pub(super) scheme: Scheme,
    pub(super) authority: Box<str>,
    pub(super) path: Box<str>,
    pub(super) version: Version,
    pub(super) agent: Option<Box<str>>,
    /// `X-Request-Id`, which may be given to it later.
    pub(super) id: Option<Box<str>>,
    pub(super) tags: Option<Arc<[Option<Box<str>>]>>,
}

/// What became of a request.
#[derive(Debug, Default)]
pub(crate) struct Served {
    /// Listener and rule.
    pub(crate) nouns: Option<Arc<Nouns>>,
    /// Where it was to go.
    pub(crate) backend: Option<Arc<Backend>>,
    /// What the client was told; 0: nothing.
    pub(crate) status: u16,
    /// What a backend of gRPC said of it.
    pub(crate) grpc_status: Option<u8>,
    /// Why it did not get a backend's whole answer.
    pub(crate) fault: Option<Fault>,
    /// Bytes of its body.
    pub(crate) received: u64,
    /// Bytes of the response's.
    pub(crate) sent: u64,
}

/// One time that somebody was asked on a request's behalf: a backend, or an authorization server.
#[derive(Debug)]
pub(crate) struct Tried {
    /// Who.
    pub(crate) backend: Arc<Backend>,
    /// Where; `None`: nowhere.
    pub(crate) endpoint: Option<SocketAddr>,
    /// Which try it was, from 1.
    pub(crate) number: u32,
    /// By HTTP/2.
    pub(crate) http2: bool,
    /// What it answered; 0: nothing.
    pub(crate) status: u16,
    /// Why it gave no whole answer.
    pub(crate) fault: Option<Fault>,
    /// It was asked whether the request may go on.
    pub(crate) is_question: bool,
}

impl Request {
    /// Of a request before anything is done to it.
    pub(super) fn of(head: &Head, tags: Option<Arc<[Option<Box<str>>]>>, came: Came) -> Self {
        let text = |value: &[u8]| cut(value, LONGEST_TEXT);
        Self {
            started: came.started,
            at: (came.clock)(),
            client: came.client,
            peer: came.peer,
            method: text(head.method().as_bytes()),
            scheme: head.scheme,
            authority: text(head.authority().as_bytes()),
            path: cut(head.path().as_bytes(), LONGEST_PATH),
            version: head.version,
            agent: head.fields.first("user-agent").map(text),
            id: None,
            tags,
        }
    }
}

impl Followed {
    pub(super) fn new(
        tracer: Arc<Tracer>,
        (context, state): (Context, Option<Box<str>>),
        parent: Option<SpanId>,
        request: Request,
    ) -> Self {
        Self { tracer, context, state, parent, own: SpanId::random(), request }
    }

    /// It has its id.
    pub(crate) fn stamped(&mut self, fields: &Fields) {
        self.request.id = fields.first_known(Known::RequestId).map(|id| cut(id, LONGEST_TEXT));
    }

    /// The span of its first try, which the backend is told of already.
    pub(crate) fn first(&self) -> SpanId {
        self.context.span
    }

    /// The span of another try, and the head that tells of it. A rule that took the field away wants nobody told.
    pub(crate) fn again(&self, head: &Head) -> (SpanId, Head) {
        let (span, mut head) = (SpanId::random(), head.clone());
        if head.fields.first("traceparent").is_some() {
            self.context.of(span).inject(&mut head.fields);
        }
        (span, head)
    }

    /// The span of a question about it, which has these fields.
    pub(crate) fn question(&self, fields: &mut Fields) -> SpanId {
        let span = SpanId::random();
        self.context.of(span).introduce(fields);
        span
    }

    /// What is told of a try, or of a question, with this head.
    pub(crate) fn tried(&self, span: SpanId, head: &Head, tried: Tried, (from, to): (Instant, Instant)) -> Box<Span> {
        let (method, path) = (cut(head.method().as_bytes(), LONGEST_TEXT), cut(head.path().as_bytes(), LONGEST_PATH));
        let authority = cut(head.authority().as_bytes(), LONGEST_TEXT);
        let tags = self.request.tags.clone();
        Box::new(Span {
            tracer: Arc::clone(&self.tracer),
            trace: self.context.trace,
            id: span,
            parent: Some(self.own),
            state: self.state.clone(),
            start: self.at(from),
            end: self.at(to),
            about: About::Try { tried, method, authority, path, tags },
        })
    }

    /// What is told of it in the end.
    pub(crate) fn served(self, served: Served, now: Instant) -> Box<Span> {
        let (start, end) = (self.request.at, self.at(now));
        Box::new(Span {
            tracer: self.tracer,
            trace: self.context.trace,
            id: self.own,
            parent: self.parent,
            state: self.state,
            start,
            end,
            about: About::Request { request: self.request, served },
        })
    }

    fn at(&self, moment: Instant) -> SystemTime {
        self.request.at + moment.saturating_duration_since(self.request.started)
    }
}
