// SPDX-License-Identifier: Apache-2.0
//! How requests of one listener are traced.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use torana_ir::{HeaderName, ProviderKey, Share, TagValue, Tracing};

use super::context::Brought;
use super::followed::{Followed, Request};
use super::ids::{SpanId, TraceId};
use crate::head::{Fields, Head};

/// Longest value of a tag that comes from a request, in bytes.
const LONGEST_TAG: usize = 256;

/// How requests of one listener are traced.
#[derive(Debug)]
pub(crate) struct Tracer {
    /// Who is told of spans.
    pub(crate) collector: ProviderKey,
    sampling: Share,
    is_told: bool,
    /// What every span says, by name.
    fixed: Vec<(String, String)>,
    /// What depends on the request, by name.
    of_fields: Vec<(String, HeaderName, Option<String>)>,
}

/// How a request came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Came {
    /// Who asks.
    pub(crate) client: std::net::IpAddr,
    /// The other end of its connection.
    pub(crate) peer: SocketAddr,
    /// When its head was complete …
    pub(crate) started: Instant,
    /// … and what tells the time of that moment; asked only of requests that are followed.
    pub(crate) clock: fn() -> SystemTime,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) struct Begun {
    /// The trace that it belongs to.
    pub(crate) trace: TraceId,
    /// If it is followed.
    pub(crate) followed: Option<Box<Followed>>,
}

impl Tracer {
    /// What the IR says; `variable` looks into the environment.
    pub(crate) fn compile(spec: &Tracing, variable: impl Fn(&str) -> Option<String>) -> Self {
        let (mut fixed, mut of_fields) = (Vec::new(), Vec::new());
        for (at, tag) in spec.tags.iter().enumerate() {
            if spec.tags.iter().skip(at + 1).any(|later| later.name == tag.name) {
                continue;
            }
            let value = match &tag.value {
                TagValue::Literal(value) => Some(value.clone()),
                TagValue::Environment { name, default } => variable(name).or_else(|| default.clone()),
                TagValue::Header { name, default } => {
                    of_fields.push((tag.name.clone(), name.clone(), default.clone()));
                    None
                }
            };
            fixed.extend(value.map(|value| (tag.name.clone(), value)));
        }
        let is_told = !spec.disable_reporting;
        Self { collector: spec.collector.clone(), sampling: spec.sampling, is_told, fixed, of_fields }
    }

    /// Reads what a request brings, decides whether it is followed, and writes what it takes along. `sampling` is what its
    /// rule says of that, if it says anything.
    ///
    /// A request that is not followed has no span of its own here: what follows from it follows from its client's, as if
    /// this proxy were not there.
    pub(crate) fn begin(self: &Arc<Self>, head: &mut Head, sampling: Option<Share>, came: Came) -> Begun {
        let brought = Brought::of(&head.fields);
        let chance = || sampling.unwrap_or(self.sampling).takes(fastrand::u64(..));
        let sampled = brought.sampled.unwrap_or_else(chance);
        if !sampled || !self.is_told {
            let (trace, span) = brought.ids.unwrap_or_else(|| (TraceId::random(), SpanId::random()));
            if !brought.stands() {
                brought.onward(trace, span, sampled).inject(&mut head.fields);
            }
            return Begun { trace, followed: None };
        }
        let trace = brought.ids.map_or_else(TraceId::random, |(trace, _)| trace);
        // What the backend is told is the first try; of another one it is told later.
        let context = brought.onward(trace, SpanId::random(), true);
        let state = brought.state(&head.fields);
        let request = Request::of(head, self.tags(&head.fields), came);
        context.inject(&mut head.fields);
        let followed = Followed::new(Arc::clone(self), (context, state), brought.ids.map(|(_, span)| span), request);
        Begun { trace, followed: Some(Box::new(followed)) }
    }

    /// Values in the order of [`Tracer::of_fields`].
    fn tags(&self, fields: &Fields) -> Option<Arc<[Option<Box<str>>]>> {
        if self.of_fields.is_empty() {
            return None;
        }
        let value = |(_, name, default): &(String, HeaderName, Option<String>)| {
            let sent = fields.first(name.as_str()).map(|value| cut(value, LONGEST_TAG));
            sent.or_else(|| default.as_deref().map(Box::from))
        };
        Some(self.of_fields.iter().map(value).collect())
    }

    /// What every span says, and what one says whose request has these values.
    pub(super) fn said<'s>(&'s self, tags: Option<&'s [Option<Box<str>>]>) -> impl Iterator<Item = (&'s str, &'s str)> {
        let fixed = self.fixed.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let names = self.of_fields.iter().map(|(name, _, _)| name.as_str());
        let values = tags.unwrap_or_default().iter().map(Option::as_deref);
        fixed.chain(names.zip(values).filter_map(|(name, value)| Some((name, value?))))
    }
}

/// As text, no longer than `most` bytes: what a client sends takes no more room in the queue.
pub(super) fn cut(value: &[u8], most: usize) -> Box<str> {
    let mut text = String::from_utf8_lossy(&value[..value.len().min(most)]).into_owned();
    // What is not UTF-8 is replaced by more than it was.
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    text.truncate(end);
    text.into_boxed_str()
}
