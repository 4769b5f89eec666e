// SPDX-License-Identifier: Apache-2.0
//! Objects of Istio that are about Envoy itself. They do nothing here; whoever wrote one for proxies of Torana is told so, in
//! its own status, where one looks that waits for an effect. Those for other workloads are others' business.

use torana_crds::istio::security::Scope;
use torana_crds::istio::{EnvoyFilter, ProxyConfig, WasmPlugin};
use torana_crds::{Kind, ObjectMeta, ObjectRef};

use crate::report::conditions::istio as conditions;
use crate::report::{Entry, Remark};
use crate::store::Cluster;
use crate::translate::scopes::{Home, Whose};

/// What there is to say of each, given all whom it may be for.
pub(super) fn entries(cluster: &Cluster, all: &[Whose<'_>]) -> Vec<(ObjectRef, Entry)> {
    let of = |kind: Kind, meta: &ObjectMeta, scope: &Scope<'_>| entry(cluster, all, (kind, meta, scope));
    let filters = cluster.all::<EnvoyFilter>().map(|it| of(Kind::EnvoyFilter, &it.meta, &it.scope()));
    let plugins = cluster.all::<WasmPlugin>().map(|it| of(Kind::WasmPlugin, &it.meta, &it.scope()));
    let configs = cluster.all::<ProxyConfig>().map(|it| of(Kind::ProxyConfig, &it.meta, &it.scope()));
    filters.chain(plugins).chain(configs).collect()
}

fn entry(
    cluster: &Cluster,
    all: &[Whose<'_>],
    (kind, meta, scope): (Kind, &ObjectMeta, &Scope<'_>),
) -> (ObjectRef, Entry) {
    let home = Home::new(&meta.namespace, cluster.mesh().root_namespace());
    let mut entry = Entry { generation: meta.generation, ..Entry::default() };
    if all.iter().any(|whose| home.guards(scope, *whose)) {
        let message = format!("{kind} is not served by this version, so it has no effect on proxies of Torana");
        entry.remarks.push(Remark::error("NotServed", "kind", message, instead(kind)));
        entry.conditions.push(conditions::accepted(&entry.remarks));
    } else {
        entry.remarks.push(Remark::note("NoListener", "spec", "it is for no listener of Torana", ""));
    }
    (ObjectRef::new(kind, &meta.namespace, &meta.name), entry)
}

/// What to use in its place.
fn instead(kind: Kind) -> &'static str {
    match kind {
        Kind::EnvoyFilter => {
            "there is no Envoy to patch: write what it is for as a VirtualService, a DestinationRule, a Telemetry, a filter \
             of a route, or spec.client of GatewayParameters"
        }
        Kind::WasmPlugin => {
            "have a server decide: an AuthorizationPolicy with action CUSTOM, or the ExternalAuth filter of an HTTPRoute"
        }
        _ => "write spec.client and spec.workers of GatewayParameters",
    }
}
