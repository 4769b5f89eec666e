// SPDX-License-Identifier: Apache-2.0
//! How much of a backend is in use at once, against its caps (circuit breaking). It counts; it refuses nothing that has
//! begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::budget::Budget;
use crate::fault::Overflow;

/// What is in use of one backend. All but its connections goes over to the same backend configured otherwise, which is
/// never lent one of them: idle ones would take its places until they are closed.
#[derive(Debug, Default)]
pub(super) struct Usage {
    connections: AtomicU32,
    pending: Arc<AtomicU32>,
    requests: Arc<AtomicU32>,
    pub(super) retries: Arc<Budget>,
}

/// A place under a cap; given back when dropped.
#[derive(Debug)]
pub struct Place {
    usage: Arc<Usage>,
    of: Overflow,
}

impl Usage {
    /// That of the same backend configured otherwise.
    pub(super) fn renewed(&self) -> Self {
        let (pending, requests) = (Arc::clone(&self.pending), Arc::clone(&self.requests));
        Self { connections: AtomicU32::default(), pending, requests, retries: Arc::clone(&self.retries) }
    }

    /// A place among `most`.
    pub(super) fn take(self: &Arc<Self>, of: Overflow, most: u32) -> Result<Place, Overflow> {
        let before = self.tally(of).fetch_add(1, Ordering::Relaxed);
        // Refused, the place is dropped and takes its count with it.
        let place = Place { usage: Arc::clone(self), of };
        if before < most { Ok(place) } else { Err(of) }
    }

    fn tally(&self, of: Overflow) -> &AtomicU32 {
        match of {
            Overflow::Connections => &self.connections,
            Overflow::Pending => &self.pending,
            Overflow::Requests => &self.requests,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.usage.tally(self.of).fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cap_has_its_own_places_and_they_come_back() {
        let usage = Arc::new(Usage::default());
        for of in [Overflow::Connections, Overflow::Pending, Overflow::Requests] {
            let places: Vec<Place> = std::iter::from_fn(|| usage.take(of, 3).ok()).collect();
            assert_eq!((places.len(), usage.take(of, 3).err()), (3, Some(of)));
            drop(places);
            let _one = usage.take(of, 1).unwrap();
            assert_eq!(usage.take(of, 1).err(), Some(of));
            assert_eq!(usage.take(of, 0).err(), Some(of), "none is none");
        }
    }

    #[test]
    fn what_is_configured_otherwise_has_connections_of_its_own() {
        let old = Arc::new(Usage::default());
        let kinds = [Overflow::Connections, Overflow::Pending, Overflow::Requests];
        let _places = kinds.map(|of| old.take(of, 1).unwrap());
        let new = Arc::new(old.renewed());
        assert_eq!(kinds.map(|of| new.take(of, 1).is_ok()), [true, false, false]);
    }
}
