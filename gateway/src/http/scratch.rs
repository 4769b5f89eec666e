// SPDX-License-Identifier: Apache-2.0
//! The worker thread's read buffer: bytes are read here and leave before the poll ends, so that an idle connection
//! owns no buffer.

use std::cell::RefCell;

/// Bytes one read may bring: what a slow reader holds, at most twice over.
pub(crate) const SCRATCH: usize = 32 << 10;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the buffer. Must not be nested; a nested call gets a buffer of its own.
pub(crate) fn with<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    BUFFER.with(|buffer| match buffer.try_borrow_mut() {
        Ok(mut buffer) => {
            if buffer.is_empty() {
                buffer.resize(SCRATCH, 0);
            }
            work(&mut buffer)
        }
        Err(_) => work(&mut vec![0; SCRATCH]),
    })
}
