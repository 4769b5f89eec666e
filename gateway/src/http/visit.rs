// SPDX-License-Identifier: Apache-2.0
//! One request of a client that has, or gets, a session. What a session is, is told in `session`; here it meets the clock.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use torana_ir::BackendKey;

use crate::balance::{BackendState, Endpoint};
use crate::head::{Head, ResponseHead, Scheme};
use crate::session::{Pins, Session};

/// From what the client brought to what it is told.
pub(crate) struct Visit<'p> {
    session: &'p Session,
    backend: &'p BackendKey,
    pins: Pins,
    now: u64,
    /// Where the client came to before, if that is still there.
    pub(crate) before: Option<Arc<Endpoint>>,
}

impl<'p> Visit<'p> {
    /// Looks at what the request brings for the backend that was chosen.
    pub(crate) fn of(session: &'p Session, head: &Head, backend: &'p BackendState) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let pins = session.brought(head, now);
        let before = pins.of(backend.key()).and_then(|address| backend.at(address));
        Self { session, backend: backend.key(), pins, now, before }
    }

    /// Tells the client about `endpoint`, unless it came to that before.
    pub(crate) fn note(self, response: &mut ResponseHead, endpoint: &Endpoint, scheme: Scheme) {
        if self.pins.of(self.backend) == Some(endpoint.address) {
            return;
        }
        let mut nonce = [0; 12];
        if aws_lc_rs::rand::fill(&mut nonce).is_err() {
            // Without randomness no session begins; the request is served all the same.
            return;
        }
        let (name, value) = self.session.field(self.pins, (self.backend, endpoint.address), self.now, nonce, scheme);
        response.fields.push(name.as_bytes(), value.as_bytes());
    }
}
