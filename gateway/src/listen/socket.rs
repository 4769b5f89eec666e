// SPDX-License-Identifier: Apache-2.0
//! Opening listening sockets, one a worker.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use torana_ir::Transport;

use crate::table::Bind;

/// Connections that the kernel keeps for us; `net.core.somaxconn` may lower it.
const BACKLOG: i32 = 4096;

/// Bytes that wait in the kernel before a client's window lets them go. Beyond, a slow reader would be lent megabytes of
/// the memory that all connections of the machine share; what is on its way to a fast one is not limited by this.
const UNSENT: u32 = 128 << 10;

/// A socket that clients come in by.
#[derive(Debug)]
pub(super) enum Listening {
    Connections(TcpListener),
    Datagrams(UdpSocket),
}

impl Listening {
    pub(super) fn port(&self) -> io::Result<u16> {
        let address = match self {
            Self::Connections(socket) => socket.local_addr(),
            Self::Datagrams(socket) => socket.local_addr(),
        };
        address.map(|address| address.port())
    }
}

/// `count` sockets on one address. An address that someone else listens on is an error, also if they share their port:
/// the kernel would give them half of our clients.
pub(super) fn open(bind: Bind, count: usize) -> io::Result<Vec<Listening>> {
    let open = |address| open_at(address, bind.transport, count);
    match bind.address {
        Some(address) => open(SocketAddr::new(address, bind.port)),
        None => match open(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), bind.port)) {
            Err(error) if no_ipv6(&error) => open((Ipv4Addr::UNSPECIFIED, bind.port).into()),
            result => result,
        },
    }
}

fn open_at(address: SocketAddr, transport: Transport, count: usize) -> io::Result<Vec<Listening>> {
    // Without SO_REUSEPORT: fails while anybody listens there. Closed before the real ones open.
    drop(bound(address, transport, false)?);
    let mut address = address;
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = bound(address, transport, true)?;
        let listening = match transport {
            Transport::Tcp => {
                socket.listen(BACKLOG)?;
                Listening::Connections(socket.into())
            }
            Transport::Udp => Listening::Datagrams(socket.into()),
        };
        // Port 0: the others take the port that the first was given.
        address.set_port(listening.port()?);
        sockets.push(listening);
    }
    Ok(sockets)
}

fn bound(address: SocketAddr, transport: Transport, shared: bool) -> io::Result<Socket> {
    let (kind, protocol) = match transport {
        Transport::Tcp => (Type::STREAM, Protocol::TCP),
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    if transport.is_tcp() {
        // Old connections in TIME_WAIT do not hold the port. Of datagram sockets it would mean that they share it.
        socket.set_reuse_address(true)?;
        // Linux hands these down to accepted sockets: no system call a connection.
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_notsent_lowat(UNSENT)?;
    }
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

    const LOCAL: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));

    fn bind(address: Option<IpAddr>, port: u16) -> Bind {
        Bind { address, port, transport: Transport::Tcp }
    }

    #[test]
    fn every_worker_gets_a_socket_on_one_port() {
        for transport in [Transport::Tcp, Transport::Udp] {
            let sockets = open(Bind { transport, ..bind(LOCAL, 0) }, 3).unwrap();
            let ports: Vec<u16> = sockets.iter().map(|socket| socket.port().unwrap()).collect();
            assert!(ports.len() == 3 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
        }
    }

    #[test]
    fn a_port_that_another_listens_on_is_unavailable_even_if_it_is_shared() {
        for transport in [Transport::Tcp, Transport::Udp] {
            let other = open(Bind { transport, ..bind(LOCAL, 0) }, 1).unwrap();
            let port = other[0].port().unwrap();
            for address in [LOCAL, None] {
                let error = open(Bind { transport, ..bind(address, port) }, 1).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{transport} {address:?}");
            }
        }
    }

    #[test]
    fn a_tcp_and_a_udp_socket_of_one_number_do_not_mind_each_other() {
        let tcp = open(bind(LOCAL, 0), 1).unwrap();
        let port = tcp[0].port().unwrap();
        assert!(open(Bind { transport: Transport::Udp, ..bind(LOCAL, port) }, 2).is_ok());
    }

    #[test]
    fn what_is_set_on_the_listening_socket_holds_for_its_connections() {
        let sockets = open(bind(LOCAL, 0), 1).unwrap();
        let Listening::Connections(listener) = &sockets[0] else { panic!("{sockets:?}") };
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = loop {
            match listener.accept() {
                Ok((accepted, _)) => break Socket::from(accepted),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        };
        assert_eq!((accepted.tcp_nodelay().unwrap(), accepted.tcp_notsent_lowat().unwrap()), (true, UNSENT));
    }

    #[test]
    fn every_address_means_ipv4_too() {
        let sockets = open(bind(None, 0), 1).unwrap();
        let port = sockets[0].port().unwrap();
        assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    }
}
