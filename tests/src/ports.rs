// SPDX-License-Identifier: Apache-2.0
//! Free ports on the loopback address.
//!
//! Below the range that the kernel takes ports of outgoing connections from, and each given once: a port that was free
//! a moment ago must still be free when a gateway that is just starting binds it.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;
/// Those that documents name, which are tried as they stand: `deploy/examples/acme`.
const NAMED: [u16; 4] = [14_000, 15_000, 15_001, 15_021];

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port that nothing listens on, given to nobody else in this process.
///
/// # Panics
/// If the machine has no free port.
#[must_use]
pub fn free() -> u16 {
    // Two test processes begin far apart.
    let start = std::process::id().wrapping_mul(7919);
    let mut next = (0..COUNT).map(|_| start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT);
    let free = next.find_map(|step| {
        let port = u16::try_from(FIRST + step).ok().filter(|port| !NAMED.contains(port))?;
        TcpListener::bind(("127.0.0.1", port)).ok().map(|_| port)
    });
    free.expect("a free port between 10,000 and 32,000")
}
