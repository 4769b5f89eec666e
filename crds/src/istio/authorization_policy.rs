// SPDX-License-Identifier: Apache-2.0
//! AuthorizationPolicy of `security.istio.io`: which requests are let through, and which are not. Values are as
//! written; [`problems`](AuthorizationPolicy::problems) judges them. Never judges a request.
//!
//! A list that is empty asks for nothing, as one that is absent: Istio reads `from: []` so too. A `null` among the
//! items of a list is unreadable, because Istio's reading of it, `{}`, is everybody.

use serde::Deserialize;

use crate::istio::destination_rule::WorkloadSelector;
use crate::istio::scalars::words;
use crate::istio::security::{PolicyTarget, Scope};
use crate::meta::ObjectMeta;

/// The annotation of a policy that only tells what it would do.
pub(super) const DRY_RUN: &str = "istio.io/dry-run";

/// `security.istio.io` AuthorizationPolicy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AuthorizationPolicy {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// What it says. `{}` lets nobody in.
    #[serde(default)]
    pub spec: AuthorizationPolicySpec,
}

/// `AuthorizationPolicy`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthorizationPolicySpec {
    /// Pods with these labels.
    pub selector: Option<WorkloadSelector>,
    /// The same as an only entry of `target_refs`, deprecated.
    pub target_ref: Option<PolicyTarget>,
    /// Objects of its namespace.
    pub target_refs: Vec<PolicyTarget>,
    /// One of them must match; none: the policy matches no request.
    pub rules: Vec<Rule>,
    /// What is done with a request that matches.
    pub action: PolicyAction,
    /// Who is asked; with [`PolicyAction::Custom`] only.
    pub provider: Option<ExtensionProvider>,
}

words! {
    /// `AuthorizationPolicy.Action`.
    #[derive(Default)]
    PolicyAction {
        /// It is let through, and what no policy of this action matches is not. Also what an absent action means.
        #[default]
        Allow = "ALLOW",
        /// It is refused, whatever else allows it.
        Deny = "DENY",
        /// It is written to a log, if there is one. It decides nothing.
        Audit = "AUDIT",
        /// A provider is asked, before any other policy.
        Custom = "CUSTOM",
    }
}

/// `AuthorizationPolicy.ExtensionProvider`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ExtensionProvider {
    /// Its name in `extensionProviders` of MeshConfig.
    pub name: String,
}

/// `Rule`: one of `from`, one of `to` and all of `when` must match. An empty list asks for nothing, so `{}` matches
/// every request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// Who sends it.
    pub from: Vec<From>,
    /// What it is.
    pub to: Vec<To>,
    /// Further conditions.
    pub when: Vec<Condition>,
}

/// `Rule.From`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct From {
    /// An absent one is empty, and refused by `problems()` as that.
    pub source: Source,
}

/// `Rule.To`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct To {
    /// An absent one is empty, and refused by `problems()` as that.
    pub operation: Operation,
}

/// `Source`: of each list that is not empty one value must match, and of each `not_…` none. `*` alone is any value,
/// `x*` one that begins with it, `*x` one that ends with it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Source {
    /// Identities of client certificates, without `spiffe://`: `cluster.local/ns/default/sa/web`.
    pub principals: Vec<String>,
    /// Those that it must not have.
    pub not_principals: Vec<String>,
    /// `issuer/subject` of a token.
    pub request_principals: Vec<String>,
    /// Those that it must not have.
    pub not_request_principals: Vec<String>,
    /// Namespaces of client certificates; here `*` may stand anywhere.
    pub namespaces: Vec<String>,
    /// Those that it must not have.
    pub not_namespaces: Vec<String>,
    /// `account` of the policy's namespace, or `namespace/account`; without `*`.
    pub service_accounts: Vec<String>,
    /// Those that it must not have.
    pub not_service_accounts: Vec<String>,
    /// Trust domains of client certificates; without `/`.
    pub trust_domains: Vec<String>,
    /// Those that it must not have.
    pub not_trust_domains: Vec<String>,
    /// Addresses and subnets of the connection.
    pub ip_blocks: Vec<String>,
    /// Those that it must not have.
    pub not_ip_blocks: Vec<String>,
    /// Addresses and subnets of the client, as `X-Forwarded-For` or the PROXY protocol has it.
    pub remote_ip_blocks: Vec<String>,
    /// Those that it must not have.
    pub not_remote_ip_blocks: Vec<String>,
}

/// `Operation`: of each list that is not empty one value must match, and of each `not_…` none. `*` as in [`Source`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Operation {
    /// Hosts, in any case.
    pub hosts: Vec<String>,
    /// Those that it must not have.
    pub not_hosts: Vec<String>,
    /// Ports, 0 to 65535.
    pub ports: Vec<String>,
    /// Those that it must not have.
    pub not_ports: Vec<String>,
    /// Methods.
    pub methods: Vec<String>,
    /// Those that it must not have.
    pub not_methods: Vec<String>,
    /// Paths without the query. `{*}` stands for one segment, `{**}` for any number of them.
    pub paths: Vec<String>,
    /// Those that it must not have.
    pub not_paths: Vec<String>,
}

/// `Condition`: one of `values` must match, if there are any, and none of `not_values`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// What is looked at, such as `request.headers[x-user]`.
    pub key: String,
    /// Those that it may have.
    pub values: Vec<String>,
    /// Those that it must not have.
    pub not_values: Vec<String>,
}

impl AuthorizationPolicy {
    /// Whom it is for.
    pub fn scope(&self) -> Scope<'_> {
        Scope::new(self.spec.selector.as_ref(), self.spec.target_ref.as_ref(), &self.spec.target_refs)
    }

    /// Whether it only tells what it would do. A value that is no truth value is `false`: it is in force.
    pub fn is_dry_run(&self) -> bool {
        self.meta.annotations.get(DRY_RUN).and_then(|value| truth(value)).unwrap_or_default()
    }
}

/// A truth value as Go's `strconv.ParseBool` reads it.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}
