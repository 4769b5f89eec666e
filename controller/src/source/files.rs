// SPDX-License-Identifier: Apache-2.0
//! The objects of a set of paths: what they are now, and what changed since the last look.
//!
//! A file, document or object that went bad keeps what was last good of it, so that a slip of the pen is no outage.
//! Never waits: it looks when it is told to. Never decides what an object means.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use foldhash::fast::RandomState;
use torana_crds::ObjectRef;

use crate::report::Severity;
use crate::source::disk::{self, Sighting, Stamp};
use crate::source::document::Library;
use crate::source::file::{File, Objects};
use crate::source::finding::{Finding, Place};
use crate::store::Event;

/// The path that means standard input.
const STDIN: &str = "-";

/// A path, what was read from it, and the state that it was in.
type Text = (PathBuf, Result<String, String>, Option<Stamp>);

/// What a look at the disk found.
#[derive(Default)]
struct Changed {
    /// Files that were not seen.
    gone: Vec<PathBuf>,
    /// Files to read, each with its state.
    read: Vec<(PathBuf, Stamp)>,
}

/// A set of paths and what is in them.
#[derive(Debug)]
pub struct Files {
    paths: Vec<PathBuf>,
    known: BTreeMap<PathBuf, File>,
    /// Which files name an object, or keep a form of it.
    holders: HashMap<ObjectRef, BTreeSet<PathBuf>, RandomState>,
    /// Objects that stand in several places.
    contested: BTreeSet<ObjectRef>,
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
            contested: BTreeSet::new(),
            folders: BTreeMap::new(),
            scopes: BTreeSet::new(),
            unreadable: BTreeMap::new(),
            objects: Objects::new(),
        };
        let mut touched = BTreeSet::new();
        if let Some(path) = paths.iter().find(|path| is_stdin(path)) {
            files.take(&[(path.clone(), disk::read_stdin(), None)], cores(), &mut touched);
        }
        touched.append(&mut files.look(&BTreeSet::new(), cores()));
        for reference in touched {
            files.settle(reference);
        }
        files
    }

    /// Looks at the disk again and reads what looks changed, and what is `named` (absolute paths) in any case. Returns
    /// what changed in the objects: one generation. What did not change costs a look at its file's state.
    pub fn refresh(&mut self, named: &BTreeSet<PathBuf>) -> Vec<Event> {
        // Traffic is served by now, so the other cores are left to it.
        let touched = self.look(named, 1);
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

    /// Reads what changed; returns the names on which some file may have changed its word.
    fn look(&mut self, named: &BTreeSet<PathBuf>, threads: usize) -> BTreeSet<ObjectRef> {
        let mut seen = disk::walk(&self.paths);
        let mut touched = BTreeSet::new();
        let files = std::mem::take(&mut seen.files);
        self.scopes = self.paths.iter().filter_map(|path| std::path::absolute(path).ok()).collect();
        self.scopes.extend(files.values().filter_map(|sighting| sighting.target.clone()));
        let Changed { gone, read } = self.compare(files, named);
        for path in gone.into_iter().filter(|path| !is_stdin(path) && !seen.is_unknown(path)) {
            let names = self.known.remove(&path).map(|file| file.names().cloned().collect());
            self.heard(&path, names.unwrap_or_default(), &mut touched);
        }
        let texts = read.into_iter().map(|(path, stamp)| {
            let text = disk::read(&path);
            (path, text, Some(stamp))
        });
        self.take(&texts.collect::<Vec<_>>(), threads, &mut touched);
        (self.folders, self.unreadable) = (seen.folders, seen.unreadable);
        touched
    }

    /// What is known beside what was seen, both in the order of paths: comparing paths is what costs here.
    fn compare(&self, seen: BTreeMap<PathBuf, Sighting>, named: &BTreeSet<PathBuf>) -> Changed {
        let file_names: BTreeSet<_> = named.iter().filter_map(|path| path.file_name()).collect();
        let is_named = |path: &Path, target: Option<&PathBuf>| {
            let here = || std::path::absolute(path).is_ok_and(|path| named.contains(&path));
            target.is_some_and(|path| named.contains(path))
                || (path.file_name().is_some_and(|name| file_names.contains(name)) && here())
        };
        let mut known = self.known.iter().peekable();
        let mut changed = Changed::default();
        for (path, Sighting { stamp, target }) in seen {
            while let Some((gone, _)) = known.next_if(|(known, _)| **known < path) {
                changed.gone.push(gone.clone());
            }
            let looks_same = known.next_if(|(known, _)| **known == path).is_some_and(|(_, file)| file.has(stamp));
            if !looks_same || is_named(&path, target.as_ref()) {
                changed.read.push((path, stamp));
            }
        }
        changed.gone.extend(known.map(|(gone, _)| gone.clone()));
        changed
    }

    /// Takes over texts that were read from the disk.
    fn take(&mut self, texts: &[Text], threads: usize, touched: &mut BTreeSet<ObjectRef>) {
        let good = texts.iter().filter_map(|(_, text, _)| text.as_deref().ok());
        let library = if threads > 1 { Library::of(good, threads) } else { Library::default() };
        for (path, text, stamp) in texts {
            let file = self.known.entry(path.clone()).or_default();
            let names = file.reread(text, *stamp, &library);
            self.heard(path, names, touched);
        }
    }

    /// A file may have changed its word on `names`.
    fn heard(&mut self, path: &Path, names: BTreeSet<ObjectRef>, touched: &mut BTreeSet<ObjectRef>) {
        for reference in names {
            let mentions = |path: &PathBuf| self.known.get(path).map_or(0, |file| file.mentions(&reference));
            let is_held = self.known.get(path).is_some_and(|file| file.holds(&reference));
            let holders = self.holders.entry(reference.clone()).or_default();
            if is_held {
                holders.insert(path.to_owned());
            } else {
                holders.remove(path);
            }
            if holders.iter().map(mentions).sum::<usize>() > 1 {
                self.contested.insert(reference.clone());
            } else {
                self.contested.remove(&reference);
            }
            if holders.is_empty() {
                self.holders.remove(&reference);
            }
            touched.insert(reference);
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
        if self.contested.is_empty() {
            return;
        }
        let mut first: HashMap<&ObjectRef, (&Path, u32), RandomState> = HashMap::default();
        for (path, file) in &self.known {
            for (reference, line) in file.references().filter(|(reference, _)| self.contested.contains(reference)) {
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

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
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
