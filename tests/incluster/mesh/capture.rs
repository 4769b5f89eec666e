// SPDX-License-Identifier: Apache-2.0
//! What reaches a pod over its network, as tcpdump in the pod's own network namespace sees it.

use std::process::Command;

use tempfile::TempDir;

use super::{Workload, script};
use crate::house::source::root;

/// A capture that runs until it is asked, or dropped.
pub(super) struct Capture {
    folder: TempDir,
    runs: bool,
}

/// What clients sent to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// Connections that begin as TLS does, and the bytes of them.
    pub(super) tls: (u64, u64),
    /// Connections that begin in another way.
    pub(super) plain: (u64, u64),
    /// Connections from before.
    pub(super) older: (u64, u64),
}

impl Capture {
    pub(super) fn start(workload: &Workload) -> Self {
        let capture = Self { folder: tempfile::tempdir().unwrap(), runs: true };
        script("capture.sh", &["start", &capture.file(), &workload.pod]);
        capture
    }

    fn file(&self) -> String {
        self.folder.path().join("pcap").to_str().unwrap().to_owned()
    }

    /// Ends it. Nothing may have been missed.
    pub(super) fn stop(&mut self) {
        self.runs = false;
        let said = script("capture.sh", &["stop", &self.file()]);
        assert_eq!(said.trim(), "0 packets dropped by kernel");
    }

    pub(super) fn sent_to(&self, port: u16) -> Sent {
        Sent::parse(&script("capture.sh", &["count", &self.file(), &port.to_string()]))
    }

    /// Ends it: to none of these ports was sent anything but TLS, and to the first of them that was.
    pub(super) fn ends_with_tls_only(mut self, ports: &[u16]) {
        self.stop();
        for (index, port) in ports.iter().enumerate() {
            let sent = self.sent_to(*port);
            println!("to {port}: {sent:?}");
            assert_eq!((sent.plain, sent.older), ((0, 0), (0, 0)), "to {port}");
            assert!(index > 0 || sent.tls.1 > 0, "nothing was sent to {port}");
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if self.runs {
            // A test that fails shows its own fault, not this one's.
            drop(Command::new(root().join("tests/mesh/capture.sh")).args(["stop", &self.file()]).output());
        }
    }
}

impl Sent {
    /// `PORT tls CONNECTIONS BYTES plain CONNECTIONS BYTES silent CONNECTIONS older CONNECTIONS BYTES`
    fn parse(line: &str) -> Self {
        let words: Vec<_> = line.split_whitespace().collect();
        let of = |kind: &str| {
            let at = words.iter().position(|word| *word == kind).unwrap();
            (words[at + 1].parse().unwrap(), words[at + 2].parse().unwrap())
        };
        Self { tls: of("tls"), plain: of("plain"), older: of("older") }
    }
}

#[test]
fn what_was_sent_is_read() {
    let sent = Sent::parse("8080 tls 1 697 plain 2 87 silent 1 older 3 4\n");
    assert_eq!(sent, Sent { tls: (1, 697), plain: (2, 87), older: (3, 4) });
}
