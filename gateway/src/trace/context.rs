// SPDX-License-Identifier: Apache-2.0
//! What a request brings of a trace, and what it takes along. W3C's fields are always written, those of B3 where there were
//! some.

use super::ids::{SpanId, TraceId};
use super::{b3, w3c};
use crate::head::Fields;

/// Longest `tracestate` that spans repeat, in bytes.
const LONGEST_STATE: usize = 512;

/// A field that may be there once.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Seen<'f> {
    #[default]
    Absent,
    Once(&'f [u8]),
    /// More than once: nobody knows which of them holds.
    Often,
}

impl<'f> Seen<'f> {
    fn note(&mut self, value: &'f [u8]) {
        *self = if *self == Self::Absent { Self::Once(value) } else { Self::Often };
    }

    fn once(self) -> Option<&'f [u8]> {
        match self {
            Self::Once(value) => Some(value),
            Self::Absent | Self::Often => None,
        }
    }

    fn is_there(self) -> bool {
        self != Self::Absent
    }
}

/// All fields that say something of a trace.
#[derive(Default)]
struct Found<'f> {
    parent: Seen<'f>,
    /// Members of all fields of that name; `None`: one of them is none.
    members: Option<usize>,
    has_state: bool,
    single: Seen<'f>,
    trace: Seen<'f>,
    span: Seen<'f>,
    sampled: Seen<'f>,
    flags: Seen<'f>,
}

impl<'f> Found<'f> {
    fn of(fields: &'f Fields) -> Self {
        let mut found = Self { members: Some(0), ..Self::default() };
        for (_, name, value) in fields.iter() {
            match name {
                b"traceparent" => found.parent.note(value),
                b"tracestate" => {
                    found.has_state = true;
                    let more = w3c::members(value);
                    found.members = found.members.zip(more).map(|(before, more)| before + more);
                }
                b"b3" => found.single.note(value),
                b"x-b3-traceid" => found.trace.note(value),
                b"x-b3-spanid" => found.span.note(value),
                b"x-b3-sampled" => found.sampled.note(value),
                b"x-b3-flags" => found.flags.note(value),
                _ => {}
            }
        }
        found
    }

    fn multi(&self) -> [Seen<'f>; 4] {
        [self.trace, self.span, self.sampled, self.flags]
    }

    /// One field goes before several.
    fn b3(&self) -> Option<b3::B3> {
        if let Some(single) = self.single.once().and_then(b3::single) {
            return Some(single);
        }
        if self.multi().contains(&Seen::Often) {
            return None;
        }
        b3::multi((self.trace.once(), self.span.once()), (self.sampled.once(), self.flags.once()))
    }
}

/// What a request brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Brought {
    /// The trace and the span that it follows from.
    pub(super) ids: Option<(TraceId, SpanId)>,
    /// What somebody before this proxy has decided.
    pub(super) sampled: Option<bool>,
    /// B3's fields that are written.
    form: Form,
    /// `traceparent` can stay as it is.
    is_current: bool,
    keeps_state: bool,
}

/// In which fields a context is written beside `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Form {
    single: bool,
    multi: bool,
    is_short: bool,
    debug: bool,
}

impl Brought {
    /// Reads all that is there. Of W3C and B3 the former holds; what is malformed, or there twice, is not there.
    pub(super) fn of(fields: &Fields) -> Self {
        let found = Found::of(fields);
        let parent = found.parent.once().and_then(w3c::parse);
        let b3 = found.b3();
        let of_b3 = b3.unwrap_or_default();
        // The same trace in both: B3 may write less of its id.
        let is_same = parent.is_none_or(|parent| of_b3.ids.is_some_and(|(trace, _)| trace == parent.trace));
        let form = Form {
            single: found.single.is_there(),
            multi: found.multi().iter().any(|seen| seen.is_there()),
            is_short: of_b3.is_short && is_same,
            debug: of_b3.debug && parent.is_none_or(|parent| parent.sampled),
        };
        Self {
            ids: parent.map(|parent| (parent.trace, parent.span)).or(of_b3.ids),
            sampled: parent.map_or(of_b3.sampled, |parent| Some(parent.sampled)),
            form,
            is_current: parent.is_some_and(|parent| parent.is_current) && !form.single && !form.multi,
            // "If the vendor failed to parse traceparent, it MUST NOT attempt to parse tracestate" (§4.3), and what is left
            // of that without it belongs to no trace.
            keeps_state: parent.is_some() && found.members.is_some_and(|count| count <= w3c::MOST_MEMBERS),
        }
    }

    /// What goes on: `span` is what follows from.
    pub(super) fn onward(&self, trace: TraceId, span: SpanId, sampled: bool) -> Context {
        let form = Form { debug: self.form.debug && sampled, ..self.form };
        Context { trace, span, sampled, form, keeps_state: self.keeps_state }
    }

    /// Nothing needs to be written where nobody follows the request and nobody had to decide that.
    pub(super) fn stands(&self) -> bool {
        self.is_current && self.keeps_state
    }

    /// `tracestate`, as spans repeat it.
    pub(super) fn state(&self, fields: &Fields) -> Option<Box<str>> {
        if !self.keeps_state {
            return None;
        }
        let state = fields.joined("tracestate")?;
        (!state.is_empty() && state.len() <= LONGEST_STATE).then(|| state.into())
    }
}

/// What a request takes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: TraceId,
    /// What follows from this span.
    pub(super) span: SpanId,
    sampled: bool,
    form: Form,
    keeps_state: bool,
}

impl Context {
    /// The same, following from another span.
    pub(super) fn of(self, span: SpanId) -> Self {
        Self { span, ..self }
    }

    /// Writes it in place of what was there.
    pub(super) fn inject(&self, fields: &mut Fields) {
        let Self { trace, span, sampled, form, keeps_state } = *self;
        let is_old = |name: &[u8]| match name {
            b"traceparent" | b"b3" => true,
            b"tracestate" => !keeps_state,
            _ => form.multi && is_multi(name),
        };
        fields.retain(|_, name, _| !is_old(name));
        fields.push_with(b"traceparent", |out| w3c::write(out, trace, span, sampled));
        if form.single {
            fields.push_with(b"b3", |out| {
                trace.write(out, form.is_short);
                out.push(b'-');
                span.write(out);
                out.extend_from_slice(if form.debug { b"-d" } else { [b"-0", b"-1"][usize::from(sampled)] });
            });
        }
        if form.multi {
            fields.push_with(b"x-b3-traceid", |out| trace.write(out, form.is_short));
            fields.push_with(b"x-b3-spanid", |out| span.write(out));
            // "Debug implies an accept decision, so don't also send the X-B3-Sampled header."
            if form.debug {
                fields.push(b"x-b3-flags", b"1");
            } else {
                fields.push(b"x-b3-sampled", if sampled { b"1" } else { b"0" });
            }
        }
    }

    /// Writes it into a request that is our own, in the form that everybody reads.
    pub(super) fn introduce(&self, fields: &mut Fields) {
        fields.retain(|_, name, _| !matches!(name, b"traceparent" | b"tracestate" | b"b3") && !is_multi(name));
        fields.push_with(b"traceparent", |out| w3c::write(out, self.trace, self.span, self.sampled));
    }
}

fn is_multi(name: &[u8]) -> bool {
    matches!(name, b"x-b3-traceid" | b"x-b3-spanid" | b"x-b3-parentspanid" | b"x-b3-sampled" | b"x-b3-flags")
}

/// Has a question about a request that nobody follows belong to its trace all the same: whoever is asked shall begin none.
pub(crate) fn repeat(from: &Fields, to: &mut Fields) {
    if let Some(parent) = from.first("traceparent").filter(|_| to.first("traceparent").is_none()) {
        to.push(b"traceparent", parent);
    }
}
