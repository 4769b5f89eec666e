// SPDX-License-Identifier: Apache-2.0
//! What there is to say about one object by itself, and where in it. Paths are built only for what is said. Never
//! decides what follows.

use std::fmt;

/// Most violations told of one object.
const LIMIT: usize = 100;

/// Most characters of what is said of one field: the value of a user may be of any length.
const LENGTH: usize = 1_000;

/// One thing that a schema, or a rule of an API, says about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Such as `spec.rules[0].matches[1].path`; `""` is the whole object.
    pub path: String,
    /// What is wrong, as one sentence about the field.
    pub why: String,
    /// What to change; may be `""`.
    pub remedy: String,
    /// What follows.
    pub severity: Severity,
}

/// What follows from a [`Violation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A rule that could not be checked here; an API server would.
    Note,
    /// An API server would accept the object; something in it has no effect, or is hardly meant.
    Warning,
    /// An API server, or the webhook of the API, would refuse the object.
    Error,
}

/// Collects violations.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) list: Vec<Violation>,
    errors: usize,
}

impl Findings {
    /// How many errors there are, those beyond the limit included.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    pub(crate) fn error(&mut self, at: &At<'_>, why: impl Into<String>, remedy: impl Into<String>) {
        self.errors += 1;
        self.push(at, why.into(), remedy.into(), Severity::Error);
    }

    pub(crate) fn warning(&mut self, at: &At<'_>, why: impl Into<String>, remedy: impl Into<String>) {
        self.push(at, why.into(), remedy.into(), Severity::Warning);
    }

    /// Says the same thing once for an object.
    pub(crate) fn note(&mut self, at: &At<'_>, why: String) {
        if !self.list.iter().any(|told| told.severity == Severity::Note && told.why == why) {
            self.push(at, why, String::new(), Severity::Note);
        }
    }

    fn push(&mut self, at: &At<'_>, mut why: String, remedy: String, severity: Severity) {
        if self.list.len() < LIMIT {
            if let Some((end, _)) = why.char_indices().nth(LENGTH) {
                why.truncate(end);
                why.push('…');
            }
            self.list.push(Violation { path: at.to_string(), why, remedy, severity });
        }
    }
}

/// Where a value stands: a list on the stack, from the leaf to the root.
#[derive(Debug, Clone, Copy)]
pub(crate) enum At<'a> {
    Root,
    Field(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl<'a> At<'a> {
    pub(crate) fn field(&'a self, name: &'a str) -> Self {
        Self::Field(self, name)
    }

    pub(crate) fn item(&'a self, index: usize) -> Self {
        Self::Item(self, index)
    }

    /// The name of the field, or of the list that the item is in.
    pub(crate) fn name(&self) -> &'a str {
        match self {
            Self::Root => "",
            Self::Field(_, name) => name,
            Self::Item(list, _) => list.name(),
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}
