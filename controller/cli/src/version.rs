// SPDX-License-Identifier: Apache-2.0
//! What this binary is.

use std::io::{self, Write};

/// The version of Torana, and of the API that it was written for.
pub(crate) const LONG: &str = concat!(env!("CARGO_PKG_VERSION"), "\nGateway API 1.7.0");

/// Prints the version.
pub(crate) fn print() -> io::Result<()> {
    writeln!(io::stdout(), "torana {LONG}")
}
