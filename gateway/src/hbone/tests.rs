// SPDX-License-Identifier: Apache-2.0

mod peer;

mod bytes;

mod ends;

mod hostile;

mod inside;

mod keys;

use std::time::Duration;

use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use self::peer::{Conduct, Peer, key};
use super::*;

/// A tunnel to an address that nobody looks at.
async fn open(pool: &Pool, peer: &Peer) -> Result<Tunnel, Failure> {
    open_within(pool, peer, Duration::from_secs(30)).await
}

async fn open_within(pool: &Pool, peer: &Peer, time: Duration) -> Result<Tunnel, Failure> {
    let ask = Ask { authority: "10.0.0.7:8080", headers: &HeaderMap::new() };
    is_send(pool.open(key(peer), &ask, Instant::now() + time, || peer.dial())).await
}

/// Tasks may move between threads, and what asks for tunnels is part of them.
fn is_send<T: Send>(future: T) -> T {
    future
}

/// Bytes go there and back.
async fn echoes(tunnel: &mut Tunnel) {
    tunnel.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    tunnel.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
}

fn counts(pool: &Pool) -> (u64, u64, u64) {
    let Counts { opened, open, tunnels } = pool.counts();
    (opened, open, tunnels)
}

/// Waits until the pool has counted so: opened, open, tunnels.
async fn comes_to(pool: &Pool, expected: (u64, u64, u64)) {
    for _ in 0..2_000 {
        if counts(pool) == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(counts(pool), expected);
}

#[tokio::test(start_paused = true)]
async fn one_connection_carries_one_tunnel_after_another() {
    let (pool, peer) = (Pool::new(), Peer::echo());
    for _ in 0..50 {
        let mut tunnel = open(&pool, &peer).await.unwrap();
        echoes(&mut tunnel).await;
        tunnel.shutdown().await.unwrap();
        assert_eq!(tunnel.read(&mut [0; 1]).await.unwrap(), 0);
    }
    assert_eq!(counts(&pool), (1, 1, 0));
    // Whether they end in order or are dropped.
    for at in 0..10_000 {
        let mut tunnel = open(&pool, &peer).await.unwrap();
        if at % 2 == 0 {
            tunnel.shutdown().await.unwrap();
            assert_eq!(tunnel.read(&mut [0; 1]).await.unwrap(), 0);
        }
    }
    assert_eq!((counts(&pool), peer.connections()), ((1, 1, 0), 1));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_requests_in_one_tunnel_open_nothing_more() {
    let (pool, peer) = (Pool::new(), Peer::echo());
    let mut tunnel = open(&pool, &peer).await.unwrap();
    for _ in 0..10_000 {
        echoes(&mut tunnel).await;
    }
    assert_eq!((counts(&pool), peer.connections(), peer.asked().len()), ((1, 1, 1), 1, 1));
}

#[tokio::test(start_paused = true)]
async fn more_tunnels_than_a_connection_may_have_open_another_one() {
    let (pool, peer) = (Pool::new(), Peer::echo());
    let tunnels = join_all((0..150).map(|_| open(&pool, &peer))).await;
    let mut tunnels: Vec<Tunnel> = tunnels.into_iter().map(Result::unwrap).collect();
    assert_eq!(counts(&pool), (2, 2, 150));
    join_all(tunnels.iter_mut().map(echoes)).await;
    drop(tunnels);
    let tunnels = join_all((0..150).map(|_| open(&pool, &peer))).await;
    assert_eq!(counts(&pool), (2, 2, 150));
    drop(tunnels);
}

#[tokio::test(start_paused = true)]
async fn a_peer_may_want_fewer_streams_or_none() {
    let (pool, peer) = (Pool::new(), Peer::with(|settings| settings.streams = Some(3)));
    let tunnels = join_all((0..7).map(|_| open(&pool, &peer))).await;
    assert!(tunnels.iter().all(Result::is_ok));
    assert_eq!(counts(&pool), (3, 3, 7));

    let (pool, peer) = (Pool::new(), Peer::with(|settings| settings.streams = Some(0)));
    let failed = join_all((0..7).map(|_| open(&pool, &peer))).await;
    assert!(failed.iter().all(|it| matches!(it, Err(Failure::Dial(Fault::Connect)))), "{failed:?}");
    assert_eq!(peer.connections(), 1);
    comes_to(&pool, (1, 0, 0)).await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_a_connection_is_opened_waits_for_it() {
    let (pool, peer) = (Pool::new(), Peer::with(|settings| settings.dial = Duration::from_secs(1)));
    let tunnels = join_all((0..20).map(|_| open(&pool, &peer))).await;
    assert!(tunnels.iter().all(Result::is_ok));
    assert_eq!((peer.dials(), peer.connections()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_fails_fails_all_who_wait_for_it_and_nobody_else() {
    let (pool, peer) = (Pool::new(), Peer::with(|settings| settings.dial = Duration::from_secs(1)));
    peer.refuse(Some(Fault::UpstreamTls("expired")));
    let failed = join_all((0..20).map(|_| open(&pool, &peer))).await;
    assert!(failed.iter().all(|it| matches!(it, Err(Failure::Dial(Fault::UpstreamTls("expired"))))), "{failed:?}");
    assert_eq!(peer.dials(), 1);
    peer.refuse(None);
    assert!(open(&pool, &peer).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn everybody_waits_as_long_as_is_theirs_and_the_next_dials() {
    let (pool, peer) = (Pool::new(), Peer::with(|settings| settings.dial = Duration::from_secs(4)));
    let start = Instant::now();
    let hasty = async { (open_within(&pool, &peer, Duration::from_secs(1)).await, start.elapsed()) };
    let patient = async { (open_within(&pool, &peer, Duration::from_secs(9)).await, start.elapsed()) };
    let middling = async { (open_within(&pool, &peer, Duration::from_secs(3)).await, start.elapsed()) };
    let (hasty, patient, middling) = tokio::join!(hasty, patient, middling);
    assert!(matches!(hasty, (Err(Failure::TimedOut), at) if at.as_secs() == 1), "{hasty:?}");
    assert!(matches!(middling, (Err(Failure::TimedOut), at) if at.as_secs() == 3), "{middling:?}");
    // Who is next when the first has no more time is nobody's right.
    assert!(matches!(patient, (Ok(_), at) if at.as_secs() <= 7), "{patient:?}");
    assert!((2..=3).contains(&peer.dials()));
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_is_an_authority_and_what_the_caller_says_besides() {
    let (pool, peer) = (Pool::new(), Peer::echo());
    let headers: HeaderMap = [("baggage", "k8s.namespace.name=a"), ("x-istio-source", "gateway")]
        .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
        .into_iter()
        .collect();
    let ask = Ask { authority: "[2001:db8::7]:8080", headers: &headers };
    let deadline = Instant::now() + Duration::from_secs(5);
    pool.open(key(&peer), &ask, deadline, || peer.dial()).await.unwrap();
    let asked = peer.asked();
    assert_eq!((asked[0].method(), asked[0].uri().to_string().as_str()), (&http::Method::CONNECT, ask.authority));
    assert!(asked[0].uri().scheme().is_none() && asked[0].uri().path_and_query().is_none());
    assert_eq!(asked[0].headers(), &headers);

    let nowhere = Ask { authority: "no port or\nanything", ..ask };
    let failed = pool.open(key(&peer), &nowhere, deadline, || peer.dial()).await;
    assert!(matches!(failed, Err(Failure::Dial(Fault::InvalidConfig))));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_has_the_status_of_the_answer() {
    for status in [401, 403, 404, 503, 302] {
        let (pool, peer) = (Pool::new(), Peer::new(Conduct::Answer(status)));
        let Err(Failure::Refused(refused)) = open(&pool, &peer).await else { panic!("{status}") };
        assert_eq!(refused, status);
        // The connection is as good as before.
        assert_eq!(counts(&pool), (1, 1, 0));
        assert!(open(&pool, &peer).await.is_err());
        assert_eq!(counts(&pool), (1, 1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_costs_no_more_than_the_deadline() {
    for conduct in [Conduct::Silent, Conduct::Mute] {
        let (pool, peer) = (Pool::new(), Peer::new(conduct));
        let start = Instant::now();
        assert!(matches!(open_within(&pool, &peer, Duration::from_secs(7)).await, Err(Failure::TimedOut)));
        assert_eq!(start.elapsed().as_secs(), 7, "{conduct:?}");
    }
}
