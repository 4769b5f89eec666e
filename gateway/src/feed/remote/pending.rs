// SPDX-License-Identifier: Apache-2.0
//! The chunks of one generation until it is complete. Pure: what is too large, or too old, is said here.

use std::collections::BTreeMap;

use torana_ir::wire::{self, Unreadable};
use torana_ir::{Delta, ResourceKey};

use super::{Lost, Mark};

/// Bytes of one generation's bodies and keys: more is not taken from anybody.
const LARGEST: usize = 512 << 20;

/// A generation that has not wholly arrived.
#[derive(Debug, Default)]
pub(super) struct Pending {
    delta: Delta,
    bytes: usize,
    /// What could not be read on this stream, by the key's text, and why.
    unreadable: BTreeMap<String, String>,
    fresh: Vec<ResourceKey>,
}

/// A generation that has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) mark: Mark,
    pub(super) delta: Delta,
    /// Keys that came with it and cannot be read, as far as even the key can be.
    pub(super) unreadable: Vec<ResourceKey>,
}

impl Pending {
    /// Takes one chunk; gives the generation if it was the last one. `epoch` is the highest that was seen.
    pub(super) fn add(&mut self, chunk: &wire::Delta, epoch: &mut u64) -> Result<Option<Whole>, Lost> {
        if chunk.epoch < *epoch {
            return Err(Lost::OldEpoch { got: chunk.epoch, seen: *epoch });
        }
        *epoch = chunk.epoch;
        self.bytes += chunk.upserts.iter().map(|it| it.body.len() + it.key.len()).sum::<usize>();
        self.bytes += chunk.removals.iter().map(String::len).sum::<usize>();
        if self.bytes > LARGEST {
            return Err(Lost::TooLarge);
        }
        chunk.upserts.iter().for_each(|upsert| self.upsert(upsert));
        chunk.removals.iter().for_each(|key| self.removal(key));
        if !chunk.complete {
            return Ok(None);
        }
        self.bytes = 0;
        let mark = Mark { epoch: chunk.epoch, generation: chunk.generation };
        let (delta, unreadable) = (std::mem::take(&mut self.delta), std::mem::take(&mut self.fresh));
        Ok(Some(Whole { mark, delta, unreadable }))
    }

    /// What this stream brought and could not be read.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = (&String, &String)> {
        self.unreadable.iter()
    }

    fn upsert(&mut self, upsert: &wire::Upsert) {
        match wire::decode(upsert) {
            Ok(resource) => {
                self.unreadable.remove(&upsert.key);
                self.delta.upserts.push(resource);
            }
            Err(why) => self.refuse(&upsert.key, &why),
        }
    }

    /// The last good form stays; but of a policy, which then lets nobody through: the last one may have let in more.
    fn refuse(&mut self, key: &str, why: &Unreadable) {
        tracing::warn!(key, %why, "a resource cannot be read");
        let read = wire::key(key).ok();
        let is_policy = |key: &&ResourceKey| {
            matches!(key, ResourceKey::Policy(_) | ResourceKey::Tokens(_) | ResourceKey::Provider(_))
        };
        self.delta.removals.extend(read.iter().filter(is_policy).cloned());
        self.fresh.extend(read);
        self.unreadable.insert(key.to_owned(), why.to_string());
    }

    /// A key of an unknown kind never was here.
    fn removal(&mut self, key: &str) {
        self.delta.removals.extend(wire::key(key));
        self.unreadable.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use torana_ir::wire::Upsert;
    use torana_ir::{Backend, BackendKey, Resource};

    use super::*;

    fn backend(name: &str) -> Resource {
        let key = BackendKey::tcp("n", name, 80);
        Resource::Backend(Backend::new(key).into())
    }

    fn chunk(upserts: Vec<Upsert>, complete: bool) -> wire::Delta {
        wire::Delta { epoch: 3, generation: 7, upserts, removals: vec![], complete }
    }

    #[test]
    fn a_generation_is_whole_with_its_last_chunk() {
        let (mut pending, mut epoch) = (Pending::default(), 0);
        let first = pending.add(&chunk(vec![wire::encode(&backend("a"))], false), &mut epoch).unwrap();
        assert_eq!(first, None);
        let whole = pending.add(&chunk(vec![wire::encode(&backend("b"))], true), &mut epoch).unwrap().unwrap();
        assert_eq!(whole.mark, Mark { epoch: 3, generation: 7 });
        assert_eq!(whole.delta.upserts, [backend("a"), backend("b")]);
        assert_eq!(pending.add(&chunk(vec![], true), &mut epoch).unwrap().unwrap().delta, Delta::default());
    }

    #[test]
    fn what_cannot_be_read_is_left_out_alone_until_it_can_or_is_gone() {
        let (mut pending, mut epoch) = (Pending::default(), 0);
        let bad = |name| Upsert { body: "{}".into(), ..wire::encode(&backend(name)) };
        let unknown = Upsert { key: "{\"Later\":1}".to_owned(), ..bad("x") };
        let upserts = vec![bad("a"), wire::encode(&backend("b")), bad("c"), unknown];
        let whole = pending.add(&chunk(upserts, true), &mut epoch).unwrap().unwrap();
        assert_eq!(whole.delta.upserts, [backend("b")]);
        assert_eq!(whole.unreadable, [backend("a").key(), backend("c").key()]);
        assert_eq!(pending.unreadable().count(), 3);
        let mut next = chunk(vec![wire::encode(&backend("a"))], true);
        next.removals = vec![wire::key_text(&backend("c").key()), "{\"Later\":1}".to_owned()];
        let whole = pending.add(&next, &mut epoch).unwrap().unwrap();
        assert_eq!((whole.delta.removals, whole.unreadable), (vec![backend("c").key()], vec![]));
        assert_eq!(pending.unreadable().count(), 0);
    }

    #[test]
    fn a_policy_that_cannot_be_read_is_none() {
        let (mut pending, mut epoch) = (Pending::default(), 0);
        let key = ResourceKey::Policy(torana_ir::PolicyKey { namespace: "n".into(), name: "p".into() });
        let upsert = Upsert { key: wire::key_text(&key), hash: "h".into(), body: "{}".into() };
        let whole = pending.add(&chunk(vec![upsert], true), &mut epoch).unwrap().unwrap();
        assert_eq!((whole.delta.removals, whole.unreadable), (vec![key.clone()], vec![key]));
    }

    #[test]
    fn an_older_epoch_is_refused() {
        let (mut pending, mut epoch) = (Pending::default(), 4);
        let refused = pending.add(&chunk(vec![], true), &mut epoch);
        assert!(matches!(refused, Err(Lost::OldEpoch { got: 3, seen: 4 })), "{refused:?}");
        epoch = 3;
        assert!(pending.add(&chunk(vec![], true), &mut epoch).is_ok(), "the same one is not older");
    }
}
