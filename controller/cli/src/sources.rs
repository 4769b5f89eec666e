// SPDX-License-Identifier: Apache-2.0
//! `-f PATH`: the manifests that a command is about.

use std::path::PathBuf;

/// The flag of every command that cannot do without manifests.
#[derive(Debug, Clone, clap::Args)]
pub struct Sources {
    /// A folder, a file, or - for standard input; may be given several times
    #[arg(
        short = 'f',
        long = "file",
        value_name = "PATH",
        required = true,
        env = "TORANA_FILE",
        value_delimiter = ','
    )]
    pub files: Vec<PathBuf>,
}
