// SPDX-License-Identifier: Apache-2.0
//! The limit of open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than this is not asked for: the kernel's own tables grow with it.
const ENOUGH: u64 = 1 << 20;

/// Raises the soft limit to the hard one (container engines start processes with 1,024 of 500,000) and returns what
/// there is.
pub(super) fn most_open() -> usize {
    let before = getrlimit(Resource::Nofile);
    let wanted = before.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    let current = before.current.unwrap_or(ENOUGH);
    if current >= wanted {
        return usize::try_from(current).unwrap_or(usize::MAX);
    }
    let granted = match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: before.maximum }) {
        Ok(()) => wanted,
        Err(error) => {
            tracing::warn!(%error, current, wanted, "the limit of open files stays");
            current
        }
    };
    usize::try_from(granted).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_never_gets_lower() {
        let before = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).min(ENOUGH);
        let most = most_open() as u64;
        assert!(most >= before);
        assert!(getrlimit(Resource::Nofile).current.is_none_or(|now| now >= most));
    }
}
