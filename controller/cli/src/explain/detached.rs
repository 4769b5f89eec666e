// SPDX-License-Identifier: Apache-2.0
//! Routes that would serve a host and are not on the listener that takes it: refused by it, attached elsewhere, or
//! refused as objects.

use std::collections::BTreeSet;

use torana_controller::plane::object_of;
use torana_controller::report::Severity;
use torana_crds::route::{GrpcRoute, HttpRoute};
use torana_crds::{Kind, ObjectRef};
use torana_ir::{HostPattern, ListenerKey, ResourceKey};

use super::answer::Cause;
use super::cause::{MOST, complaint, told};
use super::judge::Case;

/// Routes for `host` that listener `key` does not serve; those that name the host come first.
pub(super) fn routes(case: &Case<'_>, key: &ListenerKey, host: &str) -> Vec<Cause> {
    let mut found: Vec<(bool, ObjectRef)> = Vec::new();
    let cluster = case.plane.cluster();
    let http = cluster.all::<HttpRoute>().map(|it| (Kind::HttpRoute, &it.meta, &it.spec.hostnames));
    let grpc = cluster.all::<GrpcRoute>().map(|it| (Kind::GrpcRoute, &it.meta, &it.spec.hostnames));
    for (kind, meta, hostnames) in http.chain(grpc) {
        let object = ObjectRef::new(kind, &meta.namespace, &meta.name);
        let names = hostnames.iter().filter_map(|name| HostPattern::parse(name)).any(|name| name.covers(host));
        if (names || hostnames.is_empty()) && !attachments(case, &object).contains(key) {
            found.push((!names, object));
        }
    }
    found.sort();
    found.into_iter().take(MOST).map(|(_, object)| detached(case, object, key)).collect()
}

/// Listeners that serve a rule of the route.
fn attachments<'a>(case: &'a Case<'_>, object: &ObjectRef) -> BTreeSet<&'a ListenerKey> {
    let rules = case.snapshot.rules.values().filter(|rule| object_of(&ResourceKey::Rule(rule.key.clone())) == *object);
    rules.flat_map(|rule| rule.attachments.iter().map(|attachment| &attachment.listener)).collect()
}

fn detached(case: &Case<'_>, object: ObjectRef, key: &ListenerKey) -> Cause {
    let attached = attachments(case, &object);
    let Some(first) = attached.first() else {
        if let Some(remark) = complaint(case, &object, "spec.parentRefs") {
            return told(case, &object, remark);
        }
        let what = "is not attached to any listener".to_owned();
        return case.cause(object, "spec.parentRefs", what, "name a Gateway of Torana among its parentRefs");
    };
    let here = case.listeners_on_port().find(|it| attached.contains(it));
    let what = match here {
        Some(other) => format!(
            "is attached to listener {}, but the more specific listener {} takes the host alone (listener isolation)",
            other.name, key.name
        ),
        None => format!("is attached to listener {first} only, which is not on port {}", case.question.port),
    };
    case.cause(object, "spec.parentRefs", what, format!("add a parentRef for listener {} of {}", key.name, key.gateway))
}

/// Routes that could not be used at all.
pub(super) fn refused(case: &Case<'_>) -> Vec<Cause> {
    let findings = case.plane.findings().into_iter().filter(|finding| {
        let is_route = |object: &ObjectRef| matches!(object.known_kind(), Some(Kind::HttpRoute | Kind::GrpcRoute));
        finding.severity == Severity::Error
            && finding.object.as_ref().is_some_and(|object| is_route(object) && !case.plane.cluster().contains(object))
    });
    let causes = findings.map(|finding| {
        let at = if finding.path.is_empty() { String::new() } else { format!("{}: ", finding.path) };
        let what = format!("is not used: {at}{}", finding.what);
        Cause { object: finding.object, place: finding.place, what, remedy: finding.remedy }
    });
    causes.take(MOST).collect()
}
