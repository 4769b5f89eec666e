// SPDX-License-Identifier: Apache-2.0
//! The program under test, and what a process needs to test it with thousands of connections.

use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that the largest crowd needs; the limit of a shell is often 1,024.
const FILES: u64 = 20_000;

/// `TORANA_BIN`, else the `torana` that cargo built beside this test.
///
/// # Panics
/// If this program has no path.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TORANA_BIN") {
        return path.into();
    }
    let mut path = std::env::current_exe().expect("a path of this program");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.join("torana")
}

/// Memory of a process's own in KiB: heap and stacks, not the program (`Anonymous`). 0 if there is no such process.
#[must_use]
pub fn memory(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find(|line| line.starts_with("Anonymous:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Lets this process, and those that it starts from now on, open as many files as the hard limit allows.
pub fn open_many_files() {
    let before = getrlimit(Resource::Nofile);
    let wanted = before.maximum.unwrap_or(FILES).min(FILES);
    if before.current.is_some_and(|current| current < wanted) {
        // If it is refused, the test that needs it says so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: before.maximum }).is_ok();
    }
}
