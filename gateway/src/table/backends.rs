// SPDX-License-Identifier: Apache-2.0
//! Every backend of a table, and which of them are not those of the table before.

use std::cmp::Ordering;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use torana_ir::{BackendKey, Endpoints, Snapshot};

use crate::balance::{BackendState, Site};
use crate::tls::Material;

/// States in the order of their keys. Shared with the next table while all of them stay.
#[derive(Debug, Clone, Default)]
pub(super) struct Backends {
    sorted: Arc<Vec<Arc<BackendState>>>,
    /// Where this proxy stands.
    site: Arc<Site>,
}

/// Keys that lead to another state than before, or to one where there was none, or to none any more.
pub(super) type Changed = HashSet<BackendKey, RandomState>;

impl Backends {
    /// None yet, of a proxy that stands there.
    pub(super) fn none(site: Site) -> Self {
        Self { site: Arc::new(site), ..Self::default() }
    }

    /// The states that `snapshot` asks for: kept ones where the configuration is the same.
    pub(super) fn compile(snapshot: &Snapshot, previous: &Self) -> (Self, Changed) {
        let material = Material { certificates: &snapshot.certificates, bundles: &snapshot.bundles };
        let mut changed = Changed::default();
        let mut old = previous.sorted.iter().peekable();
        let mut sorted = Vec::with_capacity(snapshot.backends.len());
        for (key, config) in &snapshot.backends {
            while let Some(gone) = old.next_if(|before| before.key() < key) {
                changed.insert(gone.key().clone());
            }
            let before = old.next_if(|before| Arc::ptr_eq(&before.config, config) || before.key() == key);
            // New authorities or a new certificate make a new state too, with endpoints of its own: no connection outlives them.
            let kept = before.filter(|before| before.config == *config && before.is_of(material));
            sorted.push(kept.cloned().unwrap_or_else(|| {
                changed.insert(key.clone());
                let (config, site) = (Arc::clone(config), Arc::clone(&previous.site));
                let state = BackendState::new(config, site, source(snapshot, key), before.map(AsRef::as_ref));
                Arc::new(state.with_material(material))
            }));
        }
        changed.extend(old.map(|gone| gone.key().clone()));
        let backends = if changed.is_empty() {
            previous.clone()
        } else {
            Self { sorted: Arc::new(sorted), site: Arc::clone(&previous.site) }
        };
        (backends, changed)
    }

    pub(super) fn find(&self, key: &BackendKey) -> Option<&Arc<BackendState>> {
        let at = self.sorted.binary_search_by(|state| state.key().cmp(key)).ok()?;
        self.sorted.get(at)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<BackendState>> {
        self.sorted.iter()
    }

    /// Endpoints as `snapshot` has them; where it has none, only if `also_none`.
    pub(super) fn renew(&self, snapshot: &Snapshot, also_none: bool) {
        let mut sources = snapshot.endpoints.iter().peekable();
        for backend in self.iter() {
            let mut found = None;
            while let Some((key, source)) = sources.peek() {
                match (*key).cmp(backend.key()) {
                    Ordering::Less => drop(sources.next()),
                    Ordering::Equal => {
                        found = Some(*source);
                        break;
                    }
                    Ordering::Greater => break,
                }
            }
            let source = found.map_or_else(|| nothing(backend.key()), Arc::clone);
            let none = matches!(&*source, Endpoints::Static { endpoints, .. } if endpoints.is_empty());
            if also_none || !none {
                backend.set_source(source);
            }
        }
    }
}

fn source(snapshot: &Snapshot, key: &BackendKey) -> Arc<Endpoints> {
    snapshot.endpoints.get(key).map_or_else(|| nothing(key), Arc::clone)
}

fn nothing(key: &BackendKey) -> Arc<Endpoints> {
    Arc::new(Endpoints::none(key.clone()))
}
