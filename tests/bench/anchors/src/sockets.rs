// SPDX-License-Identifier: Apache-2.0
//! Sockets of the benches: loopback only, no Nagle, and a source address of their own so that thousands of short
//! connections do not run out of ports in TIME_WAIT.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};

/// Source addresses in use, one after the other: each has its own 28,000 ephemeral ports.
const SOURCES: u32 = 200;

/// As [`listen_at`], on `127.0.0.1:port`.
pub fn listen(port: u16) -> io::Result<std::net::TcpListener> {
    listen_at(loopback(port))
}

/// A non-blocking listener with a backlog that a burst of thousands fits in.
pub fn listen_at(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Connects to `127.0.0.1:port` from the source address that belongs to the `serial`-th connection.
pub async fn connect(port: u16, serial: u32) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let source = Ipv4Addr::new(127, 0, 1, (1 + serial % SOURCES) as u8);
    socket.bind(SocketAddr::V4(SocketAddrV4::new(source, 0)))?;
    let stream = socket.connect(loopback(port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// `127.0.0.1:port`.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}
