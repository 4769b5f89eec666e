// SPDX-License-Identifier: Apache-2.0
//! One file: its documents, and what is kept of those that went bad. Reading it again costs what changed in it. Never
//! touches the disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use torana_crds::{Object, ObjectRef};

use crate::report::Severity;
use crate::source::disk::Stamp;
use crate::source::document::{Document, Entry, Library};
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
    /// What the documents say of the objects that they name.
    named: HashMap<ObjectRef, Named, RandomState>,
    /// Last good forms of objects whose present form is not good.
    kept: Objects,
}

/// What the documents of a file say of one object.
#[derive(Debug, Default)]
struct Named {
    /// How often it stands in the file.
    entries: usize,
    /// Its first good form.
    object: Option<Arc<Object>>,
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
    /// Takes the file's text as it is now. Only documents that are not there yet are read, from `library` if it has
    /// them. Returns the names of which the file may say something else than before.
    pub(super) fn reread(
        &mut self,
        text: &Result<String, String>,
        stamp: Option<Stamp>,
        library: &Library<'_>,
    ) -> BTreeSet<ObjectRef> {
        self.stamp = stamp;
        match text {
            // An empty file is one that is being written, or a disk that was full: never a wish to remove everything.
            Ok(text) if text.is_empty() && !self.is_bare() => self.lost("the file is empty"),
            Ok(text) => self.replace(text, library),
            Err(why) => self.lost(why),
        }
    }

    fn is_bare(&self) -> bool {
        self.kept.is_empty() && self.named.values().all(|named| named.object.is_none())
    }

    /// Every good form is kept.
    fn lost(&mut self, why: &str) -> BTreeSet<ObjectRef> {
        self.trouble = Some(why.to_owned());
        self.documents.clear();
        let names = self.names().cloned().collect();
        let good = self.named.drain().filter_map(|(name, named)| Some((name, named.object?)));
        self.kept.extend(good);
        names
    }

    /// What stands before and after the edited part is left alone.
    fn replace(&mut self, text: &str, library: &Library<'_>) -> BTreeSet<ObjectRef> {
        self.trouble = None;
        let chunks = yaml::split(text);
        let same = |(old, new): &(&Placed, &yaml::Chunk<'_>)| old.document.text() == new.text;
        let head = self.documents.iter().zip(&chunks).take_while(same).count();
        let (old, new) = (&self.documents[head..], &chunks[head..]);
        let tail = old.iter().rev().zip(new.iter().rev()).take_while(same).count();
        let edited = &new[..new.len() - tail];

        let mut documents = Vec::with_capacity(chunks.len());
        let gone: Vec<Placed> = self.documents.drain(head..self.documents.len() - tail).collect();
        let known: HashMap<&str, &Arc<Document>, RandomState> =
            gone.iter().map(|placed| (placed.document.text(), &placed.document)).collect();
        let come: Vec<Arc<Document>> = edited
            .iter()
            .map(|chunk| known.get(chunk.text).map_or_else(|| library.read(*chunk), |document| Arc::clone(document)))
            .collect();
        let mut stay = self.documents.drain(..).map(|placed| placed.document);
        documents.extend(stay.by_ref().take(head));
        documents.extend(come.iter().cloned());
        documents.extend(stay);
        let place = |(document, chunk): (Arc<Document>, &yaml::Chunk<'_>)| Placed { before: chunk.before, document };
        self.documents = documents.into_iter().zip(&chunks).map(place).collect();
        self.account(&gone, &come)
    }

    /// Brings the names up to date: `gone` documents went, and `come` stand in one place of the file.
    fn account(&mut self, gone: &[Placed], come: &[Arc<Document>]) -> BTreeSet<ObjectRef> {
        let mut touched = BTreeSet::new();
        let names = |document: &Arc<Document>| {
            document.entries.iter().filter_map(|entry| entry.reference.clone()).collect::<Vec<_>>()
        };
        for name in gone.iter().flat_map(|placed| names(&placed.document)) {
            if let Some(named) = self.named.get_mut(&name) {
                named.entries = named.entries.saturating_sub(1);
            }
            touched.insert(name);
        }
        let mut fresh: HashMap<&ObjectRef, Named, RandomState> = HashMap::default();
        for entry in come.iter().flat_map(|document| &document.entries) {
            if let Some(name) = &entry.reference {
                fresh.entry(name).or_default().add(entry);
                touched.insert(name.clone());
            }
        }
        let nameless = self.documents.iter().any(|placed| placed.document.is_nameless());
        for name in &touched {
            let fresh = fresh.remove(name).unwrap_or_default();
            self.rename(name, fresh, nameless);
        }
        // While some document or object cannot even be named, every object that is missing may be the one.
        let named = &self.named;
        self.kept.retain(|name, _| {
            let stays = nameless || named.contains_key(name);
            if !stays {
                touched.insert(name.clone());
            }
            stays
        });
        touched
    }

    /// Takes over what the edited part says of one object, which may also stand elsewhere in the file.
    fn rename(&mut self, name: &ObjectRef, fresh: Named, nameless: bool) {
        let before = self.named.remove(name).unwrap_or_default();
        let now = if before.entries == 0 { fresh } else { self.whole(name) };
        let good = before.object.or_else(|| self.kept.remove(name));
        if let Some(good) = good.filter(|_| now.object.is_none() && (nameless || now.entries > 0)) {
            self.kept.insert(name.clone(), good);
        }
        if now.entries > 0 {
            self.named.insert(name.clone(), now);
        }
    }

    /// What the whole file says of one object.
    fn whole(&self, name: &ObjectRef) -> Named {
        let mut named = Named::default();
        self.entries()
            .filter(|(_, entry)| entry.reference.as_ref() == Some(name))
            .for_each(|(_, entry)| named.add(entry));
        named
    }

    /// Whether it was read in this very state.
    pub(super) fn has(&self, stamp: Stamp) -> bool {
        self.stamp == Some(stamp)
    }

    /// The object as this file has it.
    pub(super) fn form(&self, reference: &ObjectRef) -> Option<Form<'_>> {
        let present = self.named.get(reference).and_then(|named| named.object.as_ref());
        let present = present.map(|object| Form { object, is_kept: false });
        present.or_else(|| self.kept.get(reference).map(|object| Form { object, is_kept: true }))
    }

    /// How often an object stands in it.
    pub(super) fn mentions(&self, reference: &ObjectRef) -> usize {
        self.named.get(reference).map_or(0, |named| named.entries)
    }

    /// Whether it names an object, or keeps a form of it.
    pub(super) fn holds(&self, reference: &ObjectRef) -> bool {
        self.named.contains_key(reference) || self.kept.contains_key(reference)
    }

    /// Every object that it holds.
    pub(super) fn names(&self) -> impl Iterator<Item = &ObjectRef> {
        self.named.keys().chain(self.kept.keys())
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

impl Named {
    fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        if self.object.is_none() {
            self.object.clone_from(&entry.object);
        }
    }
}
