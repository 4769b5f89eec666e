// SPDX-License-Identifier: Apache-2.0
//! What proxies tell of what passes, as Telemetry of Istio says: of the root namespace, then of that of the proxies, then
//! those that select them or name their Gateway; each block is laid over those before it (`applicableTelemetries`).
//!
//! Of a namespace one without selector and targets counts, the oldest. One that Istio would refuse has no effect.

mod sinks;

mod logging;

mod metrics;

mod tracing;

use torana_crds::istio::telemetry::{AccessLogging, Metrics};
use torana_crds::istio::{MeshConfig, Telemetry};
use torana_crds::{Kind, ObjectRef};
use torana_ir::{LogPolicy, MetricPolicy, Share, Tracing};

use crate::report::conditions::istio as conditions;
use crate::report::{Entry, Remark};
use crate::store::Cluster;
use crate::translate::providers::Providers;
use crate::translate::scopes::{Home, Whose, has_targets};
use crate::translate::servers::verdict_with;

/// The reason where it is for nobody here.
const NOT_OURS: &str = "NoListener";
/// The reason where an older one is in its place.
const CONFLICTED: &str = "Conflicted";

/// All of a cluster, in the order in which they are laid over each other.
pub(super) struct Telemetries<'c> {
    all: Vec<Policy<'c>>,
    /// Where those for the whole mesh are.
    root: &'c str,
    mesh: &'c MeshConfig,
}

/// One of them.
struct Policy<'c> {
    object: &'c Telemetry,
    home: Home<'c>,
    remarks: Vec<Remark>,
    /// It counts where it applies.
    counts: bool,
}

/// What the listeners of some proxies tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Told {
    /// Which lines are logged; `None`: all.
    pub(super) log: Option<LogPolicy>,
    /// What becomes of metrics; `None`: they are as always.
    pub(super) metrics: Option<MetricPolicy>,
    /// How requests are traced, if they are.
    pub(super) tracing: Option<Tracing>,
}

/// How near a policy is to proxies. The nearer is laid over the wider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Mesh,
    Namespace,
    Workload,
}

impl<'c> Telemetries<'c> {
    /// Those of the cluster, with what there is to say of each by itself.
    pub(super) fn new(cluster: &'c Cluster, providers: &mut Providers<'_>) -> Self {
        let (root, mesh) = (cluster.mesh().root_namespace(), cluster.mesh().config());
        let mut objects: Vec<_> = cluster.all::<Telemetry>().collect();
        objects.sort_by(|one, two| age(one).cmp(&age(two)));
        let mut all: Vec<Policy<'c>> = Vec::with_capacity(objects.len());
        for object in objects {
            let home = Home::new(&object.meta.namespace, root);
            let (mut remarks, is_valid) = verdict_with(object.problems(), "it has no effect");
            let before = all.iter().find(|it| it.counts && it.is_wide() && it.home.namespace == home.namespace);
            let mut policy = Policy { object, home, remarks: Vec::new(), counts: is_valid };
            if is_valid
                && policy.is_wide()
                && let Some(before) = before
            {
                policy.counts = false;
                remarks.push(beaten(before.object));
            }
            if policy.counts {
                logging::remarks(&object.spec, mesh, &mut remarks);
                metrics::remarks(&object.spec, mesh, &mut remarks);
                tracing::remarks(&object.spec, providers, &mut remarks);
            }
            policy.remarks = remarks;
            all.push(policy);
        }
        Self { all, root, mesh }
    }

    /// What the listeners of these proxies tell. `sampling`: so many requests are traced, whatever policies say.
    pub(super) fn of(&self, whose: Whose<'_>, sampling: Option<Share>, providers: &mut Providers<'_>) -> Told {
        let applicable = self.applicable(whose);
        let logs: Vec<&[AccessLogging]> = applicable.iter().map(|it| it.spec.access_logging.as_slice()).collect();
        let blocks: Vec<&Metrics> = applicable.iter().flat_map(|it| &it.spec.metrics).collect();
        let spans: Vec<_> = applicable.iter().flat_map(|it| &it.spec.tracing).collect();
        Told {
            log: logging::of(&logs, self.mesh),
            metrics: metrics::of(&blocks, self.mesh),
            tracing: tracing::of(&spans, (self.mesh, sampling), providers),
        }
    }

    /// What there is to say of each, given all whom it may be for.
    pub(super) fn entries(&self, all: &[Whose<'_>]) -> Vec<(ObjectRef, Entry)> {
        let said = self.all.iter().map(|policy| {
            let meta = &policy.object.meta;
            let is_ours = all.iter().any(|whose| policy.level(*whose, self.root).is_some());
            let mut entry = Entry { generation: meta.generation, remarks: policy.remarks.clone(), ..Entry::default() };
            if is_ours {
                entry.conditions.push(conditions::accepted(&entry.remarks));
            } else {
                entry.remarks.push(Remark::note(NOT_OURS, "spec", "it is for no listener of Torana", ""));
            }
            (ObjectRef::new(Kind::Telemetry, &meta.namespace, &meta.name), entry)
        });
        said.collect()
    }

    /// Those that count for these proxies, the widest first, and of one width the oldest.
    fn applicable(&self, whose: Whose<'_>) -> Vec<&'c Telemetry> {
        let counting = self.all.iter().filter(|policy| policy.counts);
        let mut found: Vec<_> =
            counting.filter_map(|policy| Some((policy.level(whose, self.root)?, policy.object))).collect();
        // It keeps the order of what is as wide.
        found.sort_by_key(|(level, _)| *level);
        found.into_iter().map(|(_, object)| object).collect()
    }
}

impl Policy<'_> {
    /// Whether it is for all of a namespace.
    fn is_wide(&self) -> bool {
        let scope = self.object.scope();
        !has_targets(&scope) && scope.selector.is_none_or(|selector| selector.match_labels.is_empty())
    }

    /// How near it is to these, if it is for them at all. Those that select pods do so in their own namespace only, that of
    /// the whole mesh included.
    fn level(&self, (proxies, gateway): Whose<'_>, root: &str) -> Option<Level> {
        let (scope, home) = (self.object.scope(), self.home);
        if has_targets(&scope) {
            return home.targets(&scope, gateway).then_some(Level::Workload);
        }
        if self.is_wide() {
            let is_root = (home.namespace == root).then_some(Level::Mesh);
            return is_root.or_else(|| home.is_of(proxies).then_some(Level::Namespace));
        }
        let selects = scope.selector.is_some_and(|selector| proxies.have(&selector.match_labels));
        (home.is_of(proxies) && selects).then_some(Level::Workload)
    }
}

/// Older goes first, then by name, then by namespace.
fn age(object: &Telemetry) -> (i64, &str, &str) {
    (object.meta.created.unwrap_or_default(), &object.meta.name, &object.meta.namespace)
}

fn beaten(by: &Telemetry) -> Remark {
    let message = format!(
        "Telemetry {}/{}, which is older, is for all of the namespace, too, so this one has no effect",
        by.meta.namespace, by.meta.name
    );
    Remark::error(CONFLICTED, "spec", message, "merge them into one, or give this one a selector or targetRefs")
}
