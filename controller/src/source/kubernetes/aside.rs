// SPDX-License-Identifier: Apache-2.0
//! Other controllers' routes come and go by the thousand: nobody is woken for one of them. A change of a route that
//! concerns nobody here is put aside, until something of its kind is told, the set of Torana's parents changes, or for
//! [`AT_MOST`]. So nothing overtakes anything, and what belongs to others today is there when it becomes Torana's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube::runtime::watcher::Event;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use torana_crds::{Kind, ObjectRef, ParentRef};

use super::Sighting;
use super::object::Raw;
use crate::class::CONTROLLER_NAME;
use crate::translate::ROUTES;

/// So long a change may be put aside.
const AT_MOST: Duration = Duration::from_secs(1);
/// More of them are not kept waiting.
const MOST: usize = 512;

/// The Gateways and ListenerSets that are Torana's; `None`: that is not known yet, so every route may be its business.
pub type Parents = Option<Arc<BTreeSet<ObjectRef>>>;

/// What is put aside of one kind.
#[derive(Debug)]
pub(super) struct Aside {
    kind: Kind,
    parents: watch::Receiver<Parents>,
    sightings: Vec<Sighting>,
    /// When it is told at the latest.
    due: Option<Instant>,
}

impl Aside {
    pub(super) fn new(kind: Kind, parents: watch::Receiver<Parents>) -> Self {
        Self { kind, parents, sightings: Vec::new(), due: None }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether this change concerns nobody here.
    pub(super) fn may_wait(&self, change: &Event<Raw>) -> bool {
        let (Event::Apply(object) | Event::Delete(object)) = change else { return false };
        let parents = self.parents.borrow();
        ROUTES.contains(&self.kind) && parents.as_ref().is_some_and(|parents| is_nobodys(object, parents))
    }

    pub(super) fn put(&mut self, sightings: Vec<Sighting>) {
        self.sightings.extend(sightings);
        let now = Instant::now();
        self.due = if self.sightings.len() < MOST { self.due.or(Some(now + AT_MOST)) } else { Some(now) };
    }

    /// Returns when what is aside should be told.
    pub(super) async fn due(&mut self) {
        let Some(due) = self.due else { return std::future::pending().await };
        tokio::select! {
            () = sleep_until(due) => {}
            Ok(()) = self.parents.changed() => {}
        }
    }

    /// Everything that is aside, in its order.
    pub(super) fn take(&mut self) -> Vec<Sighting> {
        self.due = None;
        std::mem::take(&mut self.sightings)
    }
}

/// Whether a route names none of these as its parent, and Torana has said nothing of it. What cannot be read is somebody's.
fn is_nobodys(route: &Raw, parents: &BTreeSet<ObjectRef>) -> bool {
    let Some(spec) = route.body.get("spec") else { return false };
    let namespace = route.metadata.namespace.as_deref().unwrap_or_default();
    let is_others = |reference: &Value| {
        ParentRef::deserialize(reference).is_ok_and(|reference| !parents.contains(&reference.target(namespace)))
    };
    let is_theirs = |said: &Value| said["controllerName"].as_str().is_some_and(|name| name != CONTROLLER_NAME);
    let said = route.body.get("status").unwrap_or(&Value::Null);
    all(&spec["parentRefs"], is_others) && all(&said["parents"], is_theirs) && spec["useDefaultGateways"].is_null()
}

/// Whether it is so of every entry of a list that may be absent.
fn all(list: &Value, is: impl Fn(&Value) -> bool) -> bool {
    list.is_null() || list.as_array().is_some_and(|list| list.iter().all(is))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use serde_json::json;

    use super::*;

    fn change(route: Value) -> Event<Raw> {
        Event::Apply(serde_json::from_value(route).unwrap())
    }

    fn route(parents: &Value, status: &Value) -> Value {
        json!({"metadata": {"name": "r", "namespace": "a"}, "spec": {"parentRefs": parents}, "status": status})
    }

    fn aside(kind: Kind) -> (watch::Sender<Parents>, Aside) {
        let ours = ["edge", "other"].map(|name| ObjectRef::new(Kind::Gateway, "a", name));
        let (sender, parents) = watch::channel(Some(Arc::new(ours.into())));
        (sender, Aside::new(kind, parents))
    }

    #[test]
    fn only_a_route_that_has_nothing_to_do_with_torana_may_wait() {
        let unsaid = || json!({"parents": []});
        for (may_wait, route) in [
            (true, route(&json!([{"name": "istio"}]), &Value::Null)),
            (true, route(&json!([{"name": "edge", "namespace": "b"}, {"name": "s", "kind": "Service"}]), &unsaid())),
            (true, route(&json!([{"name": "istio"}]), &json!({"parents": [{"controllerName": "istio.io/x"}]}))),
            (false, route(&json!([{"name": "istio"}, {"name": "edge"}]), &unsaid())),
            // It was Torana's, and has a status that must go.
            (false, route(&json!([{"name": "istio"}]), &json!({"parents": [{"controllerName": CONTROLLER_NAME}]}))),
            // It names nobody's, and attaches nevertheless.
            (false, json!({"metadata": {"name": "r"}, "spec": {"useDefaultGateways": "All"}})),
            // Unreadable.
            (false, route(&json!([{"namespace": "b"}]), &unsaid())),
            (false, route(&json!("edge"), &unsaid())),
            (false, json!({"metadata": {"name": "r"}})),
        ] {
            assert_eq!(aside(Kind::HttpRoute).1.may_wait(&change(route.clone())), may_wait, "{route}");
        }
        let foreign = || change(route(&json!([{"name": "istio"}]), &unsaid()));
        assert!(!aside(Kind::Gateway).1.may_wait(&foreign()), "no route");
        let (sender, aside) = aside(Kind::TcpRoute);
        assert!(aside.may_wait(&foreign()));
        sender.send_replace(None);
        assert!(!aside.may_wait(&foreign()), "it is not known whose Gateways there are");
    }

    #[tokio::test]
    async fn what_is_aside_is_told_after_a_second_or_when_other_gateways_are_torana_s() {
        let (sender, mut aside) = aside(Kind::HttpRoute);
        let begun = Instant::now();
        aside.put(vec![Sighting::Listed(Kind::HttpRoute)]);
        assert!(aside.due().now_or_never().is_none(), "not yet");
        aside.put(vec![Sighting::Listing(Kind::HttpRoute)]);
        aside.due().await;
        assert!(begun.elapsed() >= AT_MOST);
        assert_eq!(aside.take(), [Sighting::Listed(Kind::HttpRoute), Sighting::Listing(Kind::HttpRoute)]);
        assert!(aside.due().now_or_never().is_none(), "nothing is aside");
        aside.put(vec![Sighting::Listed(Kind::HttpRoute)]);
        sender.send_replace(Some(Arc::default()));
        assert!(aside.due().now_or_never().is_some(), "what is Torana's has changed");
        aside.put(vec![Sighting::Listed(Kind::HttpRoute); MOST]);
        assert!(aside.due.is_some_and(|due| due <= Instant::now()), "enough of them");
    }
}
