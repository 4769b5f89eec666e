// SPDX-License-Identifier: Apache-2.0
//! Bytes on their way to a socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, AsyncWrite as _};

use crate::io::Io;

/// Data up to this size joins what is already queued, so that head and body leave in one write.
const GATHER: usize = 16 << 10;

/// Capacity that is kept while a connection is idle.
const KEEP: usize = 1 << 10;

/// A write queue that holds at most one piece beyond what the socket takes.
#[derive(Default)]
pub(crate) struct Out {
    bytes: Vec<u8>,
    at: usize,
    /// The TLS layer may hold bytes that the socket did not take.
    unflushed: bool,
}

impl Out {
    /// A queue in a buffer that already holds what is to be written.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0, unflushed: false }
    }

    /// The buffer, emptied.
    pub(crate) fn into_buffer(mut self) -> Vec<u8> {
        self.bytes.clear();
        self.bytes
    }

    /// Where heads and framing are written to.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Nothing is queued and nothing is stuck in the TLS layer.
    pub(crate) fn settled(&self) -> bool {
        self.is_empty() && !self.unflushed
    }

    fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Queues `data`, or hands it to the socket at once when nothing is before it.
    pub(crate) fn send(&mut self, io: &mut Io, cx: &mut Context<'_>, data: &[u8]) -> io::Result<()> {
        if !self.is_empty() && data.len() <= GATHER {
            self.bytes.extend_from_slice(data);
            return Ok(());
        }
        let mut rest = data;
        self.unflushed = true;
        if self.is_empty() || matches!(self.poll_write(io, cx)?, Poll::Ready(())) {
            while !rest.is_empty() {
                match io.write_now(cx, rest) {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(written)) => rest = &rest[written..],
                    Poll::Ready(Err(error)) => return Err(error),
                    Poll::Pending => break,
                }
            }
        }
        self.bytes.extend_from_slice(rest);
        Ok(())
    }

    /// Writes all that is queued and flushes the TLS layer.
    pub(crate) fn poll_flush(&mut self, io: &mut Io, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_empty() {
            match self.poll_write(io, cx)? {
                Poll::Ready(()) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        ready!(Pin::new(io).poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Gives memory back while nothing is queued.
    pub(crate) fn slim(&mut self) {
        if self.settled() && self.bytes.capacity() > KEEP {
            *self = Self::default();
        }
    }

    fn poll_write(&mut self, io: &mut Io, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        self.unflushed = true;
        loop {
            if self.is_empty() {
                self.bytes.clear();
                self.at = 0;
                return Ok(Poll::Ready(()));
            }
            match io.write_now(cx, &self.bytes[self.at..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => self.at += written,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
    }
}

/// Reads what is there into `scratch`; 0 is the end.
pub(crate) fn poll_read(io: &mut Io, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut buffer = tokio::io::ReadBuf::new(scratch);
    ready!(Pin::new(io).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}
