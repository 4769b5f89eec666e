// SPDX-License-Identifier: Apache-2.0
//! Frames of HTTP/2 written and read by hand: what every library refuses to send.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;

/// Name and value.
pub(super) type Field<'a> = (&'a [u8], &'a [u8]);

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Literal fields without indexing and without Huffman (RFC 7541 §6.2.2).
pub(super) fn block(fields: &[Field<'_>]) -> Vec<u8> {
    let mut block = Vec::new();
    let text = |bytes: &[u8], block: &mut Vec<u8>| {
        let length = bytes.len();
        if length < 127 {
            block.push(u8::try_from(length).unwrap());
        } else {
            block.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                block.push(u8::try_from(rest % 128 + 128).unwrap());
                rest /= 128;
            }
            block.push(u8::try_from(rest).unwrap());
        }
        block.extend_from_slice(bytes);
    };
    for (name, value) in fields {
        block.push(0);
        text(name, &mut block);
        text(value, &mut block);
    }
    block
}

/// What the gateway did.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Got {
    /// HEADERS with this status.
    Status(u16),
    Reset,
    GoAway,
    Closed,
    Nothing,
}

/// One frame that the gateway sent.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// A connection of HTTP/2 by prior knowledge, after the preface and empty SETTINGS.
pub(super) struct Client {
    pub(super) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(super) fn open(port: u16) -> Self {
        Self::open_from(1, port)
    }

    /// From the loopback address 127.0.0.`host`: another client, as far as the gateway can tell.
    pub(super) fn open_from(host: u8, port: u16) -> Self {
        let mut stream = connect_from(host, port).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        stream.set_nodelay(true).unwrap();
        // A gateway that refuses the connection may have closed it already.
        drop(stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()));
        Self { stream, buffer: Vec::new() }
    }

    /// Another handle on the connection, for a thread that reads.
    pub(super) fn reader(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap(), buffer: Vec::new() }
    }

    /// An error that does not matter to the case is seen when reading.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes));
    }

    /// The next frame. `Ok(None)`: the gateway has closed. `WouldBlock`: nothing came in time.
    pub(super) fn frame(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let [high, middle, low, kind, _, id @ ..] = &self.buffer[..]
                && id.len() >= 4
            {
                let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
                let stream = u32::from_be_bytes([id[0], id[1], id[2], id[3]]);
                let kind = *kind;
                if self.buffer.len() >= 9 + length {
                    let payload = self.buffer.drain(..9 + length).skip(9).collect();
                    return Ok(Some(Frame { kind, stream, payload }));
                }
            }
            let mut bytes = [0; 16 << 10];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(None),
                Ok(read) => self.buffer.extend_from_slice(&bytes[..read]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Err(_) => return Ok(None),
            }
        }
    }

    /// What comes for the stream, or ends the connection.
    pub(super) fn outcome(&mut self, stream: u32) -> Got {
        loop {
            match self.frame() {
                Ok(Some(Frame { kind: HEADERS, stream: id, payload })) if id == stream => {
                    return Got::Status(status(&payload));
                }
                Ok(Some(Frame { kind: RST_STREAM, stream: id, .. })) if id == stream => return Got::Reset,
                Ok(Some(Frame { kind: GOAWAY, .. })) => return Got::GoAway,
                Ok(Some(_)) => {}
                Ok(None) => return Got::Closed,
                Err(_) => return Got::Nothing,
            }
        }
    }

    /// The code of the last GOAWAY before the connection ended, 0 if it ended without one; `None` if it is open after
    /// `patience`.
    pub(super) fn end(&mut self, patience: Duration) -> Option<u32> {
        let (start, mut code) = (Instant::now(), 0);
        self.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        while start.elapsed() < patience {
            match self.frame() {
                Ok(Some(Frame { kind: GOAWAY, payload, .. })) => {
                    code = u32::from_be_bytes(payload[4..8].try_into().unwrap());
                }
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => return Some(code),
            }
        }
        None
    }
}

/// A connection from 127.0.0.`host` to `port`.
pub(super) fn connect_from(host: u8, port: u16) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, host], 0)).into())?;
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    Ok(socket.into())
}

/// The status is the first field: indexed (RFC 7541, appendix A), or a literal of name 8.
pub(super) fn status(block: &[u8]) -> u16 {
    let mut block = block;
    // A size update of the table may come first.
    while block.first().is_some_and(|byte| byte & 0xe0 == 0x20) {
        block = &block[1..];
    }
    match block {
        [byte @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(byte - 0x88)],
        [0x48 | 0x08, length, rest @ ..] if length & 0x80 == 0 => {
            String::from_utf8_lossy(&rest[..usize::from(*length)]).parse().unwrap_or(1)
        }
        // Three digits in Huffman's code: of no further interest but that it is neither 200 nor 5xx by index.
        _ => 1,
    }
}
