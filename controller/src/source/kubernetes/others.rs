// SPDX-License-Identifier: Apache-2.0
//! Other controllers' routes come and go by the thousand: nobody is woken for one of them, and none is decoded. A route
//! that concerns nobody here is kept as the text that came, until it concerns somebody. Where many of them come, several
//! are read at once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::watch;
use torana_crds::{Kind, ObjectRef, ParentRef};

use super::object::Raw;
use crate::class::CONTROLLER_NAME;
use crate::translate::ROUTES;

/// Changes of others' routes that come so soon after one another are many …
const MANY: Duration = Duration::from_millis(50);
/// … and then the watch is left alone for so long after one of them …
const REST: Duration = Duration::from_millis(20);
/// … and read for so long before it is left alone again: it may be far behind.
const WORK: Duration = Duration::from_millis(5);

/// The Gateways and ListenerSets that are Torana's; `None`: that is not known yet, so every route may be its business.
pub type Parents = Option<Arc<BTreeSet<ObjectRef>>>;

/// The routes of one kind that are others'.
#[derive(Debug)]
pub(super) struct Others {
    is_of_routes: bool,
    parents: watch::Receiver<Parents>,
    kept: HashMap<ObjectRef, Raw>,
    listing: HashMap<ObjectRef, Raw>,
    /// When the last change came of what is kept.
    last: Option<Instant>,
    /// When the watch was last left alone.
    rested: Option<Instant>,
}

impl Others {
    pub(super) fn new(kind: Kind, parents: watch::Receiver<Parents>) -> Self {
        let is_of_routes = ROUTES.contains(&kind);
        let (kept, listing) = (HashMap::new(), HashMap::new());
        Self { is_of_routes, parents, kept, listing, last: None, rested: None }
    }

    /// Keeps an object if it concerns nobody here, in place of its last form; else gives it back, and forgets that.
    pub(super) fn keep(&mut self, reference: &ObjectRef, object: Raw) -> Option<Raw> {
        if self.is_nobodys(&object) {
            self.kept.insert(reference.clone(), object);
            return None;
        }
        self.kept.remove(reference);
        Some(object)
    }

    /// As [`Others::keep`], for an object of a list that is not complete yet.
    pub(super) fn keep_listed(&mut self, reference: &ObjectRef, object: Raw) -> Option<Raw> {
        if self.is_nobodys(&object) {
            self.listing.insert(reference.clone(), object);
            return None;
        }
        Some(object)
    }

    /// A list begins.
    pub(super) fn begin_list(&mut self) {
        self.listing.clear();
    }

    /// The list is complete: what it lacks is gone.
    pub(super) fn end_list(&mut self) {
        self.kept = std::mem::take(&mut self.listing);
    }

    /// Whether this one is kept.
    pub(super) fn has(&self, reference: &ObjectRef) -> bool {
        self.kept.contains_key(reference)
    }

    /// Forgets one that is gone. Whether it was kept.
    pub(super) fn remove(&mut self, reference: &ObjectRef) -> bool {
        self.kept.remove(reference).is_some()
    }

    /// For how long the watch is to be left alone, after a change at `now` that nobody is told of.
    pub(super) fn rest(&mut self, now: Instant) -> Option<Duration> {
        let is_soon = |then: Option<Instant>, limit| then.is_some_and(|then| now.duration_since(then) < limit);
        let are_many = is_soon(self.last.replace(now), MANY);
        if !are_many || is_soon(self.rested, WORK) {
            return None;
        }
        self.rested = Some(now + REST);
        Some(REST)
    }

    /// Returns when other Gateways or ListenerSets are Torana's than before.
    pub(super) async fn changed(&mut self) {
        if !self.is_of_routes || self.parents.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What is kept and concerns somebody by now: objects that were told to be there, and those of the list that is not
    /// complete yet.
    pub(super) fn release(&mut self) -> (Vec<Raw>, Vec<Raw>) {
        let parents = self.parents.borrow_and_update().clone();
        let is_somebodys = |object: &Raw| !parents.as_ref().is_some_and(|parents| is_nobodys(object, parents));
        let of = |kept: &mut HashMap<_, _>| kept.extract_if(|_, object| is_somebodys(object)).map(|it| it.1).collect();
        (of(&mut self.kept), of(&mut self.listing))
    }

    fn is_nobodys(&self, object: &Raw) -> bool {
        let parents = self.parents.borrow();
        self.is_of_routes && parents.as_ref().is_some_and(|parents| is_nobodys(object, parents))
    }
}

/// What says whose a route is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    parent_refs: Option<Vec<ParentRef>>,
    use_default_gateways: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Status {
    parents: Option<Vec<Said>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    controller_name: String,
}

/// Whether a route names none of these as its parent, and Torana has said nothing of it. What cannot be read is somebody's.
fn is_nobodys(route: &Raw, parents: &BTreeSet<ObjectRef>) -> bool {
    let (Ok(Some(spec)), Ok(status)) = (route.part::<Spec>("spec"), route.part::<Status>("status")) else {
        return false;
    };
    let namespace = route.metadata.namespace.as_deref().unwrap_or_default();
    let is_others = |reference: &ParentRef| !parents.contains(&reference.target(namespace));
    let said = status.and_then(|status| status.parents).unwrap_or_default();
    spec.use_default_gateways.is_none()
        && spec.parent_refs.unwrap_or_default().iter().all(is_others)
        && said.iter().all(|said| said.controller_name != CONTROLLER_NAME)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use serde_json::{Value, json};

    use super::*;

    fn route(parents: &Value, status: &Value) -> Value {
        json!({"metadata": {"name": "r", "namespace": "a"}, "spec": {"parentRefs": parents}, "status": status})
    }

    fn foreign() -> Raw {
        serde_json::from_value(route(&json!([{"name": "istio"}]), &Value::Null)).unwrap()
    }

    fn reference() -> ObjectRef {
        ObjectRef::new(Kind::HttpRoute, "a", "r")
    }

    fn gateways(names: &[&str]) -> Arc<BTreeSet<ObjectRef>> {
        Arc::new(names.iter().map(|name| ObjectRef::new(Kind::Gateway, "a", name)).collect())
    }

    fn others(kind: Kind) -> (watch::Sender<Parents>, Others) {
        let (sender, parents) = watch::channel(Some(gateways(&["edge", "other"])));
        (sender, Others::new(kind, parents))
    }

    #[test]
    fn only_a_route_that_has_nothing_to_do_with_torana_is_kept() {
        let unsaid = || json!({"parents": []});
        for (is_kept, route) in [
            (true, route(&json!([{"name": "istio"}]), &Value::Null)),
            (true, route(&Value::Null, &Value::Null)),
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
            let raw = || serde_json::from_value(route.clone()).unwrap();
            assert_eq!(others(Kind::HttpRoute).1.keep(&reference(), raw()).is_none(), is_kept, "{route}");
            assert_eq!(others(Kind::HttpRoute).1.keep_listed(&reference(), raw()).is_none(), is_kept, "{route}");
        }
        assert!(others(Kind::Gateway).1.keep(&reference(), foreign()).is_some(), "no route");
        let (sender, mut others) = others(Kind::TcpRoute);
        assert!(others.keep(&reference(), foreign()).is_none());
        sender.send_replace(None);
        assert!(others.keep(&reference(), foreign()).is_some(), "it is not known whose Gateways there are");
        assert!(!others.has(&reference()), "and its form of before is nothing to anybody");
    }

    #[test]
    fn what_becomes_torana_s_is_released_once() {
        let (sender, mut others) = others(Kind::HttpRoute);
        assert!(others.changed().now_or_never().is_none());
        others.keep(&reference(), foreign());
        others.keep_listed(&reference(), foreign());
        sender.send_replace(Some(gateways(&["edge"])));
        assert!(others.changed().now_or_never().is_some());
        assert!(others.release().0.is_empty() && others.has(&reference()), "it is others' as before");
        sender.send_replace(Some(gateways(&["istio"])));
        let (kept, listed) = others.release();
        assert_eq!((kept.len(), listed.len()), (1, 1));
        assert!(others.changed().now_or_never().is_none() && !others.has(&reference()));
        others.end_list();
        assert!(!others.has(&reference()));
    }

    #[test]
    fn the_watch_is_left_alone_between_many_changes_only() {
        let (_sender, mut others) = others(Kind::HttpRoute);
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        // The watch goes on at 80, after the rest that began at 60.
        for (millis, rests) in [(0, false), (50, false), (60, true), (80, false), (84, false), (86, true), (170, false)]
        {
            assert_eq!(others.rest(at(millis)).is_some(), rests, "{millis}");
        }
    }

    #[test]
    fn a_list_takes_the_place_of_what_was_kept_and_a_deletion_is_told_to_nobody() {
        let (_sender, mut others) = others(Kind::HttpRoute);
        let next = ObjectRef::new(Kind::HttpRoute, "a", "next");
        others.keep(&reference(), foreign());
        others.begin_list();
        others.keep_listed(&next, foreign());
        assert!(others.has(&reference()) && !others.has(&next));
        others.end_list();
        assert!(!others.has(&reference()) && others.has(&next));
        assert!(others.remove(&next) && !others.remove(&next));
    }
}
