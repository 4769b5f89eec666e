// SPDX-License-Identifier: Apache-2.0
//! Gateways and VirtualServices of Istio, from manifests to bytes: what teams bring along keeps doing what it did.
//!
//! What one request shows is a file of `cases/`; what takes a change of manifests, a clock or a script of a backend is a
//! test of its own.

mod rules;

mod filters;

mod case;

mod stage;

mod client;

mod calls;

mod cases;

use torana_tests::World;

use super::manifests::object;

/// Istio's API, in the version that most manifests are written in.
const API: &str = "networking.istio.io/v1beta1";

/// A Gateway `edge` of the ingress with one HTTP server on `${HTTP}`, for every host.
fn gateway() -> String {
    gateway_of("edge", "{port: {number: ${HTTP}, name: http, protocol: HTTP}, hosts: ['*']}")
}

fn gateway_of(name: &str, servers: &str) -> String {
    object(API, "Gateway", name, &format!("selector: {{istio: ingressgateway}}, servers: [{servers}]"))
}

/// A VirtualService for every host of `edge`, with these rules.
fn rules(http: &str) -> String {
    virtual_service("r", "'*'", http)
}

fn virtual_service(name: &str, hosts: &str, http: &str) -> String {
    object(API, "VirtualService", name, &format!("hosts: [{hosts}], gateways: [edge], http: [{http}]"))
}

/// A route to one Service.
fn to(service: &str) -> String {
    format!("route: [{{destination: {{host: {service}}}}}]")
}

fn world(http: &str, services: &str) -> World {
    World::start(&[gateway(), services.to_owned(), rules(http)].concat())
}
