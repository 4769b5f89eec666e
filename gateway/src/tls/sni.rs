// SPDX-License-Identifier: Apache-2.0
//! The names that a backend is called by, where those are the hosts of requests. Each has an id, by which connections are
//! told apart: one that was opened under one name is never lent out under another. Never looks at a certificate.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use rustls_pki_types::ServerName;
use torana_ir::DnsName;

use super::next_id;

/// Clients choose the names, so no more are remembered: then all are forgotten, and connections under them with them.
const MOST: usize = 1024;

/// A name that a backend is called by.
#[derive(Debug)]
pub struct Sni {
    /// Unique in this process, for ever; never 0.
    pub id: u64,
    /// As it is sent.
    pub name: ServerName<'static>,
}

/// Names of one backend.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<HashMap<Box<str>, Arc<Sni>, RandomState>>);

impl Names {
    /// The name that `host` is; `None` if it is no DNS name.
    pub(super) fn of(&self, host: &str) -> Option<Arc<Sni>> {
        // Entries are added and removed whole, so a panic elsewhere left the map whole.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(host) {
            return Some(Arc::clone(known));
        }
        let name = DnsName::new(host).ok()?.server_name();
        if known.len() >= MOST {
            known.clear();
        }
        let sni = Arc::new(Sni { id: next_id(), name });
        known.insert(host.into(), Arc::clone(&sni));
        Some(sni)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_id_and_no_two_share_one() {
        let names = Names::default();
        let (one, two) = (names.of("a.example").unwrap(), names.of("b.example").unwrap());
        assert!(one.id != two.id && one.id != 0 && two.id != 0);
        assert_eq!(names.of("a.example").unwrap().id, one.id);
        assert!(names.of("10.0.0.1").is_none() && names.of("[::1]").is_none() && names.of("").is_none());
    }

    #[test]
    fn clients_cannot_fill_it_and_a_name_that_was_forgotten_has_another_id() {
        let names = Names::default();
        let first = names.of("0.example").unwrap().id;
        for number in 1..=MOST {
            names.of(&format!("{number}.example")).unwrap();
        }
        assert!(names.0.lock().unwrap().len() <= MOST);
        assert_ne!(names.of("0.example").unwrap().id, first);
    }
}
