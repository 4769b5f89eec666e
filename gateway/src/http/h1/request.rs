// SPDX-License-Identifier: Apache-2.0
//! A request head out of bytes: strict framing of lines here, everything else by the gate.
//!
//! At most one empty line before the start line is ignored (RFC 9112 §2.2). Lines end in CRLF only; folded lines are
//! refused.

use std::mem::MaybeUninit;

use torana_ir::Limits;

use crate::fault::Reject;
use crate::gate::{self, Draft, Passed};
use crate::head::{Scheme, Version};

/// Fields that can be parsed at all; `Limits::head_fields` beyond it has no effect.
const MAX_FIELDS: usize = 256;

/// What a client of HTTP/2 sends first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// What the bytes are.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// The beginning of a head.
    Partial,
    /// A whole head.
    Complete {
        /// What passed the gate.
        passed: Passed,
        /// Bytes of the head.
        used: usize,
    },
    /// Refused.
    Bad(Reject),
}

/// Looks for a whole head at the front of `bytes`.
pub(crate) fn parse(bytes: &[u8], scheme: Scheme, limits: &Limits) -> Parsed {
    let skipped = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let head = &bytes[skipped..];
    let mut fields = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    if matches!(head.first(), Some(b'\r' | b'\n')) && (skipped > 0 || head != b"\r") {
        // The parser would skip any number of them.
        return Parsed::Bad(Reject::bad("bad_request_line"));
    }
    let used = match request.parse_with_uninit_headers(head, &mut fields) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return too_much(head, limits).map_or(Parsed::Partial, Parsed::Bad),
        Err(error) => return Parsed::Bad(refusal(error, head)),
    };
    match judge(&request, &head[..used], scheme, limits) {
        Ok(passed) => Parsed::Complete { passed, used: skipped + used },
        Err(reject) => Parsed::Bad(reject),
    }
}

fn judge(request: &httparse::Request<'_, '_>, head: &[u8], scheme: Scheme, limits: &Limits) -> Result<Passed, Reject> {
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    let version = if request.version == Some(0) { Version::Http10 } else { Version::Http11 };
    // The parser takes more blanks than one: the line must be exactly what it was taken apart into.
    let line = method.len() + target.len() + b"  HTTP/1.1\r\n".len();
    if head.get(line - 1) != Some(&b'\n')
        || head.get(method.len() + 1..method.len() + 1 + target.len()) != Some(target.as_bytes())
    {
        return Err(Reject::bad("bad_request_line"));
    }
    if has_bare_lf(head) {
        return Err(Reject::bad("bad_line_end"));
    }
    if head.len() > limits.head_bytes {
        return Err(Reject::with(431, "head_too_long"));
    }
    gate::judge(
        Draft {
            version,
            scheme,
            method: method.as_bytes(),
            target: target.as_bytes(),
            authority: None,
            fields: request.headers.iter().map(|field| (field.name.as_bytes(), field.value)),
        },
        limits,
    )
}

/// A line that ends in LF alone (RFC 9112 §2.2 lets a recipient take it; readers that do not would see other lines).
pub(super) fn has_bare_lf(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r')
}

/// Whether an unfinished head is beyond its limits already.
fn too_much(head: &[u8], limits: &Limits) -> Option<Reject> {
    const LONGEST_METHOD: usize = 32;
    let blank = memchr::memchr(b' ', &head[..head.len().min(LONGEST_METHOD + 1)]);
    if head.len() > LONGEST_METHOD && blank.is_none() {
        return Some(Reject::with(501, "method_too_long"));
    }
    let line = LONGEST_METHOD + limits.target_bytes + b"  HTTP/1.1\r\n".len();
    if head.len() > line && memchr::memchr(b'\n', &head[..line]).is_none() {
        return Some(Reject::with(414, "target_too_long"));
    }
    (head.len() > limits.head_bytes).then_some(Reject::with(431, "head_too_long"))
}

fn refusal(error: httparse::Error, head: &[u8]) -> Reject {
    match error {
        httparse::Error::TooManyHeaders => Reject::with(431, "too_many_fields"),
        httparse::Error::Version if head.starts_with(PREFACE) => Reject::bad("unexpected_http2_preface"),
        httparse::Error::Version if is_foreign(head) => Reject::NOT_HTTP,
        httparse::Error::Version => Reject::with(505, "unknown_http_version"),
        httparse::Error::HeaderName => Reject::bad("bad_field_name"),
        httparse::Error::HeaderValue => Reject::bad("bad_field_value"),
        httparse::Error::NewLine => Reject::bad("bad_line_end"),
        _ => Reject::bad("bad_request_line"),
    }
}

/// A line of three words or more, none of which names HTTP, is no request line of whatever version. A client of HTTP/2
/// that garbled its preface could not read an answer of HTTP/1 (RFC 9113 §3.4).
fn is_foreign(head: &[u8]) -> bool {
    let line = &head[..memchr::memchr(b'\n', head).unwrap_or(head.len())];
    let named = line.windows(4).any(|word| word.eq_ignore_ascii_case(b"http"));
    !named && line.split(|byte| *byte == b' ').count() > 2
}

#[cfg(test)]
mod tests;
