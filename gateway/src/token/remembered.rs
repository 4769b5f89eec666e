// SPDX-License-Identifier: Apache-2.0
//! Tokens that were found good: a signature costs more than all else that is done for a request. Who has it is a token's
//! whole text, so nobody is taken for somebody else; what is forgotten is only verified again.

use std::sync::{Mutex, PoisonError};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::Claims;

/// Tokens of one rule that are remembered, at most twice as many.
const MOST: usize = 1000;
/// Bytes of a token that is remembered.
const LONGEST: usize = 4 << 10;

/// A token that was good.
#[derive(Debug, Clone)]
pub(super) struct Good {
    pub(super) claims: Claims,
    pub(super) expires: Option<u64>,
    pub(super) begins: Option<u64>,
}

type Tokens = HashMap<Box<str>, Good, RandomState>;

/// Those that were seen lately, and those that were before them.
#[derive(Debug, Default)]
struct Known {
    /// The keys that they were verified with.
    version: u64,
    young: Tokens,
    old: Tokens,
}

impl Known {
    fn put(&mut self, token: Box<str>, good: Good) {
        if self.young.len() >= MOST {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, good);
    }
}

/// Tokens that were good under the keys of one version.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<Known>);

impl Remembered {
    /// What is known of this token, if keys are still of this version.
    pub(super) fn find(&self, token: &str, version: u64) -> Option<Good> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.version != version {
            return None;
        }
        if let Some(good) = known.young.get(token) {
            return Some(good.clone());
        }
        let (token, good) = known.old.remove_entry(token)?;
        known.put(token, good.clone());
        Some(good)
    }

    /// Remembers it.
    pub(super) fn keep(&self, token: &str, version: u64, good: Good) {
        if token.len() > LONGEST {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.version < version {
            *known = Known { version, ..Known::default() };
        }
        if known.version > version {
            return;
        }
        known.put(token.into(), good);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn good() -> Good {
        Good { claims: Arc::new(serde_json::Value::Null), expires: None, begins: None }
    }

    #[test]
    fn a_token_is_known_until_keys_change_or_others_take_its_place() {
        let remembered = Remembered::default();
        remembered.keep("a", 1, good());
        assert!(remembered.find("a", 1).is_some() && remembered.find("b", 1).is_none());
        assert!(remembered.find("a", 2).is_none(), "under other keys it may be bad");
        remembered.keep("b", 2, good());
        assert!(remembered.find("a", 1).is_none() && remembered.find("a", 2).is_none());
        remembered.keep("late", 1, good());
        assert!(remembered.find("late", 2).is_none(), "what was verified before the keys changed");
        for number in 0..3 * MOST {
            remembered.keep(&number.to_string(), 2, good());
            remembered.find(&number.saturating_sub(MOST).to_string(), 2);
        }
        let known = remembered.0.lock().unwrap();
        assert!(known.young.len() + known.old.len() <= 2 * MOST);
        drop(known);
        assert!(remembered.find("b", 2).is_none() && remembered.find(&(3 * MOST - 1).to_string(), 2).is_some());
        remembered.keep(&"x".repeat(LONGEST + 1), 2, good());
        assert!(remembered.find(&"x".repeat(LONGEST + 1), 2).is_none());
    }
}
