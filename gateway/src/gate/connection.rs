// SPDX-License-Identifier: Apache-2.0
//! `Connection`: what one side wants of this hop, and which fields belong to it (RFC 9110 §7.6.1).

use smallvec::SmallVec;

use super::text;
use crate::fault::Reject;
use crate::head::{Fields, Known, Version};

/// Fields that one message may nominate; more would buy work with the product of nominations and fields.
const MAX_NOMINATED: usize = 32;

/// Names in the order they came.
type Names<'a> = SmallVec<[&'a [u8]; 4]>;

/// What the `Connection` fields of a message say.
#[derive(Debug, Default)]
pub(crate) struct Options<'a> {
    close: bool,
    keep_alive: bool,
    /// `upgrade` was said.
    pub(crate) upgrade: bool,
    nominated: Names<'a>,
}

impl<'a> Options<'a> {
    /// Reads one `Connection` value. A field that frames or routes the message cannot be nominated away.
    pub(crate) fn read(&mut self, value: &'a [u8]) -> Result<(), Reject> {
        const BAD: Reject = Reject::bad("bad_connection_option");
        for option in text::list(value).filter(|option| !option.is_empty()) {
            if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else if !text::is_token(option) || frames_or_routes(option) || self.nominated.len() == MAX_NOMINATED {
                return Err(BAD);
            } else {
                self.nominated.push(option);
            }
        }
        Ok(())
    }

    /// Whether the connection lives after this message (RFC 9112 §9.3).
    pub(crate) fn keep_alive(&self, version: Version) -> bool {
        !self.close && (self.keep_alive || version != Version::Http10)
    }

    /// Removes the nominated fields.
    pub(crate) fn strip(&self, fields: &mut Fields) {
        if !self.nominated.is_empty() {
            fields.retain(|_, name, _| !self.nominated.iter().any(|option| option.eq_ignore_ascii_case(name)));
        }
    }
}

fn frames_or_routes(option: &[u8]) -> bool {
    [&b"host"[..], b"content-length", b"transfer-encoding"].iter().any(|name| option.eq_ignore_ascii_case(name))
}

/// Dropped wherever it comes from: [`Known::hop_by_hop`], and what only frames.
pub(super) fn is_for_this_hop(known: Known) -> bool {
    known.hop_by_hop() || matches!(known, Known::Host | Known::ContentLength)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&'static str]) -> Result<Options<'static>, Reject> {
        let mut options = Options::default();
        values.iter().try_for_each(|value| options.read(value.as_bytes()))?;
        Ok(options)
    }

    #[test]
    fn close_wins_and_http10_has_to_ask() {
        let rows = [
            (&[""][..], true, false),
            (&["close"], false, false),
            (&["Keep-Alive"], true, true),
            (&["keep-alive, CLOSE"], false, false),
            (&["x", "close"], false, false),
        ];
        for (values, http11, http10) in rows {
            let options = read(values).unwrap();
            assert_eq!((options.keep_alive(Version::Http11), options.keep_alive(Version::Http10)), (http11, http10));
        }
    }

    #[test]
    fn nominated_fields_go_and_framing_cannot_be_nominated() {
        let mut fields = Fields::default();
        fields.push(b"X-User-Id", b"1");
        fields.push(b"x-other", b"2");
        read(&["keep-alive, x-USER-id"]).unwrap().strip(&mut fields);
        assert_eq!((fields.len(), fields.first("x-other")), (1, Some(&b"2"[..])));
        for bad in ["host", "Content-Length", "close, transfer-encoding", "a b", "\"x\"", ":path"] {
            assert!(read(&[bad]).is_err(), "{bad}");
        }
        assert!(read(&[&*vec!["x"; 33].join(",").leak()]).is_err());
    }
}
