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
}

pub(super) fn split<'a, I>(draft: &Draft<'a, I>, method: &str) -> Result<Form<'a>, Reject> {
    let target = draft.target;
    match target.first() {
        Some(b'/') => Ok(Form { authority: None, target: path::canonical(target)? }),
        Some(b'*') if target.len() == 1 && method == "OPTIONS" => {
            Ok(Form { authority: None, target: Cow::Borrowed("*") })
        }
        // `\admin`: browsers read it as `/admin`.
        Some(b'\\') if draft.version != Version::Http2 => {
            Ok(Form { authority: None, target: path::canonical(target)? })
        }
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
    let target = match path_and_query.first() {
        None if method == "OPTIONS" => Cow::Borrowed("*"),
        None => Cow::Borrowed("/"),
        Some(b'/') => path::canonical(path_and_query)?,
        Some(b'?') => {
            let mut rooted = String::from("/");
            rooted.push_str(&path::canonical(path_and_query)?);
            Cow::Owned(rooted)
        }
        Some(_) => return Err(Reject::bad("bad_target")),
    };
    Ok(Form { authority: Some(authority), target })
}
