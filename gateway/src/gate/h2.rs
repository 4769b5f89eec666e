// SPDX-License-Identifier: Apache-2.0
//! The gate for HTTP/2. Pseudo-fields were taken apart by the `h2` crate, which also refuses missing, doubled and
//! misplaced ones; what it lets through is judged like any other request.

use http::request::Parts;
use torana_ir::Limits;

use super::{Draft, Passed, judge};
use crate::fault::Reject;
use crate::head::{BodyLength, Scheme, Version};

/// Judges a request of HTTP/2. `ended`: its HEADERS carried END_STREAM.
pub(crate) fn h2(parts: &Parts, ended: bool, scheme: Scheme, limits: &Limits) -> Result<Passed, Reject> {
    if parts.uri.scheme_str().is_some_and(|named| named != scheme.as_str()) {
        return Err(Reject::bad("scheme_mismatch"));
    }
    let mut passed = judge(
        Draft {
            version: Version::Http2,
            scheme,
            method: parts.method.as_str().as_bytes(),
            target: parts.uri.path_and_query().map_or("", |target| target.as_str()).as_bytes(),
            authority: parts.uri.authority().map(|authority| authority.as_str().as_bytes()),
            fields: parts.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())),
        },
        limits,
    )?;
    if ended {
        // RFC 9113 §8.1.1.
        if matches!(passed.head.body, BodyLength::Exact(1..)) {
            return Err(Reject::bad("bad_content_length"));
        }
        passed.head.body = BodyLength::None;
        passed.head.expects_continue = false;
    } else if passed.head.body == BodyLength::Exact(0) {
        // The client may yet send more than nothing: no backend is told that this is all before it has ended.
        passed.head.body = BodyLength::Unknown;
    }
    Ok(passed)
}
