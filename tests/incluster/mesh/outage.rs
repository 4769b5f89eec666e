// SPDX-License-Identifier: Apache-2.0
//! A cluster without istiod for a while.

use std::process::Command;

use super::script;
use crate::house::source::root;

/// istiod is there again when this is dropped.
pub(super) struct Outage {
    lasts: bool,
}

impl Outage {
    /// There is no istiod when this returns.
    pub(super) fn begin() -> Self {
        let outage = Self { lasts: true };
        script("mesh.sh", &["istiod", "stop"]);
        outage
    }

    /// It is ready when this returns.
    pub(super) fn end(mut self) {
        self.lasts = false;
        script("mesh.sh", &["istiod", "start"]);
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        if self.lasts {
            drop(Command::new(root().join("tests/mesh/mesh.sh")).args(["istiod", "start"]).output());
        }
    }
}
