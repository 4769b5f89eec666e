// SPDX-License-Identifier: Apache-2.0
//! `traceparent` and `tracestate` (W3C Trace Context, level 1). What is not as the standard has it is nothing.

use super::ids::{SpanId, TraceId, number};

/// Members of a `tracestate` (§3.3.1.1).
pub(super) const MOST_MEMBERS: usize = 32;
/// Bytes of a key or a value (§3.3.1.3).
const LONGEST: usize = 256;
/// Bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// What a `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) sampled: bool,
    /// It is of the version that is written here.
    pub(super) is_current: bool,
}

/// Reads a `traceparent`. Of a version that is not known yet as much is believed as the standard promises of it (§4.3): the
/// parts of version 00 come first, and what follows them begins with a dash.
pub(super) fn parse(text: &[u8]) -> Option<Parent> {
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let [v1, v2, b'-', ids @ ..] = known else { return None };
    let (trace, ids) = ids.split_at_checked(32)?;
    let (span, flags) = ids.strip_prefix(b"-")?.split_at_checked(16)?;
    let (version, flags) = (number(&[*v1, *v2])?, number(flags.strip_prefix(b"-")?)?);
    let is_whole = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.is_empty() || rest.starts_with(b"-"),
    };
    if !is_whole {
        return None;
    }
    let (trace, span) = (TraceId::parse(trace)?, SpanId::parse(span)?);
    Some(Parent { trace, span, sampled: flags & 1 == 1, is_current: version == 0 })
}

/// Appends a `traceparent` of version 00. Flags that it does not know are zero (§3.2.2.5).
pub(super) fn write(out: &mut Vec<u8>, trace: TraceId, span: SpanId, sampled: bool) {
    out.extend_from_slice(b"00-");
    trace.write(out, false);
    out.push(b'-');
    span.write(out);
    out.extend_from_slice(if sampled { b"-01" } else { b"-00" });
}

/// How many members one field of a `tracestate` has; `None` if it is none.
pub(super) fn members(text: &[u8]) -> Option<usize> {
    let mut count = 0;
    // A member that is empty is none, and no mistake.
    for member in text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty()) {
        let at = memchr::memchr(b'=', member)?;
        count += 1;
        if count > MOST_MEMBERS || !is_key(&member[..at]) || !is_value(&member[at + 1..]) {
            return None;
        }
    }
    Some(count)
}

fn is_key(key: &[u8]) -> bool {
    let is_inside = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
    let (tenant, system) = match memchr::memchr(b'@', key) {
        Some(at) => (&key[..at], Some(&key[at + 1..])),
        None => (key, None),
    };
    let begins = tenant.first().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_system = |it: &[u8]| it.len() <= 14 && it.first().is_some_and(u8::is_ascii_lowercase);
    begins
        && key.len() <= LONGEST
        && tenant.iter().chain(system.unwrap_or_default()).all(is_inside)
        && system.is_none_or(is_system)
}

fn is_value(value: &[u8]) -> bool {
    let is_inside = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'=';
    !value.is_empty() && value.len() <= LONGEST && value.iter().all(is_inside)
}
