// SPDX-License-Identifier: Apache-2.0
//! All that one fleet of proxies is programmed with, and the difference between two of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::access::AccessPolicy;
use crate::acme::AcmeHost;
use crate::backend::Backend;
use crate::certificate::Certificate;
use crate::endpoint::Endpoints;
use crate::key::{
    AcmeHostKey, BackendKey, CertificateKey, ListenerKey, PolicyKey, ProviderKey, RuleKey, TrustBundleKey,
};
use crate::listener::Listener;
use crate::provider::Provider;
use crate::rule::Rule;
use crate::shared::{Change, SharedMap};
use crate::stream::StreamRule;
use crate::token::TokenPolicy;
use crate::trust::TrustBundle;

/// The whole program of a fleet. A clone shares everything until it is changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Snapshot {
    /// Where clients connect.
    #[serde(serialize_with = "values")]
    pub listeners: SharedMap<ListenerKey, Arc<Listener>>,
    /// What TLS listeners serve, and what backends are shown.
    #[serde(serialize_with = "values")]
    pub certificates: SharedMap<CertificateKey, Arc<Certificate>>,
    /// What certificates of clients and of backends are checked against.
    #[serde(serialize_with = "values")]
    pub bundles: SharedMap<TrustBundleKey, Arc<TrustBundle>>,
    /// What is done with requests.
    #[serde(serialize_with = "values")]
    pub rules: SharedMap<RuleKey, Arc<Rule>>,
    /// Where streams go.
    #[serde(serialize_with = "values")]
    pub streams: SharedMap<RuleKey, Arc<StreamRule>>,
    /// Where requests and streams end up.
    #[serde(serialize_with = "values")]
    pub backends: SharedMap<BackendKey, Arc<Backend>>,
    /// Addresses of the backends.
    #[serde(serialize_with = "values")]
    pub endpoints: SharedMap<BackendKey, Arc<Endpoints>>,
    /// Whose certificates are obtained by ACME, and what authorities are told of them.
    #[serde(serialize_with = "values", skip_serializing_if = "SharedMap::is_empty")]
    pub acme_hosts: SharedMap<AcmeHostKey, Arc<AcmeHost>>,
    /// Who may do what.
    #[serde(serialize_with = "values", skip_serializing_if = "SharedMap::is_empty")]
    pub policies: SharedMap<PolicyKey, Arc<AccessPolicy>>,
    /// Whose tokens are believed.
    #[serde(serialize_with = "values", skip_serializing_if = "SharedMap::is_empty")]
    pub tokens: SharedMap<PolicyKey, Arc<TokenPolicy>>,
    /// Whom policies have asked or told.
    #[serde(serialize_with = "values", skip_serializing_if = "SharedMap::is_empty")]
    pub providers: SharedMap<ProviderKey, Arc<Provider>>,
}

fn values<K, V: Serialize, S: serde::Serializer>(map: &SharedMap<K, Arc<V>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(map.values())
}

/// One keyed object of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Resource {
    /// A listener.
    Listener(Arc<Listener>),
    /// A certificate.
    Certificate(Arc<Certificate>),
    /// A bundle of authorities.
    TrustBundle(Arc<TrustBundle>),
    /// A rule of requests.
    Rule(Arc<Rule>),
    /// A rule of streams.
    Stream(Arc<StreamRule>),
    /// A backend.
    Backend(Arc<Backend>),
    /// The endpoints of a backend.
    Endpoints(Arc<Endpoints>),
    /// A host whose certificate is obtained by ACME.
    AcmeHost(Arc<AcmeHost>),
    /// A policy.
    Policy(Arc<AccessPolicy>),
    /// Whose tokens are believed.
    Tokens(Arc<TokenPolicy>),
    /// An extension provider.
    Provider(Arc<Provider>),
}

impl Resource {
    /// What it is replaced and removed by.
    pub fn key(&self) -> ResourceKey {
        match self {
            Self::Listener(it) => ResourceKey::Listener(it.key.clone()),
            Self::Certificate(it) => ResourceKey::Certificate(it.key.clone()),
            Self::TrustBundle(it) => ResourceKey::TrustBundle(it.key.clone()),
            Self::Rule(it) => ResourceKey::Rule(it.key.clone()),
            Self::Stream(it) => ResourceKey::Stream(it.key.clone()),
            Self::Backend(it) => ResourceKey::Backend(it.key.clone()),
            Self::Endpoints(it) => ResourceKey::Endpoints(it.backend().clone()),
            Self::AcmeHost(it) => ResourceKey::AcmeHost(it.key.clone()),
            Self::Policy(it) => ResourceKey::Policy(it.key.clone()),
            Self::Tokens(it) => ResourceKey::Tokens(it.key.clone()),
            Self::Provider(it) => ResourceKey::Provider(it.key.clone()),
        }
    }
}

/// The key of a [`Resource`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ResourceKey {
    /// A listener.
    Listener(ListenerKey),
    /// A certificate.
    Certificate(CertificateKey),
    /// A bundle of authorities.
    TrustBundle(TrustBundleKey),
    /// A rule of requests.
    Rule(RuleKey),
    /// A rule of streams.
    Stream(RuleKey),
    /// A backend.
    Backend(BackendKey),
    /// The endpoints of a backend.
    Endpoints(BackendKey),
    /// A host whose certificate is obtained by ACME.
    AcmeHost(AcmeHostKey),
    /// A policy.
    Policy(PolicyKey),
    /// Whose tokens are believed.
    Tokens(PolicyKey),
    /// An extension provider.
    Provider(ProviderKey),
}

/// One generation: applied as a whole, so a rule never arrives before its backend or certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Delta {
    /// New and changed objects.
    pub upserts: Vec<Resource>,
    /// Objects that are gone.
    pub removals: Vec<ResourceKey>,
}

impl Delta {
    /// Nothing changed.
    pub fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.removals.is_empty()
    }
}

impl Snapshot {
    /// What turns `self` into `new`: `self.apply(self.diff(new)) == new`. Costs what they do not share.
    pub fn diff(&self, new: &Self) -> Delta {
        let mut delta = Delta::default();
        changes(&self.listeners, &new.listeners, &mut delta, Resource::Listener, ResourceKey::Listener);
        changes(&self.certificates, &new.certificates, &mut delta, Resource::Certificate, ResourceKey::Certificate);
        changes(&self.bundles, &new.bundles, &mut delta, Resource::TrustBundle, ResourceKey::TrustBundle);
        changes(&self.rules, &new.rules, &mut delta, Resource::Rule, ResourceKey::Rule);
        changes(&self.streams, &new.streams, &mut delta, Resource::Stream, ResourceKey::Stream);
        changes(&self.backends, &new.backends, &mut delta, Resource::Backend, ResourceKey::Backend);
        changes(&self.endpoints, &new.endpoints, &mut delta, Resource::Endpoints, ResourceKey::Endpoints);
        changes(&self.acme_hosts, &new.acme_hosts, &mut delta, Resource::AcmeHost, ResourceKey::AcmeHost);
        changes(&self.policies, &new.policies, &mut delta, Resource::Policy, ResourceKey::Policy);
        changes(&self.tokens, &new.tokens, &mut delta, Resource::Tokens, ResourceKey::Tokens);
        changes(&self.providers, &new.providers, &mut delta, Resource::Provider, ResourceKey::Provider);
        delta
    }

    /// One resource by its key.
    pub fn get(&self, key: &ResourceKey) -> Option<Resource> {
        match key {
            ResourceKey::Listener(key) => self.listeners.get(key).cloned().map(Resource::Listener),
            ResourceKey::Certificate(key) => self.certificates.get(key).cloned().map(Resource::Certificate),
            ResourceKey::TrustBundle(key) => self.bundles.get(key).cloned().map(Resource::TrustBundle),
            ResourceKey::Rule(key) => self.rules.get(key).cloned().map(Resource::Rule),
            ResourceKey::Stream(key) => self.streams.get(key).cloned().map(Resource::Stream),
            ResourceKey::Backend(key) => self.backends.get(key).cloned().map(Resource::Backend),
            ResourceKey::Endpoints(key) => self.endpoints.get(key).cloned().map(Resource::Endpoints),
            ResourceKey::AcmeHost(key) => self.acme_hosts.get(key).cloned().map(Resource::AcmeHost),
            ResourceKey::Policy(key) => self.policies.get(key).cloned().map(Resource::Policy),
            ResourceKey::Tokens(key) => self.tokens.get(key).cloned().map(Resource::Tokens),
            ResourceKey::Provider(key) => self.providers.get(key).cloned().map(Resource::Provider),
        }
    }

    /// Applies a delta; unknown removals are no error.
    pub fn apply(&mut self, delta: Delta) {
        for resource in delta.upserts {
            match resource {
                Resource::Listener(it) => drop(self.listeners.insert(it.key.clone(), it)),
                Resource::Certificate(it) => drop(self.certificates.insert(it.key.clone(), it)),
                Resource::TrustBundle(it) => drop(self.bundles.insert(it.key.clone(), it)),
                Resource::Rule(it) => drop(self.rules.insert(it.key.clone(), it)),
                Resource::Stream(it) => drop(self.streams.insert(it.key.clone(), it)),
                Resource::Backend(it) => drop(self.backends.insert(it.key.clone(), it)),
                Resource::Endpoints(it) => drop(self.endpoints.insert(it.backend().clone(), it)),
                Resource::AcmeHost(it) => drop(self.acme_hosts.insert(it.key.clone(), it)),
                Resource::Policy(it) => drop(self.policies.insert(it.key.clone(), it)),
                Resource::Tokens(it) => drop(self.tokens.insert(it.key.clone(), it)),
                Resource::Provider(it) => drop(self.providers.insert(it.key.clone(), it)),
            }
        }
        for key in &delta.removals {
            match key {
                ResourceKey::Listener(key) => drop(self.listeners.remove(key)),
                ResourceKey::Certificate(key) => drop(self.certificates.remove(key)),
                ResourceKey::TrustBundle(key) => drop(self.bundles.remove(key)),
                ResourceKey::Rule(key) => drop(self.rules.remove(key)),
                ResourceKey::Stream(key) => drop(self.streams.remove(key)),
                ResourceKey::Backend(key) => drop(self.backends.remove(key)),
                ResourceKey::Endpoints(key) => drop(self.endpoints.remove(key)),
                ResourceKey::AcmeHost(key) => drop(self.acme_hosts.remove(key)),
                ResourceKey::Policy(key) => drop(self.policies.remove(key)),
                ResourceKey::Tokens(key) => drop(self.tokens.remove(key)),
                ResourceKey::Provider(key) => drop(self.providers.remove(key)),
            }
        }
    }
}

fn changes<K: Ord + Clone, V: Eq>(
    old: &SharedMap<K, Arc<V>>,
    new: &SharedMap<K, Arc<V>>,
    delta: &mut Delta,
    resource: fn(Arc<V>) -> Resource,
    key_of: fn(K) -> ResourceKey,
) {
    for change in old.changes(new) {
        match change {
            Change::Put(_, value) => delta.upserts.push(resource(Arc::clone(value))),
            Change::Gone(key) => delta.removals.push(key_of(key.clone())),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
