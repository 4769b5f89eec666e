// SPDX-License-Identifier: Apache-2.0
//! What this binary is.

/// The version of Torana, and of the APIs that it was written for.
pub(crate) const LONG: &str = concat!(env!("CARGO_PKG_VERSION"), "\nGateway API 1.7.0");

/// Prints the version.
pub(crate) fn print() {
    println!("torana {LONG}");
}
