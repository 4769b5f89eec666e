// SPDX-License-Identifier: Apache-2.0
//! The program of a fleet as it travels: every resource encoded once, whoever it is sent to. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use torana_ir::wire::{self, Upsert};
use torana_ir::{Change, Delta, ListenerKey, Resource, ResourceKey, SharedMap, Snapshot};

/// A snapshot with its resources encoded. Those that did not change are shared with the program before.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    snapshot: Arc<Snapshot>,
    resources: SharedMap<Arc<str>, Encoded>,
    /// What no proxy can be sent, and why.
    pub(super) oversized: BTreeMap<ResourceKey, String>,
}

#[derive(Clone)]
struct Encoded {
    hash: Bytes,
    body: Bytes,
}

/// What has the same hash is the same.
impl PartialEq for Encoded {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Encoded {
    fn upsert(&self, key: &str) -> Upsert {
        Upsert { key: key.to_owned(), hash: self.hash.clone(), body: self.body.clone() }
    }
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The body may be a private key.
        write!(f, "{} bytes", self.body.len())
    }
}

/// What one proxy has.
#[derive(Debug)]
pub(super) enum Has {
    /// As it says.
    Hashes(BTreeMap<String, Bytes>),
    /// As it was sent.
    Program(Arc<Program>),
}

/// What turns what a proxy has into a program.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) upserts: Vec<Upsert>,
    pub(super) removals: Vec<String>,
}

impl Program {
    /// The program for `snapshot`; `None` if it is the same.
    pub(super) fn next(&self, snapshot: &Arc<Snapshot>) -> Option<Self> {
        if Arc::ptr_eq(&self.snapshot, snapshot) {
            return None;
        }
        let delta = self.snapshot.diff(snapshot);
        (!delta.is_empty()).then(|| self.with(Arc::clone(snapshot), delta))
    }

    fn with(&self, snapshot: Arc<Snapshot>, delta: Delta) -> Self {
        let mut next = Self { snapshot, resources: self.resources.clone(), oversized: self.oversized.clone() };
        for key in delta.removals {
            next.resources.remove(wire::key_text(&key).as_str());
            next.oversized.remove(&key);
        }
        delta.upserts.iter().for_each(|resource| next.upsert(resource));
        next
    }

    fn upsert(&mut self, resource: &Resource) {
        let Upsert { key, hash, body } = wire::encode(resource);
        if body.len() > wire::LARGEST_BODY {
            // Proxies keep what they have of it, as with everything that is rejected.
            let why = format!("it takes {} bytes, {} are the limit", body.len(), wire::LARGEST_BODY);
            self.oversized.insert(resource.key(), why);
            return;
        }
        self.oversized.remove(&resource.key());
        self.resources.insert(key.into(), Encoded { hash, body });
    }

    /// Whether the listener is in it.
    pub(super) fn serves(&self, listener: &ListenerKey) -> bool {
        self.snapshot.listeners.contains_key(listener)
    }

    /// What a proxy that has `has` must be sent.
    pub(super) fn difference(&self, has: &Has) -> Difference {
        match has {
            Has::Hashes(hashes) => self.missing(hashes),
            Has::Program(program) => self.since(program),
        }
    }

    fn missing(&self, hashes: &BTreeMap<String, Bytes>) -> Difference {
        let changed = self.resources.iter().filter(|(key, encoded)| hashes.get(&***key) != Some(&encoded.hash));
        let upserts = changed.map(|(key, encoded)| encoded.upsert(key)).collect();
        let gone = hashes.keys().filter(|key| !self.resources.contains_key(key.as_str()) && !self.is_oversized(key));
        Difference { upserts, removals: gone.cloned().collect() }
    }

    fn since(&self, program: &Self) -> Difference {
        let mut difference = Difference::default();
        for change in program.resources.changes(&self.resources) {
            match change {
                Change::Put(key, encoded) => difference.upserts.push(encoded.upsert(key)),
                Change::Gone(key) if self.is_oversized(key) => {}
                Change::Gone(key) => difference.removals.push(key.to_string()),
            }
        }
        difference
    }

    fn is_oversized(&self, key: &str) -> bool {
        !self.oversized.is_empty() && wire::key(key).is_ok_and(|key| self.oversized.contains_key(&key))
    }
}

impl Difference {
    /// The messages of one generation: filled up to [`wire::CHUNK`], the last one complete.
    pub(super) fn chunks(self, epoch: u64, generation: u64) -> Vec<wire::Delta> {
        let empty = || wire::Delta { epoch, generation, ..wire::Delta::default() };
        let (mut chunks, mut chunk, mut bytes) = (Vec::new(), empty(), 0);
        let mut room = |chunk: &mut wire::Delta, more: usize| {
            if bytes > 0 && bytes + more > wire::CHUNK {
                chunks.push(std::mem::replace(chunk, empty()));
                bytes = 0;
            }
            bytes += more;
        };
        for upsert in self.upserts {
            // Tags, lengths and the hash take less than 64 bytes.
            room(&mut chunk, upsert.body.len() + upsert.key.len() + 64);
            chunk.upserts.push(upsert);
        }
        for key in self.removals {
            room(&mut chunk, key.len() + 16);
            chunk.removals.push(key);
        }
        chunk.complete = true;
        chunks.push(chunk);
        chunks
    }
}

#[cfg(test)]
mod tests {
    use torana_ir::{Backend, BackendKey, Endpoint, Endpoints};

    use super::*;

    fn key(name: &str) -> BackendKey {
        BackendKey::tcp("n", name, 80)
    }

    fn snapshot(backends: &[(&str, u32)]) -> Arc<Snapshot> {
        let backend = |(name, most): &(&str, u32)| {
            Resource::Backend(Backend { max_connections: *most, ..Backend::new(key(name)) }.into())
        };
        let mut snapshot = Snapshot::default();
        snapshot.apply(Delta { upserts: backends.iter().map(backend).collect(), removals: vec![] });
        Arc::new(snapshot)
    }

    fn program(backends: &[(&str, u32)]) -> Arc<Program> {
        Arc::new(Program::default().next(&snapshot(backends)).unwrap())
    }

    fn text(name: &str) -> String {
        wire::key_text(&ResourceKey::Backend(key(name)))
    }

    fn sent(difference: &Difference) -> Vec<&str> {
        difference.upserts.iter().map(|upsert| upsert.key.as_str()).collect()
    }

    #[test]
    fn a_proxy_is_sent_what_it_lacks_and_told_what_is_gone() {
        let new = program(&[("a", 1), ("b", 2), ("c", 3)]);
        let old = program(&[("a", 1), ("b", 1), ("d", 1)]);
        let hashes = old.difference(&Has::Hashes(BTreeMap::new())).upserts.into_iter().map(|it| (it.key, it.hash));
        for has in [Has::Hashes(hashes.collect()), Has::Program(Arc::clone(&old))] {
            let difference = new.difference(&has);
            assert_eq!(sent(&difference), [text("b"), text("c")]);
            assert_eq!(difference.removals, [text("d")]);
        }
        assert_eq!(new.difference(&Has::Program(Arc::clone(&new))), Difference::default());
    }

    #[test]
    fn the_same_snapshot_is_the_same_program_and_another_shares_what_it_can() {
        let first = program(&[("a", 1), ("b", 1)]);
        assert!(first.next(&snapshot(&[("a", 1), ("b", 1)])).is_none());
        let second = first.next(&snapshot(&[("a", 1), ("b", 2)])).unwrap();
        let body = |program: &Program, name: &str| program.resources.get(text(name).as_str()).unwrap().body.as_ptr();
        assert_eq!(body(&first, "a"), body(&second, "a"));
        assert_eq!(sent(&second.difference(&Has::Program(first))), [text("b")]);
    }

    #[test]
    fn a_large_generation_travels_in_chunks_and_only_the_last_is_complete() {
        let upsert = |at: usize| Upsert { key: format!("{at}"), hash: Bytes::new(), body: vec![0; 100_000].into() };
        let difference = Difference { upserts: (0..35).map(upsert).collect(), removals: vec!["x".to_owned()] };
        let chunks = difference.chunks(3, 7);
        assert_eq!(chunks.len(), 4);
        let complete: Vec<bool> = chunks.iter().map(|chunk| chunk.complete).collect();
        assert_eq!(complete, [false, false, false, true]);
        assert!(chunks.iter().all(|chunk| prost::Message::encoded_len(chunk) <= wire::CHUNK));
        assert!(chunks.iter().all(|chunk| (chunk.epoch, chunk.generation) == (3, 7)));
        assert_eq!(chunks.iter().map(|chunk| chunk.upserts.len()).sum::<usize>(), 35);
    }

    #[test]
    fn nothing_to_say_is_one_message_that_asks_for_an_ack() {
        let chunks = Difference::default().chunks(3, 7);
        assert_eq!(chunks, [wire::Delta { epoch: 3, generation: 7, complete: true, ..wire::Delta::default() }]);
    }

    #[test]
    fn what_no_message_can_hold_is_rejected_alone_and_proxies_keep_what_they_have_of_it() {
        let endpoint = Endpoint::new(([10, 0, 0, 1], 8080).into(), true);
        let endpoints = |count| {
            let endpoints = Endpoints::Static { backend: key("a"), endpoints: vec![endpoint.clone(); count] };
            Resource::Endpoints(endpoints.into())
        };
        let mut now = Snapshot::clone(&snapshot(&[("a", 1)]));
        now.apply(Delta { upserts: vec![endpoints(1)], removals: vec![] });
        let small = Program::default().next(&Arc::new(now.clone())).unwrap();
        now.apply(Delta { upserts: vec![endpoints(400_000)], removals: vec![] });
        let large = small.next(&Arc::new(now.clone())).unwrap();
        assert_eq!(large.oversized.keys().collect::<Vec<_>>(), [&ResourceKey::Endpoints(key("a"))]);
        assert_eq!(large.difference(&Has::Program(Arc::new(small))), Difference::default());
        now.apply(Delta { upserts: vec![endpoints(2)], removals: vec![] });
        let again = large.next(&Arc::new(now)).unwrap();
        assert!(again.oversized.is_empty());
        assert_eq!(again.difference(&Has::Program(Arc::new(large))).upserts.len(), 1);
    }
}
