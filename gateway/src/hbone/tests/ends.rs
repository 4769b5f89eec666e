// SPDX-License-Identifier: Apache-2.0
//! How outer connections end: by their peers, by silence, by age, and when nobody wants them any more.

use std::io::ErrorKind;

use h2::Reason;

use super::peer::Order;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_peer_that_goes_away_gets_no_more_streams_and_those_that_run_go_on() {
    let (pool, peer) = (Pool::new(), Peer::echo());
    let mut first = open(&pool, &peer).await.unwrap();
    peer.order(Order::GoAway);
    echoes(&mut first).await;
    let mut second = open(&pool, &peer).await.unwrap();
    assert_eq!((counts(&pool), peer.connections()), ((2, 2, 2), 2));
    echoes(&mut first).await;
    echoes(&mut second).await;
    first.shutdown().await.unwrap();
    assert_eq!(first.read(&mut [0; 1]).await.unwrap(), 0);
    drop(first);
    comes_to(&pool, (2, 1, 1)).await;
    echoes(&mut second).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_takes_its_tunnels_along_and_no_others() {
    let (pool, peer, other) = (Pool::new(), Peer::echo(), Peer::echo());
    let (mut first, mut second) = (open(&pool, &peer).await.unwrap(), open(&pool, &other).await.unwrap());
    peer.order(Order::Break);
    assert_eq!(first.read(&mut [0; 1]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(first.write(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    comes_to(&pool, (2, 1, 2)).await;
    echoes(&mut second).await;
    peer.order(Order::Serve);
    echoes(&mut open(&pool, &peer).await.unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_of_a_dying_connection_is_asked_again_once() {
    let (pool, peer) = (Pool::new(), Peer::new(Conduct::Fragile));
    drop(open(&pool, &peer).await.unwrap());
    // The second request breaks the connection, and goes to another.
    let mut tunnel = open(&pool, &peer).await.unwrap();
    echoes(&mut tunnel).await;
    assert_eq!((peer.connections(), peer.dials()), (2, 2));

    // A new connection that breaks at once is tried no further.
    let (pool, peer) = (Pool::new(), Peer::new(Conduct::Brittle));
    assert!(matches!(open(&pool, &peer).await, Err(Failure::Broken)));
    assert_eq!(peer.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_refuses_streams_is_left_and_does_not_pile_up() {
    let (pool, peer) = (Pool::new(), Peer::new(Conduct::Deny(Reason::REFUSED_STREAM)));
    for _ in 0..20 {
        assert!(matches!(open(&pool, &peer).await, Err(Failure::Broken)));
    }
    assert_eq!(peer.connections(), 20);
    pool.sweep(Instant::now());
    comes_to(&pool, (20, 0, 0)).await;

    // A reset of this one stream says nothing of the next.
    let (pool, peer) = (Pool::new(), Peer::new(Conduct::Deny(Reason::INTERNAL_ERROR)));
    for _ in 0..20 {
        assert!(matches!(open(&pool, &peer).await, Err(Failure::Broken)));
    }
    assert_eq!((peer.connections(), counts(&pool)), (1, (1, 1, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_silent_is_found_out_by_a_ping() {
    let (pool, peer) = (Pool::new(), Peer::echo());
    let mut tunnel = open(&pool, &peer).await.unwrap();
    // One that answers is left alone.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(17)).await;
        echoes(&mut tunnel).await;
    }
    peer.order(Order::Freeze);
    let start = Instant::now();
    let broken = tokio::time::timeout(Duration::from_mins(5), tunnel.read(&mut [0; 1])).await.unwrap();
    assert_eq!(broken.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!((20..=30).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    comes_to(&pool, (1, 0, 1)).await;
    peer.order(Order::Serve);
    echoes(&mut open(&pool, &peer).await.unwrap()).await;
    assert_eq!(peer.connections(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_streams_is_not_asked_and_one_that_gets_one_is_asked_at_once() {
    let (pool, peer) = (Pool::new(), Peer::echo());
    drop(open(&pool, &peer).await.unwrap());
    peer.order(Order::Freeze);
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(counts(&pool), (1, 1, 0));
    let start = Instant::now();
    // Served by the next connection, once the old one is known to be dead.
    peer.order(Order::Serve);
    assert!(open_within(&pool, &peer, Duration::from_mins(1)).await.is_ok());
    assert_eq!((start.elapsed().as_secs(), peer.connections()), (20, 2));
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_for_five_minutes_without_a_stream() {
    let (pool, peer) = (Pool::new(), Peer::echo());
    let tunnel = open(&pool, &peer).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    pool.sweep(Instant::now());
    assert_eq!(counts(&pool), (1, 1, 1));
    drop(tunnel);
    tokio::time::sleep(Duration::from_secs(299)).await;
    pool.sweep(Instant::now());
    drop(open(&pool, &peer).await.unwrap());
    assert_eq!(counts(&pool), (1, 1, 0));
    tokio::time::sleep(Duration::from_secs(301)).await;
    pool.sweep(Instant::now());
    comes_to(&pool, (1, 0, 0)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(peer.ended(), 1);
    pool.sweep(Instant::now());
    assert!(pool.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stale_key_ends_with_its_last_tunnel() {
    let (pool, peer) = (Pool::new(), Peer::echo());
    let old = key(&peer);
    let mut tunnel = open(&pool, &peer).await.unwrap();
    pool.retain(|key| key.identity > old.identity);
    echoes(&mut tunnel).await;
    assert_eq!(counts(&pool), (1, 1, 1));
    let ask = Ask { authority: "a:1", headers: &HeaderMap::new() };
    let new = Key { identity: old.identity + 1, ..old };
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut next = pool.open(new, &ask, deadline, || peer.dial()).await.unwrap();
    assert_eq!(counts(&pool), (2, 2, 2));
    drop(tunnel);
    comes_to(&pool, (2, 1, 1)).await;
    pool.retain(|key| key.identity > old.identity);
    echoes(&mut next).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_not_waited_for_at_the_end() {
    let (pool, peer) = (Pool::new(), Peer::with(|settings| settings.window = 64 << 20));
    let mut tunnel = open(&pool, &peer).await.unwrap();
    echoes(&mut tunnel).await;
    peer.order(Order::Freeze);
    // More than the sockets take.
    let much = vec![0; 32 << 20];
    assert!(tokio::time::timeout(Duration::from_secs(5), tunnel.write_all(&much)).await.is_err());
    drop(tunnel);
    pool.retain(|_| false);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(counts(&pool), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_dropped_closes_what_is_not_used() {
    let (pool, peer) = (Pool::new(), Peer::echo());
    let mut tunnel = open(&pool, &peer).await.unwrap();
    drop(pool);
    echoes(&mut tunnel).await;
    assert_eq!(peer.ended(), 0);
    drop(tunnel);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(peer.ended(), 1);
}
