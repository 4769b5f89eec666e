// SPDX-License-Identifier: Apache-2.0
//! The fields of a request: which are kept, and what the framing ones say.

use torana_ir::Limits;

use super::connection::{Options, is_for_this_hop};
use super::text::{self, Name};
use crate::fault::Reject;
use crate::head::{BodyLength, Fields, Known, Version};

/// What was found among the fields.
#[derive(Default)]
pub(super) struct Found<'a> {
    kept: Fields,
    pub(super) connection: Options<'a>,
    pub(super) expects_continue: bool,
    /// The client takes trailers (RFC 9110 §10.1.4).
    pub(super) trailers: bool,
    pub(super) dropped_names: u32,
    host: Option<&'a [u8]>,
    content_length: Option<&'a [u8]>,
    chunked: bool,
    websocket: bool,
    cookies: u32,
}

/// Judges every field.
pub(super) fn sift<'a>(
    version: Version,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    limits: &Limits,
) -> Result<Found<'a>, Reject> {
    // Room for a browser's head and for what the edge adds, in one allocation each.
    let mut found = Found { kept: Fields::with_capacity(1 << 10, 24), ..Found::default() };
    for (at, (name, value)) in fields.enumerate() {
        if at >= limits.head_fields {
            return Err(Reject::with(431, "too_many_fields"));
        }
        found.field((version, limits.trusted_hops), name, value)?;
    }
    Ok(found)
}

impl<'a> Found<'a> {
    fn field(&mut self, (version, hops): (Version, u8), name: &'a [u8], value: &'a [u8]) -> Result<(), Reject> {
        if !text::is_value(value) {
            return Err(Reject::bad("bad_field_value"));
        }
        match text::name(name) {
            Name::Plain => {}
            Name::Underscored => return self.underscored(name),
            Name::Bad => return Err(Reject::bad("bad_field_name")),
        }
        if version == Version::Http2 && name.iter().any(u8::is_ascii_uppercase) {
            // RFC 9113 §8.2.1.
            return Err(Reject::bad("bad_field_name"));
        }
        let keeps = |known, name: &[u8]| {
            !is_for_this_hop(known) && (!is_spoofable(known, name) || (hops > 0 && is_of_hops(name)))
        };
        let known = self.kept.push_if(name, value, keeps);
        match known {
            Known::Other => Ok(()),
            Known::Host => once(&mut self.host, value, "bad_host"),
            Known::ContentLength => self.content_length(value),
            Known::Cookie => {
                self.cookies += 1;
                Ok(())
            }
            Known::Expect => self.expect(value),
            Known::Te if version == Version::Http2 => {
                self.trailers = value.eq_ignore_ascii_case(b"trailers");
                self.trailers.then_some(()).ok_or(Reject::bad("connection_field_in_http2"))
            }
            Known::Te => {
                self.trailers |= text::list(value).any(|token| token.eq_ignore_ascii_case(b"trailers"));
                Ok(())
            }
            known if version == Version::Http2 => {
                // RFC 9113 §8.2.2; `trailer` is about the message.
                let allowed = !known.hop_by_hop() || matches!(known, Known::Trailer | Known::Http2Settings);
                allowed.then_some(()).ok_or(Reject::bad("connection_field_in_http2"))
            }
            Known::TransferEncoding => self.transfer_encoding(version, value),
            Known::Connection => self.connection.read(value),
            Known::Upgrade => {
                self.websocket |= text::list(value).any(|token| token.eq_ignore_ascii_case(b"websocket"));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// `X_User` would reach many backends as `X-User`.
    fn underscored(&mut self, name: &[u8]) -> Result<(), Reject> {
        let reads_as = |other: &[u8]| {
            name.len() == other.len()
                && name.iter().zip(other).all(|(mine, its)| {
                    let mine = if *mine == b'_' { b'-' } else { mine.to_ascii_lowercase() };
                    mine == *its
                })
        };
        if reads_as(b"transfer-encoding") || reads_as(b"content-length") {
            return Err(Reject::bad("underscore_in_framing_field"));
        }
        self.dropped_names += 1;
        Ok(())
    }

    /// Several lines of the same digits are one (RFC 9110 §8.6); `5` and `05` are not the same.
    fn content_length(&mut self, value: &'a [u8]) -> Result<(), Reject> {
        match self.content_length {
            Some(first) if first == value => Ok(()),
            Some(_) => Err(Reject::bad("bad_content_length")),
            None => {
                self.content_length = Some(value);
                Ok(())
            }
        }
    }

    fn transfer_encoding(&mut self, version: Version, value: &[u8]) -> Result<(), Reject> {
        const BAD: Reject = Reject::bad("bad_transfer_encoding");
        // HTTP/1.0 has no transfer codings: whoever speaks it did not frame the message that way (RFC 9112 §6.1).
        if version == Version::Http10 || self.chunked {
            return Err(BAD);
        }
        self.chunked = value.eq_ignore_ascii_case(b"chunked");
        if self.chunked {
            return Ok(());
        }
        // `chunked` anywhere but once at the end makes the length unknowable (RFC 9112 §6.3 (4)).
        let mut ended = false;
        for coding in text::list(value) {
            if ended || !text::is_token(coding) {
                return Err(BAD);
            }
            ended = coding.eq_ignore_ascii_case(b"chunked");
        }
        Err(Reject::with(501, "unknown_transfer_coding"))
    }

    /// RFC 9110 §10.1.1.
    fn expect(&mut self, value: &[u8]) -> Result<(), Reject> {
        if value.eq_ignore_ascii_case(b"100-continue") {
            self.expects_continue = true;
            return Ok(());
        }
        Err(Reject::with(417, "unknown_expectation"))
    }

    pub(super) fn host(&self) -> Option<&'a [u8]> {
        self.host
    }

    /// The length that the fields say. HTTP/2 knows better whether anything follows.
    pub(super) fn body(&self, version: Version) -> Result<BodyLength, Reject> {
        if self.chunked && self.content_length.is_some() {
            // RFC 9112 §6.1: an attempt at smuggling, or a broken sender.
            return Err(Reject::bad("length_and_coding"));
        }
        match self.content_length {
            Some(digits) => {
                let length = text::content_length(digits).ok_or(Reject::bad("bad_content_length"))?;
                Ok(BodyLength::Exact(length))
            }
            None if self.chunked || version == Version::Http2 => Ok(BodyLength::Unknown),
            None => Ok(BodyLength::None),
        }
    }

    /// `Upgrade: websocket` that `Connection` names (RFC 9110 §7.8). `h2c` and others are never honoured
    /// (RFC 9113 §3.1).
    pub(super) fn upgrade(&self, version: Version) -> bool {
        version == Version::Http11 && self.connection.upgrade && self.websocket
    }

    /// What is passed on.
    pub(super) fn into_fields(self, upgrade: bool) -> Fields {
        let Self { mut kept, connection, cookies, .. } = self;
        connection.strip(&mut kept);
        if cookies > 1 {
            join_cookies(&mut kept);
        }
        if upgrade {
            kept.push(b"upgrade", b"websocket");
        }
        kept
    }
}

fn once<'a>(slot: &mut Option<&'a [u8]>, value: &'a [u8], reason: &'static str) -> Result<(), Reject> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Reject::bad(reason)),
    }
}

/// Crumbs of HTTP/2 become one field again (RFC 9113 §8.2.3).
fn join_cookies(fields: &mut Fields) {
    let crumbs: Vec<&[u8]> = fields.values("cookie").filter(|crumb| !crumb.is_empty()).collect();
    let whole = crumbs.join(&b"; "[..]);
    fields.set("cookie", &whole);
}

/// What proxies before this one say about the client; how much of it is believed, whoever reads it knows.
fn is_of_hops(name: &[u8]) -> bool {
    matches!(name, b"x-forwarded-for" | b"x-forwarded-proto")
}

/// What an edge says about its clients is never taken from them. `Expect` is answered here.
fn is_spoofable(known: Known, name: &[u8]) -> bool {
    match known {
        Known::Forwarding | Known::Expect => true,
        Known::Other => name.starts_with(b"x-") && (name.starts_with(b"x-forwarded-") || name.starts_with(b"x-envoy-")),
        _ => false,
    }
}

/// Fields that a trailer section may not carry: they frame, route, authenticate or modify the request
/// (RFC 9110 §6.5.1). `name` is in lower case.
pub(crate) fn forbidden_in_trailers(name: &[u8]) -> bool {
    let known = Known::of(name);
    if known != Known::Other {
        return true;
    }
    is_spoofable(known, name)
        || name.contains(&b'_')
        || name.starts_with(b"if-")
        || name.starts_with(b"access-control-")
        || matches!(
            name,
            b"authorization"
                | b"proxy-authorization"
                | b"www-authenticate"
                | b"proxy-authenticate"
                | b"set-cookie"
                | b"cache-control"
                | b"content-encoding"
                | b"content-type"
                | b"content-range"
                | b"max-forwards"
                | b"range"
                | b"age"
                | b"expires"
                | b"location"
                | b"retry-after"
                | b"vary"
                | b"pragma"
        )
}
