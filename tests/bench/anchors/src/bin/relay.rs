// SPDX-License-Identifier: Apache-2.0
//! The limit: `relay PORT UPSTREAM_PORT`. Copies bytes between a client and a connection of its own to the upstream,
//! one thread, one epoll, two reads and two writes a request. No proxy that looks at what it carries can cost less.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use torana_bench_anchors::sockets;

const LISTENER: Token = Token(usize::MAX - 1);

/// Bytes of one read; what a peer does not take at once waits in `Side::waiting`.
const PIECE: usize = 16 * 1024;

struct Side {
    stream: TcpStream,
    waiting: Vec<u8>,
}

struct Pair {
    sides: [Side; 2],
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u16>());
    let (Some(Ok(port)), Some(Ok(upstream))) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: relay PORT UPSTREAM_PORT");
    };
    let mut listener = TcpListener::from_std(sockets::listen(port)?);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut pairs: Slab<Pair> = Slab::new();
    let mut buffer = vec![0_u8; PIECE];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, upstream, &poll, &mut pairs)?;
                continue;
            }
            let (key, from) = (event.token().0 / 2, event.token().0 % 2);
            let Some(pair) = pairs.get_mut(key) else { continue };
            let open = pair.flush(from).and_then(|()| pair.copy(from, &mut buffer));
            if !matches!(open, Ok(true)) {
                let pair = pairs.remove(key);
                for side in &pair.sides {
                    // The other end may be gone already; either way this pair is over.
                    drop(side.stream.shutdown(Shutdown::Both));
                }
            }
        }
    }
}

fn accept(listener: &TcpListener, upstream: u16, poll: &Poll, pairs: &mut Slab<Pair>) -> io::Result<()> {
    loop {
        let mut client = match listener.accept() {
            Ok((client, _)) => client,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut server = TcpStream::connect(sockets::loopback(upstream))?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let entry = pairs.vacant_entry();
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut client, Token(2 * entry.key()), both)?;
        poll.registry().register(&mut server, Token(2 * entry.key() + 1), both)?;
        let side = |stream| Side { stream, waiting: Vec::new() };
        entry.insert(Pair { sides: [side(client), side(server)] });
    }
}

impl Pair {
    /// Writes what waits for side `to`, as far as it goes.
    fn flush(&mut self, to: usize) -> io::Result<()> {
        let side = &mut self.sides[to];
        if side.waiting.is_empty() {
            return Ok(());
        }
        let sent = write(&mut side.stream, &side.waiting)?;
        side.waiting.drain(..sent);
        Ok(())
    }

    /// Carries bytes from side `from` to the other one; false when `from` has ended.
    fn copy(&mut self, from: usize, buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            let length = match self.sides[from].stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            let other = &mut self.sides[1 - from];
            let sent = if other.waiting.is_empty() { write(&mut other.stream, &buffer[..length])? } else { 0 };
            other.waiting.extend_from_slice(&buffer[sent..length]);
            if length < buffer.len() {
                // A short read means the socket is empty; the edge comes again with the next byte.
                return Ok(true);
            }
        }
    }
}

fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(length) => sent += length,
            // Not connected: the upstream's handshake is still under way; the writable edge follows.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
