// SPDX-License-Identifier: Apache-2.0
//! What was told about the configuration, so that each thing is told once when it appears and once when it is gone.
//! Never decides what there is to tell.

use std::collections::BTreeMap;

use torana_crds::ObjectRef;

use crate::report::Severity;
use crate::source::Finding;

/// What makes two findings the same thing; its line may move, and what follows from it may change.
type Topic = (Option<ObjectRef>, String, String, Option<String>);

/// Everything that holds now and was told.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    told: BTreeMap<Topic, Finding>,
}

/// What is new to tell.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Findings that were not there before.
    pub(crate) appeared: Vec<Finding>,
    /// Findings that are not there any more.
    pub(crate) resolved: Vec<Finding>,
}

impl Journal {
    /// Takes all findings of now; returns the difference to those of before.
    pub(crate) fn turn(&mut self, findings: Vec<Finding>) -> News {
        let now: BTreeMap<Topic, Finding> = findings.into_iter().map(|finding| (topic(&finding), finding)).collect();
        let before = std::mem::replace(&mut self.told, now);
        let missing = |one: &BTreeMap<Topic, Finding>, other: &BTreeMap<Topic, Finding>| {
            one.iter().filter(|(topic, _)| !other.contains_key(topic)).map(|(_, finding)| finding.clone()).collect()
        };
        News { appeared: missing(&self.told, &before), resolved: missing(&before, &self.told) }
    }
}

fn topic(finding: &Finding) -> Topic {
    // Without an object it is about the file.
    let file = finding.place.as_ref().filter(|_| finding.object.is_none()).map(|place| place.file.clone());
    (finding.object.clone(), finding.path.clone(), finding.what.clone(), file)
}

impl News {
    /// Writes the log.
    pub(crate) fn tell(&self) {
        for finding in &self.appeared {
            let at = finding.place.as_ref().map(tracing::field::display);
            match finding.severity {
                Severity::Error => tracing::error!(at, "{}", finding.sentence()),
                Severity::Warning => tracing::warn!(at, "{}", finding.sentence()),
                Severity::Note => tracing::debug!(at, "{}", finding.sentence()),
            }
        }
        for finding in &self.resolved {
            match finding.severity {
                Severity::Error | Severity::Warning => tracing::info!("resolved: {}", finding.sentence()),
                Severity::Note => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use torana_crds::Kind;

    use super::*;
    use crate::source::Place;

    fn finding(name: &str, line: u32, what: &str) -> Finding {
        Finding {
            place: Some(Place { file: "a.yaml".into(), line }),
            severity: Severity::Error,
            reason: "X",
            object: Some(ObjectRef::new(Kind::HttpRoute, "default", name)),
            path: String::new(),
            what: what.into(),
            why: String::new(),
            remedy: String::new(),
        }
    }

    #[test]
    fn a_thing_is_told_when_it_appears_and_when_it_is_gone() {
        let mut journal = Journal::default();
        let (a, b) = (finding("a", 1, "x"), finding("b", 2, "x"));
        let first = journal.turn(vec![a.clone(), b.clone()]);
        assert_eq!((first.appeared, first.resolved), (vec![a.clone(), b.clone()], vec![]));
        assert_eq!(journal.turn(vec![a.clone(), b.clone()]), News::default());
        let last = journal.turn(vec![b]);
        assert_eq!((last.appeared, last.resolved), (vec![], vec![a]));
    }

    #[test]
    fn a_thing_that_moves_to_another_line_is_not_told_again() {
        let mut journal = Journal::default();
        journal.turn(vec![finding("a", 1, "x")]);
        assert_eq!(journal.turn(vec![finding("a", 9, "x")]), News::default());
        assert_eq!(journal.turn(vec![finding("a", 9, "y")]).appeared.len(), 1);
    }
}
