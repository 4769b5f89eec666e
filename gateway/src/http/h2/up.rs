// SPDX-License-Identifier: Apache-2.0
//! One HTTP/2 stream to a backend, on Pingora's client session.

use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use pingora_core::protocols::http::v2::client::Http2Session;
use pingora_http::RequestHeader;

use crate::head::{BodyLength, Fields, Head, ResponseHead};
use crate::http::h2::map;
use crate::http::piece::{Broken, Data, Piece};
use crate::upstream::Lease;

/// Capacity asked for at a time.
const CAPACITY: usize = 32 << 10;

/// A stream to a backend. Dropped before its end it resets the stream (CANCEL), so a client that leaves cancels.
pub(crate) struct Up {
    session: Http2Session,
    send: Option<SendStream<Bytes>>,
    head_read: bool,
    data_read: bool,
    sent: bool,
    /// Dropped last: there is room once the session is gone.
    _lease: Lease,
}

impl Up {
    pub(crate) fn new(session: Http2Session, lease: Lease) -> Self {
        Self { session, send: None, head_read: false, data_read: false, sent: false, _lease: lease }
    }

    /// Sends the request head. `trailers` announces that trailers are understood (`te`, gRPC needs it).
    pub(crate) fn begin(&mut self, head: &Head, trailers: bool) -> Result<(), Broken> {
        let header = request_header(head, trailers).ok_or(Broken::UpstreamProtocol)?;
        let end = head.body == BodyLength::None;
        self.session.write_request_header(Box::new(header), end).map_err(|error| broken(&error))?;
        self.send = self.session.take_request_body_writer();
        self.sent = end;
        Ok(())
    }

    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, Broken>> {
        ready!(self.session.poll_read_response_header(cx)).map_err(|error| self.error(&error))?;
        self.head_read = true;
        let Some(header) = self.session.response_header() else { return Poll::Ready(Err(Broken::UpstreamProtocol)) };
        let mut head = ResponseHead::new(header.status.as_u16());
        head.fields = map::fields(&header.headers);
        let length = head.fields.first("content-length").map(<[u8]>::to_vec);
        head.fields.remove("content-length");
        head.body = if self.session.response_finished() {
            BodyLength::None
        } else {
            length
                .and_then(|digits| std::str::from_utf8(&digits).ok()?.parse().ok())
                .map_or(BodyLength::Unknown, BodyLength::Exact)
        };
        Poll::Ready(Ok(head))
    }

    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece<'static>, Broken>> {
        while !self.data_read {
            match ready!(self.session.poll_read_response_body(cx)) {
                // No part of the body (RFC 9113 §6.1), and as a chunk it would be the last one.
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) if self.session.response_finished() => {
                    self.data_read = true;
                    return Poll::Ready(Ok(Piece::Last(Data::Shared(data))));
                }
                Some(Ok(data)) => return Poll::Ready(Ok(Piece::Data(Data::Shared(data)))),
                // RFC 9113 §8.1: the answer is whole, only our upload is not wanted any more.
                Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => return Poll::Ready(Ok(Piece::End)),
                Some(Err(error)) => return Poll::Ready(Err(self.error(&error))),
                None => self.data_read = true,
            }
        }
        let trailers = ready!(pin!(self.session.read_trailers()).poll(cx)).map_err(|error| broken(&error))?;
        Poll::Ready(Ok(match trailers {
            Some(trailers) => Piece::Trailers(map::fields(&trailers)),
            None => Piece::End,
        }))
    }

    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Some(send) = &mut self.send else { return Poll::Ready(Ok(())) };
        if self.sent || send.capacity() > 0 {
            return Poll::Ready(Ok(()));
        }
        send.reserve_capacity(CAPACITY);
        match ready!(send.poll_capacity(cx)) {
            Some(Ok(_)) => Poll::Ready(Ok(())),
            Some(Err(error)) => Poll::Ready(Err(self.error(&error))),
            None => Poll::Ready(Err(Broken::Upstream { before_response: !self.head_read })),
        }
    }

    pub(crate) fn send(&mut self, data: &Data<'_>) -> Result<(), Broken> {
        match &mut self.send {
            Some(send) => send.send_data(data.to_bytes(), false).map_err(|error| h2_broken(&error, self.head_read)),
            None => Err(Broken::Upstream { before_response: !self.head_read }),
        }
    }

    /// Data and END_STREAM in one frame.
    pub(crate) fn send_last(&mut self, data: &Data<'_>) -> Result<(), Broken> {
        let Some(send) = &mut self.send else { return Err(Broken::Upstream { before_response: !self.head_read }) };
        self.sent = true;
        send.send_data(data.to_bytes(), true).map_err(|error| h2_broken(&error, self.head_read))
    }

    pub(crate) fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), Broken> {
        let Some(send) = &mut self.send else { return Ok(()) };
        if self.sent {
            return Ok(());
        }
        self.sent = true;
        let result = match trailers {
            Some(fields) => {
                let mut trailers = HeaderMap::new();
                map::header_map(fields, &mut trailers);
                send.send_trailers(trailers)
            }
            None => send.send_data(Bytes::new(), true),
        };
        result.map_err(|error| h2_broken(&error, self.head_read))
    }

    fn error(&self, error: &h2::Error) -> Broken {
        h2_broken(error, self.head_read)
    }
}

fn h2_broken(error: &h2::Error, head_read: bool) -> Broken {
    let refused = error.is_remote()
        && (error.reason() == Some(Reason::REFUSED_STREAM)
            || (error.is_go_away() && error.reason() == Some(Reason::NO_ERROR)));
    if refused && !head_read {
        return Broken::Refused;
    }
    if error.is_library() && error.reason() == Some(Reason::PROTOCOL_ERROR) {
        return Broken::UpstreamProtocol;
    }
    Broken::Upstream { before_response: !head_read }
}

fn broken(error: &pingora_core::Error) -> Broken {
    use std::error::Error as _;
    let cause = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.map_or(Broken::Upstream { before_response: false }, |cause| h2_broken(cause, false))
}

fn request_header(head: &Head, trailers: bool) -> Option<RequestHeader> {
    let mut header = RequestHeader::build_no_case(head.method(), b"/", Some(head.fields.len() + 2)).ok()?;
    let target = if head.target() == "*" { "/" } else { head.target() };
    let uri = http::Uri::builder().scheme("http").authority(head.authority()).path_and_query(target).build().ok()?;
    header.set_uri(uri);
    for (_, name, value) in head.fields.shared().filter(|(known, ..)| !known.hop_by_hop()) {
        let name = http::HeaderName::from_bytes(name).ok()?;
        header.append_header(name, http::HeaderValue::from_maybe_shared(value).ok()?).ok()?;
    }
    if let BodyLength::Exact(length) = head.body {
        header.insert_header(http::header::CONTENT_LENGTH, length.to_string()).ok()?;
    }
    if trailers {
        header.insert_header(http::header::TE, "trailers").ok()?;
    }
    Some(header)
}
