// SPDX-License-Identifier: Apache-2.0
//! Hearing that files change: inotify watches on the folders that matter, and when a burst of changes is over.
//!
//! A watch is a hint, never the truth: what changed is found by looking (`disk::walk`), and a lost hint costs one poll.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RemoveKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use crate::source::disk;

/// A burst is over after this long without a change …
const QUIET: Duration = Duration::from_millis(12);
/// … or this long after its first one, whatever still comes.
const LONGEST: Duration = Duration::from_millis(50);
/// A file that is still being written is waited for, at most this long.
const WRITING: Duration = Duration::from_secs(2);

/// One thing heard of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Touch {
    /// Bytes were written and the writer has not closed the file yet.
    Writing(PathBuf),
    /// It was created, closed after writing, renamed or removed.
    Changed(PathBuf),
    /// Hints were lost: anything may have changed.
    Lost,
}

/// The watches.
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    held: BTreeMap<PathBuf, u64>,
    /// Why some folder is not watched; such changes are found by polling only.
    trouble: Option<String>,
}

impl Watch {
    /// Starts without folders. `hear` is called on a thread of the watcher and must not block.
    pub(crate) fn new(hear: impl Fn(Touch) + Send + 'static) -> Self {
        let listen = move |event: notify::Result<notify::Event>| match event {
            Ok(event) => touches(event).for_each(&hear),
            Err(_) => hear(Touch::Lost),
        };
        match notify::recommended_watcher(listen) {
            Ok(watcher) => Self { watcher: Some(watcher), held: BTreeMap::new(), trouble: None },
            Err(error) => Self { watcher: None, held: BTreeMap::new(), trouble: Some(error.to_string()) },
        }
    }

    /// Watches exactly these folders (with their inodes: a folder that was replaced is watched anew). `true` if a watch
    /// was added: what happened in that folder before was not heard, so look again.
    pub(crate) fn follow(&mut self, folders: &BTreeMap<PathBuf, u64>) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        self.held.retain(|path, inode| {
            let wanted = folders.get(path) == Some(inode);
            if !wanted {
                // A watch on a folder that is gone has already ended by itself.
                watcher.unwatch(path).ok();
            }
            wanted
        });
        let mut added = false;
        self.trouble = None;
        for (path, inode) in folders {
            if self.held.contains_key(path) {
                continue;
            }
            match watcher.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.held.insert(path.clone(), *inode);
                    added = true;
                }
                Err(error) => self.trouble = Some(error.to_string()),
            }
        }
        added
    }

    /// Why changes may be found late, if they may.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

fn touches(event: notify::Event) -> impl Iterator<Item = Touch> {
    let lost = event.need_rescan().then_some(Touch::Lost);
    let kind = event.kind;
    let heard = event.paths.into_iter().filter_map(move |path| touch(kind, path));
    lost.into_iter().chain(heard)
}

/// Reading is no change, and neither are bytes written to a file that is no manifest.
fn touch(kind: EventKind, path: PathBuf) -> Option<Touch> {
    let manifest = disk::is_manifest(&path);
    match kind {
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => manifest.then_some(Touch::Writing(path)),
        EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Modify(ModifyKind::Metadata(_)) => {
            manifest.then_some(Touch::Changed(path))
        }
        EventKind::Create(CreateKind::File) | EventKind::Remove(RemoveKind::File) => {
            (manifest || is_link_of_a_mount(&path)).then_some(Touch::Changed(path))
        }
        EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
            Some(Touch::Changed(path))
        }
        _ => None,
    }
}

/// `..data` and its likes, which the kubelet swaps.
fn is_link_of_a_mount(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".."))
}

/// Changes that belong together. Time is an argument.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    span: Option<(Instant, Instant)>,
    writing: BTreeSet<PathBuf>,
    changed: BTreeSet<PathBuf>,
}

impl Burst {
    /// Adds what was heard at `now`.
    pub(crate) fn add(&mut self, touch: Touch, now: Instant) {
        match touch {
            Touch::Writing(path) => {
                self.changed.insert(path.clone());
                self.writing.insert(path);
            }
            Touch::Changed(path) => {
                self.writing.remove(&path);
                self.changed.insert(path);
            }
            Touch::Lost => {}
        }
        self.span = Some((self.span.map_or(now, |(first, _)| first), now));
    }

    /// When it is over, if it has begun and nothing more comes.
    pub(crate) fn due(&self) -> Option<Instant> {
        let (first, last) = self.span?;
        if self.writing.is_empty() { Some((last + QUIET).min(first + LONGEST)) } else { Some(first + WRITING) }
    }

    /// Ends it: the paths that were named, which are read again even if they look the same.
    pub(crate) fn end(&mut self) -> BTreeSet<PathBuf> {
        self.span = None;
        self.writing.clear();
        std::mem::take(&mut self.changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(path: &str) -> Touch {
        Touch::Changed(path.into())
    }

    #[test]
    fn a_burst_ends_when_it_is_quiet_and_never_late() {
        let start = Instant::now();
        let mut burst = Burst::default();
        assert_eq!(burst.due(), None);
        burst.add(changed("a.yaml"), start);
        assert_eq!(burst.due(), Some(start + QUIET));
        for step in 1..100 {
            burst.add(changed("b.yaml"), start + step * Duration::from_millis(5));
        }
        assert_eq!(burst.due(), Some(start + LONGEST));
        assert_eq!(burst.end().len(), 2);
        assert_eq!(burst.due(), None);
    }

    #[test]
    fn a_file_being_written_is_waited_for() {
        let start = Instant::now();
        let mut burst = Burst::default();
        burst.add(Touch::Writing("a.yaml".into()), start);
        assert_eq!(burst.due(), Some(start + WRITING));
        burst.add(changed("a.yaml"), start + Duration::from_millis(30));
        assert_eq!(burst.due(), Some(start + Duration::from_millis(42)));
    }

    #[test]
    fn a_saved_file_and_a_swapped_link_are_heard() {
        let root = tempfile::tempdir().unwrap();
        let (sender, heard) = std::sync::mpsc::channel();
        let mut watch = Watch::new(move |touch| drop(sender.send(touch)));
        let folders = BTreeMap::from([(root.path().to_owned(), 1)]);
        assert!(watch.follow(&folders), "added");
        assert!(!watch.follow(&folders), "still there");
        assert_eq!(watch.trouble(), None);
        let path = root.path().join("a.yaml");
        let wait = |wanted: Touch| {
            let end = Instant::now() + Duration::from_secs(5);
            while heard.recv_timeout(end.saturating_duration_since(Instant::now())).expect("heard in time") != wanted {}
        };
        std::fs::write(&path, "a: 1").unwrap();
        wait(Touch::Writing(path.clone()));
        wait(Touch::Changed(path));
        std::os::unix::fs::symlink("..1", root.path().join("..data_tmp")).unwrap();
        std::fs::rename(root.path().join("..data_tmp"), root.path().join("..data")).unwrap();
        wait(Touch::Changed(root.path().join("..data")));
    }
}
