// SPDX-License-Identifier: Apache-2.0
//! Where a message that is being read ends, and which of its bytes are body.

use std::task::{Context, Poll, ready};

use crate::head::{BodyLength, Fields};
use crate::http::h1::chunk::Decoder;
use crate::http::h1::out::poll_read;
use crate::http::piece::{Data, Piece};
use crate::io::Io;

/// What is left of a message body.
pub(crate) enum Incoming {
    /// So many bytes.
    Exact(u64),
    /// Chunks.
    Chunked(Box<Decoder>),
    /// Until the connection ends: a close-delimited response, or a tunnel.
    Close,
    /// The data is through; trailers may be left.
    Ending(Option<Fields>),
    /// Nothing.
    Ended,
}

/// Why a body cannot be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bad {
    /// The connection failed or ended early.
    Cut,
    /// The framing is broken.
    Framing(crate::fault::Reject),
}

impl Incoming {
    /// A body of a said length.
    pub(crate) fn of(length: BodyLength) -> Self {
        match length {
            BodyLength::None | BodyLength::Exact(0) => Self::Ended,
            BodyLength::Exact(length) => Self::Exact(length),
            BodyLength::Unknown => Self::Chunked(Box::default()),
        }
    }

    pub(crate) fn ended(&self) -> bool {
        matches!(self, Self::Ended)
    }

    /// The next piece: from `input` (bytes read before, used from its front), else from the socket.
    pub(crate) fn poll_piece<'a>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut Io,
        input: &'a mut Input,
        scratch: &'a mut [u8],
    ) -> Poll<Result<Piece<'a>, Bad>> {
        match self {
            Self::Ended => return Poll::Ready(Ok(Piece::End)),
            Self::Ending(trailers) => {
                let trailers = trailers.take();
                *self = Self::Ended;
                return Poll::Ready(Ok(trailers.map_or(Piece::End, Piece::Trailers)));
            }
            _ => {}
        }
        if !input.is_empty() {
            let (data, used) = self.take(input.rest_mut()).map_err(Bad::Framing)?;
            let start = input.advance(used);
            if data > 0 {
                return Poll::Ready(Ok(self.piece(Data::Slice(input.slice(start, data)))));
            }
            if matches!(self, Self::Ending(_)) {
                return self.poll_piece(cx, io, input, scratch);
            }
        }
        input.slim();
        loop {
            let limit = self.read_limit(scratch.len());
            let read = ready!(poll_read(io, cx, &mut scratch[..limit])).map_err(|_| Bad::Cut)?;
            if read == 0 {
                return Poll::Ready(self.at_end_of_stream());
            }
            let (data, used) = self.take(&mut scratch[..read]).map_err(Bad::Framing)?;
            input.keep(&scratch[used..read]);
            if data > 0 {
                return Poll::Ready(Ok(self.piece(Data::Slice(&scratch[..data]))));
            }
            if matches!(self, Self::Ending(_)) {
                return self.poll_piece(cx, io, input, scratch);
            }
        }
    }

    /// Data, and the end if it is known and without trailers.
    fn piece<'a>(&mut self, data: Data<'a>) -> Piece<'a> {
        if matches!(self, Self::Ending(None)) {
            *self = Self::Ended;
            return Piece::Last(data);
        }
        Piece::Data(data)
    }

    /// Reading no further than the body keeps the next message in the socket.
    fn read_limit(&self, most: usize) -> usize {
        match self {
            Self::Exact(left) => usize::try_from(*left).unwrap_or(most).min(most),
            _ => most,
        }
    }

    fn at_end_of_stream<'a>(&mut self) -> Result<Piece<'a>, Bad> {
        match self {
            Self::Close => {
                *self = Self::Ended;
                Ok(Piece::End)
            }
            _ => Err(Bad::Cut),
        }
    }

    /// Moves the body bytes of `buffer` to its front; gives their number and how many bytes were used.
    fn take(&mut self, buffer: &mut [u8]) -> Result<(usize, usize), crate::fault::Reject> {
        match self {
            Self::Exact(left) => {
                let data = usize::try_from(*left).unwrap_or(buffer.len()).min(buffer.len());
                *left -= data as u64;
                if *left == 0 {
                    *self = Self::Ending(None);
                }
                Ok((data, data))
            }
            Self::Chunked(decoder) => {
                let step = decoder.decode(buffer)?;
                if step.ended {
                    *self = Self::Ending(decoder.take_trailers());
                }
                Ok((step.data, step.used))
            }
            Self::Close => Ok((buffer.len(), buffer.len())),
            Self::Ending(_) | Self::Ended => Ok((0, 0)),
        }
    }
}

/// Capacity that stays while nothing is kept.
const KEEP: usize = 1 << 10;

/// Bytes that were read and not used yet.
#[derive(Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    at: usize,
}

impl Input {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    fn rest_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.at..]
    }

    /// Marks `used` bytes as used; gives where they began.
    pub(crate) fn advance(&mut self, used: usize) -> usize {
        let start = self.at;
        self.at += used;
        start
    }

    fn slice(&self, start: usize, len: usize) -> &[u8] {
        &self.bytes[start..start + len]
    }

    /// Appends bytes for later.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.is_empty() {
            self.bytes.clear();
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The buffer, emptied, for the next message.
    pub(crate) fn into_buffer(mut self) -> Vec<u8> {
        self.bytes.clear();
        self.bytes
    }

    /// Gives memory back when nothing is kept; a small buffer stays for the next head.
    pub(crate) fn slim(&mut self) {
        if self.is_empty() && self.bytes.capacity() > KEEP {
            *self = Self::default();
        }
    }
}
