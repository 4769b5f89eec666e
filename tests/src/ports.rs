// SPDX-License-Identifier: Apache-2.0
//! Free ports on the loopback address.

use std::net::TcpListener;

/// A port that was free a moment ago.
///
/// # Panics
/// If the machine has no free port.
#[must_use]
pub fn free() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound address").port()
}
