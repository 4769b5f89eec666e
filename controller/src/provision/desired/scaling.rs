// SPDX-License-Identifier: Apache-2.0
//! How many proxies run, how they are replaced, and how many may go at a time. Never says a number where somebody else
//! chooses it.

use serde_json::{Value, json};
use torana_crds::parameters::{Autoscaling, DisruptionBudget, GatewayParametersSpec, IntOrString, WorkloadMode};

use crate::provision::desired::objects::Owned;

/// One may fail.
const REPLICAS: u16 = 2;
/// Percent of the CPU time that proxies ask for.
const UTILIZATION: u16 = 70;

/// The Deployment or DaemonSet.
pub(super) fn workload(owned: &Owned<'_>, parameters: &GatewayParametersSpec, template: &Value) -> Value {
    let host = parameters.host_network == Some(true);
    // On the network of a node the old proxy has the ports until it is gone.
    let rolling = match (host, is_daemon_set(parameters)) {
        (true, _) => json!({"maxSurge": 0, "maxUnavailable": 1}),
        (false, true) => json!({"maxSurge": 1, "maxUnavailable": 0}),
        (false, false) => json!({"maxSurge": "25%", "maxUnavailable": 0}),
    };
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": rolling});
    let mut spec =
        json!({"selector": {"matchLabels": owned.selector()}, "template": template, "revisionHistoryLimit": 3});
    let kind = if is_daemon_set(parameters) {
        spec["updateStrategy"] = strategy;
        "DaemonSet"
    } else {
        spec["strategy"] = strategy;
        // Two that say how many would take turns.
        if parameters.autoscaling.is_none() {
            spec["replicas"] = parameters.replicas.unwrap_or(REPLICAS).into();
        }
        "Deployment"
    };
    owned.object("apps/v1", kind, &owned.name, ("spec", spec))
}

/// The HorizontalPodAutoscaler, if there is to be one.
pub(super) fn autoscaler(owned: &Owned<'_>, parameters: &GatewayParametersSpec) -> Option<Value> {
    let scaling = parameters.autoscaling.as_ref().filter(|_| !is_daemon_set(parameters))?;
    let target =
        json!({"type": "Utilization", "averageUtilization": scaling.target_cpu_utilization.unwrap_or(UTILIZATION)});
    let spec = json!({
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": owned.name},
        "minReplicas": fewest(scaling),
        "maxReplicas": scaling.max_replicas,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    });
    Some(owned.object("autoscaling/v2", "HorizontalPodAutoscaler", &owned.name, ("spec", spec)))
}

/// The PodDisruptionBudget: as asked for, or one at a time where that leaves another one. Whoever drains a node leaves
/// the pods of DaemonSets alone.
pub(super) fn budget(owned: &Owned<'_>, parameters: &GatewayParametersSpec) -> Option<Value> {
    let fewest = match &parameters.autoscaling {
        _ if is_daemon_set(parameters) => return None,
        Some(scaling) => fewest(scaling),
        None => parameters.replicas.unwrap_or(REPLICAS),
    };
    let one = || DisruptionBudget { max_unavailable: Some(IntOrString::Int(1)), ..DisruptionBudget::default() };
    let given = parameters.pod_disruption_budget.clone().filter(|budget| *budget != DisruptionBudget::default());
    let budget = given.or_else(|| (fewest > 1).then(one))?;
    let mut spec = json!({"selector": {"matchLabels": owned.selector()}});
    match budget {
        DisruptionBudget { min_available: Some(least), .. } => spec["minAvailable"] = json!(least),
        DisruptionBudget { max_unavailable, .. } => spec["maxUnavailable"] = json!(max_unavailable),
    }
    Some(owned.object("policy/v1", "PodDisruptionBudget", &owned.name, ("spec", spec)))
}

fn fewest(scaling: &Autoscaling) -> u16 {
    scaling.min_replicas.unwrap_or(REPLICAS).min(scaling.max_replicas)
}

fn is_daemon_set(parameters: &GatewayParametersSpec) -> bool {
    parameters.mode == Some(WorkloadMode::DaemonSet)
}
