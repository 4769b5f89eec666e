// SPDX-License-Identifier: Apache-2.0
//! The CA that signs the feed's certificate. How it rotates is [`crate::ca`]'s; it signs nothing else.

use crate::ca::{self, DAY, Purpose, Terms};

/// What signs the feed's certificate, and proxies trust.
pub type Ca = ca::Ca<Feed>;

/// The feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feed {}

impl Purpose for Feed {
    const TERMS: Terms =
        Terms { name: "Torana feed CA", serving: "Torana feed", life: 365 * DAY, renewal: 90 * DAY, overlap: 2 * DAY };
}
