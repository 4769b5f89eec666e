// SPDX-License-Identifier: Apache-2.0
//! A control plane at rest: files, the objects in them, what they mean, and what was published of it. `lint` and
//! `explain` look at it; `embedded` turns it. Never waits, never tells anybody anything by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use torana_crds::{Kind, ObjectRef};
use torana_ir::{Delta, Resource, ResourceKey, RouteKind, Snapshot, TrustSource};

use crate::clock::now;
use crate::issuance::{Answer, Answers};
use crate::mesh;
use crate::publish::{Ack, Publication, Rejection};
use crate::report::{Report, Severity};
use crate::source::{Files, Finding, Place};
use crate::store::{Cluster, FleetId, Settings};
use crate::translate::{Translation, retranslate, translate};

/// Files and what follows from them.
#[derive(Debug)]
pub struct Plane {
    files: Files,
    cluster: Cluster,
    last: Translation,
    /// What the proxies have not been told.
    pending: Option<Delta>,
    generation: u64,
    rejected: Vec<Rejection>,
    /// What authorities of ACME are to be answered.
    answers: Answers,
    /// What is in force at the proxies.
    acked: u64,
}

impl Plane {
    /// Reads and translates everything below `paths`.
    pub fn open(paths: &[PathBuf], settings: Settings) -> Self {
        let files = Files::open(paths);
        let mut cluster = Cluster::new(settings);
        cluster.apply_all(files.objects());
        let mut last = translate(&cluster);
        // The first generation may be empty: a proxy without routes is programmed too.
        let pending = Some(last.deltas.remove(&FleetId::standalone()).unwrap_or_default());
        let answers = Answers::default();
        Self { files, cluster, last, pending, generation: 0, rejected: Vec::new(), answers, acked: 0 }
    }

    /// Looks at the files again, at those `named` (absolute paths) in any case, and translates what changed.
    pub fn refresh(&mut self, named: &BTreeSet<PathBuf>) {
        self.cluster.tick(now());
        let dirty = self.cluster.apply_all(self.files.refresh(named));
        if !dirty.is_empty() {
            self.last = retranslate(&self.cluster, &dirty, std::mem::take(&mut self.last));
            if let Some(delta) = self.last.deltas.remove(&FleetId::standalone()) {
                self.pending = Some(match self.pending.take() {
                    Some(before) => merged(before, delta),
                    None => delta,
                });
            }
        }
    }

    /// What the proxies have not been told yet, if there is anything.
    pub fn publication(&mut self) -> Option<Publication> {
        let delta = self.pending.take()?;
        self.generation += 1;
        self.answers.publish(self.generation, &self.snapshot(), |_| true);
        Some(Publication { generation: self.generation, delta })
    }

    /// Takes a proxy's answer.
    pub fn acked(&mut self, ack: Ack) {
        // What was rejected of a generation is asked for again by whoever needs it.
        if !ack.rejected.iter().any(|it| matches!(it.key, ResourceKey::AcmeHost(_))) {
            self.acked = ack.generation;
        }
        self.rejected = ack.rejected;
    }

    /// What the files mean.
    pub(crate) fn translation(&self) -> &Translation {
        &self.last
    }

    /// Answers to authorities that the proxies know.
    pub fn known_answers(&self) -> BTreeSet<Answer> {
        self.answers.known(|_| Some(self.acked))
    }

    /// The program that follows from the files.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.last.snapshots.get(&FleetId::standalone()).cloned().unwrap_or_default()
    }

    /// What translation has to say.
    pub fn report(&self) -> &Report {
        &self.last.report
    }

    /// The objects that are used.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Given paths that cannot be looked at, and why.
    pub fn missing(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.files.missing()
    }

    pub(crate) fn concerns(&self, path: &Path) -> bool {
        self.files.concerns(path)
    }

    pub(crate) fn folders(&self) -> &BTreeMap<PathBuf, u64> {
        self.files.folders()
    }

    /// Everything that is not as hoped, in files, objects and proxies. Those of objects have no place yet: see
    /// [`Plane::locate`].
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = self.files.findings();
        findings.extend(self.last.report.remarks().map(|(object, remark)| Finding {
            place: None,
            severity: remark.severity,
            reason: remark.reason,
            object: Some(object.clone()),
            path: remark.path.clone(),
            what: remark.message.clone(),
            why: String::new(),
            remedy: remark.remedy.clone(),
        }));
        findings.extend(self.rejected.iter().map(refused));
        findings
    }

    /// Finds the line of a finding about an object.
    pub fn locate(&self, finding: &mut Finding) {
        if finding.place.is_none()
            && let Some(object) = &finding.object
        {
            finding.place = self.place(object, &finding.path);
        }
    }

    /// Where a field of an object stands, or the object itself; `None` if no file holds it.
    pub fn place(&self, object: &ObjectRef, path: &str) -> Option<Place> {
        self.files.place(object, path)
    }
}

/// Two deltas as one: of each resource the later word counts.
fn merged(before: Delta, after: Delta) -> Delta {
    let mut words: BTreeMap<ResourceKey, Option<Resource>> = BTreeMap::new();
    for Delta { upserts, removals } in [before, after] {
        words.extend(upserts.into_iter().map(|resource| (resource.key(), Some(resource))));
        words.extend(removals.into_iter().map(|key| (key, None)));
    }
    let mut delta = Delta::default();
    for (key, word) in words {
        match word {
            Some(resource) => delta.upserts.push(resource),
            None => delta.removals.push(key),
        }
    }
    delta
}

fn refused(rejection: &Rejection) -> Finding {
    let remedy = match rejection.key {
        ResourceKey::Listener(_) => "free the address, or give the listener another port",
        _ => "this is a fault of the proxy: please report it",
    };
    Finding {
        place: None,
        severity: Severity::Error,
        reason: "NotProgrammed",
        object: Some(object_of(&rejection.key)),
        path: String::new(),
        what: rejection.reason.clone(),
        why: "the proxy keeps what it had".to_owned(),
        remedy: remedy.to_owned(),
    }
}

/// The object that a resource comes from.
pub fn object_of(key: &ResourceKey) -> ObjectRef {
    match key {
        ResourceKey::Listener(key) => match &key.set {
            Some((namespace, name)) => ObjectRef::new(Kind::ListenerSet, namespace, name),
            None => ObjectRef::new(Kind::Gateway, &key.gateway.namespace, &key.gateway.name),
        },
        ResourceKey::AcmeHost(key) => ObjectRef::new(Kind::Gateway, &key.gateway.namespace, &key.gateway.name),
        ResourceKey::Certificate(key) => ObjectRef::new(Kind::Secret, &key.namespace, &key.name),
        ResourceKey::TrustBundle(key) => {
            let kind = if key.source == TrustSource::Secret { Kind::Secret } else { Kind::ConfigMap };
            ObjectRef::new(kind, &key.namespace, &key.name)
        }
        ResourceKey::Policy(key) => ObjectRef::new(Kind::AuthorizationPolicy, &key.namespace, &key.name),
        ResourceKey::Tokens(key) => ObjectRef::new(Kind::RequestAuthentication, &key.namespace, &key.name),
        // All are the mesh's.
        ResourceKey::Provider(_) => ObjectRef::new(Kind::ConfigMap, mesh::NAMESPACE, "istio"),
        ResourceKey::Backend(key) | ResourceKey::Endpoints(key) => {
            ObjectRef::new(Kind::Service, &key.namespace, &key.name)
        }
        ResourceKey::Rule(key) | ResourceKey::Stream(key) => {
            let kind = match key.route.kind {
                RouteKind::HttpRoute => Kind::HttpRoute,
                RouteKind::GrpcRoute => Kind::GrpcRoute,
                RouteKind::TlsRoute => Kind::TlsRoute,
                RouteKind::TcpRoute => Kind::TcpRoute,
                RouteKind::UdpRoute => Kind::UdpRoute,
                RouteKind::IstioGateway => Kind::IstioGateway,
                RouteKind::VirtualService => Kind::VirtualService,
            };
            ObjectRef::new(kind, &key.route.namespace, &key.route.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use torana_ir::{Backend, BackendKey};

    use super::*;

    fn backend(name: &str, idle: u64) -> Resource {
        let key = BackendKey::tcp("default", name, 80);
        let idle = std::time::Duration::from_secs(idle);
        Resource::Backend(Arc::new(Backend { idle, ..Backend::new(key) }))
    }

    #[test]
    fn two_deltas_as_one_lead_to_the_same_snapshot() {
        let deltas = [
            Delta { upserts: vec![backend("a", 1), backend("b", 1)], removals: vec![backend("c", 1).key()] },
            Delta { upserts: vec![backend("b", 2), backend("c", 2)], removals: vec![backend("a", 1).key()] },
        ];
        let mut one_by_one = Snapshot::default();
        let mut at_once = Snapshot::default();
        for start in [&mut one_by_one, &mut at_once] {
            start.apply(Delta { upserts: vec![backend("c", 0), backend("d", 0)], removals: Vec::new() });
        }
        for delta in deltas.clone() {
            one_by_one.apply(delta);
        }
        let [before, after] = deltas;
        at_once.apply(merged(before, after));
        assert_eq!(at_once, one_by_one);
    }
}
