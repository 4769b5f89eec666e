// SPDX-License-Identifier: Apache-2.0
//! What this binary is.

use std::io;

use crate::output;

/// The version of Torana, and of the API that it was written for.
pub(crate) const LONG: &str = concat!(env!("CARGO_PKG_VERSION"), "\nGateway API 1.7.0");

/// Prints the version.
pub(crate) fn print() -> io::Result<()> {
    output::print(format!("torana {LONG}\n").as_bytes())
}
