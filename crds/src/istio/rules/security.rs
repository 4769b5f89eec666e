// SPDX-License-Identifier: Apache-2.0
//! Rules that AuthorizationPolicy, RequestAuthentication and Telemetry share: whom a policy is for
//! (`validateWorkloadSelector`, `validatePolicyTargetReference`, `validateOneOfSelectorType`); and the annotation for a dry
//! run. Never looks at what a policy says.

use crate::istio::authorization_policy::{DRY_RUN, PolicyAction, truth};
use crate::istio::destination_rule::WorkloadSelector;
use crate::istio::rules::shared::{at_most, no_longer, selector};
use crate::istio::security::PolicyTarget;
use crate::kind::{GATEWAY_GROUP, ISTIO_GROUP};
use crate::meta::ObjectMeta;
use crate::violation::{At, Findings};

/// Labels that one selector may name.
const LABELS: usize = 4096;

/// Targets of one policy.
const TARGETS: usize = 16;

/// Characters of a target's name.
const NAME: usize = 253;

/// Whom it is for, as three fields of its spec say.
pub(super) struct Written<'p> {
    pub(super) selector: Option<&'p WorkloadSelector>,
    pub(super) target: Option<&'p PolicyTarget>,
    pub(super) targets: &'p [PolicyTarget],
}

pub(super) fn judge_scope(written: &Written<'_>, spec: &At<'_>, found: &mut Findings) {
    let ways = [written.selector.is_some(), written.target.is_some(), !written.targets.is_empty()];
    if ways.into_iter().filter(|is_given| *is_given).count() > 1 {
        found.error(spec, "has more than one of selector, targetRef and targetRefs", "keep one of them");
    }
    if let Some(pods) = written.selector {
        let at = spec.field("selector");
        selector(&pods.match_labels, LABELS, &at.field("matchLabels"), found);
        if pods.match_labels.is_empty() {
            found.warning(&at, "has no labels: it finds every workload of the namespace", "add labels");
        }
    }
    if let Some(target) = written.target {
        judge_target(target, &spec.field("targetRef"), found);
    }
    let at = spec.field("targetRefs");
    at_most(TARGETS, written.targets.len(), &at, found);
    for (index, target) in written.targets.iter().enumerate() {
        judge_target(target, &at.item(index), found);
    }
}

fn judge_target(target: &PolicyTarget, at: &At<'_>, found: &mut Findings) {
    let is_known = matches!(
        (target.group.as_str(), target.kind.as_str()),
        (GATEWAY_GROUP, "Gateway" | "GatewayClass") | (ISTIO_GROUP, "ServiceEntry") | ("" | "core", "Service")
    );
    if !is_known {
        let why = format!("cannot be the target of a policy: kind {:?} of group {:?}", target.kind, target.group);
        let remedy = "name a Gateway or GatewayClass of gateway.networking.k8s.io, a ServiceEntry of \
                      networking.istio.io, or a Service";
        found.error(at, why, remedy);
    }
    if target.name.is_empty() {
        found.error(&at.field("name"), "is missing", "name the object");
    }
    no_longer(NAME, &target.name, &at.field("name"), found);
    if !target.namespace.is_empty() {
        let why = "is given, but a policy is only for objects of its own namespace";
        found.error(&at.field("namespace"), why, "remove it, and put the policy beside the object");
    }
}

/// `checkDryRunAnnotation`. `action` is that of an AuthorizationPolicy; no other kind may have the annotation.
pub(super) fn judge_dry_run(meta: &ObjectMeta, action: Option<PolicyAction>, root: &At<'_>, found: &mut Findings) {
    let Some(value) = meta.annotations.get(DRY_RUN) else { return };
    let metadata = root.field("metadata");
    let annotations = metadata.field("annotations");
    let at = annotations.field(DRY_RUN);
    match action {
        None => found.error(&at, "only goes with an AuthorizationPolicy", "remove it"),
        Some(PolicyAction::Audit | PolicyAction::Custom) => {
            found.error(&at, "only goes with action ALLOW and DENY", "remove it");
        }
        Some(PolicyAction::Allow | PolicyAction::Deny) => {
            if truth(value).is_none() {
                found.error(&at, format!("is neither true nor false: {value:?}"), "write \"true\", or remove it");
            }
        }
    }
}
