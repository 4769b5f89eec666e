// SPDX-License-Identifier: Apache-2.0
//! Writes the CustomResourceDefinitions of `torana.dev` into a folder: `crdgen deploy/crds/torana.dev`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("crdgen FOLDER");
        return ExitCode::from(2);
    };
    for (file, text) in torana_crds::definitions() {
        if let Err(error) = fs::write(folder.join(&file), text) {
            eprintln!("✘ {}: {error}", folder.join(&file).display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
