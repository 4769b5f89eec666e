// SPDX-License-Identifier: Apache-2.0
//! The objects of a set of paths: what they are now, and what changed since the last look.
//!
//! A file, document or object that went bad keeps what was last good of it, so that a slip of the pen is no outage.
//! Never waits: it looks when it is told to. Never decides what an object means.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::fast::RandomState;
use torana_crds::ObjectRef;

use crate::report::Severity;
use crate::source::disk::{self, Sighting};
use crate::source::file::{File, Objects};
use crate::source::finding::{Finding, Place};
use crate::store::Event;

/// The path that means standard input.
const STDIN: &str = "-";

/// A set of paths and what is in them.
#[derive(Debug)]
pub struct Files {
    paths: Vec<PathBuf>,
    known: BTreeMap<PathBuf, File>,
    /// Which files have a form of an object.
    holders: HashMap<ObjectRef, BTreeSet<PathBuf>, RandomState>,
    folders: BTreeMap<PathBuf, u64>,
    /// Absolute paths at or below which a change matters.
    scopes: BTreeSet<PathBuf>,
    unreadable: BTreeMap<PathBuf, String>,
    objects: Objects,
}

impl Files {
    /// Reads everything below `paths` for the first time; `-` is standard input, read to its end.
    pub fn open(paths: &[PathBuf]) -> Self {
        let mut files = Self {
            paths: paths.iter().filter(|path| !is_stdin(path)).cloned().collect(),
            known: BTreeMap::new(),
            holders: HashMap::default(),
            folders: BTreeMap::new(),
            scopes: BTreeSet::new(),
            unreadable: BTreeMap::new(),
            objects: Objects::new(),
        };
        let mut touched = BTreeSet::new();
        if let Some(path) = paths.iter().find(|path| is_stdin(path)) {
            let file = File::default().reread(disk::read_stdin(), None);
            files.replace(path.clone(), Some(file), &mut touched);
        }
        touched.append(&mut files.look(&BTreeSet::new()));
        for reference in touched {
            files.settle(reference);
        }
        files
    }

    /// Looks at the disk again and reads what looks changed, and what is `named` (absolute paths) in any case. Returns
    /// what changed in the objects: one generation. What did not change costs a look at its file's state.
    pub fn refresh(&mut self, named: &BTreeSet<PathBuf>) -> Vec<Event> {
        let touched = self.look(named);
        touched.into_iter().filter_map(|reference| self.settle(reference)).collect()
    }

    /// Every object, as one generation.
    pub fn objects(&self) -> Vec<Event> {
        self.objects.values().map(|object| Event::Applied(Arc::clone(object))).collect()
    }

    /// Paths that hold no file at all, for a start that should rather fail.
    pub fn missing(&self) -> impl Iterator<Item = (&Path, &str)> {
        let given = |path: &&PathBuf| self.paths.contains(path);
        self.unreadable.iter().filter(move |(path, _)| given(path)).map(|(path, why)| (path.as_path(), why.as_str()))
    }

    /// Folders in which a change matters, each with its inode.
    pub(crate) fn folders(&self) -> &BTreeMap<PathBuf, u64> {
        &self.folders
    }

    /// Whether something that happened to an absolute path may change an object.
    pub(crate) fn concerns(&self, path: &Path) -> bool {
        let below = path.ancestors().any(|one| self.scopes.contains(one));
        // The folder of a scope: its being moved or made moves or makes the scope.
        let above = || self.scopes.range(path.to_owned()..).next().is_some_and(|scope| scope.starts_with(path));
        below || above()
    }

    /// Everything there is to say about the files themselves, ordered by place.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings: Vec<_> = self.known.iter().flat_map(|(path, file)| file.findings(&shown(path))).collect();
        findings.extend(self.unreadable.iter().map(|(path, why)| {
            let known = self.known.range(path.clone()..).next().is_some_and(|(file, _)| file.starts_with(path));
            unreadable(path, why, known)
        }));
        self.duplicates(&mut findings);
        findings.sort();
        findings
    }

    /// Where `path` of an object stands, or the object itself if the path does not; `None` if no file holds the object.
    pub fn place(&self, object: &ObjectRef, path: &str) -> Option<Place> {
        let line = |file: &File| file.line(object, path);
        self.known.iter().find_map(|(name, file)| Some(Place { file: shown(name), line: line(file)? }))
    }

    /// Reads what changed; returns the names whose form in some file did.
    fn look(&mut self, named: &BTreeSet<PathBuf>) -> BTreeSet<ObjectRef> {
        let seen = disk::walk(&self.paths);
        let mut touched = BTreeSet::new();
        let stays = |path: &Path| is_stdin(path) || seen.files.contains_key(path) || seen.is_unknown(path);
        let gone: Vec<PathBuf> = self.known.keys().filter(|path| !stays(path)).cloned().collect();
        for path in gone {
            self.replace(path, None, &mut touched);
        }
        self.scopes = self.paths.iter().filter_map(|path| std::path::absolute(path).ok()).collect();
        for (path, Sighting { stamp, target }) in seen.files {
            let absolute = || std::path::absolute(&path).is_ok_and(|path| named.contains(&path));
            let is_named =
                !named.is_empty() && (target.as_ref().is_some_and(|path| named.contains(path)) || absolute());
            self.scopes.extend(target);
            let looks_same = self.known.get(&path).is_some_and(|file| file.has(stamp));
            if !looks_same || is_named {
                let text = disk::read(&path);
                let file = self.known.get(&path).map(|old| old.reread(text.clone(), Some(stamp)));
                let file = file.unwrap_or_else(|| File::default().reread(text, Some(stamp)));
                self.replace(path, Some(file), &mut touched);
            }
        }
        (self.folders, self.unreadable) = (seen.folders, seen.unreadable);
        touched
    }

    /// Puts a file in the place of its former state, or takes it away.
    fn replace(&mut self, path: PathBuf, new: Option<File>, touched: &mut BTreeSet<ObjectRef>) {
        let old = self.known.remove(&path).unwrap_or_default();
        let now = new.as_ref();
        for reference in old.changes(now) {
            let holders = self.holders.entry(reference.clone()).or_default();
            if now.is_some_and(|file| file.form(&reference).is_some()) {
                holders.insert(path.clone());
            } else {
                holders.remove(&path);
            }
            if holders.is_empty() {
                self.holders.remove(&reference);
            }
            touched.insert(reference);
        }
        if let Some(file) = new {
            self.known.insert(path, file);
        }
    }

    /// Decides anew which form of an object is used. Of several definitions the first by path wins, and a present one
    /// wins over a kept one.
    fn settle(&mut self, reference: ObjectRef) -> Option<Event> {
        let holders = self.holders.get(&reference).into_iter().flatten();
        let forms = holders.filter_map(|path| self.known.get(path)?.form(&reference));
        let winner = forms.min_by_key(|form| form.is_kept).map(|form| Arc::clone(form.object));
        match winner {
            Some(object) => {
                let before = self.objects.insert(reference, Arc::clone(&object));
                let same = before.is_some_and(|before| Arc::ptr_eq(&before, &object) || before == object);
                (!same).then_some(Event::Applied(object))
            }
            None => self.objects.remove(&reference).map(|_| Event::Removed(reference)),
        }
    }

    fn duplicates(&self, findings: &mut Vec<Finding>) {
        let mut first: HashMap<&ObjectRef, (&Path, u32), RandomState> = HashMap::default();
        for (path, file) in &self.known {
            for (reference, line) in file.references() {
                let (winner, winner_line) = *first.entry(reference).or_insert((path, line));
                if (winner, winner_line) == (path.as_path(), line) {
                    continue;
                }
                findings.push(Finding {
                    place: Some(Place { file: shown(path), line }),
                    severity: Severity::Error,
                    reason: "DefinedTwice",
                    object: Some(reference.clone()),
                    path: String::new(),
                    what: format!("defined twice: also at {}:{winner_line}", shown(winner)),
                    why: "the first definition in the order of paths is used, this one is not".to_owned(),
                    remedy: "remove or rename one of them".to_owned(),
                });
            }
        }
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn unreadable(path: &Path, why: &str, known: bool) -> Finding {
    let follows = if known { "what was read of it before stays in use" } else { "nothing of it is used" };
    Finding {
        place: Some(Place { file: shown(path), line: 1 }),
        severity: Severity::Error,
        reason: "Unreadable",
        object: None,
        path: String::new(),
        what: format!("not readable: {why}"),
        why: follows.to_owned(),
        remedy: "make it readable, or take it away".to_owned(),
    }
}
