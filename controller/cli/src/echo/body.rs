// SPDX-License-Identifier: Apache-2.0
//! Bodies of answers. Never holds more of one in memory than a piece.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};

/// Why a body broke off.
pub(super) type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// A body of any of the kinds below.
pub(super) type Body = UnsyncBoxBody<Bytes, BodyError>;
/// An answer.
pub(super) type Reply = Response<Body>;

/// 16 KiB of printable bytes, in lines.
static FILLING: [u8; 16 << 10] = filling();

const fn filling() -> [u8; 16 << 10] {
    let mut bytes = [b'.'; 16 << 10];
    let mut at = 63;
    while at < bytes.len() {
        bytes[at] = b'\n';
        at += 64;
    }
    bytes
}

/// No body.
pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// All of `content`.
pub(super) fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).map_err(|never| match never {}).boxed_unsync()
}

/// The body of a request, sent on while it arrives.
pub(super) fn forward(incoming: Incoming) -> Body {
    incoming.map_err(Into::into).boxed_unsync()
}

/// `length` bytes.
pub(super) fn filler(length: u64) -> Body {
    let pieces = stream::unfold(length, |left| async move {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(FILLING.len());
        (size > 0).then(|| (Ok(Frame::data(Bytes::from_static(&FILLING[..size]))), left - size as u64))
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// `count` lines, one each `pause`.
pub(super) fn lines(count: u64, pause: Duration) -> Body {
    let lines = stream::unfold(0, move |sent| async move {
        if sent == count {
            return None;
        }
        if sent > 0 {
            tokio::time::sleep(pause).await;
        }
        Some((Ok(Frame::data(Bytes::from(format!("line {} of {count}\n", sent + 1)))), sent + 1))
    });
    StreamBody::new(lines).boxed_unsync()
}

/// `content`, then one trailer field. Its length is not told: over HTTP/1.1 only a chunked body has trailers.
pub(super) fn with_trailer(content: impl Into<Bytes>, name: HeaderName, value: HeaderValue) -> Body {
    let trailers = HeaderMap::from_iter([(name, value)]);
    StreamBody::new(stream::iter([Ok(Frame::data(content.into())), Ok(Frame::trailers(trailers))])).boxed_unsync()
}

/// An answer of one media type.
pub(super) fn reply(status: StatusCode, media: &'static str, body: Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    reply
}

/// One sentence about what is wrong with the request.
pub(super) fn complaint(status: StatusCode, why: &str) -> Reply {
    reply(status, "text/plain; charset=utf-8", full(format!("{why}\n")))
}

/// Makes `reply` what a HEAD request gets: its length without its content (RFC 9110 §9.3.2).
pub(super) fn without_content(reply: Reply, length: Option<u64>) -> Reply {
    let (mut head, _) = reply.into_parts();
    if let Some(length) = length {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, empty())
}
