// SPDX-License-Identifier: Apache-2.0
//! Other controllers' routes come and go by the thousand: nobody is woken for one of them, and none is decoded. Whose a
//! route is, and how a watch is read on which many of others' come: several at once. Keeps no object.

use std::collections::BTreeSet;
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
const MANY: Duration = Duration::from_millis(100);
/// … and then the watch is left alone for so long whenever all that has come is read.
pub(super) const REST: Duration = Duration::from_millis(40);

/// The Gateways and ListenerSets that are Torana's; `None`: that is not known yet, so every route may be its business.
pub type Parents = Option<Arc<BTreeSet<ObjectRef>>>;

/// Which objects of one kind are others': of the kinds of routes some, of the rest none.
#[derive(Debug)]
pub(super) struct Others {
    is_of_routes: bool,
    parents: watch::Receiver<Parents>,
}

impl Others {
    pub(super) fn new(kind: Kind, parents: watch::Receiver<Parents>) -> Self {
        Self { is_of_routes: ROUTES.contains(&kind), parents }
    }

    /// Whether this one concerns nobody here.
    pub(super) fn has(&self, object: &Raw) -> bool {
        let parents = self.parents.borrow();
        self.is_of_routes && parents.as_ref().is_some_and(|parents| is_nobodys(object, parents))
    }

    /// Returns when other Gateways or ListenerSets are Torana's than before.
    pub(super) async fn changed(&mut self) {
        if !self.is_of_routes || self.parents.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// How soon changes come after one another that nobody is told of.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the last of them came.
    last: Option<Instant>,
}

impl Pace {
    /// Whether there are many, with this one at `now`.
    pub(super) fn are_many(&mut self, now: Instant) -> bool {
        self.last.replace(now).is_some_and(|last| now.duration_since(last) < MANY)
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

    fn gateways(names: &[&str]) -> Arc<BTreeSet<ObjectRef>> {
        Arc::new(names.iter().map(|name| ObjectRef::new(Kind::Gateway, "a", name)).collect())
    }

    fn others(kind: Kind) -> (watch::Sender<Parents>, Others) {
        let (sender, parents) = watch::channel(Some(gateways(&["edge", "other"])));
        (sender, Others::new(kind, parents))
    }

    #[test]
    fn only_a_route_that_has_nothing_to_do_with_torana_is_others() {
        let unsaid = || json!({"parents": []});
        for (is_others, route) in [
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
            let raw = serde_json::from_value(route.clone()).unwrap();
            assert_eq!(others(Kind::HttpRoute).1.has(&raw), is_others, "{route}");
        }
        assert!(!others(Kind::Gateway).1.has(&foreign()), "no route");
        let (sender, others) = others(Kind::TcpRoute);
        assert!(others.has(&foreign()));
        sender.send_replace(None);
        assert!(!others.has(&foreign()), "it is not known whose Gateways there are");
    }

    #[test]
    fn other_gateways_are_news_for_kinds_of_routes_only() {
        for (kind, is_news) in [(Kind::HttpRoute, true), (Kind::Service, false)] {
            let (sender, mut others) = others(kind);
            assert!(others.changed().now_or_never().is_none());
            sender.send_replace(Some(gateways(&["edge"])));
            assert_eq!(others.changed().now_or_never().is_some(), is_news);
            assert!(others.changed().now_or_never().is_none());
        }
    }

    #[test]
    fn changes_are_many_that_come_soon_after_one_another() {
        let mut pace = Pace::default();
        let begin = Instant::now();
        for (millis, are_many) in [(0, false), (99, true), (140, true), (240, false), (241, true)] {
            assert_eq!(pace.are_many(begin + Duration::from_millis(millis)), are_many, "{millis}");
        }
    }
}
