// SPDX-License-Identifier: Apache-2.0
//! Rules that several kinds share: durations, labels, `exportTo`, names of Gateways, destinations. Never about one
//! kind.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::istio::names::{Destination, Export, GatewayName};
use crate::istio::rules::facts;
use crate::meta::StringMap;
use crate::violation::{At, Findings};

/// `ValidateDuration`: at least 1 ms, and a multiple of it.
pub(super) fn duration(value: Option<Duration>, at: &At<'_>, found: &mut Findings) {
    let Some(value) = value else { return };
    if value < Duration::from_millis(1) || value.subsec_nanos() % 1_000_000 != 0 {
        found.error(
            at,
            "is not a whole number of milliseconds, at least 1ms",
            "write it like 500ms or 10s, or leave it out",
        );
    }
}

/// A limit of the CRD on the number of items.
pub(super) fn at_most(limit: usize, count: usize, at: &At<'_>, found: &mut Findings) {
    if count > limit {
        found.error(at, format!("has {count} entries, {limit} are the most"), "split the object");
    }
}

/// A limit of the CRD on the length of a text.
pub(super) fn no_longer(limit: usize, text: &str, at: &At<'_>, found: &mut Findings) {
    if text.chars().count() > limit {
        found.error(at, format!("is longer than {limit} characters"), "shorten it");
    }
}

/// `labels.Instance.Validate`.
pub(super) fn labels(labels: &StringMap, at: &At<'_>, found: &mut Findings) {
    for (key, value) in labels {
        if !facts::is_label_key(key) {
            found.error(
                &at.field(key),
                "is not a name of a label",
                "use letters, digits, -, _ and . as Kubernetes does",
            );
        } else if !facts::is_label_value(value) {
            found.error(
                &at.field(key),
                "has no value of a label",
                "use letters, digits, -, _ and . as Kubernetes does",
            );
        }
    }
}

/// Labels that pods are found by: without `*`. `keys` and 63 characters of a value are the limits of the CRDs.
pub(super) fn selector(labels: &StringMap, keys: usize, at: &At<'_>, found: &mut Findings) {
    at_most(keys, labels.len(), at, found);
    for (key, value) in labels {
        let at = at.field(key);
        if key.is_empty() {
            found.error(&at, "has an empty name", "name the label");
        }
        if key.contains('*') || value.contains('*') {
            found.error(&at, "has a wildcard, which a selector does not know", "write the whole label");
        }
        no_longer(63, value, &at, found);
    }
}

/// Who may write `~`, and who may be read only by its own namespace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Exporter {
    /// A ServiceEntry.
    ServiceEntry,
    /// A DestinationRule with a workload selector.
    Selecting,
    /// Any other.
    Other,
}

/// `validateExportTo`.
pub(super) fn export_to(exports: &[Export], own: &str, exporter: Exporter, at: &At<'_>, found: &mut Findings) {
    let mut seen = BTreeSet::new();
    let mut alone = None;
    for (index, export) in exports.iter().enumerate() {
        let at = at.item(index);
        let name = match export {
            Export::All => "*",
            Export::Own => own,
            Export::Nobody => "~",
            Export::Namespace(name) => name,
        };
        if !seen.insert(name) {
            found.error(&at, format!("repeats {name:?}"), "name every namespace once; . is that of the object");
        }
        match export {
            Export::Nobody if exporter != Exporter::ServiceEntry => {
                found.error(&at, "is ~, which only a ServiceEntry may say", "write . to keep it to its namespace");
            }
            Export::Namespace(name) if !facts::is_label(name) => {
                found.error(&at, "is not a namespace", "write *, . or the name of a namespace");
            }
            Export::All | Export::Nobody => alone = Some(name),
            Export::Own | Export::Namespace(_) => {}
        }
    }
    if let Some(alone) = alone.filter(|_| exports.len() > 1) {
        found.error(at, format!("has {alone} beside others"), format!("write {alone} alone, or leave it out"));
    }
    if exporter == Exporter::Selecting && seen.iter().any(|name| *name != own) {
        found.error(at, "goes beyond the namespace, but workloadSelector is of it only", "write only .");
    }
}

/// `validateGatewayNames`. A name may have dots: a Gateway of Gateway API may be meant.
pub(super) fn gateway_names(names: &[GatewayName], at: &At<'_>, found: &mut Findings) {
    let mut is_bare = false;
    for (index, name) in names.iter().enumerate() {
        let at = at.item(index);
        let (namespace, own) = name.target("local");
        is_bare |= !name.0.contains('/');
        // Istio's webhook looks no further once it has seen a name without a namespace.
        if !is_bare && name.0.starts_with("./") {
            found.error(&at, format!("begins with ./, which Istio refuses here: {:?}", name.0), "write the name alone");
        } else if !facts::is_label(namespace) || !facts::is_name(own) {
            found.error(&at, format!("is no name of a Gateway: {:?}", name.0), "write namespace/name, or name");
        } else if name.is_legacy() {
            found.warning(&at, "is in the form of old", format!("write {namespace}/{own}"));
        }
    }
}

/// `validateDestination`.
pub(super) fn destination(destination: &Destination, at: &At<'_>, found: &mut Findings) {
    let host = &destination.host;
    if host == "*" || !facts::is_pattern(host) {
        found.error(
            &at.field("host"),
            format!("is no host to send to: {host:?}"),
            "name a Service or a host of a ServiceEntry",
        );
    }
    if let Some(subset) = destination.subset.as_deref().filter(|subset| !facts::is_label(subset)) {
        found.error(
            &at.field("subset"),
            format!("is no name of a subset: {subset:?}"),
            "use at most 63 letters, digits and -",
        );
    }
}

/// Several destinations need a weight.
pub(super) fn weights(weights: impl ExactSizeIterator<Item = u32>, at: &At<'_>, found: &mut Findings) {
    if weights.len() > 1 && weights.map(u64::from).sum::<u64>() == 0 {
        found.error(at, "has several destinations of weight 0", "give each the weight that it shall have");
    }
}

/// Expressions: not empty, at most 1024 characters. Whether one compiles is found out where it is compiled.
pub(super) fn expression(text: &str, at: &At<'_>, found: &mut Findings) {
    if text.is_empty() {
        found.error(at, "is an empty expression", "write one, such as .*");
    } else if text.len() > 1024 {
        found.error(at, "is an expression of more than 1024 characters", "shorten it, or write several matches");
    }
}
