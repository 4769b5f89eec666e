// SPDX-License-Identifier: Apache-2.0
//! What goes through a tunnel, how much of it at a time, and how its two directions end.

use std::io::{ErrorKind, IoSlice};
use std::sync::atomic::{AtomicUsize, Ordering};

use h2::Reason;
use tokio::io::{AsyncRead as _, AsyncWrite as _};

use super::super::outer::STREAM_WINDOW;
use super::super::tunnel::SEND_BUFFER;
use super::*;
use crate::io::Tunnelled as _;

/// For a task of the same thread to do all it can.
async fn settled() {
    tokio::time::sleep(Duration::from_millis(200)).await;
}

#[tokio::test(start_paused = true)]
async fn much_goes_through_both_ways_at_once() {
    const MUCH: usize = 64 << 20;
    let (pool, peer) = (Pool::new(), Peer::with(|settings| settings.window = 1 << 20));
    let (mut from, mut to) = tokio::io::split(open(&pool, &peer).await.unwrap());
    let byte = |at: usize| (at * 7 / 1_000) as u8;
    let write = async {
        for at in (0..MUCH).step_by(100_000) {
            let bytes: Vec<u8> = (at..(at + 100_000).min(MUCH)).map(byte).collect();
            to.write_all(&bytes).await.unwrap();
        }
        to.shutdown().await.unwrap();
    };
    let read = async {
        let (mut read, mut bytes) = (0, vec![0; 70_000]);
        loop {
            match from.read(&mut bytes).await.unwrap() {
                0 => break read,
                length => {
                    assert!(bytes[..length].iter().enumerate().all(|(at, it)| *it == byte(read + at)));
                    read += length;
                }
            }
        }
    };
    let ((), read) = tokio::join!(write, read);
    assert_eq!((read, peer.received()), (MUCH, MUCH));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_stops_the_writer() {
    let (pool, peer) =
        (Pool::new(), Peer::with(|settings| (settings.conduct, settings.window) = (Conduct::Hoard, 200_000)));
    let mut tunnel = open(&pool, &peer).await.unwrap();
    let written = AtomicUsize::new(0);
    let writing = async {
        loop {
            written.fetch_add(tunnel.write(&[7; 10_000]).await.unwrap(), Ordering::SeqCst);
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(500), writing).await.is_err());
    let written = written.into_inner();
    assert!((200_000..=200_000 + SEND_BUFFER).contains(&written), "{written}");
    // The other streams of the connection are not held up once this one is gone.
    drop(tunnel);
    let mut next = open(&pool, &peer).await.unwrap();
    next.write_all(&[7; 10_000]).await.unwrap();
    assert_eq!(counts(&pool), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_sent_a_window_and_no_more() {
    let (pool, peer) = (Pool::new(), Peer::new(Conduct::Pour));
    let mut tunnel = open(&pool, &peer).await.unwrap();
    let filled = async {
        while peer.sent() < STREAM_WINDOW as usize {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), filled).await.unwrap();
    // Of a frame that is read in part, no more than that is given back.
    tunnel.read_exact(&mut [0; 1]).await.unwrap();
    settled().await;
    assert_eq!(peer.sent(), STREAM_WINDOW as usize);
    let mut read = 0;
    let mut bytes = vec![0; 64 << 10];
    let waker = std::task::Waker::noop();
    let mut cx = std::task::Context::from_waker(waker);
    // What has come by now: nothing more comes while no other task runs.
    loop {
        let mut buffer = tokio::io::ReadBuf::new(&mut bytes);
        match std::pin::Pin::new(&mut tunnel).poll_read(&mut cx, &mut buffer) {
            std::task::Poll::Ready(result) => result.unwrap(),
            std::task::Poll::Pending => break,
        }
        read += buffer.filled().len();
    }
    // With the byte that was read before and the one that came for it.
    assert_eq!(read, STREAM_WINDOW as usize);
    // Read, it is given back, and as much comes again.
    tunnel.read_exact(&mut vec![0; 2 * STREAM_WINDOW as usize]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_reserved_and_not_used_is_for_the_other_tunnels() {
    const WINDOW: usize = 65_535;
    let (pool, peer) = (Pool::new(), Peer::new(Conduct::Hoard));
    let mut first = open(&pool, &peer).await.unwrap();
    let mut second = open(&pool, &peer).await.unwrap();
    let mut third = open(&pool, &peer).await.unwrap();
    let whole = vec![0; WINDOW];
    // The connection's window is all the second's, and the first is next.
    second.write_all(&whole).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), first.write(&whole)).await.is_err());
    drop(second);
    settled().await;
    // It has got it all, and does not want it any more.
    first.write_all(&[0; 10]).await.unwrap();
    let writing = third.write_all(&whole[10..]);
    tokio::time::timeout(Duration::from_secs(5), writing).await.expect("room for the third").unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_side_may_end_first() {
    let (pool, peer) = (Pool::new(), Peer::echo());
    let mut tunnel = open(&pool, &peer).await.unwrap();
    tunnel.write_all(b"the last").await.unwrap();
    tunnel.shutdown().await.unwrap();
    tunnel.shutdown().await.unwrap();
    assert_eq!(tunnel.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    let mut said = String::new();
    tunnel.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "the last");

    let peer = Peer::new(Conduct::Say("farewell"));
    let mut tunnel = open(&pool, &peer).await.unwrap();
    tunnel.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "the lastfarewell");
    assert_eq!(tunnel.read(&mut [0; 1]).await.unwrap(), 0, "an end stays one");
    tunnel.write_all(b"still listened to").await.unwrap();
    tunnel.shutdown().await.unwrap();
    drop(tunnel);
    settled().await;
    assert_eq!(peer.received(), 17, "what was ended in order arrives though nobody waits for it");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_its_peer_resets_is_a_connection_reset() {
    for reason in [Reason::CANCEL, Reason::INTERNAL_ERROR, Reason::CONNECT_ERROR] {
        let (pool, peer) = (Pool::new(), Peer::new(Conduct::Reset(reason)));
        let mut tunnel = open(&pool, &peer).await.unwrap();
        for _ in 0..2 {
            assert_eq!(tunnel.read(&mut [0; 1]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
            assert_eq!(tunnel.write(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
        assert_eq!(counts(&pool), (1, 1, 1), "the others of the connection are not touched");
    }
    // Who has said all and wants no more of ours has not broken anything (RFC 9113 §8.1).
    let (pool, peer) = (Pool::new(), Peer::new(Conduct::Reset(Reason::NO_ERROR)));
    assert_eq!(open(&pool, &peer).await.unwrap().read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_early_resets_the_stream() {
    let (pool, peer) = (Pool::new(), Peer::echo());
    drop(open(&pool, &peer).await.unwrap());
    assert_eq!(peer.reset().await, Some(Reason::CANCEL));

    // Half of it was ended.
    let silent = Peer::new(Conduct::Hoard);
    let mut tunnel = open(&pool, &silent).await.unwrap();
    tunnel.shutdown().await.unwrap();
    drop(tunnel);
    assert_eq!(silent.reset().await, Some(Reason::CANCEL));

    // Also before an answer came.
    let silent = Peer::new(Conduct::Silent);
    assert!(matches!(open_within(&pool, &silent, Duration::from_millis(100)).await, Err(Failure::TimedOut)));
    assert_eq!(silent.reset().await, Some(Reason::CANCEL));

    let mut tunnel = open(&pool, &peer).await.unwrap();
    tunnel.reset();
    assert_eq!(peer.reset().await, Some(Reason::CANCEL));
    assert!(tunnel.write(b"x").await.is_err() && tunnel.read(&mut [0; 1]).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn slices_are_written_as_one() {
    let (pool, peer) = (Pool::new(), Peer::echo());
    let mut tunnel = open(&pool, &peer).await.unwrap();
    assert!(tunnel.is_write_vectored());
    let slices = [b"head ".as_slice(), b"", b"body"].map(IoSlice::new);
    assert_eq!(tunnel.write_vectored(&slices).await.unwrap(), 9);
    let mut text = [0; 9];
    tunnel.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"head body");
}
