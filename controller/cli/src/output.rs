// SPDX-License-Identifier: Apache-2.0
//! How a command prints its result. Knows no result.

use std::io::{self, Write};

/// How a command prints its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people, and for editors that jump to file:line
    Text,
    /// For programs
    Json,
}

/// Writes to standard output. Who closed it, as `head` does, has seen enough.
pub(crate) fn print(text: &[u8]) -> io::Result<()> {
    match io::stdout().lock().write_all(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
