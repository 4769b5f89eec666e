// SPDX-License-Identifier: Apache-2.0
//! Whatever is edited in whatever order, translating what changed equals translating everything, the delta says what
//! changed, and the rest is shared. Objects are drawn from a small world in which everything refers to everything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use proptest::prelude::*;
use torana_ir::{
    BackendKey, Delta, PathMode, Resource, ResourceKey, Rule, SessionKey, SharedMap, Snapshot, StreamRule,
};

use crate::store::{Cluster, FleetId, Settings};
use crate::translate::fleets::material;
use crate::translate::routes::{backends_of, backends_of_streams};
use crate::translate::tests::world::{WORLD, decoded, event};
use crate::translate::{Translation, fleet_of, retranslate, translate};

fn shared<K: Ord + Debug, V: PartialEq>(before: &SharedMap<K, Arc<V>>, after: &SharedMap<K, Arc<V>>) {
    for (key, value) in after {
        if let Some(old) = before.get(key).filter(|old| *old == value) {
            assert!(Arc::ptr_eq(old, value), "{key:?} did not change and is not shared");
        }
    }
}

/// What one fleet needs of the whole, found without remembering anything.
fn part(now: &Translation, fleet: &FleetId) -> Snapshot {
    let whole = &now.whole;
    let form = |key: &ResourceKey| {
        let own = now.memo.apart().get(key).and_then(|forms| forms.get(fleet)).cloned();
        own.or_else(|| whole.get(key))
    };
    let of_backend = |key: &BackendKey| {
        let both = [ResourceKey::Backend(key.clone()), ResourceKey::Endpoints(key.clone())];
        let material = match form(&both[0]) {
            Some(Resource::Backend(backend)) => material(&backend.tls).collect(),
            _ => Vec::new(),
        };
        both.into_iter().chain(material)
    };
    let mut part = Snapshot::default();
    let mut needs = Vec::new();
    for listener in whole.listeners.values().filter(|it| fleet_of(&it.key.gateway) == *fleet) {
        if let Some(tls) = listener.protocol.tls() {
            needs.extend(tls.certificates.iter().cloned().map(ResourceKey::Certificate));
            let bundles = tls.client.iter().flat_map(|client| &client.bundles);
            needs.extend(bundles.cloned().map(ResourceKey::TrustBundle));
        }
        let providers = listener.policies.iter().filter_map(|key| whole.policies.get(key)?.provider());
        for key in providers.chain(listener.tracing.iter().map(|it| &it.collector)) {
            needs.push(ResourceKey::Provider(key.clone()));
            let backend = whole.providers.get(key).and_then(|it| it.backend());
            needs.extend(backend.into_iter().flat_map(of_backend));
        }
        needs.extend(listener.policies.iter().cloned().map(ResourceKey::Policy));
        needs.extend(listener.tokens.iter().cloned().map(ResourceKey::Tokens));
        needs.extend(listener.identity.iter().cloned().map(ResourceKey::Certificate));
        part.listeners.insert(listener.key.clone(), Arc::clone(listener));
    }
    for rule in whole.rules.values() {
        let mut rule = Rule::clone(rule);
        rule.attachments.retain(|it| fleet_of(&it.listener.gateway) == *fleet);
        if !rule.attachments.is_empty() {
            needs.extend(backends_of(&rule).into_iter().flat_map(of_backend));
            part.rules.insert(rule.key.clone(), Arc::new(rule));
        }
    }
    for rule in whole.streams.values() {
        let mut rule = StreamRule::clone(rule);
        rule.attachments.retain(|it| fleet_of(&it.listener.gateway) == *fleet);
        if !rule.attachments.is_empty() {
            needs.extend(backends_of_streams(&rule).into_iter().flat_map(of_backend));
            part.streams.insert(rule.key.clone(), Arc::new(rule));
        }
    }
    for host in whole.acme_hosts.values().filter(|it| fleet_of(&it.key.gateway) == *fleet) {
        part.acme_hosts.insert(host.key.clone(), Arc::clone(host));
    }
    let upserts = needs.iter().filter_map(form).collect();
    part.apply(Delta { upserts, removals: Vec::new() });
    part
}

fn check(cluster: &Cluster, before: &BTreeMap<FleetId, Arc<Snapshot>>, now: &Translation) {
    let fresh = translate(cluster);
    assert_eq!(now.report, fresh.report);
    assert_eq!(now.snapshots, fresh.snapshots);
    let fleets: BTreeSet<_> = before.keys().chain(now.snapshots.keys()).chain(now.deltas.keys()).collect();
    for fleet in fleets {
        let of = |snapshots: &BTreeMap<FleetId, Arc<Snapshot>>| snapshots.get(fleet).cloned().unwrap_or_default();
        let (before, after) = (of(before), of(&now.snapshots));
        let mut applied = Snapshot::clone(&before);
        applied.apply(now.deltas.get(fleet).cloned().unwrap_or_default());
        assert_eq!(applied, *after);
        if cluster.settings().is_cluster() {
            assert_eq!(*after, part(now, fleet));
        }
        shared(&before.listeners, &after.listeners);
        shared(&before.certificates, &after.certificates);
        shared(&before.bundles, &after.bundles);
        shared(&before.rules, &after.rules);
        shared(&before.streams, &after.streams);
        shared(&before.backends, &after.backends);
        shared(&before.endpoints, &after.endpoints);
        shared(&before.acme_hosts, &after.acme_hosts);
        shared(&before.policies, &after.policies);
        shared(&before.tokens, &after.tokens);
        shared(&before.providers, &after.providers);
    }
    let served: BTreeSet<_> = now.whole.listeners.keys().map(|key| fleet_of(&key.gateway)).collect();
    let in_cluster = cluster.settings().is_cluster();
    assert!(!in_cluster || served.iter().all(|fleet| now.snapshots.contains_key(fleet)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn translating_what_changed_equals_translating_everything(
        in_cluster: bool,
        start in proptest::collection::vec(0usize..7, WORLD),
        batches in proptest::collection::vec(proptest::collection::vec((0..WORLD, 0usize..12), 1..4), 1..12),
    ) {
        let now = 1_798_761_600;
        let settings = if in_cluster { Settings::cluster(Vec::new(), SessionKey::new([0; 32]), now) } else { Settings::standalone(now) };
        let mut cluster = Cluster::new(settings);
        cluster.apply(event((18, 4)));
        cluster.apply_all(start.into_iter().enumerate().map(event));
        let mut last = translate(&cluster);
        check(&cluster, &BTreeMap::new(), &last);
        for batch in batches {
            let (before, said) = (last.snapshots.clone(), last.report.clone());
            let dirty = cluster.apply_all(batch.into_iter().map(event));
            last = retranslate(&cluster, &dirty, last);
            assert!(last.is_news || last.report == said);
            check(&cluster, &before, &last);
        }
    }
}

#[test]
fn an_edit_that_changes_nothing_leaves_the_snapshot_as_it_is() {
    let mut cluster = Cluster::new(Settings::standalone(0));
    let dirty = cluster.apply_all([0, 2, 6, 10].map(|object| event((object, 0))));
    let last = retranslate(&cluster, &dirty, Translation::default());
    let before = Arc::clone(&last.snapshots[&FleetId::standalone()]);
    assert_eq!(before.rules.len(), 2);
    let dirty = cluster.apply(event((13, 0)));
    let next = retranslate(&cluster, &dirty, last);
    assert!(Arc::ptr_eq(&before, &next.snapshots[&FleetId::standalone()]) && next.deltas.is_empty());
}

/// Certificates, and Programmed and ResolvedRefs of the HTTPS listener of Gateway `g`.
fn served(translation: &Translation) -> (Vec<String>, Vec<String>) {
    let snapshot = translation.snapshots.values().next().unwrap();
    let gateway = decoded(0, 1).reference();
    let conditions = &translation.report.objects.get(&gateway).unwrap().listeners[1].conditions;
    let shown = conditions.iter().filter(|it| matches!(it.condition_type, "ResolvedRefs" | "Programmed"));
    let certificates = snapshot.certificates.values().map(|certificate| format!("{certificate:?}"));
    (certificates.collect(), shown.map(|it| format!("{}={:?} {}", it.condition_type, it.status, it.reason)).collect())
}

#[test]
fn a_certificate_that_cannot_be_renewed_is_served_on_and_said() {
    const SECRET: usize = 13;
    let mut cluster = Cluster::new(Settings::standalone(1_798_761_600));
    let dirty = cluster.apply_all([(0, 1), (SECRET, 0), (16, 3), (25, 0)].map(event));
    let mut last = retranslate(&cluster, &dirty, Translation::default());
    let good = served(&last);
    assert_eq!(good.1, ["Programmed=True Programmed", "ResolvedRefs=True ResolvedRefs"]);
    let mut step = |variant, last| {
        let dirty = cluster.apply(event((SECRET, variant)));
        let now = retranslate(&cluster, &dirty, last);
        (now.report == translate(&cluster).report, now)
    };
    // A key that does not fit, no PEM at all, and a key that does not fit again.
    for variant in [2, 3, 2] {
        let (same, now) = step(variant, last);
        assert!(same);
        assert_eq!(served(&now).0, good.0, "{variant}");
        assert_eq!(served(&now).1, ["Programmed=True Programmed", "ResolvedRefs=False InvalidCertificateRef"]);
        last = now;
    }
    let (_, renewed) = step(1, last);
    assert_eq!(served(&renewed).1, good.1);
    let (_, broken) = step(4, renewed.clone());
    assert_eq!(served(&broken).0, served(&renewed).0, "the last good one, not the first");
    let (_, gone) = step(5, broken);
    assert_eq!(
        served(&gone),
        (vec![], vec!["Programmed=False Invalid".into(), "ResolvedRefs=False InvalidCertificateRef".into()])
    );
}

#[test]
fn a_certificate_that_was_never_good_closes_its_listener() {
    let mut cluster = Cluster::new(Settings::standalone(1_798_761_600));
    let dirty = cluster.apply_all([(0, 1), (13, 2), (18, 4)].map(event));
    assert!(served(&retranslate(&cluster, &dirty, Translation::default())).0.is_empty());
    let dirty = cluster.apply(event((13, 3)));
    assert!(served(&retranslate(&cluster, &dirty, Translation::default())).0.is_empty());
}

#[test]
fn an_edit_of_the_mesh_reaches_every_listener_and_rule_and_back() {
    let mut cluster = Cluster::new(Settings::standalone(1_798_761_600));
    let objects = [(0, 0), (2, 0), (6, 0), (10, 0), (28, 0), (30, 0), (35, 4)];
    let dirty = cluster.apply_all(objects.map(event));
    let mut last = retranslate(&cluster, &dirty, Translation::default());
    let first = last.clone();
    let modes = |translation: &Translation| {
        let snapshot = &translation.snapshots[&FleetId::standalone()];
        snapshot.listeners.values().map(|listener| listener.path_mode).collect::<BTreeSet<_>>()
    };
    assert_eq!(modes(&last), [PathMode::Base].into());
    for (variant, expected) in [(2, PathMode::MergeSlashes), (3, PathMode::MergeSlashes), (4, PathMode::None)] {
        let dirty = cluster.apply(event((40, variant)));
        last = retranslate(&cluster, &dirty, last);
        assert_eq!(modes(&last), [expected].into(), "{variant}");
        assert_eq!(last.report.objects.get(&decoded(40, 0).reference()).is_some(), variant > 2, "{variant}");
    }
    let dirty = cluster.apply(event((40, 5)));
    last = retranslate(&cluster, &dirty, last);
    assert_eq!((&last.snapshots, &last.report), (&first.snapshots, &first.report));
}
