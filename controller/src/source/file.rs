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
    /// Good objects of the documents; of two of one name the first.
    present: HashMap<ObjectRef, Arc<Object>, RandomState>,
    /// Last good forms of objects whose present form is not good.
    kept: Objects,
}

/// An object as a file has it.
pub(super) struct Form<'a> {
    /// The object.
    pub(super) object: &'a Arc<Object>,
    /// It is what was last good of it.
    pub(super) is_kept: bool,
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
    pub(super) fn reread(&self, text: Result<String, String>, stamp: Option<Stamp>) -> Self {
        match text {
            // An empty file is one that is being written, or a disk that was full: never a wish to remove everything.
            Ok(text) if text.is_empty() && !self.is_bare() => self.lost("the file is empty", stamp),
            Ok(text) => self.replaced(&text, stamp),
            Err(why) => self.lost(&why, stamp),
        }
    }

    fn is_bare(&self) -> bool {
        self.present.is_empty() && self.kept.is_empty()
    }

    fn lost(&self, why: &str, stamp: Option<Stamp>) -> Self {
        Self { stamp, trouble: Some(why.to_owned()), kept: self.good(), ..Self::default() }
    }

    fn replaced(&self, text: &str, stamp: Option<Stamp>) -> Self {
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
        let mut new = Self { stamp, documents, ..Self::default() };
        new.present = new.first_of_each();
        new.kept = new.kept_of(self.good());
        new
    }

    fn first_of_each(&self) -> HashMap<ObjectRef, Arc<Object>, RandomState> {
        let mut first = HashMap::default();
        for (_, entry) in self.entries() {
            if let (Some(reference), Some(object)) = (&entry.reference, &entry.object) {
                first.entry(reference.clone()).or_insert_with(|| Arc::clone(object));
            }
        }
        first
    }

    /// What stays of `old`: objects whose present form is bad, and, while some document or object cannot even be named,
    /// every object that is missing now.
    fn kept_of(&self, mut old: Objects) -> Objects {
        let nameless = self.documents.iter().any(|placed| placed.document.broken.is_some())
            || self.entries().any(|(_, entry)| entry.reference.is_none());
        let bad = self.entries().filter(|(_, entry)| entry.object.is_none());
        let bad: BTreeSet<_> = bad.filter_map(|(_, entry)| entry.reference.as_ref()).collect();
        old.retain(|reference, _| !self.present.contains_key(reference) && (nameless || bad.contains(reference)));
        old
    }

    /// Whether it was read in this very state.
    pub(super) fn has(&self, stamp: Stamp) -> bool {
        self.stamp == Some(stamp)
    }

    /// The object as this file has it.
    pub(super) fn form(&self, reference: &ObjectRef) -> Option<Form<'_>> {
        let present = self.present.get(reference).map(|object| Form { object, is_kept: false });
        present.or_else(|| self.kept.get(reference).map(|object| Form { object, is_kept: true }))
    }

    /// The names whose form is another in `new` than in this one; `None` has no form of anything.
    pub(super) fn changes(&self, new: Option<&Self>) -> Vec<ObjectRef> {
        let names = |file: &Self| file.present.keys().chain(file.kept.keys()).cloned().collect::<Vec<_>>();
        let mut names: Vec<ObjectRef> = [names(self), new.map(names).unwrap_or_default()].concat();
        names.retain(|name| match (self.form(name), new.and_then(|new| new.form(name))) {
            (Some(old), Some(new)) => !Arc::ptr_eq(old.object, new.object) || old.is_kept != new.is_kept,
            (old, new) => old.is_some() != new.is_some(),
        });
        names
    }

    fn good(&self) -> Objects {
        let present = self.present.iter().chain(&self.kept);
        present.map(|(reference, object)| (reference.clone(), Arc::clone(object))).collect()
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
