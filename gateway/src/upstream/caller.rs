// SPDX-License-Identifier: Apache-2.0
//! Who is behind a connection to a backend, as the PROXY protocol says it. It reads no such header: nobody's word is taken
//! for it.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use torana_ir::ProxyProtocol;

use crate::address::canonical;

/// How a header of version 2 begins.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, and the connection is somebody's, or one's own.
const PROXY: u8 = 0x21;
const LOCAL: u8 = 0x20;
/// TCP over IPv4 and IPv6.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// Numbers are never reused, so a connection that was opened for one client is never lent to another.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// One client's connection.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(super) id: u64,
    /// The client's address and the one that it called.
    ends: Option<(SocketAddr, SocketAddr)>,
}

impl Caller {
    /// Of a client at `source`; who does not know what it called says nothing of it.
    pub(crate) fn new(source: SocketAddr, destination: Option<SocketAddr>) -> Self {
        let ends = destination.map(|destination| (canonical(source), canonical(destination)));
        let ends = ends.filter(|(source, destination)| source.is_ipv4() == destination.is_ipv4());
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), ends }
    }
}

/// The header, which goes before anything else; `None` is ourselves.
pub(super) fn header(version: ProxyProtocol, caller: Option<&Caller>) -> Vec<u8> {
    let ends = caller.and_then(|caller| caller.ends);
    match version {
        ProxyProtocol::V1 => text(ends).into_bytes(),
        ProxyProtocol::V2 => binary(ends),
    }
}

fn text(ends: Option<(SocketAddr, SocketAddr)>) -> String {
    let Some((from, to)) = ends else { return "PROXY UNKNOWN\r\n".to_owned() };
    let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
    format!("PROXY {family} {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port())
}

fn binary(ends: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some((from, to)) = ends else {
        header.extend_from_slice(&[LOCAL, 0, 0, 0]);
        return header;
    };
    let (family, length) = if from.is_ipv4() { (TCP4, 12) } else { (TCP6, 36) };
    header.extend_from_slice(&[PROXY, family, 0, length]);
    for address in [from.ip(), to.ip()] {
        match address {
            IpAddr::V4(address) => header.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => header.extend_from_slice(&address.octets()),
        }
    }
    header.extend_from_slice(&from.port().to_be_bytes());
    header.extend_from_slice(&to.port().to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(source: &str, destination: &str) -> Caller {
        Caller::new(source.parse().unwrap(), destination.parse().ok())
    }

    #[test]
    fn version_1_is_a_line_of_both_ends() {
        for (source, destination, expected) in [
            ("192.0.2.1:56324", "198.51.100.7:443", "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"),
            ("[::ffff:192.0.2.1]:1", "198.51.100.7:2", "PROXY TCP4 192.0.2.1 198.51.100.7 1 2\r\n"),
            ("[2001:db8::1]:1", "[2001:db8::2]:2", "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n"),
            ("[2001:db8::1]:1", "198.51.100.7:2", "PROXY UNKNOWN\r\n"),
            ("192.0.2.1:1", "nobody knows", "PROXY UNKNOWN\r\n"),
        ] {
            let header = header(ProxyProtocol::V1, Some(&caller(source, destination)));
            assert_eq!(String::from_utf8(header).unwrap(), expected);
        }
        assert_eq!(header(ProxyProtocol::V1, None), b"PROXY UNKNOWN\r\n");
    }

    #[test]
    fn version_2_is_the_same_in_bytes() {
        let header = |caller: &Caller| header(ProxyProtocol::V2, Some(caller));
        let four = header(&caller("192.0.2.1:258", "198.51.100.7:443"));
        assert_eq!(four[..12], [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10]);
        assert_eq!(four[12..], [0x21, 0x11, 0, 12, 192, 0, 2, 1, 198, 51, 100, 7, 1, 2, 1, 187]);
        let six = header(&caller("[2001:db8::1]:1", "[2001:db8::2]:2"));
        assert_eq!((six.len(), &six[12..20]), (52, &[0x21, 0x21, 0, 36, 0x20, 1, 0xd, 0xb8][..]));
        assert_eq!(super::header(ProxyProtocol::V2, None)[12..], [0x20, 0, 0, 0]);
    }
}
