// SPDX-License-Identifier: Apache-2.0
//! `MeshConfig`: what holds for a whole mesh, as a text of YAML in a ConfigMap. Only what an edge obeys is decoded; what
//! would concern one and is not obeyed is told by [`unheeded`], and the rest is other people's. Never reads the text.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::istio::connection_pool::{ConnectionPool, OutlierDetection};
use crate::istio::duration;
use crate::istio::extension_provider::ExtensionProvider;
use crate::istio::http_policy::Retries;
use crate::istio::load_balancer::LocalityLb;
use crate::istio::names::Export;
use crate::istio::scalars::{Decimal, text, words};
use crate::istio::telemetry::CustomTag;
use crate::meta::LabelSelector;

/// `MeshConfig` of `istio.io/api`, as far as it is obeyed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshConfig {
    /// How paths of requests are normalised.
    pub path_normalization: PathNormalization,
    /// Of a connection to an endpoint; `None`: 10 s where a DestinationRule has a connection pool.
    #[serde(deserialize_with = "duration::optional")]
    pub connect_timeout: Option<Duration>,
    /// Of rules of VirtualServices that have none.
    pub default_http_retry_policy: Option<Retries>,
    /// Of rules that say nothing of near endpoints.
    pub locality_lb_setting: Option<LocalityLb>,
    /// In place of the blocks that no DestinationRule has.
    pub default_traffic_policy: DefaultTrafficPolicy,
    /// Of Services and ServiceEntries that have none.
    pub default_service_export_to: Vec<Export>,
    /// Of VirtualServices that have none.
    pub default_virtual_service_export_to: Vec<Export>,
    /// Of DestinationRules that have none.
    pub default_destination_rule_export_to: Vec<Export>,
    /// Where the rules for the whole mesh are; `None`: `istio-system`.
    #[serde(deserialize_with = "text")]
    pub root_namespace: Option<String>,
    /// Of the identities of the mesh; `None`: `cluster.local`.
    #[serde(deserialize_with = "text")]
    pub trust_domain: Option<String>,
    /// Whose identities count as those of the trust domain.
    pub trust_domain_aliases: Vec<String>,
    /// Whether workloads of the mesh are spoken to in mutual TLS without being asked for it; `None`: they are.
    pub enable_auto_mtls: Option<bool>,
    /// Further authorities of workloads.
    pub ca_certificates: Vec<CaCertificate>,
    /// Others whom policies have asked or told.
    pub extension_providers: Vec<ExtensionProvider>,
    /// Who is told where a Telemetry names nobody.
    pub default_providers: DefaultProviders,
    /// Namespaces that are looked into; empty: all.
    pub discovery_selectors: Vec<LabelSelector>,
    /// `ProxyConfig` of all proxies, as it is written: little of it concerns an edge.
    pub default_config: Value,
}

/// `MeshConfig.DefaultProviders`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DefaultProviders {
    /// Of spans; only the first is told.
    pub tracing: Vec<String>,
    /// Of metrics.
    pub metrics: Vec<String>,
    /// Of lines of the access log.
    pub access_logging: Vec<String>,
}

/// `MeshConfig.CertificateData`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CaCertificate {
    /// One or more certificates.
    #[serde(deserialize_with = "text")]
    pub pem: Option<String>,
    /// Where they are fetched from instead.
    #[serde(deserialize_with = "text")]
    pub spiffe_bundle_url: Option<String>,
    /// Who signs with them: it makes no difference to who checks.
    pub cert_signers: Vec<String>,
    /// Whose workloads they vouch for; empty: everybody's.
    pub trust_domains: Vec<String>,
}

impl CaCertificate {
    /// Whether it vouches for workloads of this trust domain, as that stands in identities.
    pub fn vouches_for(&self, domain: &str) -> bool {
        self.trust_domains.is_empty() || self.trust_domains.iter().any(|own| in_identities(own) == domain)
    }
}

/// A trust domain as istiod writes it.
fn in_identities(domain: &str) -> String {
    domain.replace('@', ".")
}

/// `ProxyPathNormalization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct PathNormalization {
    /// The form.
    pub normalization: NormalizationType,
}

words! {
    /// `NormalizationType`.
    #[derive(Default)]
    NormalizationType {
        /// `BASE`.
        #[default]
        Default = "DEFAULT",
        /// As it came.
        None = "NONE",
        /// Dot segments resolved, `\` → `/`.
        Base = "BASE",
        /// And `//` → `/`.
        MergeSlashes = "MERGE_SLASHES",
        /// And before both `%2F` and `%5C` → `/`.
        DecodeAndMergeSlashes = "DECODE_AND_MERGE_SLASHES",
    }
}

/// `DefaultTrafficPolicy`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DefaultTrafficPolicy {
    /// How many connections and requests.
    pub connection_pool: Option<ConnectionPool>,
    /// Which endpoints are left out for a while.
    pub outlier_detection: Option<OutlierDetection>,
}

/// Istio honours only `.` and `*` as the default of DestinationRules.
const OWN: &[Export] = &[Export::Own];

impl MeshConfig {
    /// The trust domain, and then its aliases, as they stand in identities.
    pub fn trust_domains(&self) -> impl Iterator<Item = String> {
        let own = self.trust_domain.as_deref().unwrap_or("cluster.local");
        let all = std::iter::once(own).chain(self.trust_domain_aliases.iter().map(String::as_str));
        all.map(in_identities)
    }

    /// Whether workloads of the mesh are spoken to in mutual TLS without being asked for it.
    pub fn is_auto_mtls(&self) -> bool {
        self.enable_auto_mtls != Some(false)
    }

    /// Whether backends are told of certificates that clients were verified by (`forwardClientCertDetails`; Istio's
    /// gateways do unless that is `SANITIZE`).
    pub fn forwards_client_certificates(&self) -> bool {
        let written = self.default_config.pointer("/gatewayTopology/forwardClientCertDetails");
        !written.is_some_and(|written| written == "SANITIZE" || *written == 1)
    }

    /// HTTP proxies before gateways whose word about clients counts (`numTrustedProxies`).
    pub fn trusted_hops(&self) -> u8 {
        let written = self.default_config.pointer("/gatewayTopology/numTrustedProxies");
        let hops = written.and_then(Value::as_u64).unwrap_or_default();
        u8::try_from(hops).unwrap_or(u8::MAX)
    }

    /// Whether connections to gateways begin with the PROXY protocol.
    pub fn has_proxy_protocol(&self) -> bool {
        self.default_config.pointer("/gatewayTopology/proxyProtocol").is_some_and(|written| !written.is_null())
    }

    /// So many percent of requests are traced where no Telemetry says how many (`defaultConfig.tracing.sampling`); `None`: 1.
    pub fn sampling(&self) -> Option<Decimal> {
        let written = self.default_config.pointer("/tracing/sampling").cloned();
        written.and_then(|written| serde_json::from_value(written).ok()).filter(|it| *it != Decimal::default())
    }

    /// Attributes of spans where no Telemetry has any (`defaultConfig.tracing.customTags`).
    pub fn tags(&self) -> BTreeMap<String, CustomTag> {
        let written = self.default_config.pointer("/tracing/customTags").cloned();
        written.and_then(|written| serde_json::from_value(written).ok()).unwrap_or_default()
    }

    /// `exportTo` of a Service or a ServiceEntry.
    pub fn service_export<'e>(&'e self, written: &'e [Export]) -> &'e [Export] {
        if written.is_empty() { &self.default_service_export_to } else { written }
    }

    /// `exportTo` of a VirtualService.
    pub fn virtual_service_export<'e>(&'e self, written: &'e [Export]) -> &'e [Export] {
        if written.is_empty() { &self.default_virtual_service_export_to } else { written }
    }

    /// `exportTo` of a DestinationRule.
    pub fn destination_rule_export<'e>(&'e self, written: &'e [Export]) -> &'e [Export] {
        let is_private = written.is_empty() && self.default_destination_rule_export_to.contains(&Export::Own);
        if is_private { OWN } else { written }
    }
}

/// A field that would concern an edge and is not obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unheeded {
    /// Where it is: `defaultConfig.proxyHeaders`.
    pub path: &'static str,
    /// What is done instead.
    pub follows: &'static str,
    /// Clients or backends may see a difference; otherwise only who looks at the mesh does.
    pub is_grave: bool,
}

const fn grave(path: &'static str, follows: &'static str) -> Unheeded {
    Unheeded { path, follows, is_grave: true }
}

const fn slight(path: &'static str, follows: &'static str) -> Unheeded {
    Unheeded { path, follows, is_grave: false }
}

const OWN_LOG: &str = "Torana's access log is as it is";
const ALIKE: &str = "all endpoints are alike";
const NO_INGRESS: &str = "no Ingress is served";

const FORWARDED: &str = "defaultConfig.gatewayTopology.forwardClientCertDetails";

const UNHEEDED: [Unheeded; 18] = [
    grave("meshMTLS", "TLS 1.2 and 1.3 are spoken with workloads, with the usual ciphers"),
    grave("tlsDefaults", "TLS 1.2 and 1.3 are spoken with the usual ciphers"),
    grave("tcpKeepalive", "connections are kept as the system does"),
    grave("zoneAwareLbSetting", ALIKE),
    slight("outboundTrafficPolicy", "a host that is no service gets 503"),
    grave("h2UpgradePolicy", "the port or its DestinationRule decides what is spoken"),
    grave("serviceSettings", ALIKE),
    grave("serviceScopeConfigs", ALIKE),
    slight("accessLogFile", OWN_LOG),
    slight("accessLogFormat", OWN_LOG),
    slight("accessLogEncoding", OWN_LOG),
    slight("enableTracing", "spans go to defaultProviders.tracing, and to providers of Telemetry"),
    grave("ingressClass", NO_INGRESS),
    grave("ingressControllerMode", NO_INGRESS),
    grave("ingressService", NO_INGRESS),
    grave("ingressSelector", NO_INGRESS),
    grave(
        FORWARDED,
        "what a client says of a certificate is dropped, and backends are told of the one that it was verified by",
    ),
    grave("defaultConfig.proxyHeaders", "headers are as Torana always writes them"),
];

/// Fields of sidecars, of istiod itself, or of what nobody has any more.
const OTHERS: [&str; 19] = [
    "ca",
    "certificates",
    "configSources",
    "disableEnvoyListenerLog",
    "dnsRefreshRate",
    "enableEnvoyAccessLogService",
    "enablePrometheusMerge",
    "hboneIdleTimeout",
    "inboundClusterStatName",
    "inboundTrafficPolicy",
    "meshNetworks",
    "outboundClusterStatName",
    "protocolDetectionTimeout",
    "proxyHttpPort",
    "proxyInboundListenPort",
    "proxyListenPort",
    "sdsUdsPath",
    "serviceEntryVisibility",
    "verifyCertificateAtClient",
];

/// Whether a field that is not decoded is one of Istio's.
pub(crate) fn is_known(path: &str) -> bool {
    OTHERS.contains(&path) || UNHEEDED.iter().any(|field| field.path == path)
}

/// Fields of a map that would concern an edge and are not obeyed, in the order of their groups. What they say by default
/// is what is done in any case.
pub fn unheeded(value: &Value) -> impl Iterator<Item = &'static Unheeded> {
    let written = move |field: &&Unheeded| {
        let found = field.path.split('.').try_fold(value, |value, name| value.get(name));
        found.is_some_and(|found| match (field.path, found) {
            (_, Value::Null) => false,
            (FORWARDED, found) => !["UNDEFINED", "SANITIZE", "SANITIZE_SET"].iter().any(|done| found == done),
            ("enableTracing", found) => *found == Value::Bool(true),
            (_, Value::String(text)) => !text.is_empty(),
            (_, Value::Array(items)) => !items.is_empty(),
            (_, Value::Object(fields)) => !fields.is_empty(),
            (_, Value::Number(number)) => number.as_i64() != Some(0),
            (_, Value::Bool(_)) => true,
        })
    };
    UNHEEDED.iter().filter(written)
}
