// SPDX-License-Identifier: Apache-2.0
//! The one clock that says what day it is. Whatever only measures has its own.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970: what certificates are judged by.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().try_into().unwrap_or(i64::MAX))
}
