// SPDX-License-Identifier: Apache-2.0
//! Endpoints as workloads of a mesh: pools go by their ids, so that one which is somebody else by now must have another.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use proptest::prelude::*;
use torana_ir::{Endpoint, Endpoints, MeshPeer, MeshTransport, PeerName};

use super::*;

/// Who may be at an address: nobody of a mesh, or one of these.
fn peer(number: usize) -> Option<Box<MeshPeer>> {
    let (number, strict) = (number.checked_sub(1)?, number.is_multiple_of(2));
    let transport = if number.is_multiple_of(3) { MeshTransport::Hbone } else { MeshTransport::Mtls };
    let names = vec![PeerName::Uri(format!("spiffe://d/ns/n/sa/{}", number / 2))];
    Some(Box::new(MeshPeer { transport, names, strict }))
}

fn list(of: &[(u16, usize)]) -> Arc<Endpoints> {
    let endpoint = |(port, number): &(u16, usize)| Endpoint {
        mesh: peer(*number),
        ..Endpoint::new(([127, 0, 0, 1], *port).into(), true)
    };
    Arc::new(Endpoints::Static { backend: key(), endpoints: of.iter().map(endpoint).collect() })
}

proptest! {
    #[test]
    fn no_id_is_ever_that_of_two_workloads_and_one_that_stays_keeps_its_own(
        steps in proptest::collection::vec(proptest::collection::vec((1..5_u16, 0..7_usize), 0..5), 1..30),
    ) {
        let state = configured(Backend::new(key()), &[]);
        let mut known: BTreeMap<u64, (SocketAddr, Option<u64>)> = BTreeMap::new();
        let mut last: BTreeMap<SocketAddr, (u64, usize)> = BTreeMap::new();
        for step in steps {
            state.set_source(list(&step));
            let mut now = BTreeMap::new();
            for (endpoint, _) in state.endpoints().iter() {
                // Of those at one address the first counts.
                let (_, number) = step.iter().find(|(port, _)| *port == endpoint.address.port()).unwrap();
                let (id, is) = (endpoint.id, (endpoint.address, endpoint.peer.as_ref().map(|peer| peer.id)));
                prop_assert_eq!(*known.entry(id).or_insert(is), is);
                match (&endpoint.peer, peer(*number)) {
                    (Some(own), Some(listed)) => prop_assert!(own.is(&listed)),
                    (own, listed) => prop_assert!(own.is_none() && listed.is_none()),
                }
                if let Some((before, _)) = last.get(&endpoint.address).filter(|(_, before)| before == number) {
                    prop_assert_eq!(*before, id);
                }
                now.insert(endpoint.address, (id, *number));
            }
            last = now;
        }
    }
}
