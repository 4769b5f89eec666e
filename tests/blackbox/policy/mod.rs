// SPDX-License-Identifier: Apache-2.0
//! Istio's security policies as clients see them: who may do what, whose tokens are believed, and what they are told who
//! are not let through.

pub(crate) mod issuer;

mod admission;

mod asking;

mod paths;

mod tokens;

use torana_tests::{Backend, World};

use super::manifests::object;

/// Istio's API.
const API: &str = "security.istio.io/v1";

/// A policy for every gateway of the mesh.
fn policy(name: &str, spec: &str) -> String {
    object(API, "AuthorizationPolicy", &format!("istio-system/{name}"), spec)
}

/// Whose tokens every gateway of the mesh believes.
fn authentication(rules: &str) -> String {
    object(API, "RequestAuthentication", "istio-system/tokens", &format!("jwtRules: [{rules}]"))
}

/// A gateway with a route of everything to `backend`, and these policies.
fn world(backend: &Backend, policies: &str) -> World {
    let manifests =
        World::gateway().to_owned() + &World::service("app", backend.port) + &World::catch_all("all", "app");
    World::start(&(manifests + policies))
}
