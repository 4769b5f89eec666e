// SPDX-License-Identifier: Apache-2.0
//! Deletions are held until it is known whether they go with the definition of their kind: who deletes that takes every
//! object along, and hardly means to stop all traffic. What comes meanwhile waits its turn, so that order is kept; one
//! question answers for everything that came before it.

use futures_util::future::BoxFuture;
use kube::runtime::watcher::Event;

use crate::api::Interruption;

use super::object::Raw;

/// What a watch yields.
pub(super) type Change = Result<Option<Event<Raw>>, Interruption>;

/// Changes that may wait; more hold up the watch.
const MOST: usize = 4_096;

/// Changes on their way.
#[derive(Default)]
pub(super) struct Held {
    /// Came before the question was asked.
    asked: Vec<Change>,
    later: Vec<Change>,
    question: Option<BoxFuture<'static, bool>>,
}

impl Held {
    /// Takes a change; gives what may be told. `ask` is called if that depends on an answer.
    pub(super) fn take(&mut self, change: Change, ask: impl FnOnce() -> BoxFuture<'static, bool>) -> Vec<Change> {
        self.later.push(change);
        if self.question.is_some() { Vec::new() } else { self.go_on(ask) }
    }

    /// Whether another change may be taken.
    pub(super) fn has_room(&self) -> bool {
        self.later.len() < MOST
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.question.is_none()
    }

    /// Whether the definition is going, if that was asked; else waits for ever.
    pub(super) async fn answer(&mut self) -> bool {
        match &mut self.question {
            Some(question) => question.await,
            None => std::future::pending().await,
        }
    }

    /// Takes the answer; gives what may be told.
    pub(super) fn answered(&mut self, is_going: bool, ask: impl FnOnce() -> BoxFuture<'static, bool>) -> Vec<Change> {
        self.question = None;
        let mut told = std::mem::take(&mut self.asked);
        if is_going {
            told.retain(|change| !is_deletion(change));
        }
        told.extend(self.go_on(ask));
        told
    }

    fn go_on(&mut self, ask: impl FnOnce() -> BoxFuture<'static, bool>) -> Vec<Change> {
        let later = std::mem::take(&mut self.later);
        if !later.iter().any(is_deletion) {
            return later;
        }
        self.asked = later;
        self.question = Some(ask());
        Vec::new()
    }
}

fn is_deletion(change: &Change) -> bool {
    matches!(change, Ok(Some(Event::Delete(_))))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use serde_json::json;

    use super::*;

    /// `-a`: a is deleted; `+a`: it changes.
    fn change(what: &str) -> Change {
        let object = serde_json::from_value(json!({"metadata": {"name": &what[1..]}}));
        object
            .map(|object| Some(if what.starts_with('-') { Event::Delete(object) } else { Event::Apply(object) }))
            .map_err(|error| panic!("{error}"))
    }

    fn names(changes: Vec<Change>) -> String {
        let name = |change: Change| match change {
            Ok(Some(Event::Delete(object))) => format!("-{}", object.metadata.name.unwrap()),
            Ok(Some(Event::Apply(object))) => format!("+{}", object.metadata.name.unwrap()),
            _ => "?".to_owned(),
        };
        changes.into_iter().map(name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn deletions_wait_for_the_answer_and_everything_behind_them_too() {
        let ask = || std::future::pending().boxed();
        for (is_going, expected) in [(false, "-a +c"), (true, "+c")] {
            let mut held = Held::default();
            assert_eq!(names(held.take(change("+x"), ask)), "+x");
            assert_eq!(names(held.take(change("-a"), ask)), "");
            assert_eq!(names(held.take(change("+c"), ask)), "");
            assert_eq!(names(held.answered(is_going, ask)), expected);
            assert_eq!(names(held.take(change("+y"), ask)), "+y");
        }
    }

    #[test]
    fn a_deletion_that_came_after_the_question_is_asked_about_again() {
        let ask = || std::future::pending().boxed();
        let mut held = Held::default();
        held.take(change("-a"), ask);
        held.take(change("-b"), ask);
        held.take(change("-c"), ask);
        assert_eq!(names(held.answered(false, ask)), "-a");
        assert_eq!(names(held.answered(true, ask)), "");
        assert_eq!(names(held.take(change("+d"), ask)), "+d");
    }
}
