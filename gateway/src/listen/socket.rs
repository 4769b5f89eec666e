// SPDX-License-Identifier: Apache-2.0
//! Opening listening sockets, one a worker.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::table::Bind;

/// Connections that the kernel keeps for us; `net.core.somaxconn` may lower it.
const BACKLOG: i32 = 4096;

/// Bytes that wait in the kernel before a client's window lets them go. Beyond, a slow reader would be lent megabytes of
/// the memory that all connections of the machine share; what is on its way to a fast one is not limited by this.
const UNSENT: u32 = 128 << 10;

/// `count` sockets on one address. An address that someone else listens on is an error, also if they share their port:
/// the kernel would give them half of our clients.
pub(super) fn open(bind: Bind, count: usize) -> io::Result<Vec<TcpListener>> {
    match bind.address {
        Some(address) => open_at(SocketAddr::new(address, bind.port), count),
        None => match open_at(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), bind.port), count) {
            Err(error) if no_ipv6(&error) => open_at((Ipv4Addr::UNSPECIFIED, bind.port).into(), count),
            result => result,
        },
    }
}

fn open_at(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    // Without SO_REUSEPORT: fails while anybody listens there. Closed before the real ones open.
    drop(bound(address, false)?);
    let mut address = address;
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = bound(address, true)?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        // Port 0: the others take the port that the first was given.
        address.set_port(listener.local_addr()?.port());
        sockets.push(listener);
    }
    Ok(sockets)
}

fn bound(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Old connections in TIME_WAIT do not hold the port.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // Linux hands these down to accepted sockets: no system call a connection.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// EAFNOSUPPORT (no IPv6 in the kernel) or EADDRNOTAVAIL (switched off by sysctl).
fn no_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(97)) || error.kind() == io::ErrorKind::AddrNotAvailable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_gets_a_socket_on_one_port() {
        let sockets = open(Bind { address: Some(Ipv4Addr::LOCALHOST.into()), port: 0 }, 3).unwrap();
        let ports: Vec<u16> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert!(ports.len() == 3 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    }

    #[test]
    fn a_port_that_another_listens_on_is_unavailable_even_if_it_is_shared() {
        let other = open(Bind { address: Some(Ipv4Addr::LOCALHOST.into()), port: 0 }, 1).unwrap();
        let port = other[0].local_addr().unwrap().port();
        for address in [Some(Ipv4Addr::LOCALHOST.into()), None] {
            let error = open(Bind { address, port }, 1).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{address:?}");
        }
    }

    #[test]
    fn what_is_set_on_the_listening_socket_holds_for_its_connections() {
        let sockets = open(Bind { address: Some(Ipv4Addr::LOCALHOST.into()), port: 0 }, 1).unwrap();
        let _client = std::net::TcpStream::connect(sockets[0].local_addr().unwrap()).unwrap();
        let accepted = loop {
            match sockets[0].accept() {
                Ok((accepted, _)) => break Socket::from(accepted),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        };
        assert_eq!((accepted.tcp_nodelay().unwrap(), accepted.tcp_notsent_lowat().unwrap()), (true, UNSENT));
    }

    #[test]
    fn every_address_means_ipv4_too() {
        let sockets = open(Bind { address: None, port: 0 }, 1).unwrap();
        let port = sockets[0].local_addr().unwrap().port();
        assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    }
}
