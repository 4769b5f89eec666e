// SPDX-License-Identifier: Apache-2.0
//! What leads a request to one endpoint rather than another: a session that its client has, or gets, and what its
//! backend is balanced by. What a session is, is told in `session`; here it meets the clock.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use torana_ir::BackendKey;

use crate::balance::{BackendState, Endpoint, Key};
use crate::head::{Head, ResponseHead, Scheme};
use crate::session::{Pins, Session};

/// What ties one request to an endpoint.
pub(crate) struct Ties<'p> {
    visit: Option<Visit<'p>>,
    key: Key,
}

impl<'p> Ties<'p> {
    /// Of a request of `client` for the backend that was chosen.
    pub(crate) fn of(session: Option<&'p Session>, head: &Head, backend: &'p BackendState, client: IpAddr) -> Self {
        Self { visit: session.map(|session| Visit::of(session, head, backend)), key: key(backend, head, client) }
    }

    /// Where it is tried first.
    pub(crate) fn preferred(&self) -> Option<Arc<Endpoint>> {
        self.visit.as_ref().and_then(|visit| visit.before.clone())
    }

    /// What it is balanced by.
    pub(crate) fn key(&self) -> Option<u64> {
        self.key.number
    }

    /// Tells the client, once, how to come back to `endpoint`.
    pub(crate) fn note(&mut self, response: &mut ResponseHead, endpoint: &Endpoint, scheme: Scheme) {
        if let Some(visit) = self.visit.take() {
            visit.note(response, endpoint, scheme);
        }
        if let Some(cookie) = self.key.cookie.take() {
            response.fields.push(b"set-cookie", cookie.as_bytes());
        }
    }
}

/// What a request is balanced by.
pub(crate) fn key(backend: &BackendState, head: &Head, client: IpAddr) -> Key {
    Key::of_request(&backend.config.balance, head, client, || fastrand::u64(..))
}

/// From what the client brought to what it is told.
struct Visit<'p> {
    session: &'p Session,
    backend: &'p BackendKey,
    pins: Pins,
    now: u64,
    /// Where the client came to before, if that is still there.
    before: Option<Arc<Endpoint>>,
}

impl<'p> Visit<'p> {
    /// Looks at what the request brings for the backend that was chosen.
    fn of(session: &'p Session, head: &Head, backend: &'p BackendState) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let pins = session.brought(head, now);
        let before = pins.of(backend.key()).and_then(|address| backend.at(address));
        Self { session, backend: backend.key(), pins, now, before }
    }

    /// Tells the client about `endpoint`, unless it came to that before.
    fn note(self, response: &mut ResponseHead, endpoint: &Endpoint, scheme: Scheme) {
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
