// SPDX-License-Identifier: Apache-2.0
//! `accessLogging`: which lines the own log has (`mergeLogs`). Where only providers are named that are not told anything
//! here, lines go to the own log as always: none is lost. A block without providers is about those that the next wider one
//! names, at last the mesh's defaults or the own log; its filter counts for them, too.

use std::collections::BTreeMap;

use torana_crds::istio::MeshConfig;
use torana_crds::istio::telemetry::{AccessLogging, LogFilter, TelemetrySpec};
use torana_ir::{Expression, LogPolicy};

use super::sinks::{self, ENVOY, Sink, sink};
use crate::report::Remark;

/// What holds for one provider.
#[derive(Debug, Clone, Copy, Default)]
struct Held<'s> {
    is_off: bool,
    filter: Option<&'s LogFilter>,
}

/// What of these blocks, the widest first, comes for the own log.
pub(super) fn of(policies: &[&[AccessLogging]], mesh: &MeshConfig) -> Option<LogPolicy> {
    let policies = || policies.iter().filter(|blocks| !blocks.is_empty());
    let defaults = sinks::defaults(&mesh.default_providers.access_logging, ENVOY);
    let in_scope = policies().fold(defaults.clone(), |scope, blocks| {
        let named = blocks.iter().filter(|block| block.selector.mode.is_of_gateways());
        let named: Vec<_> = named.flat_map(|block| sinks::names(&block.providers)).collect();
        if named.is_empty() { scope } else { named }
    });
    let mut held: BTreeMap<&str, Held<'_>> = BTreeMap::new();
    let mut names = defaults;
    for block in policies().copied().flatten() {
        let own = sinks::names(&block.providers);
        let is_named = !own.is_empty();
        if is_named {
            names = own;
        }
        for name in names.iter().filter(|name| block.selector.mode.is_of_gateways() && in_scope.contains(name)) {
            let before = held.entry(name).or_default();
            before.is_off = block.disabled == Some(true);
            before.filter = if is_named { block.filter.as_ref() } else { block.filter.as_ref().or(before.filter) };
        }
    }
    let own = held.iter().filter(|(name, _)| matches!(sink(mesh, name), Sink::Log(_))).map(|(_, held)| held);
    let own: Vec<_> = own.collect();
    if own.is_empty() {
        return None;
    }
    let mut any = Vec::new();
    for held in own.into_iter().filter(|held| !held.is_off) {
        let expression = held.filter.map(|filter| filter.expression.as_str()).filter(|source| !source.is_empty());
        // What has no filter, or one that cannot be evaluated, has every line.
        let expression = Expression::new(expression?).ok()?;
        if !any.contains(&expression) {
            any.push(expression);
        }
    }
    Some(if any.is_empty() { LogPolicy::Off } else { LogPolicy::If(any) })
}

/// What of an object is not done.
pub(super) fn remarks(spec: &TelemetrySpec, mesh: &MeshConfig, remarks: &mut Vec<Remark>) {
    for (place, block) in spec.access_logging.iter().enumerate().filter(|(_, it)| it.selector.mode.is_of_gateways()) {
        let at = format!("spec.accessLogging[{place}]");
        for (place, provider) in block.providers.iter().enumerate() {
            let at = format!("{at}.providers[{place}].name");
            remarks.extend(provider_remark(mesh, &provider.name, &at));
        }
        let source = block.filter.as_ref().map(|filter| filter.expression.as_str()).unwrap_or_default();
        if let Some(error) = Some(source).filter(|it| !it.is_empty()).and_then(|it| Expression::new(it).err()) {
            let at = format!("{at}.filter.expression");
            let message = format!("{error}, so every line is logged");
            let remedy = "write one of Envoy's attributes, such as response.code >= 400";
            remarks.push(Remark::error("InvalidExpression", &at, message, remedy));
        }
    }
}

fn provider_remark(mesh: &MeshConfig, name: &str, at: &str) -> Option<Remark> {
    let remedy = "name envoy, or a provider with envoyFileAccessLog";
    Some(match sink(mesh, name) {
        Sink::Log(None) => return None,
        Sink::Log(Some(field)) => {
            let message = format!("{name} is the log of the proxies themselves, and {field} is not obeyed");
            Remark::warning("UnsupportedField", at, message, "say by --access-log of the proxies what lines look like")
        }
        Sink::Metrics => Remark::error("InvalidProvider", at, format!("{name} is for metrics"), remedy),
        Sink::Other(kind) => {
            let message = format!("{name} is of kind {kind} and is not told of lines; the log of the proxies has them");
            Remark::warning("UnsupportedProvider", at, message, remedy)
        }
        Sink::Unknown => {
            Remark::error("InvalidProvider", at, format!("MeshConfig has no extension provider {name:?}"), remedy)
        }
    })
}
