// SPDX-License-Identifier: Apache-2.0
//! `tracing`: who is told of spans, how many requests are followed, and what spans say beside what they say anyway
//! (`Telemetries.Tracing`). Without a provider, of a Telemetry or by default of the mesh, no request is traced.

use std::collections::BTreeMap;

use torana_crds::istio::MeshConfig;
use torana_crds::istio::scalars::Decimal;
use torana_crds::istio::telemetry::{CustomTag, Named, TelemetrySpec, Tracing as Block};
use torana_ir::{HeaderName, Share, Tag, TagValue, Tracing};

use crate::report::Remark;
use crate::translate::providers::Providers;

/// So many percent where nobody says how many, as with Istio.
const SAMPLED: u32 = 1;

/// What comes of these blocks, the widest first. `sampling` counts in place of theirs.
pub(super) fn of(
    blocks: &[&Block],
    (mesh, sampling): (&MeshConfig, Option<Share>),
    providers: &mut Providers<'_>,
) -> Option<Tracing> {
    let mut provider = mesh.default_providers.tracing.first().map(String::as_str);
    let (mut percentage, mut is_silent, mut tags) = (None, false, None);
    for block in blocks.iter().filter(|block| block.selector.mode.is_of_gateways()) {
        provider = block.providers.first().map(|first| first.name.as_str()).or(provider);
        percentage = block.random_sampling_percentage.or(percentage);
        is_silent = block.disable_span_reporting.unwrap_or(is_silent);
        tags = block.custom_tags.as_ref().or(tags);
    }
    let collector = providers.collector(provider?).ok()?;
    let percentage = percentage.or_else(|| mesh.sampling()).unwrap_or_else(|| Decimal::whole(SAMPLED));
    let of_mesh = mesh.tags();
    let tags = tags.filter(|tags| !tags.is_empty()).unwrap_or(&of_mesh);
    let sampling = sampling.unwrap_or_else(|| share(percentage));
    Some(Tracing { collector, sampling, tags: read(tags), disable_reporting: is_silent })
}

/// A percentage as a share; more than all is all.
fn share(percentage: Decimal) -> Share {
    let millionths = percentage.millionths() / 100;
    u32::try_from(millionths).ok().and_then(|it| Share::new(it).ok()).unwrap_or(Share::ALL)
}

fn read(tags: &BTreeMap<String, CustomTag>) -> Vec<Tag> {
    let tags = tags.iter().filter(|(name, _)| !name.is_empty());
    tags.filter_map(|(name, tag)| Some(Tag { name: name.clone(), value: tag_value(tag)? })).collect()
}

fn tag_value(tag: &CustomTag) -> Option<TagValue> {
    let default = |it: &Named| Some(it.default_value.clone()).filter(|default| !default.is_empty());
    match tag {
        CustomTag::Literal(text) => Some(TagValue::Literal(text.clone())),
        CustomTag::Environment(it) => Some(TagValue::Environment { name: it.name.clone(), default: default(it) }),
        CustomTag::Header(it) => Some(TagValue::Header { name: HeaderName::new(&it.name).ok()?, default: default(it) }),
        CustomTag::Formatter(_) | CustomTag::Nothing => None,
    }
}

/// What of an object is not done.
pub(super) fn remarks(spec: &TelemetrySpec, providers: &mut Providers<'_>, remarks: &mut Vec<Remark>) {
    for (place, block) in spec.tracing.iter().enumerate().filter(|(_, it)| it.selector.mode.is_of_gateways()) {
        let at = format!("spec.tracing[{place}]");
        let first = block.providers.first();
        if let Some(why) = first.and_then(|first| providers.collector(&first.name).err()) {
            let at = format!("{at}.providers[0].name");
            let message = format!("{why}, so no request is traced");
            let remedy = "name an extension provider with opentelemetry";
            remarks.push(Remark::error("InvalidProvider", &at, message, remedy));
        }
        for (name, tag) in block.custom_tags.iter().flatten() {
            let at = format!("{at}.customTags.{name}");
            remarks.extend(tag_remark(tag, &at));
        }
        remarks.extend(unheeded(block).map(|(field, message, remedy)| {
            Remark::warning("UnsupportedField", &format!("{at}.{field}"), message, remedy)
        }));
    }
}

fn tag_remark(tag: &CustomTag, at: &str) -> Option<Remark> {
    match tag {
        CustomTag::Formatter(_) => {
            let message = "formats of Envoy are not evaluated, so there is no such tag";
            let remedy = "write a literal, an environment or a header";
            Some(Remark::warning("UnsupportedTag", &format!("{at}.formatter"), message, remedy))
        }
        CustomTag::Header(it) if HeaderName::new(&it.name).is_err() => {
            let message = format!("{:?} is no name of a header, so the tag is not there", it.name);
            Some(Remark::warning("UnsupportedTag", &format!("{at}.header.name"), message, "correct it"))
        }
        _ => None,
    }
}

/// Fields that say other than what is done.
fn unheeded(block: &Block) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let leave = "leave it out";
    let all = [
        (
            block.enable_istio_tags == Some(false),
            ("enableIstioTags", "spans say where they are from, whatever it says", leave),
        ),
        (
            block.disable_context_propagation == Some(true),
            (
                "disableContextPropagation",
                "backends are told of traces all the same",
                "remove traceparent and tracestate by a RequestHeaderModifier or headers.request.remove",
            ),
        ),
        (
            block.use_request_id_for_trace_sampling == Some(true),
            ("useRequestIdForTraceSampling", "traceparent decides, and no id of a request does", leave),
        ),
    ];
    all.into_iter().filter(|(is_said, _)| *is_said).map(|(_, told)| told)
}
