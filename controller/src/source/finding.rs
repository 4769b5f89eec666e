// SPDX-License-Identifier: Apache-2.0
//! What a user is told about a file: where, what, why, and what to change. Never more than one line.

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use torana_crds::ObjectRef;

use crate::report::Severity;
use crate::source::analyzer;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The path as the user gave it, or as found below a folder that the user gave; `-` is standard input.
    pub file: String,
    /// From 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One thing to tell. Ordered by place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Finding {
    /// Where it stands; `None` for an object that no file holds.
    pub place: Option<Place>,
    /// How bad it is.
    pub severity: Severity,
    /// In one word: the reason of a condition, or what kind of slip it is.
    pub reason: &'static str,
    /// The object, if it could be named.
    pub object: Option<ObjectRef>,
    /// Field of the object (`spec.rules[0].matches[1].path`), or `""`.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// Why, or what follows from it; may be `""`.
    pub why: String,
    /// What to change; may be `""`.
    pub remedy: String,
}

fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

impl Finding {
    /// What Istio's analyzer calls it, if it has a name for it.
    pub fn code(&self) -> Option<&'static str> {
        analyzer::code(self.object.as_ref()?, self.reason)
    }

    /// The finding without its place: `HTTPRoute default/web: spec.rules[0]: what; why; remedy`.
    pub fn sentence(&self) -> impl fmt::Display + '_ {
        Sentence(self)
    }
}

/// A flat object: `file` and `line` beside the rest, `null` where no file holds the object.
impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Finding", 10)?;
        fields.serialize_field("file", &self.place.as_ref().map(|place| &place.file))?;
        fields.serialize_field("line", &self.place.as_ref().map(|place| place.line))?;
        fields.serialize_field("severity", severity_word(self.severity))?;
        fields.serialize_field("reason", self.reason)?;
        fields.serialize_field("code", &self.code())?;
        fields.serialize_field("object", &self.object.as_ref().map(ToString::to_string))?;
        fields.serialize_field("path", &self.path)?;
        fields.serialize_field("what", &self.what)?;
        fields.serialize_field("why", &self.why)?;
        fields.serialize_field("remedy", &self.remedy)?;
        fields.end()
    }
}

/// `file:line: error: HTTPRoute default/web: spec.rules[0]: what; why; remedy [Reason]`; of Istio's objects
/// `[Reason, IST0101]`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: {} [{}", severity_word(self.severity), self.sentence(), self.reason)?;
        if let Some(code) = self.code() {
            write!(f, ", {code}")?;
        }
        f.write_str("]")
    }
}

struct Sentence<'a>(&'a Finding);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { object, path, what, why, remedy, .. } = self.0;
        if let Some(object) = object {
            write!(f, "{object}: ")?;
        }
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        f.write_str(what)?;
        for part in [why, remedy].into_iter().filter(|part| !part.is_empty()) {
            write!(f, "; {part}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use torana_crds::Kind;

    use super::*;

    #[test]
    fn a_finding_is_one_line_that_editors_can_jump_to() {
        let finding = Finding {
            place: Some(Place { file: "a.yaml".into(), line: 7 }),
            severity: Severity::Error,
            reason: "X",
            object: Some(ObjectRef::new(Kind::HttpRoute, "default", "web")),
            path: "spec.rules[0]".into(),
            what: "x".into(),
            why: String::new(),
            remedy: "write y".into(),
        };
        assert_eq!(finding.to_string(), "a.yaml:7: error: HTTPRoute default/web: spec.rules[0]: x; write y [X]");
        let json = serde_json::to_value(&finding).unwrap();
        assert_eq!((&json["file"], &json["line"]), (&"a.yaml".into(), &7.into()));
        assert_eq!(json["object"], "HTTPRoute default/web");
    }
}
