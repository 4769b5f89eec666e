// SPDX-License-Identifier: Apache-2.0
//! Parameters of a Gateway over those of its class, field by field. Never judges a value, fills in no default.

use torana_crds::parameters::{
    ClientParameters, DisruptionBudget, GatewayParametersSpec, LoggingParameters, MeshParameters, Resources,
    ServiceParameters, Shutdown, WorkloadMode,
};

/// What the Gateway's own parameters say, and where they are silent those of its class.
pub fn merged(class: Option<&GatewayParametersSpec>, own: Option<&GatewayParametersSpec>) -> GatewayParametersSpec {
    let mut base = class.cloned().unwrap_or_default();
    let Some(own) = own.cloned() else { return base };
    // Who says how many means it, also where the class says it otherwise; and one on each node is a number too.
    if own.replicas.is_some() || own.mode == Some(WorkloadMode::DaemonSet) {
        base.autoscaling = None;
    }
    if own.autoscaling.is_some() || own.mode == Some(WorkloadMode::DaemonSet) {
        base.replicas = None;
    }
    GatewayParametersSpec {
        mode: own.mode.or(base.mode),
        host_network: own.host_network.or(base.host_network),
        replicas: own.replicas.or(base.replicas),
        autoscaling: own.autoscaling.or(base.autoscaling),
        pod_disruption_budget: both(own.pod_disruption_budget, base.pod_disruption_budget, budget),
        image: own.image.or(base.image),
        resources: both(own.resources, base.resources, resources),
        service: both(own.service, base.service, service),
        node_selector: own.node_selector.or(base.node_selector),
        tolerations: own.tolerations.or(base.tolerations),
        affinity: own.affinity.or(base.affinity),
        topology_spread_constraints: own.topology_spread_constraints.or(base.topology_spread_constraints),
        priority_class_name: own.priority_class_name.or(base.priority_class_name),
        workers: own.workers.or(base.workers),
        shutdown: both(own.shutdown, base.shutdown, shutdown),
        logging: both(own.logging, base.logging, logging),
        mesh: both(own.mesh, base.mesh, |own, base| Box::new(mesh(*own, *base))),
        client: both(own.client, base.client, client),
        acme: own.acme.or(base.acme),
        // Of the parameters that say it alone.
        ingress: own.ingress,
        pod_patch: own.pod_patch.or(base.pod_patch),
    }
}

fn both<T>(own: Option<T>, base: Option<T>, merge: fn(T, T) -> T) -> Option<T> {
    match (own, base) {
        (Some(own), Some(base)) => Some(merge(own, base)),
        (own, base) => own.or(base),
    }
}

/// The two bounds exclude each other.
fn budget(own: DisruptionBudget, base: DisruptionBudget) -> DisruptionBudget {
    if own == DisruptionBudget::default() { base } else { own }
}

fn resources(own: Resources, base: Resources) -> Resources {
    Resources { requests: own.requests.or(base.requests), limits: own.limits.or(base.limits) }
}

fn client(own: ClientParameters, base: ClientParameters) -> ClientParameters {
    ClientParameters {
        proxy_protocol: own.proxy_protocol.or(base.proxy_protocol),
        trusted_hops: own.trusted_hops.or(base.trusted_hops),
    }
}

fn service(own: ServiceParameters, base: ServiceParameters) -> ServiceParameters {
    ServiceParameters {
        service_type: own.service_type.or(base.service_type),
        annotations: own.annotations.or(base.annotations),
        external_traffic_policy: own.external_traffic_policy.or(base.external_traffic_policy),
        load_balancer_class: own.load_balancer_class.or(base.load_balancer_class),
        load_balancer_source_ranges: own.load_balancer_source_ranges.or(base.load_balancer_source_ranges),
        ip_families: own.ip_families.or(base.ip_families),
        ip_family_policy: own.ip_family_policy.or(base.ip_family_policy),
    }
}

fn shutdown(own: Shutdown, base: Shutdown) -> Shutdown {
    Shutdown { pre_stop: own.pre_stop.or(base.pre_stop), drain_deadline: own.drain_deadline.or(base.drain_deadline) }
}

/// Where it comes from decides what else is meant.
fn mesh(own: MeshParameters, base: MeshParameters) -> MeshParameters {
    if own.identity.is_some() && own.identity != base.identity {
        return own;
    }
    MeshParameters {
        identity: own.identity.or(base.identity),
        secret_name: own.secret_name.or(base.secret_name),
        ca_address: own.ca_address.or(base.ca_address),
        trust_domain: own.trust_domain.or(base.trust_domain),
        cluster_trust_bundle: own.cluster_trust_bundle.or(base.cluster_trust_bundle),
        cluster_id: own.cluster_id.or(base.cluster_id),
    }
}

fn logging(own: LoggingParameters, base: LoggingParameters) -> LoggingParameters {
    LoggingParameters {
        level: own.level.or(base.level),
        format: own.format.or(base.format),
        access_log: own.access_log.or(base.access_log),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(json: serde_json::Value) -> GatewayParametersSpec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_gateway_speaks_over_its_class_field_by_field() {
        let class =
            spec(json!({"image": "a", "service": {"type": "NodePort", "annotations": {"x": "y"}}, "workers": 2}));
        let own = spec(json!({"image": "b", "service": {"type": "ClusterIP"}}));
        let both =
            spec(json!({"image": "b", "service": {"type": "ClusterIP", "annotations": {"x": "y"}}, "workers": 2}));
        assert_eq!(merged(Some(&class), Some(&own)), both);
        assert_eq!(merged(Some(&class), None), class);
        assert_eq!(merged(None, Some(&own)), own);
    }

    #[test]
    fn what_excludes_each_other_never_meets() {
        let (few, scaled) = (json!({"replicas": 1}), json!({"autoscaling": {"maxReplicas": 9}}));
        let everywhere = json!({"mode": "DaemonSet"});
        for (class, own) in [(&few, &scaled), (&scaled, &few), (&few, &everywhere), (&scaled, &everywhere)] {
            assert_eq!(merged(Some(&spec(class.clone())), Some(&spec(own.clone()))), spec(own.clone()));
        }
        let budget = |json| spec(json!({"podDisruptionBudget": json}));
        let (class, own) = (budget(json!({"minAvailable": 1})), budget(json!({"maxUnavailable": "10%"})));
        assert_eq!(merged(Some(&class), Some(&own)), own);
    }
}
