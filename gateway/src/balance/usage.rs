// SPDX-License-Identifier: Apache-2.0
//! How much of a backend is in use at once, against its caps (circuit breaking). It counts; it refuses nothing that has
//! begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::budget::Budget;
use crate::fault::Overflow;

/// What is in use of one backend, but for its [connections](crate::connections). It goes over to the same backend configured
/// otherwise.
#[derive(Debug, Default)]
pub(super) struct Usage {
    pending: AtomicU32,
    requests: AtomicU32,
    pub(super) retries: Arc<Budget>,
}

/// Which cap of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Requests that wait for a connection.
    Pending,
    /// Requests in flight.
    Requests,
}

/// A place under a cap; given back when dropped.
#[derive(Debug)]
pub struct Place {
    usage: Arc<Usage>,
    of: Use,
}

impl Usage {
    /// A place among `most`.
    pub(super) fn take(self: &Arc<Self>, of: Use, most: u32) -> Result<Place, Overflow> {
        let before = self.tally(of).fetch_add(1, Ordering::Relaxed);
        // Refused, the place is dropped and takes its count with it.
        let place = Place { usage: Arc::clone(self), of };
        if before < most { Ok(place) } else { Err(of.overflow()) }
    }

    fn tally(&self, of: Use) -> &AtomicU32 {
        match of {
            Use::Pending => &self.pending,
            Use::Requests => &self.requests,
        }
    }
}

impl Use {
    fn overflow(self) -> Overflow {
        match self {
            Self::Pending => Overflow::Pending,
            Self::Requests => Overflow::Requests,
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
        for of in [Use::Pending, Use::Requests] {
            let places: Vec<Place> = std::iter::from_fn(|| usage.take(of, 3).ok()).collect();
            assert_eq!((places.len(), usage.take(of, 3).err()), (3, Some(of.overflow())));
            drop(places);
            let _one = usage.take(of, 1).unwrap();
            assert_eq!(usage.take(of, 1).err(), Some(of.overflow()));
            assert_eq!(usage.take(of, 0).err(), Some(of.overflow()), "none is none");
        }
    }
}
