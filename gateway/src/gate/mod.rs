// SPDX-License-Identifier: Apache-2.0
//! The strict gate: the one place that decides, for HTTP/1 and HTTP/2 alike and before routing, what is a valid
//! request. Everything ambiguous is refused; what leaves is canonical, so that router, policy, log and backend see the
//! same bytes. Which form of a path a listener wants is known with the host: [`normalise`] gives it that.
//!
//! It never routes, never reads a socket, and knows nothing of how a body is framed on the wire.

mod authority;

mod connection;

mod fields;

mod form;

mod h2;

mod path;

mod text;

#[cfg(test)]
mod tests;

use torana_ir::Limits;

use crate::fault::Reject;
use crate::head::{BodyLength, Head, Scheme, Version};

pub(crate) use connection::Options;
pub(crate) use fields::forbidden_in_trailers;
pub(crate) use h2::h2;
pub(crate) use path::{canonical, normalise};
pub(crate) use text::{content_length, is_token, is_value};

/// What a parser found, not judged yet. Texts are as they came.
pub(crate) struct Draft<'a, I> {
    /// The protocol.
    pub(crate) version: Version,
    /// Of the transport: TLS or not.
    pub(crate) scheme: Scheme,
    /// The method.
    pub(crate) method: &'a [u8],
    /// The request target of HTTP/1, `:path` of HTTP/2.
    pub(crate) target: &'a [u8],
    /// `:authority`; an HTTP/1 parser gives `None`.
    pub(crate) authority: Option<&'a [u8]>,
    /// The fields in the order they came, without blanks around their values.
    pub(crate) fields: I,
}

/// A request that passed.
#[derive(Debug)]
pub(crate) struct Passed {
    /// The canonical head.
    pub(crate) head: Box<Head>,
    /// The client lets the connection live after the answer (RFC 9112 §9.3).
    pub(crate) keep_alive: bool,
    /// `OPTIONS *`: about the gateway itself, never forwarded (RFC 9110 §9.3.7). The target of the head is `*`.
    pub(crate) asterisk: bool,
    /// Fields that were dropped because their name has a `_`, which many backends read as `-`.
    pub(crate) dropped_names: u32,
}

/// Judges a request.
pub(crate) fn judge<'a, I>(draft: Draft<'a, I>, limits: &Limits) -> Result<Passed, Reject>
where
    I: Iterator<Item = (&'a [u8], &'a [u8])>,
{
    let method = text::method(draft.method)?;
    if draft.target.len() > limits.target_bytes {
        return Err(Reject::with(414, "target_too_long"));
    }
    let form = form::split(&draft, method)?;
    let found = fields::sift(draft.version, draft.fields, limits)?;
    let authority = authority::choose(draft.scheme, [form.authority, draft.authority, found.host()])?;
    let asterisk = form.target == "*";
    let mut head = Box::new(Head::new(draft.version, draft.scheme, method, &authority, &form.target));
    if let Some(written) = form.written {
        head.keep_written(written);
    }
    head.body = found.body(draft.version)?;
    head.upgrade = found.upgrade(draft.version) && method == "GET" && head.body == BodyLength::None;
    head.trailers = found.trailers && draft.version != Version::Http10;
    head.expects_continue = found.expects_continue && draft.version != Version::Http10;
    let keep_alive = found.connection.keep_alive(draft.version);
    let dropped_names = found.dropped_names;
    head.fields = found.into_fields(head.upgrade);
    Ok(Passed { head, keep_alive, asterisk, dropped_names })
}
