// SPDX-License-Identifier: Apache-2.0
//! Keys are never mixed, whatever is opened, closed, expires or breaks, and in whichever order.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::runtime::Builder;

use super::peer::Order;
use super::*;
use crate::io::{Io, Tunnelled as _};

#[derive(Debug, Clone, Copy)]
enum Step {
    /// As many tunnels at once, under this key.
    Open(usize, usize),
    /// The tunnel at this place, modulo.
    Close(usize),
    /// Seconds pass.
    Pass(u64),
    /// All identities below are given up.
    Retire(u64),
    Order(Order),
}

fn keys() -> Vec<Key> {
    let address = |last| SocketAddr::from((Ipv4Addr::new(10, 0, 0, last), 15008));
    let mut keys = Vec::new();
    for identity in [1, 2] {
        for peers in [1, 2] {
            keys.extend([1, 2].map(|last| Key { identity, peers, address: address(last) }));
        }
    }
    keys
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..8_usize, 1..6_usize).prop_map(|(key, many)| Step::Open(key, many)),
        3 => any::<usize>().prop_map(Step::Close),
        2 => (1..400_u64).prop_map(Step::Pass),
        1 => (1..3_u64).prop_map(Step::Retire),
        1 => prop_oneof![Just(Order::GoAway), Just(Order::Break)].prop_map(Step::Order),
    ];
    vec(step, 1..30)
}

/// Which key each connection was dialled for, by our side's address.
type Dialled = Mutex<HashMap<SocketAddr, Key>>;

async fn open_as(pool: &Pool, peer: &Peer, dialled: &Dialled, key: Key) -> Tunnel {
    let ask = Ask { authority: "10.0.0.7:8080", headers: &HeaderMap::new() };
    let dial = || async {
        let io: Box<Io> = peer.dial().await?;
        dialled.lock().unwrap().insert(io.local().unwrap(), key);
        Ok(io)
    };
    pool.open(key, &ask, Instant::now() + Duration::from_secs(5), dial).await.unwrap()
}

async fn play(steps: Vec<Step>) {
    // Three streams a connection: there are always several.
    let (pool, peer) = (Pool::new(), Peer::with(|settings| settings.streams = Some(3)));
    let (dialled, mut tunnels) = (Dialled::default(), Vec::new());
    for step in steps {
        match step {
            Step::Open(at, many) => {
                let key = keys()[at];
                let opened = join_all((0..many).map(|_| open_as(&pool, &peer, &dialled, key))).await;
                for tunnel in opened {
                    assert_eq!(dialled.lock().unwrap()[&tunnel.local().unwrap()], key);
                    tunnels.push(tunnel);
                }
            }
            Step::Close(at) if !tunnels.is_empty() => drop(tunnels.swap_remove(at % tunnels.len())),
            Step::Close(_) => {}
            Step::Pass(seconds) => {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                pool.sweep(Instant::now());
            }
            Step::Retire(identity) => pool.retain(|key| key.identity >= identity),
            Step::Order(order) => {
                peer.order(order);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let Counts { open, tunnels: counted, .. } = pool.counts();
        assert_eq!(counted, tunnels.len() as u64);
        assert!(open <= dialled.lock().unwrap().len() as u64);
    }
    // Nothing is left of it once nobody wants anything.
    drop(tunnels);
    pool.retain(|_| false);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((pool.counts().open, pool.counts().tunnels, pool.is_empty()), (0, 0, true));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_tunnel_is_inside_a_connection_of_its_own_key(steps in steps()) {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(play(steps));
    }
}
