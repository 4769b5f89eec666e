// SPDX-License-Identifier: Apache-2.0
//! Where endpoints stand, and whether that decides who gets requests. Where proxies stand only they know, so nothing is
//! compared here.
//!
//! Nodes are not looked at: the zone is told by EndpointSlices, and the region by the label of the pod that Kubernetes
//! takes over from its node (`PodTopologyLabels`). A part of a zone is known where somebody labels pods with it.

use torana_crds::core::{Pod, SliceEndpoint};
use torana_crds::istio::load_balancer::LocalityLb;
use torana_crds::istio::service_entry::Workload;
use torana_crds::{StringMap, istio};
use torana_ir::{CommonLabel, Endpoint, Locality, LocalityPattern, LocalityPolicy, LocalityShares, RegionFailover};

use crate::translate::destination_rules::Blocks;

/// Labels that say a whole locality, with dots or slashes between its parts; the first one that is there counts.
const WHOLE: [&str; 2] = ["topology.istio.io/locality", "istio-locality"];
const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";
const SUBZONE: &str = "topology.istio.io/subzone";
const NETWORK: &str = "topology.istio.io/network";
const NODE: &str = "kubernetes.io/hostname";

/// What is in force: shares, or where outliers are detected the nearest first, unless either is turned off.
pub(super) fn policy(blocks: &Blocks<'_>) -> Option<LocalityPolicy> {
    // What is asked for in zones is said to be not supported, and is no reason for something else.
    if blocks.balance.is_some_and(|balance| balance.zone_aware.is_some()) {
        return None;
    }
    let nobody = LocalityLb::default();
    let written = blocks.balance.and_then(|balance| balance.locality.as_ref()).or(blocks.locality).unwrap_or(&nobody);
    if written.enabled == Some(false) {
        return None;
    }
    if !written.distribute.is_empty() {
        let pattern = |text: &String| LocalityPattern(text.clone());
        let shares = written.distribute.iter().map(|it| LocalityShares {
            from: pattern(&it.from),
            to: it.to.iter().map(|(to, share)| (pattern(to), *share)).collect(),
        });
        return Some(LocalityPolicy::Shares(shares.collect()));
    }
    blocks.outliers?;
    let region = |it: &istio::load_balancer::Failover| RegionFailover { from: it.from.clone(), to: it.to.clone() };
    Some(LocalityPolicy::Nearest {
        labels: written.failover_priority.iter().map(|text| label(text)).collect(),
        failover: written.failover.iter().map(region).collect(),
    })
}

/// `key` or `key=value`.
fn label(text: &str) -> CommonLabel {
    let (key, value) = text.split_once('=').map_or((text, None), |(key, value)| (key, Some(value)));
    CommonLabel { key: key.to_owned(), value: value.filter(|value| !value.contains('=')).map(str::to_owned) }
}

/// Says of an endpoint of a slice where it stands, as far as the policy asks.
pub(super) fn place(policy: &LocalityPolicy, written: &SliceEndpoint, pod: Option<&Pod>, endpoint: &mut Endpoint) {
    let zone = written.zone.as_deref().filter(|zone| !zone.is_empty());
    let nothing = StringMap::new();
    let labels = pod.map_or(&nothing, |pod| &pod.meta.labels);
    endpoint.locality = of_labels(labels, zone);
    let node = written.node_name.as_ref().map(|node| (NODE, node.as_str()));
    endpoint.labels = asked(policy, labels, node);
}

/// Says the same of a pod that no slice tells of.
pub(super) fn place_pod(policy: &LocalityPolicy, pod: &Pod) -> (Locality, StringMap) {
    (of_labels(&pod.meta.labels, None), asked(policy, &pod.meta.labels, None))
}

fn of_labels(labels: &StringMap, zone: Option<&str>) -> Locality {
    let label = |key: &str| labels.get(key).map(String::as_str).unwrap_or_default();
    whole(labels).unwrap_or_else(|| Locality::new(label(REGION), zone.unwrap_or(label(ZONE)), label(SUBZONE)))
}

/// Says the same of a workload, whose own field goes before labels.
pub(super) fn place_workload(policy: &LocalityPolicy, workload: &Workload) -> (Locality, StringMap) {
    let own = &workload.locality;
    let told = Locality::new(&own.region, &own.zone, &own.subzone);
    let locality = Some(told).filter(|it| !it.is_unknown()).or_else(|| whole(&workload.labels));
    let network = workload.network.as_deref().filter(|_| !workload.labels.contains_key(NETWORK));
    let labels = asked(policy, &workload.labels, network.map(|network| (NETWORK, network)));
    (locality.unwrap_or_default(), labels)
}

fn whole(labels: &StringMap) -> Option<Locality> {
    whole_locality(labels).map(Into::into)
}

/// The locality that labels of a pod say as a whole, which goes before its node's: `region/zone/subzone`.
pub fn whole_locality(labels: &StringMap) -> Option<String> {
    let text = WHOLE.iter().find_map(|key| labels.get(*key)).filter(|text| !text.is_empty())?;
    Some(if text.contains('/') { text.clone() } else { text.replace('.', "/") })
}

/// Labels that the policy asks for and the locality does not tell; one of them may be told otherwise.
fn asked(policy: &LocalityPolicy, labels: &StringMap, other: Option<(&str, &str)>) -> StringMap {
    let value = |key: &str| match other {
        Some((known, value)) if known == key => Some(value.to_owned()),
        _ => labels.get(key).cloned(),
    };
    let keys = policy.labels().filter(|key| ![REGION, ZONE, SUBZONE].contains(key));
    keys.filter_map(|key| Some((key.to_owned(), value(key)?))).collect()
}
