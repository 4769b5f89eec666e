// SPDX-License-Identifier: Apache-2.0
//! Rules of Telemetry (`ValidateTelemetry`, and limits of the CRD). Whether a provider exists is the mesh's to say; whether
//! an expression can be evaluated is found out where it is compiled.

use crate::istio::rules::security::{Written, judge_scope};
use crate::istio::rules::shared::duration;
use crate::istio::scalars::Decimal;
use crate::istio::telemetry::{
    AccessLogging, CustomTag, MetricMatch, Metrics, MetricsOverride, ProviderRef, TagOperation, Telemetry, Tracing,
};
use crate::violation::{At, Findings};

pub(super) fn judge(policy: &Telemetry, root: &At<'_>, found: &mut Findings) {
    let (spec, at) = (&policy.spec, root.field("spec"));
    let written =
        Written { selector: spec.selector.as_ref(), target: spec.target_ref.as_ref(), targets: &spec.target_refs };
    judge_scope(&written, &at, found);
    let place = at.field("tracing");
    if spec.tracing.len() > 1 {
        found.warning(&place, "has several entries, which Istio does not support", "keep one");
    }
    for (index, tracing) in spec.tracing.iter().enumerate() {
        judge_tracing(tracing, &place.item(index), found);
    }
    let place = at.field("metrics");
    for (index, metrics) in spec.metrics.iter().enumerate() {
        judge_metrics(metrics, &place.item(index), found);
    }
    let place = at.field("accessLogging");
    for (index, AccessLogging { providers, .. }) in spec.access_logging.iter().enumerate() {
        judge_providers(providers, &place.item(index), found);
    }
}

fn judge_providers(providers: &[ProviderRef], at: &At<'_>, found: &mut Findings) {
    let list = at.field("providers");
    for (index, provider) in providers.iter().enumerate() {
        if provider.name.is_empty() {
            found.error(&list.item(index).field("name"), "is missing", "name one of extensionProviders of MeshConfig");
        }
    }
}

fn judge_tracing(tracing: &Tracing, at: &At<'_>, found: &mut Findings) {
    judge_providers(&tracing.providers, at, found);
    if tracing.providers.len() > 1 {
        found.warning(&at.field("providers"), "has several entries, and only the first is told", "keep one");
    }
    if tracing.random_sampling_percentage.is_some_and(|percent| percent > Decimal::whole(100)) {
        found.error(&at.field("randomSamplingPercentage"), "is more than 100", "write a percentage from 0 to 100");
    }
    let tags = at.field("customTags");
    for (name, tag) in tracing.custom_tags.iter().flatten() {
        judge_tag(tag, &tags.field(name), found);
        if name.is_empty() {
            found.error(&tags, "has a tag without a name", "name it");
        }
    }
}

fn judge_tag(tag: &CustomTag, at: &At<'_>, found: &mut Findings) {
    let (kind, field, value) = match tag {
        CustomTag::Nothing => {
            let remedy = "write one of literal, environment and header";
            return found.warning(at, "says nothing of its value, so there is no such tag", remedy);
        }
        CustomTag::Literal(value) => ("literal", "value", value),
        CustomTag::Formatter(value) => ("formatter", "value", value),
        CustomTag::Environment(of) => ("environment", "name", &of.name),
        CustomTag::Header(of) => ("header", "name", &of.name),
    };
    if value.is_empty() {
        found.error(&at.field(kind).field(field), "is missing", "write it");
    }
}

fn judge_metrics(metrics: &Metrics, at: &At<'_>, found: &mut Findings) {
    judge_providers(&metrics.providers, at, found);
    duration(metrics.reporting_interval, &at.field("reportingInterval"), found);
    let list = at.field("overrides");
    for (index, one) in metrics.overrides.iter().enumerate() {
        judge_override(one, &list.item(index), found);
    }
}

fn judge_override(one: &MetricsOverride, at: &At<'_>, found: &mut Findings) {
    if one.selector.metric == MetricMatch::Custom(String::new()) {
        found.error(&at.field("match").field("customMetric"), "is missing", "name the metric");
    }
    let tags = at.field("tagOverrides");
    for (name, tag) in &one.tag_overrides {
        let place = tags.field(name);
        if name.is_empty() {
            found.warning(&tags, "has a tag without a name", "name it");
        }
        match tag.operation {
            TagOperation::Upsert if tag.value.is_empty() => {
                found.error(&place.field("value"), "is missing, and the operation is UPSERT", "write an expression");
            }
            TagOperation::Remove if !tag.value.is_empty() => {
                found.error(&place.field("value"), "is given, and the operation is REMOVE", "remove it");
            }
            TagOperation::Upsert | TagOperation::Remove => {}
        }
    }
}
