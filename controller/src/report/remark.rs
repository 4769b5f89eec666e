// SPDX-License-Identifier: Apache-2.0
//! One thing to tell a person about one field of one object: what, and what to change. Never more than one line.

use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Severity {
    /// Something that was written has no effect here, and nobody will miss it.
    Note,
    /// Something that was written is not done.
    Warning,
    /// Something that was written is refused, or answers with an error.
    Error,
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// How bad it is.
    pub severity: Severity,
    /// In one word: the reason of the condition that follows from it, if one does.
    pub reason: &'static str,
    /// Field of the object (`spec.rules[0].matches[1].path`), or `""`.
    pub path: String,
    /// What is wrong, and what follows from it.
    pub message: String,
    /// What to change.
    pub remedy: String,
}

impl Remark {
    /// Something that is refused, or answers with an error.
    pub fn error(reason: &'static str, path: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Error, reason, path, message.into(), remedy.into())
    }

    /// Something that is not done.
    pub fn warning(reason: &'static str, path: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Warning, reason, path, message.into(), remedy.into())
    }

    /// Something that has no effect here.
    pub fn note(reason: &'static str, path: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Note, reason, path, message.into(), remedy.into())
    }

    fn new(severity: Severity, reason: &'static str, path: &str, message: String, remedy: String) -> Self {
        let path = path.to_owned();
        Self { severity, reason, path, message, remedy }
    }
}

/// `spec.rules[0].matches[0].path: what is wrong; what to change`.
impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_names_the_field_and_what_to_change() {
        let remark = Remark::error("X", "spec.a", "b is wrong", "write c");
        assert_eq!(remark.to_string(), "spec.a: b is wrong; write c");
        assert_eq!(Remark::note("X", "", "b", "").to_string(), "b");
    }
}
