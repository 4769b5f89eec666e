// SPDX-License-Identifier: Apache-2.0
//! The time of day as a program under test sees it, by libfaketime. What it measures stays as it is.

use std::fs;
use std::path::{Path, PathBuf};

const LIBRARIES: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"];

/// A clock that can be set while programs run by it.
#[derive(Debug)]
pub struct Clock {
    library: &'static str,
    file: PathBuf,
}

impl Clock {
    /// One that is right, kept in this file. Nothing, and it says so, where libfaketime is not installed.
    ///
    /// # Panics
    /// If the file cannot be written.
    #[must_use]
    pub fn new(file: &Path) -> Option<Self> {
        let Some(library) = LIBRARIES.into_iter().find(|path| Path::new(path).exists()) else {
            println!("SKIPPED: libfaketime is not installed (Debian: faketime)");
            return None;
        };
        let clock = Self { library, file: file.to_owned() };
        clock.set("+0");
        Some(clock)
    }

    /// Sets it this far from the time that it is: `+2d`, `-1h`.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn set(&self, offset: &str) {
        // Never half written for whoever reads it.
        let beside = self.file.with_extension("new");
        fs::write(&beside, offset).and_then(|()| fs::rename(&beside, &self.file)).expect("a file");
    }

    /// What a program that runs by it has in its environment.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("LD_PRELOAD", self.library.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            // What measures is not changed by whoever sets a clock.
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}
