// SPDX-License-Identifier: Apache-2.0
//! Peers that speak frames of their own: what floods ends the connection, and what is odd does not.

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::frames::{Frames, HEADERS, PREFACE};
use crate::io::Io;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&size[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `:status: 200` and `:status: 100`, as HPACK has them.
const OK: &[u8] = &[0x88];
const CONTINUE: &[u8] = &[0x08, 3, b'1', b'0', b'0'];

/// A peer that introduces itself, says `first`, and then `again` until it is hung up on.
async fn flooding(first: Vec<u8>, again: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (first, again) = (first.clone(), again.clone());
            tokio::spawn(async move {
                socket.write_all(&frame(4, 0, 0, &[])).await?;
                let (mut bytes, mut frames, mut asked) = (vec![0; 4 << 10], Frames::new(PREFACE), false);
                while !asked {
                    let read = socket.read(&mut bytes).await?;
                    frames.pass(&bytes[..read], |frame| asked |= frame.kind == HEADERS);
                }
                socket.write_all(&first).await?;
                while !again.is_empty() {
                    socket.write_all(&again).await?;
                    let taken = socket.try_read(&mut bytes);
                    if taken.is_ok_and(|read| read == 0) {
                        break;
                    }
                }
                std::future::pending::<std::io::Result<()>>().await
            });
        }
    });
    address
}

async fn ask(pool: &Pool, address: SocketAddr) -> Result<Tunnel, Failure> {
    let key = Key { identity: 1, peers: 1, address };
    let ask = Ask { authority: "10.0.0.7:8080", headers: &HeaderMap::new() };
    let dial = || async { Ok(Box::new(Io::tcp(TcpStream::connect(address).await.unwrap()))) };
    pool.open(key, &ask, Instant::now() + Duration::from_secs(20), dial).await
}

#[tokio::test]
async fn floods_of_frames_that_ask_for_nothing_end_the_connection() {
    let floods = [
        ("PING", frame(6, 0, 0, &[0; 8])),
        ("PING that was not asked for", frame(6, 1, 0, &[0; 8])),
        ("SETTINGS", frame(4, 0, 0, &[])),
        ("WINDOW_UPDATE", frame(8, 0, 0, &[0, 0, 0, 1])),
        ("RST_STREAM of what is over", frame(3, 0, 1, &[0, 0, 0, 8])),
        ("PRIORITY", frame(2, 0, 1, &[0, 0, 0, 0, 16])),
        ("frames of no known kind", frame(0xfa, 0, 0, &[0; 8])),
        ("empty DATA", frame(0, 0, 1, &[])),
    ];
    for (name, flood) in floods {
        let pool = Pool::new();
        let address = flooding(frame(1, 4, 1, OK), flood.repeat(50)).await;
        // It may have ended before the answer was looked at.
        if let Ok(mut tunnel) = ask(&pool, address).await {
            let ended = tokio::time::timeout(Duration::from_secs(20), tunnel.read(&mut [0; 1])).await;
            assert_eq!(ended.expect(name).unwrap_err().kind(), ErrorKind::ConnectionReset, "{name}");
        }
        comes_to(&pool, (1, 0, 0)).await;
    }
}

#[tokio::test]
async fn answers_that_never_come_to_an_end_are_none() {
    for (name, first, again) in [
        ("100 again and again", vec![], frame(1, 4, 1, CONTINUE)),
        ("an endless head", frame(1, 0, 1, OK), frame(9, 0, 1, &[])),
        ("an endless head with much in it", frame(1, 0, 1, OK), frame(9, 0, 1, &[0x40; 1_000])),
    ] {
        let pool = Pool::new();
        let address = flooding(first, again.repeat(50)).await;
        let failed = ask(&pool, address).await;
        assert!(matches!(failed, Err(Failure::Broken)), "{name}: {failed:?}");
        comes_to(&pool, (1, 0, 0)).await;
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_no_answer_and_costs_its_stream_alone() {
    let pool = Pool::new();
    let field = [&[0x40, 1, b'a', 0x7f, 0xb1, 0x2f][..], &[b'x'; 6_192]].concat();
    let address = flooding(frame(1, 4, 1, &[OK, &field.repeat(4)].concat()), vec![]).await;
    let failed = ask(&pool, address).await;
    assert!(matches!(failed, Err(Failure::Broken)), "{failed:?}");
    assert_eq!(counts(&pool), (1, 1, 0));
}

#[tokio::test]
async fn what_is_no_http2_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
                socket.read_to_end(&mut Vec::new()).await.ok();
            });
        }
    });
    let pool = Pool::new();
    assert!(matches!(ask(&pool, address).await, Err(Failure::Dial(Fault::Connect))));
    assert_eq!(counts(&pool), (0, 0, 0));
}

#[tokio::test]
async fn padding_interim_answers_and_trailers_are_fine() {
    let data = [&[3][..], b"hello", &[0; 3]].concat();
    let said = [
        frame(1, 4, 1, CONTINUE),
        frame(1, 4, 1, OK),
        frame(0, 8, 1, &data),
        frame(0, 0, 1, &[]),
        frame(1, 5, 1, &[0x40, 1, b'a', 1, b'b']),
    ];
    let pool = Pool::new();
    let address = flooding(said.concat(), vec![]).await;
    let mut tunnel = ask(&pool, address).await.unwrap();
    let mut text = String::new();
    tunnel.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello");
}
