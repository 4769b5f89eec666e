// SPDX-License-Identifier: Apache-2.0
//! B3 (openzipkin/b3-propagation), as one field and as several.

use super::ids::{SpanId, TraceId};

/// What came, all of it well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct B3 {
    /// The trace and the span that follows from; none where there is a decision alone.
    pub(super) ids: Option<(TraceId, SpanId)>,
    /// The id of the trace has 64 bit.
    pub(super) is_short: bool,
    /// Whether it is followed; `None`: that is left to others.
    pub(super) sampled: Option<bool>,
    /// It is followed whatever anybody says of that.
    pub(super) debug: bool,
}

/// `b3: {TraceId}-{SpanId}[-{SamplingState}[-{ParentSpanId}]]`, or `{SamplingState}` alone.
pub(super) fn single(text: &[u8]) -> Option<B3> {
    let mut parts = text.split(|byte| *byte == b'-');
    let (first, Some(span)) = (parts.next()?, parts.next()) else {
        return decided(text);
    };
    let decision = match parts.next() {
        Some(state) => decided(state)?,
        None => B3::default(),
    };
    // Who the parent of the parent was is nobody's business any more, but it has to be one.
    if let Some(parent) = parts.next() {
        SpanId::parse(parent)?;
    }
    let ids = Some((TraceId::parse(first)?, SpanId::parse(span)?));
    parts.next().is_none().then_some(B3 { ids, is_short: first.len() == 16, ..decision })
}

fn decided(state: &[u8]) -> Option<B3> {
    let (sampled, debug) = match state {
        b"0" => (false, false),
        b"1" => (true, false),
        b"d" => (true, true),
        _ => return None,
    };
    Some(B3 { sampled: Some(sampled), debug, ..B3::default() })
}

/// `x-b3-traceid` and `x-b3-spanid`, which come together or not at all, `x-b3-sampled` and `x-b3-flags`.
pub(super) fn multi(
    (trace, span): (Option<&[u8]>, Option<&[u8]>),
    (sampled, flags): (Option<&[u8]>, Option<&[u8]>),
) -> Option<B3> {
    let sampled = match sampled {
        // Some early tracers write words.
        Some(b"0" | b"false") => Some(false),
        Some(b"1" | b"true") => Some(true),
        Some(_) => return None,
        None => None,
    };
    let debug = match flags {
        Some(b"1") => true,
        Some(b"0") | None => false,
        Some(_) => return None,
    };
    let ids = match (trace, span) {
        (Some(trace), Some(span)) => Some((TraceId::parse(trace)?, SpanId::parse(span)?)),
        (None, None) => None,
        _ => return None,
    };
    let is_short = trace.is_some_and(|trace| trace.len() == 16);
    let sampled = if debug { Some(true) } else { sampled };
    (ids.is_some() || sampled.is_some()).then_some(B3 { ids, is_short, sampled, debug })
}
