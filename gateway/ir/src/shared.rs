// SPDX-License-Identifier: Apache-2.0
//! A sorted map whose clones share what did not change: a generation costs what it changes, not what there is.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;

/// Entries of a chunk. To change one of them a chunk is copied; to clone the map the list of chunks is.
const MOST: usize = 64;
/// Neighbours with no more entries together become one.
const FEW: usize = MOST / 2;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

/// Sorted by key. A clone copies a pointer for every few dozen entries, an insertion or removal a few dozen entries, and
/// [`SharedMap::changes`] looks only at what two maps do not share.
#[derive(Clone)]
pub struct SharedMap<K, V> {
    /// None is empty; every key is less than those of the next chunk.
    chunks: Vec<Chunk<K, V>>,
    len: usize,
}

/// One difference between two maps.
#[derive(Debug, PartialEq, Eq)]
pub enum Change<'m, K, V> {
    /// There, or other than before.
    Put(&'m K, &'m V),
    /// No longer there.
    Gone(&'m K),
}

impl<K, V> SharedMap<K, V> {
    /// An empty map.
    pub const fn new() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }

    /// How many entries there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every entry, by key.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { at: At::default(), map: self }
    }

    /// Every key, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// Every value, by key.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> SharedMap<K, V> {
    /// Where `key` is, or would be inserted.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<At, At>
    where
        K: Borrow<Q>,
    {
        let after = self.chunks.partition_point(|chunk| chunk.first().is_some_and(|(first, _)| first.borrow() <= key));
        let chunk = after.saturating_sub(1);
        let entries = self.chunks.get(chunk).map_or(&[][..], |chunk| chunk);
        let found = entries.binary_search_by(|(other, _)| other.borrow().cmp(key));
        found.map(|entry| At { chunk, entry }).map_err(|entry| At { chunk, entry })
    }

    /// The value of `key`.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let at = self.find(key).ok()?;
        self.entry(at).map(|(_, value)| value)
    }

    /// Every entry from `key` on.
    pub fn iter_from<Q: Ord + ?Sized>(&self, key: &Q) -> Iter<'_, K, V>
    where
        K: Borrow<Q>,
    {
        let (Ok(mut at) | Err(mut at)) = self.find(key);
        if self.chunks.get(at.chunk).is_some_and(|chunk| at.entry == chunk.len()) {
            at = At { chunk: at.chunk + 1, entry: 0 };
        }
        Iter { at, map: self }
    }

    /// Whether `key` is there.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }
}

impl<K, V> SharedMap<K, V> {
    fn entry(&self, at: At) -> Option<(&K, &V)> {
        self.chunks.get(at.chunk)?.get(at.entry).map(|(key, value)| (key, value))
    }

    /// The entry behind `at`, which goes on.
    fn next(&self, at: &mut At) -> Option<(&K, &V)> {
        let entry = self.entry(*at)?;
        at.entry += 1;
        if self.chunks.get(at.chunk).is_none_or(|chunk| at.entry == chunk.len()) {
            *at = At { chunk: at.chunk + 1, entry: 0 };
        }
        Some(entry)
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// Puts a value; returns the one that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(at) => {
                let chunk = Arc::make_mut(self.chunks.get_mut(at.chunk)?);
                chunk.get_mut(at.entry).map(|(_, old)| std::mem::replace(old, value))
            }
            Err(at) => {
                self.len += 1;
                self.put(at, (key, value));
                None
            }
        }
    }

    fn put(&mut self, at: At, entry: (K, V)) {
        let count = self.chunks.len();
        let Some(chunk) = self.chunks.get_mut(at.chunk) else {
            return self.chunks.push(Arc::new(vec![entry]));
        };
        if chunk.len() < MOST {
            return Arc::make_mut(chunk).insert(at.entry, entry);
        }
        // What comes in order fills chunks to the brim.
        if at.chunk + 1 == count && at.entry == chunk.len() {
            return self.chunks.push(Arc::new(vec![entry]));
        }
        let chunk = Arc::make_mut(chunk);
        chunk.insert(at.entry, entry);
        let second = chunk.split_off(MOST / 2);
        self.chunks.insert(at.chunk + 1, Arc::new(second));
    }

    /// Takes a value out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = self.find(key).ok()?;
        let (_, value) = Arc::make_mut(self.chunks.get_mut(at.chunk)?).remove(at.entry);
        self.len -= 1;
        self.mend(at.chunk);
        Some(value)
    }

    /// After a removal: no chunk is empty, and none stays small beside another small one.
    fn mend(&mut self, at: usize) {
        let len = |map: &Self, at: usize| map.chunks.get(at).map(|chunk| chunk.len());
        if len(self, at) == Some(0) {
            self.chunks.remove(at);
            return;
        }
        for first in [at.checked_sub(1), Some(at)].into_iter().flatten() {
            if let (Some(one), Some(other)) = (len(self, first), len(self, first + 1))
                && one + other <= FEW
            {
                let second = self.chunks.remove(first + 1);
                if let Some(chunk) = self.chunks.get_mut(first) {
                    Arc::make_mut(chunk).extend(Arc::unwrap_or_clone(second));
                }
                return;
            }
        }
    }
}

impl<K: Ord, V: PartialEq> SharedMap<K, V> {
    /// What turns `self` into `new`, by key.
    pub fn changes<'m>(&'m self, new: &'m Self) -> impl Iterator<Item = Change<'m, K, V>> {
        let (mut old_at, mut new_at) = (At::default(), At::default());
        std::iter::from_fn(move || {
            loop {
                self.skip_shared(new, &mut old_at, &mut new_at);
                match (self.entry(old_at), new.entry(new_at)) {
                    (None, None) => return None,
                    (Some((before, was)), Some((after, is))) => match before.cmp(after) {
                        Ordering::Equal => {
                            self.next(&mut old_at);
                            new.next(&mut new_at);
                            if was != is {
                                return Some(Change::Put(after, is));
                            }
                        }
                        Ordering::Less => return self.next(&mut old_at).map(|(key, _)| Change::Gone(key)),
                        Ordering::Greater => return new.next(&mut new_at).map(|(key, value)| Change::Put(key, value)),
                    },
                    (Some(_), None) => return self.next(&mut old_at).map(|(key, _)| Change::Gone(key)),
                    (None, Some(_)) => return new.next(&mut new_at).map(|(key, value)| Change::Put(key, value)),
                }
            }
        })
    }

    fn skip_shared(&self, new: &Self, old_at: &mut At, new_at: &mut At) {
        while old_at.entry == 0
            && new_at.entry == 0
            && let (Some(one), Some(other)) = (self.chunks.get(old_at.chunk), new.chunks.get(new_at.chunk))
            && Arc::ptr_eq(one, other)
        {
            old_at.chunk += 1;
            new_at.chunk += 1;
        }
    }
}

impl<K: Ord, V: PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.changes(other).next().is_none()
    }
}

impl<K: Ord, V: Eq> Eq for SharedMap<K, V> {}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<K: Ord + Clone, V: Clone, const N: usize> From<[(K, V); N]> for SharedMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K: Ord + Clone, V: Clone> Extend<(K, V)> for SharedMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<'m, K, V> IntoIterator for &'m SharedMap<K, V> {
    type Item = (&'m K, &'m V);
    type IntoIter = Iter<'m, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The place of an entry.
#[derive(Debug, Clone, Copy, Default)]
struct At {
    chunk: usize,
    entry: usize,
}

/// See [`SharedMap::iter`].
#[derive(Debug)]
pub struct Iter<'m, K, V> {
    map: &'m SharedMap<K, V>,
    at: At,
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'m, K, V> Iterator for Iter<'m, K, V> {
    type Item = (&'m K, &'m V);

    fn next(&mut self) -> Option<Self::Item> {
        self.map.next(&mut self.at)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.map.len))
    }
}

impl<K, V> FusedIterator for Iter<'_, K, V> {}

#[cfg(test)]
mod tests;
