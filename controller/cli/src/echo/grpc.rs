// SPDX-License-Identifier: Apache-2.0
//! gRPC without its messages' types: whatever the service and the method, each message goes back as it came, while
//! others still arrive. Only `grpc.health.v1.Health/Check` has an answer of its own. Never decodes a message.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};

use super::body::{self, Body, BodyError, Reply};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
/// Asks a method to fail with a status.
const WISH: HeaderName = HeaderName::from_static("x-grpc-status");

const OK: u32 = 0;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;

/// `HealthCheckResponse { status: SERVING }` in its five-byte envelope.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 0x08, 0x01];

/// gRPC has its own media types and needs HTTP/2.
pub(super) fn is_grpc(request: &Request<Incoming>) -> bool {
    let media = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    request.version() == Version::HTTP_2
        && media
            .and_then(|media| media.strip_prefix(b"application/grpc"))
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Answers one call.
pub(super) fn answer(request: Request<Incoming>) -> Reply {
    let wished = request.headers().get(WISH).and_then(|code| code.to_str().ok()?.parse::<u32>().ok());
    if let Some(code) = wished.filter(|code| *code != OK) {
        return failed(code, "asked for by x-grpc-status");
    }
    match request.uri().path() {
        "/grpc.health.v1.Health/Check" => {
            let body = body::with_trailer(Bytes::from_static(SERVING), STATUS, HeaderValue::from(OK));
            reply(body)
        }
        "/grpc.health.v1.Health/Watch" => failed(UNIMPLEMENTED, "only Check is implemented"),
        _ => {
            let (head, incoming) = request.into_parts();
            let mut reply = reply(Echo { incoming, framing: Framing::default(), done: false }.boxed_unsync());
            // Messages go back compressed as they came.
            if let Some(encoding) = head.headers.get(ENCODING) {
                reply.headers_mut().insert(ENCODING, encoding.clone());
            }
            reply
        }
    }
}

fn reply(body: Body) -> Reply {
    body::reply(http::StatusCode::OK, "application/grpc", body)
}

/// An answer of trailers only.
fn failed(code: u32, why: &'static str) -> Reply {
    let mut reply = reply(body::empty());
    reply.headers_mut().insert(STATUS, HeaderValue::from(code));
    reply.headers_mut().insert(MESSAGE, HeaderValue::from_static(why));
    reply
}

/// Messages on their way back.
struct Echo {
    incoming: Incoming,
    framing: Framing,
    done: bool,
}

impl hyper::body::Body for Echo {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.done {
            return Poll::Ready(None);
        }
        match ready!(Pin::new(&mut self.incoming).poll_frame(context)) {
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            Some(Ok(frame)) if frame.is_data() => {
                if let Some(data) = frame.data_ref() {
                    self.framing.advance(data);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            // The end of the request, or its trailers, which gRPC does not know.
            Some(Ok(_)) | None => {
                self.done = true;
                Poll::Ready(Some(Ok(Frame::trailers(self.framing.verdict()))))
            }
        }
    }
}

/// Where in the sequence of length-prefixed messages the stream is.
#[derive(Debug, Default)]
struct Framing {
    /// Bytes of the prefix (1 flag, 4 length) that have come.
    prefix: usize,
    length: u32,
    /// Bytes of the message that have not.
    missing: u32,
}

impl Framing {
    fn advance(&mut self, mut data: &[u8]) {
        while let [first, rest @ ..] = data {
            if self.missing > 0 {
                let step = data.len().min(self.missing as usize);
                self.missing -= step as u32;
                data = &data[step..];
                continue;
            }
            // The flag is shifted out of the 32 bits by the four bytes of the length.
            self.length = (self.length << 8) | u32::from(*first);
            self.prefix += 1;
            if self.prefix == 5 {
                (self.prefix, self.missing) = (0, self.length);
            }
            data = rest;
        }
    }

    /// The trailers that the stream, ended here, deserves.
    fn verdict(&self) -> HeaderMap {
        if self.prefix == 0 && self.missing == 0 {
            return HeaderMap::from_iter([(STATUS, HeaderValue::from(OK))]);
        }
        let why = HeaderValue::from_static("the last message is cut off");
        HeaderMap::from_iter([(STATUS, HeaderValue::from(INTERNAL)), (MESSAGE, why)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cut_off_is_an_internal_error() {
        let stream = [0, 0, 0, 0, 3, b'a', b'b', b'c', 1, 0, 0, 1, 0];
        let mut long = Framing::default();
        long.advance(&stream);
        assert_eq!(long.missing, 256);
        assert_eq!(long.verdict()[STATUS], "13");
        long.advance(&[0; 256]);
        assert_eq!(long.verdict()[STATUS], "0");
    }

    #[test]
    fn framing_does_not_depend_on_how_bytes_arrive() {
        let stream = [1, 0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, b'c'];
        for (end, whole) in (0..=stream.len()).map(|end| (end, [0, 7, 12, 18].contains(&end))) {
            let mut framing = Framing::default();
            stream[..end].iter().for_each(|byte| framing.advance(&[*byte]));
            assert_eq!(framing.verdict()[STATUS] == "0", whole, "after {end} bytes");
        }
    }
}
