// SPDX-License-Identifier: Apache-2.0
//! What endpoints are as workloads of a mesh. Endpoints that are spoken to alike share one [`Peer`], so that what is made
//! for one of them serves the others. Never connects.

use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use torana_ir::{MeshPeer, MeshTransport, PeerName};

/// How a workload of a mesh is spoken to, and who it must prove to be.
#[derive(Debug)]
pub struct Peer {
    /// Unique in this process, for ever, among peers; the same for as long as anybody has it.
    pub id: u64,
    /// What is between TCP and what the backend is spoken to in.
    pub transport: MeshTransport,
    /// Its certificate must bear one of these.
    pub names: Arc<[PeerName]>,
    /// Cleartext is never an alternative.
    pub strict: bool,
}

/// Those that anybody has.
static PEERS: LazyLock<Mutex<Peers>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Peers {
    known: HashMap<MeshPeer, Weak<Peer>, RandomState>,
    /// How many there have been: ids are never used twice.
    made: u64,
    /// When those that nobody has any more are looked for.
    full: usize,
}

impl Peer {
    /// The one that is this.
    pub fn of(peer: &MeshPeer) -> Arc<Self> {
        // Entries are added and removed whole, so a panic elsewhere left the map whole.
        let mut peers = PEERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = peers.known.get(peer).and_then(Weak::upgrade) {
            return known;
        }
        if peers.known.len() >= peers.full {
            peers.known.retain(|_, known| known.strong_count() > 0);
            peers.full = 64.max(2 * peers.known.len());
        }
        peers.made += 1;
        let MeshPeer { transport, names, strict } = peer;
        let made = Self { id: peers.made, transport: *transport, names: names.as_slice().into(), strict: *strict };
        let made = Arc::new(made);
        peers.known.insert(peer.clone(), Arc::downgrade(&made));
        made
    }

    /// The SPIFFE id that it must bear, if one is asked for: the first.
    pub fn spiffe_id(&self) -> Option<&str> {
        self.names.iter().find_map(|name| match name {
            PeerName::Uri(id) => Some(id.as_str()),
            _ => None,
        })
    }

    /// Whether it is this.
    pub fn is(&self, peer: &MeshPeer) -> bool {
        (self.transport, &*self.names, self.strict) == (peer.transport, peer.names.as_slice(), peer.strict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(account: &str, strict: bool) -> MeshPeer {
        let names = vec![PeerName::Uri(format!("spiffe://peer-test/ns/n/sa/{account}"))];
        MeshPeer { transport: MeshTransport::Mtls, names, strict }
    }

    #[test]
    fn peers_that_are_alike_are_one_and_no_id_comes_back() {
        let (one, same, other) = (Peer::of(&peer("a", true)), Peer::of(&peer("a", true)), Peer::of(&peer("b", true)));
        assert!(Arc::ptr_eq(&one, &same) && one.id != other.id && one.is(&peer("a", true)));
        assert!(!one.is(&peer("a", false)) && one.id != Peer::of(&peer("a", false)).id);
        let id = one.id;
        drop((one, same));
        assert_ne!(Peer::of(&peer("a", true)).id, id);
    }

    #[test]
    fn those_that_nobody_has_are_forgotten() {
        for number in 0..1000 {
            Peer::of(&peer(&format!("gone-{number}"), true));
        }
        assert!(PEERS.lock().unwrap().known.len() < 500);
    }
}
