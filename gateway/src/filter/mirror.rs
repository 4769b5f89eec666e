// SPDX-License-Identifier: Apache-2.0
//! `RequestMirror`.
//!
//! Spec: "This filter can be used multiple times within the same rule. Note that not all implementations will be able
//! to support mirroring to multiple backends." It only decides whether a request is copied; `http` copies it.

/// Where a copy goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied<B> {
    /// The backend.
    pub backend: B,
    /// The copy's host ends in `-shadow` ([`shadow`]).
    pub shadow: bool,
}

/// The host of a copy that is told from the original by it: `a-shadow:80` for `a:80` (Envoy).
pub fn shadow(authority: &str) -> String {
    let host = torana_ir::hostname_of(authority);
    let port = authority.get(host.len()..).unwrap_or_default();
    format!("{host}-shadow{port}")
}

/// Chooses requests that are copied to a backend.
#[derive(Debug)]
pub struct Mirror<B> {
    to: Copied<B>,
    numerator: u32,
    denominator: u32,
}

impl<B> Mirror<B> {
    /// Prepares `mirror`, whose target is `backend`.
    pub fn compile(mirror: &torana_ir::Mirror, backend: B) -> Self {
        let to = Copied { backend, shadow: mirror.shadow };
        Self { to, numerator: mirror.numerator, denominator: mirror.denominator }
    }

    /// Where the copy goes, if this request is one of the share; `random` is uniform.
    pub fn apply(&self, random: u64) -> Option<&Copied<B>> {
        let drawn = (u128::from(random) * u128::from(self.denominator)) >> 64;
        (drawn < u128::from(self.numerator)).then_some(&self.to)
    }

    /// Where copies go.
    pub fn backend(&self) -> &B {
        &self.to.backend
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use torana_ir::{Invalid, Target};

    fn share(numerator: u32, denominator: u32) -> usize {
        let target = Target::Invalid(Invalid { reason: "unused".into(), message: String::new() });
        let mirror = Mirror::compile(&torana_ir::Mirror { target, numerator, denominator, shadow: false }, ());
        (0..1000).filter(|step| mirror.apply(u64::MAX / 1000 * step + u64::MAX / 2000).is_some()).count()
    }

    #[test]
    fn a_shadow_s_host_is_told_from_the_original_s() {
        for (host, expected) in [("a.com", "a.com-shadow"), ("a:80", "a-shadow:80"), ("[::1]:80", "[::1]-shadow:80")] {
            assert_eq!(shadow(host), expected);
        }
    }

    #[test]
    fn the_share_is_exact_over_uniform_randomness() {
        assert_eq!(
            [share(0, 100), share(20, 100), share(1, 2), share(100, 100), share(3, 1)],
            [0, 200, 500, 1000, 1000]
        );
    }
}
