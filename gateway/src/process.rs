// SPDX-License-Identifier: Apache-2.0
//! What must be set in every program of Torana before anything else runs.

use std::process::ExitCode;

/// Sets it, then runs `program`.
pub fn start(program: impl FnOnce() -> ExitCode) -> ExitCode {
    // First of all: whoever comes first installs the process default, and a library would install ring.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("✘ another TLS provider is installed already");
        return ExitCode::FAILURE;
    }
    program()
}
