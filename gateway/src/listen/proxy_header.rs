// SPDX-License-Identifier: Apache-2.0
//! The header of the PROXY protocol, versions 1 and 2, by which a load balancer says whom a connection is from and to
//! (HAProxy's `proxy-protocol.txt`). Where it is expected it comes first, and nothing else is taken: whoever could leave it
//! out could be anybody.

use std::net::{IpAddr, SocketAddr};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::address::canonical;

/// How a header of version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of a header of version 1, its line end included.
const LONGEST_LINE: usize = 107;
/// Bytes of a header of version 2 after its first 16: addresses, and more that is skipped (ALPN, names, checksums).
const LONGEST_REST: usize = 2 << 10;

/// Both ends of the connection that the load balancer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) remote: SocketAddr,
    pub(super) local: SocketAddr,
}

/// Reads the header and not a byte more. `None`: the load balancer speaks for itself (`LOCAL`, `UNKNOWN`), as when it looks
/// whether somebody is there; an error is no header.
pub(super) async fn read(stream: &mut TcpStream) -> Result<Option<Ends>, ()> {
    let mut begin = [0; SIGNATURE.len()];
    stream.read_exact(&mut begin).await.map_err(drop)?;
    if begin == *SIGNATURE {
        let mut head = [0; 4];
        stream.read_exact(&mut head).await.map_err(drop)?;
        let [command, family, length @ ..] = head;
        let length = usize::from(u16::from_be_bytes(length));
        if length > LONGEST_REST {
            return Err(());
        }
        let mut rest = vec![0; length];
        stream.read_exact(&mut rest).await.map_err(drop)?;
        return binary(command, family, &rest);
    }
    let mut line = begin.to_vec();
    while !line.ends_with(b"\n") {
        if line.len() == LONGEST_LINE || !b"PROXY ".iter().eq(line.iter().take(6)) {
            return Err(());
        }
        line.push(stream.read_u8().await.map_err(drop)?);
    }
    text(&line)
}

/// `PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n`
fn text(line: &[u8]) -> Result<Option<Ends>, ()> {
    let line = std::str::from_utf8(line).map_err(drop)?.strip_suffix("\r\n").ok_or(())?;
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Ok(None),
        ["PROXY", family, from, to, from_port, to_port] => {
            let end = |address: &str, port: &str| -> Result<SocketAddr, ()> {
                let address: IpAddr = address.parse().map_err(drop)?;
                let is_of_family = matches!((*family, address), ("TCP4", IpAddr::V4(_)) | ("TCP6", IpAddr::V6(_)));
                let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|_| is_of_family && is_number).ok_or(())?;
                Ok(canonical(SocketAddr::new(address, port)))
            };
            Ok(Some(Ends { remote: end(from, from_port)?, local: end(to, to_port)? }))
        }
        _ => Err(()),
    }
}

fn binary(command: u8, family: u8, rest: &[u8]) -> Result<Option<Ends>, ()> {
    match (command, family) {
        (0x21, 0x11) => ends::<4>(rest).ok_or(()).map(Some),
        (0x21, 0x21) => ends::<16>(rest).ok_or(()).map(Some),
        // LOCAL, or of another family, or of none: whatever follows is to be skipped.
        (0x20 | 0x21, _) => Ok(None),
        _ => Err(()),
    }
}

/// Two addresses of `N` bytes, their ports, and perhaps more.
fn ends<const N: usize>(rest: &[u8]) -> Option<Ends>
where
    IpAddr: From<[u8; N]>,
{
    let (from, rest) = rest.split_first_chunk::<N>()?;
    let (to, rest) = rest.split_first_chunk::<N>()?;
    let [a, b, c, d] = *rest.first_chunk::<4>()?;
    let end = |address: [u8; N], port| canonical(SocketAddr::new(address.into(), u16::from_be_bytes(port)));
    Some(Ends { remote: end(*from, [a, b]), local: end(*to, [c, d]) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// What is read of these bytes, and what is left of them.
    async fn told(bytes: &[u8]) -> (Result<Option<Ends>, ()>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(bytes).await.unwrap();
        drop(client);
        let read = read(&mut server).await;
        let mut left = Vec::new();
        server.read_to_end(&mut left).await.unwrap();
        (read, left)
    }

    fn both(remote: &str, local: &str) -> Ends {
        Ends { remote: remote.parse().unwrap(), local: local.parse().unwrap() }
    }

    fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    #[tokio::test]
    async fn both_versions_say_who_connects_and_not_a_byte_more_is_taken() {
        let four = [192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb];
        let mut six = [0; 36];
        (six[0], six[1], six[15], six[16], six[17], six[31]) = (0x20, 1, 7, 0x20, 1, 1);
        (six[33], six[35]) = (80, 81);
        let mapped = [&[0; 10][..], &[0xff, 0xff, 192, 0, 2, 7], &[0; 10], &[0xff, 0xff, 198, 51, 100, 1], &four[8..]];
        for (bytes, expected) in [
            (
                b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n".to_vec(),
                Some(both("192.0.2.7:56324", "198.51.100.1:443")),
            ),
            (b"PROXY TCP6 2001::7 2001::1 80 81\r\n".to_vec(), Some(both("[2001::7]:80", "[2001::1]:81"))),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (version_2(0x21, 0x11, &four), Some(both("192.0.2.7:56324", "198.51.100.1:443"))),
            (
                version_2(0x21, 0x11, &[&four[..], &[4, 0, 1, 7]].concat()),
                Some(both("192.0.2.7:56324", "198.51.100.1:443")),
            ),
            (version_2(0x21, 0x21, &six), Some(both("[2001::7]:80", "[2001::1]:81"))),
            (version_2(0x21, 0x21, &mapped.concat()), Some(both("192.0.2.7:56324", "198.51.100.1:443"))),
            (version_2(0x20, 0, &[]), None),
            (version_2(0x21, 0x31, &[0; 216]), None),
        ] {
            let with_more = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(
                told(&with_more).await,
                (Ok(expected), b"GET / HTTP/1.1\r\n".to_vec()),
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        let large = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff], &[0; 4096]].concat();
        for bytes in [
            &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..],
            b"",
            b"PROXY",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 65536\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 +6324 443\r\n",
            b"PROXY TCP4 2001::7 2001::1 80 81\r\n",
            b"PROXY TCP4 192.0.2.7  198.51.100.1 56324 443\r\n",
            b"proxy TCP4 192.0.2.7 198.51.100.1 56324 443\r\n",
            b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03\x00\x00",
            long.as_bytes(),
            &large,
            &version_2(0x21, 0x11, &[1, 2, 3]),
            &version_2(0x22, 0x11, &[0; 12]),
            &version_2(0x11, 0x11, &[0; 12]),
            &SIGNATURE[..],
        ] {
            assert_eq!(told(bytes).await.0, Err(()), "{}", bytes.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_told_apart_and_no_more(line in proptest::collection::vec(any::<u8>(), 0..120),
            command in any::<u8>(), family in any::<u8>()) {
            // Whether they are refused is not the question.
            let _ = (text(&line).is_ok(), binary(command, family, &line).is_ok(), binary(0x21, family, &line).is_ok());
        }
    }
}
