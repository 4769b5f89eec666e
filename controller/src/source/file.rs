// SPDX-License-Identifier: Apache-2.0
//! One file: its documents, and what is kept of those that went bad. Never touches the disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use torana_crds::{Object, ObjectRef};

use crate::report::Severity;
use crate::source::disk::Stamp;
use crate::source::document::{Document, Entry};
use crate::source::finding::{Finding, Place};
use crate::source::yaml;

/// Objects by name.
pub(super) type Objects = BTreeMap<ObjectRef, Arc<Object>>;

/// One file as last read.
#[derive(Debug, Default)]
pub(super) struct File {
    stamp: Option<Stamp>,
    documents: Vec<Placed>,
    /// Why it could not be read, if so.
    trouble: Option<String>,
    /// Last good forms of objects whose present form is not good.
    kept: Objects,
}

/// A document and where it stands.
#[derive(Debug)]
struct Placed {
    /// Lines of the file before its text.
    before: u32,
    document: Arc<Document>,
}

impl File {
    /// The file after its text was read again. Documents whose text is the same are not parsed again.
    pub(super) fn reread(self, text: Result<String, String>, stamp: Option<Stamp>) -> Self {
        match text {
            // An empty file is one that is being written, or a disk that was full: never a wish to remove everything.
            Ok(text) if text.is_empty() && self.present().next().is_some() => self.lost("the file is empty", stamp),
            Ok(text) if text.is_empty() && !self.kept.is_empty() => self.lost("the file is empty", stamp),
            Ok(text) => self.replaced(&text, stamp),
            Err(why) => self.lost(&why, stamp),
        }
    }

    fn lost(self, why: &str, stamp: Option<Stamp>) -> Self {
        Self { stamp, documents: Vec::new(), trouble: Some(why.to_owned()), kept: self.good() }
    }

    fn replaced(self, text: &str, stamp: Option<Stamp>) -> Self {
        let known = self.documents.iter().map(|placed| (placed.document.text(), &placed.document));
        let known: HashMap<&str, &Arc<Document>, RandomState> = known.collect();
        let read = |chunk: yaml::Chunk<'_>| Placed {
            before: chunk.before,
            document: match known.get(chunk.text) {
                Some(document) => Arc::clone(document),
                None => Arc::new(Document::read(chunk.text, chunk.line())),
            },
        };
        let documents = yaml::split(text).into_iter().map(read).collect();
        let new = Self { stamp, documents, trouble: None, kept: Objects::new() };
        let kept = new.kept_of(self.good());
        Self { kept, ..new }
    }

    /// What stays of `old`: objects whose present form is bad, and, while some document or object cannot even be named,
    /// every object that is missing now.
    fn kept_of(&self, mut old: Objects) -> Objects {
        let mut good = BTreeSet::new();
        let mut bad = BTreeSet::new();
        let mut nameless = self.documents.iter().any(|placed| placed.document.broken.is_some());
        for (_, entry) in self.entries() {
            match (&entry.reference, &entry.object) {
                (Some(reference), Some(_)) => drop(good.insert(reference)),
                (Some(reference), None) => drop(bad.insert(reference)),
                (None, _) => nameless = true,
            }
        }
        old.retain(|reference, _| !good.contains(reference) && (nameless || bad.contains(reference)));
        old
    }

    /// Whether it was read in this very state.
    pub(super) fn has(&self, stamp: Stamp) -> bool {
        self.stamp == Some(stamp)
    }

    /// Objects as they stand in the file, in its order; a name may come twice.
    pub(super) fn present(&self) -> impl Iterator<Item = (&ObjectRef, &Arc<Object>)> {
        self.entries().filter_map(|(_, entry)| entry.reference.as_ref().zip(entry.object.as_ref()))
    }

    /// Last good forms of objects that are not good now.
    pub(super) fn kept(&self) -> impl Iterator<Item = (&ObjectRef, &Arc<Object>)> {
        self.kept.iter()
    }

    fn good(self) -> Objects {
        let mut good = Objects::new();
        for (reference, object) in self.present() {
            good.entry(reference.clone()).or_insert_with(|| Arc::clone(object));
        }
        let mut kept = self.kept;
        kept.retain(|reference, _| !good.contains_key(reference));
        good.append(&mut kept);
        good
    }

    fn entries(&self) -> impl Iterator<Item = (&Placed, &Entry)> {
        self.documents.iter().flat_map(|placed| placed.document.entries.iter().map(move |entry| (placed, entry)))
    }

    /// Every named object with its line, in the order of the file.
    pub(super) fn references(&self) -> impl Iterator<Item = (&ObjectRef, u32)> {
        self.entries().filter_map(|(placed, entry)| Some((entry.reference.as_ref()?, placed.before + entry.line)))
    }

    /// The line of a path of an object, if the object stands here.
    pub(super) fn line(&self, object: &ObjectRef, path: &str) -> Option<u32> {
        let (placed, entry) = self.entries().find(|(_, entry)| entry.reference.as_ref() == Some(object))?;
        Some(placed.before + placed.document.line_of(entry, path))
    }

    /// What there is to say about the file named `name`.
    pub(super) fn findings(&self, name: &str) -> Vec<Finding> {
        let at = |line: u32| Some(Place { file: name.to_owned(), line });
        let mut findings: Vec<_> = self.trouble.iter().map(|why| self.broken(at(1), why)).collect();
        for placed in &self.documents {
            if let Some(broken) = &placed.document.broken {
                findings.push(self.broken(at(placed.before + broken.line), &broken.why));
            }
        }
        for (placed, entry) in self.entries() {
            let kept = entry.object.is_none() && entry.reference.as_ref().is_some_and(|it| self.kept.contains_key(it));
            findings.extend(entry.remarks.iter().map(|(line, remark)| Finding {
                place: at(placed.before + line),
                severity: remark.severity,
                reason: remark.reason,
                object: entry.reference.clone(),
                path: remark.path.clone(),
                what: remark.what.clone(),
                why: match (remark.severity, kept) {
                    (Severity::Error, true) => "its last good form stays in use".to_owned(),
                    _ => remark.why.clone(),
                },
                remedy: remark.remedy.clone(),
            }));
        }
        findings
    }

    fn broken(&self, place: Option<Place>, why: &str) -> Finding {
        let follows = match self.kept.len() {
            0 => "nothing of it is used".to_owned(),
            1 => "the one object that was here before stays in use".to_owned(),
            count => format!("the {count} objects that were here before stay in use"),
        };
        Finding {
            place,
            severity: Severity::Error,
            reason: "Unreadable",
            object: None,
            path: String::new(),
            what: format!("not readable: {why}"),
            why: follows,
            remedy: "correct the text; to remove its objects, delete the file".to_owned(),
        }
    }
}
