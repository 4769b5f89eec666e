// SPDX-License-Identifier: Apache-2.0
//! What Istio's CRDs (CEL, limits) and webhook say about one object by itself, as [`Violation`]s: an error where they
//! refuse it, a warning where they warn. Pure: every call judges the whole object anew, so ask once.
//!
//! Never compiles an expression (that is the program's), never looks at another object.

mod facts;

mod format;

mod shared;

mod gateway;

mod http_policy;

mod http;

mod streams;

mod virtual_service;

mod load_balancer;

mod destination_rule;

mod service_entry;

mod mesh_config;

mod security;

mod policy_values;

mod authorization_policy;

mod key_set;

mod request_authentication;

mod telemetry;

use crate::istio::mesh_config::MeshConfig;
use crate::istio::{
    AuthorizationPolicy, DestinationRule, IstioGateway, RequestAuthentication, ServiceEntry, Telemetry, VirtualService,
    WorkloadEntry,
};
use crate::violation::{At, Findings, Violation};

/// What one kind's rules find.
fn found(judge: impl FnOnce(&At<'_>, &mut Findings)) -> Vec<Violation> {
    let mut findings = Findings::default();
    judge(&At::Root, &mut findings);
    findings.list
}

impl IstioGateway {
    /// What is wrong with it, or hardly meant.
    pub fn problems(&self) -> Vec<Violation> {
        found(|root, found| gateway::judge(self, root, found))
    }
}

impl VirtualService {
    /// What is wrong with it, or hardly meant. `*` among hosts of sidecars is a warning: Istio refuses it, Torana may
    /// not.
    pub fn problems(&self) -> Vec<Violation> {
        found(|root, found| virtual_service::judge(self, root, found))
    }
}

impl DestinationRule {
    /// What is wrong with it, or hardly meant.
    pub fn problems(&self) -> Vec<Violation> {
        found(|root, found| destination_rule::judge(self, root, found))
    }
}

impl ServiceEntry {
    /// What is wrong with it, or hardly meant.
    pub fn problems(&self) -> Vec<Violation> {
        found(|root, found| service_entry::judge(self, root, found))
    }
}

impl MeshConfig {
    /// Why Istio would refuse it.
    pub fn problems(&self) -> Vec<Violation> {
        found(|root, found| mesh_config::judge(self, root, found))
    }
}

impl WorkloadEntry {
    /// What is wrong with it, or hardly meant. An address that is a name is fine where the ServiceEntry asks DNS.
    pub fn problems(&self) -> Vec<Violation> {
        found(|root, found| {
            service_entry::workload(&self.spec, &root.field("spec"), service_entry::Named::Allowed, found);
        })
    }
}

impl AuthorizationPolicy {
    /// What is wrong with it, or hardly meant. Whether its provider exists is the mesh's to say, and whether a target
    /// does: nobody is asked here.
    pub fn problems(&self) -> Vec<Violation> {
        found(|root, found| authorization_policy::judge(self, root, found))
    }
}

impl RequestAuthentication {
    /// What is wrong with it, or hardly meant. Never quotes a key.
    pub fn problems(&self) -> Vec<Violation> {
        found(|root, found| request_authentication::judge(self, root, found))
    }
}

impl Telemetry {
    /// What is wrong with it, or hardly meant. Never compiles an expression.
    pub fn problems(&self) -> Vec<Violation> {
        found(|root, found| telemetry::judge(self, root, found))
    }
}
