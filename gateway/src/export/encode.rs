// SPDX-License-Identifier: Apache-2.0
//! Spans as OTLP has them, and what an answer says.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message as _;

use super::messages::{
    AnyValue, ExportTraceServiceRequest, ExportTraceServiceResponse, KeyValue, ResourceSpans, ScopeSpans, Span, Status,
    Value,
};
use super::resource::Resource;
use crate::trace::{self, Attribute, Kind};

/// `SpanKind`.
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
/// `Status.StatusCode`.
const ERROR: i32 = 2;
/// `SpanFlags`: the context was sampled, or no span would tell of it; and it is known whether the parent is elsewhere.
const SAMPLED: u32 = 1;
const KNOWS_PARENT: u32 = 0x100;
const PARENT_IS_REMOTE: u32 = 0x200;
/// The conventions that names of attributes follow.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

/// The message that tells of spans.
pub(super) fn encoded(resource: &Resource, spans: &[Box<trace::Span>]) -> Vec<u8> {
    let attributes = resource.attributes().map(|(key, value)| key_value((key, value.into()))).collect();
    let scope = ScopeSpans { scope: Some(Resource::scope()), spans: spans.iter().map(|span| encode(span)).collect() };
    let of_resource = ResourceSpans {
        resource: Some(super::messages::Resource { attributes }),
        scope_spans: vec![scope],
        schema_url: SCHEMA.to_owned(),
    };
    ExportTraceServiceRequest { resource_spans: vec![of_resource] }.encode_to_vec()
}

fn encode(span: &trace::Span) -> Span {
    let (kind, remote) = match span.kind() {
        Kind::Server => (SERVER, PARENT_IS_REMOTE),
        Kind::Client => (CLIENT, 0),
    };
    Span {
        trace_id: span.trace.bytes().to_vec(),
        span_id: span.id.bytes().to_vec(),
        trace_state: span.state.as_deref().unwrap_or_default().to_owned(),
        parent_span_id: span.parent.map(|parent| parent.bytes().to_vec()).unwrap_or_default(),
        name: span.name().into_owned(),
        kind,
        start_time_unix_nano: nanos(span.start),
        end_time_unix_nano: nanos(span.end),
        attributes: span.attributes().into_iter().map(key_value).collect(),
        status: span.error().map(|_| Status { message: String::new(), code: ERROR }),
        flags: SAMPLED | KNOWS_PARENT | remote,
    }
}

fn key_value((key, value): Attribute<'_>) -> KeyValue {
    let value = match value {
        trace::Value::Text(text) => Value::Text(text.into_owned()),
        trace::Value::Number(number) => Value::Number(number),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

fn nanos(moment: SystemTime) -> u64 {
    u64::try_from(moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

/// How many spans of those that were sent are refused by this answer; `None`: it is none.
pub(super) fn refused(answer: &[u8]) -> Option<u64> {
    let partial = ExportTraceServiceResponse::decode(answer).ok()?.partial_success.unwrap_or_default();
    if !partial.error_message.is_empty() {
        tracing::debug!(refused = partial.rejected_spans, why = %partial.error_message.escape_debug(), "told by a collector");
    }
    Some(u64::try_from(partial.rejected_spans).unwrap_or_default())
}
