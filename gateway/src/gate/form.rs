// SPDX-License-Identifier: Apache-2.0
//! The forms of a request target (RFC 9112 §3.2): origin, absolute, asterisk. Authority form belongs to CONNECT, which
//! is refused.

use std::borrow::Cow;

use super::{Draft, path};
use crate::fault::Reject;
use crate::head::{Scheme, Version};

/// A target taken apart.
pub(super) struct Form<'a> {
    /// What an absolute form names.
    pub(super) authority: Option<&'a [u8]>,
    /// Canonical `path[?query]`, or `*`.
    pub(super) target: Cow<'a, str>,
    /// The same as it came, if that is something else.
    pub(super) written: Option<&'a str>,
}

impl<'a> Form<'a> {
    /// Of a path.
    fn of(authority: Option<&'a [u8]>, written: &'a [u8]) -> Result<Self, Reject> {
        let target = path::canonical(written)?;
        let is_other = matches!(target, Cow::Owned(_));
        // All that has a canonical form is ASCII.
        let written = std::str::from_utf8(written).ok().filter(|_| is_other);
        Ok(Self { authority, target, written })
    }

    /// Of what needs no second look.
    fn plain(authority: Option<&'a [u8]>, target: Cow<'a, str>) -> Self {
        Self { authority, target, written: None }
    }
}

pub(super) fn split<'a, I>(draft: &Draft<'a, I>, method: &str) -> Result<Form<'a>, Reject> {
    let target = draft.target;
    match target.first() {
        Some(b'/') => Form::of(None, target),
        Some(b'*') if target.len() == 1 && method == "OPTIONS" => Ok(Form::plain(None, Cow::Borrowed("*"))),
        // `\admin`: browsers read it as `/admin`.
        Some(b'\\') if draft.version != Version::Http2 => Form::of(None, target),
        _ if draft.version == Version::Http2 => Err(Reject::bad("bad_target")),
        _ => absolute(draft.scheme, target, method),
    }
}

/// `scheme://authority[/path][?query]`; an empty path is `/`, or `*` for OPTIONS (RFC 9112 §3.2.4).
fn absolute<'a>(scheme: Scheme, target: &'a [u8], method: &str) -> Result<Form<'a>, Reject> {
    let colon = memchr::memchr(b':', target).ok_or(Reject::bad("bad_target"))?;
    let (named, rest) = target.split_at(colon);
    let rest = rest.strip_prefix(b"://").ok_or(Reject::bad("bad_target"))?;
    if !named.eq_ignore_ascii_case(scheme.as_str().as_bytes()) {
        return Err(Reject::bad("scheme_mismatch"));
    }
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\')).unwrap_or(rest.len());
    let (authority, path_and_query) = rest.split_at(end);
    match path_and_query.first() {
        None if method == "OPTIONS" => Ok(Form::plain(Some(authority), Cow::Borrowed("*"))),
        None => Ok(Form::plain(Some(authority), Cow::Borrowed("/"))),
        Some(b'/') => Form::of(Some(authority), path_and_query),
        Some(b'?') => {
            let mut rooted = String::from("/");
            rooted.push_str(&path::canonical(path_and_query)?);
            Ok(Form::plain(Some(authority), Cow::Owned(rooted)))
        }
        Some(_) => Err(Reject::bad("bad_target")),
    }
}
