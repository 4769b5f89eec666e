// SPDX-License-Identifier: Apache-2.0
//! One document of a file and the objects in it. Immutable: an edit of one document leaves the others as they are.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use foldhash::fast::RandomState;
use serde_json::Value;
use torana_crds::{Object, ObjectRef};

use crate::report::Severity;
use crate::source::door::{self, Remark};
use crate::source::yaml::{self, Broken, Chunk};

/// Beyond this, a path is looked up no deeper than its object: reading a large document once a path costs too much.
const LOOKUP_LIMIT: usize = 256 << 10;

/// Documents that a thread takes at once.
const BATCH: usize = 16;

/// Documents that were read before they are asked for.
#[derive(Debug, Default)]
pub(super) struct Library<'t>(HashMap<&'t str, Arc<Document>, RandomState>);

/// A document: its text and what was in it.
#[derive(Debug)]
pub(super) struct Document {
    text: String,
    /// Line of its first content, within the text, from 1.
    line: u32,
    /// Its objects; several in a `List`.
    pub(super) entries: Vec<Entry>,
    /// Why it cannot be read at all.
    pub(super) broken: Option<Broken>,
}

/// One object as written.
#[derive(Debug)]
pub(super) struct Entry {
    /// Who it is, if that much could be read.
    pub(super) reference: Option<ObjectRef>,
    /// Line within the document's text, from 1.
    pub(super) line: u32,
    /// The object, if it may be used.
    pub(super) object: Option<Arc<Object>>,
    /// What there is to say about it, with lines within the document's text.
    pub(super) remarks: Vec<(u32, Remark)>,
    /// Where it stands in the document: `""`, or `items[3]`.
    base: String,
}

impl<'t> Library<'t> {
    /// Reads every document of the texts, on several threads.
    pub(super) fn of(texts: impl Iterator<Item = &'t str>, threads: usize) -> Self {
        let chunks: Vec<Chunk<'t>> = texts.flat_map(yaml::split).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut read = Vec::new();
            while let Some(rest) = chunks.get(next.fetch_add(BATCH, Ordering::Relaxed)..) {
                read.extend(rest.iter().take(BATCH).map(|chunk| (chunk.text, Arc::new(Document::read(*chunk)))));
            }
            read
        };
        let documents = thread::scope(|scope| {
            let others: Vec<_> = (1..threads.min(chunks.len())).map(|_| scope.spawn(work)).collect();
            let mut documents = work();
            // What a thread did not bring is read when it is asked for.
            documents.extend(others.into_iter().flat_map(|other| other.join().unwrap_or_default()));
            documents
        });
        Self(documents.into_iter().collect())
    }

    /// The document of a chunk, read now if it is not here.
    pub(super) fn read(&self, chunk: Chunk<'_>) -> Arc<Document> {
        self.0.get(chunk.text).map_or_else(|| Arc::new(Document::read(chunk)), Arc::clone)
    }
}

impl Document {
    fn read(chunk: Chunk<'_>) -> Self {
        let mut document = Self { text: chunk.text.to_owned(), line: chunk.line(), entries: Vec::new(), broken: None };
        match yaml::parse(chunk.text) {
            Ok(Some(value)) => document.fill(value),
            Ok(None) => {}
            Err(broken) => document.broken = Some(broken),
        }
        document
    }

    fn fill(&mut self, value: Value) {
        let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) && value["items"].is_array();
        let items = match value {
            Value::Object(mut list) if is_list => match list.remove("items") {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            },
            value => vec![value],
        };
        let base = |index: usize| if is_list { format!("items[{index}]") } else { String::new() };
        self.entries = items.into_iter().enumerate().map(|(index, item)| Entry::read(item, base(index))).collect();
        self.find_lines(is_list);
    }

    /// One parse finds the lines of all that needs one; a lone object without remarks needs none.
    fn find_lines(&mut self, is_list: bool) {
        let paths = self.entries.iter().flat_map(|entry| {
            let own = is_list.then(|| entry.base.clone());
            own.into_iter().chain(entry.remarks.iter().map(|(_, remark)| entry.within(&remark.path)))
        });
        let paths: Vec<String> = paths.collect();
        if paths.is_empty() {
            self.entries.iter_mut().for_each(|entry| entry.line = self.line);
            return;
        }
        let mut lines = yaml::lines(&self.text, &paths).into_iter();
        for entry in &mut self.entries {
            entry.line = if is_list { lines.next().unwrap_or(self.line) } else { self.line };
            for (line, _) in &mut entry.remarks {
                *line = lines.next().unwrap_or(entry.line);
            }
        }
    }

    /// The line of `path` of an entry of this document, within the text.
    pub(super) fn line_of(&self, entry: &Entry, path: &str) -> u32 {
        if path.is_empty() || self.text.len() > LOOKUP_LIMIT {
            return entry.line;
        }
        yaml::lines(&self.text, &[entry.within(path)]).pop().unwrap_or(entry.line)
    }

    /// Whether there is something in it of which not even the name can be read.
    pub(super) fn is_nameless(&self) -> bool {
        self.broken.is_some() || self.entries.iter().any(Entry::is_nameless)
    }

    /// The text it was read from.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl Entry {
    fn read(item: Value, base: String) -> Self {
        let admitted = door::admit(item);
        let remarks = admitted.remarks.into_iter().map(|remark| (1, remark)).collect();
        Self { reference: admitted.reference, line: 1, object: admitted.object.map(Arc::new), remarks, base }
    }

    /// It cannot be told which object it is meant to be: it has no name, or its kind is a slip of the pen.
    pub(super) fn is_nameless(&self) -> bool {
        let refused = self.remarks.iter().any(|(_, remark)| remark.severity == Severity::Error);
        self.reference.as_ref().is_none_or(|reference| refused && reference.known_kind().is_none())
    }

    fn within(&self, path: &str) -> String {
        match (self.base.as_str(), path) {
            ("", path) => path.to_owned(),
            (base, "") => base.to_owned(),
            (base, path) => format!("{base}.{path}"),
        }
    }
}
