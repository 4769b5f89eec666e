// SPDX-License-Identifier: Apache-2.0
//! The backend: `be H1_PORT H2C_PORT`. HTTP/1.1 keep-alive with one fixed 128-byte answer, as cheap as epoll allows, on
//! 127.0.0.1 to 127.0.0.4, as if it were four; beside it gRPC over cleartext HTTP/2 that answers one message and `grpc-status: 0` in trailers.
//! Never reads what it was asked: it is a mirror for weighing proxies, not a server.

use std::io;
use std::net::Ipv4Addr;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response};
use tokio::net::{TcpListener, TcpStream};
use torana_bench_anchors::sockets;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 128\r\n\r\n\
torana bench torana bench torana bench torana bench torana bench \
torana bench torana bench torana bench torana bench torana ben.";

/// One gRPC message: not compressed, five bytes long.
const MESSAGE: &[u8] = b"\x00\x00\x00\x00\x05hello";

/// Loopback addresses with the port of HTTP/1.1.
const ADDRESSES: u8 = 4;

/// Answers that one write may hold; more requests in one read than this are pipelined floods, not a bench.
const BURST: usize = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u16>());
    let (Some(Ok(h1)), Some(Ok(h2c))) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: be H1_PORT H2C_PORT");
    };
    for last in 1..=ADDRESSES {
        let h1 = TcpListener::from_std(sockets::listen_at((Ipv4Addr::new(127, 0, 0, last), h1).into())?)?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = h1.accept().await {
                tokio::spawn(plain(stream));
            }
        });
    }
    let h2c = TcpListener::from_std(sockets::listen(h2c)?)?;
    loop {
        tokio::spawn(grpc(h2c.accept().await?.0));
    }
}

async fn plain(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let answers = ANSWER.repeat(BURST);
    let mut buffer = [0_u8; 4096];
    // Ends of heads are counted across reads: how much of CRLF CRLF the last read ended with.
    let mut matched = 0;
    loop {
        stream.readable().await?;
        let length = match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        let requests = heads(&buffer[..length], &mut matched);
        send(&stream, &answers[..requests.min(BURST) * ANSWER.len()]).await?;
    }
}

fn heads(bytes: &[u8], matched: &mut usize) -> usize {
    if *matched == 0
        && bytes.ends_with(b"\r\n\r\n")
        && memchr::memmem::find(bytes, b"\r\n\r\n") == Some(bytes.len() - 4)
    {
        return 1;
    }
    let mut found = 0;
    for &byte in bytes {
        *matched = match (byte, *matched) {
            (b'\r', 0 | 2) | (b'\n', 1) => *matched + 1,
            (b'\n', 3) => {
                found += 1;
                0
            }
            (b'\r', _) => 1,
            _ => 0,
        };
    }
    found
}

async fn send(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn grpc(stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = h2::server::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 24)
        .max_concurrent_streams(1024)
        // A load ends by cutting its streams; the proxies pass that on all at once, and none of them may be blamed.
        .max_pending_accept_reset_streams(8192)
        .max_concurrent_reset_streams(8192)
        .handshake::<_, Bytes>(stream)
        .await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        tokio::spawn(call(request.into_body(), respond));
    }
    Ok(())
}

async fn call(mut body: h2::RecvStream, mut respond: h2::server::SendResponse<Bytes>) -> Result<(), h2::Error> {
    let mut message = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        message.extend_from_slice(&piece);
    }
    let mut head = Response::new(());
    head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut answer = respond.send_response(head, false)?;
    answer.send_data(Bytes::from_static(MESSAGE), false)?;
    let mut trailers = HeaderMap::new();
    // A message that does not arrive whole is an error of whoever carried it.
    let whole = message.len() >= 5 && message.len() == 5 + usize::from(message[4]);
    trailers.insert("grpc-status", HeaderValue::from_static(if whole { "0" } else { "3" }));
    answer.send_trailers(trailers)
}

#[cfg(test)]
mod tests {
    use super::{ANSWER, heads};

    #[test]
    fn heads_are_counted_across_reads() {
        let mut matched = 0;
        assert_eq!(heads(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &mut matched), 1);
        assert_eq!(heads(b"GET / HTTP/1.1\r\nHost: a\r\n\r", &mut matched), 0);
        assert_eq!(heads(b"\nGET / HTTP/1.1\r\n\r\n", &mut matched), 2);
    }

    #[test]
    fn the_answer_holds_128_bytes() {
        let body = ANSWER.len() - (memchr::memmem::find(ANSWER, b"\r\n\r\n").unwrap() + 4);
        assert_eq!(body, 128);
    }
}
