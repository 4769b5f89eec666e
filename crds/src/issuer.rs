// SPDX-License-Identifier: Apache-2.0
//! `torana.dev` AcmeIssuer and ClusterAcmeIssuer: whom certificates are obtained from by ACME (RFC 8555), and how it is
//! shown that names are ours. What is written above a field here is what `kubectl explain` shows. Never reads a Secret,
//! and refuses nothing that the types can hold: what a value means, and whether it can be, is the controller's to say.

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::duration;
use crate::kind::{Kind, ObjectRef};
use crate::meta::ObjectMeta;

/// Entry of the Secret of an external account binding.
const HMAC: &str = "hmac";
/// Entry of the Secret of a TSIG key.
const SECRET: &str = "secret";
/// How long a record is waited for; the schema writes it for people.
const PROPAGATION: Duration = Duration::from_mins(2);

/// `torana.dev/v1alpha1` AcmeIssuer: for Gateways and ListenerSets of its own namespace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AcmeIssuer {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    pub spec: AcmeIssuerSpec,
}

/// `torana.dev/v1alpha1` ClusterAcmeIssuer: for those of every namespace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ClusterAcmeIssuer {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    pub spec: AcmeIssuerSpec,
}

/// Whom certificates are obtained from by ACME (RFC 8555), and how it is shown that names are ours. Gateways and
/// ListenerSets name it by the annotation torana.dev/acme: an AcmeIssuer those of its own namespace, a ClusterAcmeIssuer
/// those of every namespace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcmeIssuerSpec {
    /// Directory of the authority, such as https://acme-v02.api.letsencrypt.org/directory. Whoever uses this issuer agrees to
    /// the authority's terms of service.
    #[schemars(schema_with = "directory")]
    pub directory: String,
    /// Where the authority may write to about the account.
    #[schemars(length(max = 254), regex(pattern = "^[-A-Za-z0-9!#$&'*+/=^_`{|}~.]{1,64}@[-A-Za-z0-9.]+$"))]
    pub email: Option<String>,
    /// An account with the authority that the ACME account is bound to (RFC 8555, 7.3.4), for authorities that ask for one.
    pub external_account_binding: Option<ExternalAccountBinding>,
    /// Certificates in PEM: whom the authority's own HTTPS is checked against. By default those that Mozilla trusts.
    #[schemars(length(min = 1, max = 65_536))]
    pub ca_bundle: Option<String>,
    /// Profile of certificates, one of those that the directory lists, such as shortlived; by default that of the authority.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[!-~]+$"))]
    pub profile: Option<String>,
    /// What keys of certificates are made.
    #[serde(default)]
    pub key_type: KeyType,
    /// How it is shown that a host is ours: the first one that is for the host counts. Where none is, or there are none, by
    /// HTTP-01 if there is a listener for HTTP at port 80, else by TLS-ALPN-01.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub challenges: Vec<Challenge>,
    /// Whether Torana looks, before the authority is asked, that names lead here: what fails at the authority counts against
    /// its limits.
    #[serde(default)]
    pub self_check: SelfCheck,
    /// Who may have how much.
    pub limits: Option<IssuerLimits>,
    /// Certificates that are obtained when a client asks for their name: for listeners without a hostname, or with a
    /// wildcard, of Gateways and ListenerSets with the annotation torana.dev/acme-on-demand: "true".
    pub on_demand: Option<OnDemand>,
}

/// An account with the authority, which the ACME account is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAccountBinding {
    /// What the authority calls the key.
    #[serde(rename = "keyID")]
    #[schemars(length(min = 1, max = 512), regex(pattern = "^[!-~]+$"))]
    pub key_id: String,
    /// Where the key is, in base64url, as authorities give it.
    #[serde(deserialize_with = "with_hmac")]
    #[schemars(schema_with = "hmac_ref")]
    pub secret_ref: SecretEntryRef,
}

/// One entry of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SecretEntryRef {
    /// Of a ClusterAcmeIssuer, and only there, the namespace of the Secret.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The entry; its default is that of the field.
    #[serde(default)]
    pub key: String,
}

impl SecretEntryRef {
    /// With this entry where none is written.
    fn or_entry(mut self, usual: &str) -> Self {
        if self.key.is_empty() {
            usual.clone_into(&mut self.key);
        }
        self
    }

    /// The Secret meant, seen from namespace `local`.
    pub fn target(&self, local: &str) -> ObjectRef {
        ObjectRef::new(Kind::Secret, self.namespace.as_deref().unwrap_or(local), &self.name)
    }
}

/// A Secret, with all of its entries.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WholeSecretRef {
    /// Of a ClusterAcmeIssuer, and only there, the namespace of the Secret.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl WholeSecretRef {
    /// The Secret meant, seen from namespace `local`.
    pub fn target(&self, local: &str) -> ObjectRef {
        ObjectRef::new(Kind::Secret, self.namespace.as_deref().unwrap_or(local), &self.name)
    }
}

/// What keys are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum KeyType {
    /// ECDSA on P-256.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
    /// RSA of 2048 bits.
    #[serde(rename = "RSA2048")]
    Rsa2048,
    /// RSA of 4096 bits.
    #[serde(rename = "RSA4096")]
    Rsa4096,
}

/// Whether Torana looks itself before the authority does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum SelfCheck {
    /// The authority is asked once names lead here.
    #[default]
    Required,
    /// It is asked at once: where names lead here for others only.
    Skip,
}

/// How it is shown that hosts are ours.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"message": "type DNS01 needs dns01, and no other has it", "rule": "has(self.dns01) == (self.type == 'DNS01')"},
]))]
pub struct Challenge {
    /// Which hosts it is for, such as shop.example.com, or *.example.com for all below example.com; by default all.
    #[serde(default)]
    #[schemars(schema_with = "challenge_hosts")]
    pub hosts: Option<Vec<String>>,
    /// What the authority looks at. Certificates for *.example.com are to be had by DNS01 only.
    #[serde(rename = "type")]
    pub challenge_type: ChallengeType,
    /// Who writes the records of DNS01.
    pub dns01: Option<Box<Dns01>>,
}

/// What the authority looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ChallengeType {
    /// An answer at port 80 of the host (RFC 8555, 8.3).
    #[serde(rename = "HTTP01")]
    Http01,
    /// A certificate at port 443 of the host (RFC 8737).
    #[serde(rename = "TLSALPN01")]
    TlsAlpn01,
    /// A TXT record of the host (RFC 8555, 8.4).
    #[serde(rename = "DNS01")]
    Dns01,
}

/// Who writes records, and how long they are waited for. Exactly one of rfc2136, webhook and exec is given.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"message": "exactly one of rfc2136, webhook and exec must be given",
     "rule": "(has(self.rfc2136) ? 1 : 0) + (has(self.webhook) ? 1 : 0) + (has(self.exec) ? 1 : 0) == 1"},
]))]
pub struct Dns01 {
    /// A DNS server that takes updates.
    pub rfc2136: Option<Rfc2136>,
    /// A server of yours that is asked to write them.
    pub webhook: Option<DnsWebhook>,
    /// A program that is run to write them. Only where there is no cluster: controllers in a cluster run no programs.
    pub exec: Option<DnsExec>,
    /// How long a record is waited for before the authority is asked; at most 1h.
    #[serde(default = "usual_propagation", deserialize_with = "duration::written")]
    #[schemars(schema_with = "propagation", extend("default" = "2m"))]
    pub propagation: Duration,
    /// Addresses of DNS servers that are asked whether the record is there, such as 1.1.1.1:53; by default the system's.
    #[serde(default)]
    #[schemars(schema_with = "nameservers")]
    pub nameservers: Option<Vec<String>>,
}

/// A DNS server that takes updates (RFC 2136).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Rfc2136 {
    /// HOST:PORT of the server, such as ns1.example.com:53.
    #[schemars(length(max = 260), regex(pattern = r"^(\[[0-9A-Fa-f:.]+\]|[-A-Za-z0-9.]+):[0-9]{1,5}$"))]
    pub server: String,
    /// Zone that is updated; by default the one that the server names for the record.
    #[schemars(
        length(max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub zone: Option<String>,
    /// What updates are signed with (RFC 8945); by default they are not.
    pub tsig: Option<Tsig>,
}

/// What updates are signed with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tsig {
    /// Name of the key, a name of DNS.
    #[schemars(length(max = 253), regex(pattern = "^[-A-Za-z0-9_]+([.][-A-Za-z0-9_]+)*[.]?$"))]
    pub key_name: String,
    /// What is made with it.
    pub algorithm: TsigAlgorithm,
    /// Where the key is, in base64.
    #[serde(deserialize_with = "with_secret")]
    #[schemars(schema_with = "tsig_ref")]
    pub secret_ref: SecretEntryRef,
}

/// Algorithm of a TSIG key (RFC 8945, 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TsigAlgorithm {
    /// HMAC with SHA-256.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// HMAC with SHA-384.
    #[serde(rename = "hmac-sha384")]
    HmacSha384,
    /// HMAC with SHA-512.
    #[serde(rename = "hmac-sha512")]
    HmacSha512,
}

/// A server that is asked to write records.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DnsWebhook {
    /// Where it is asked.
    #[schemars(schema_with = "webhook_url")]
    pub url: String,
    /// Certificates in PEM: whom the server is checked against. By default those that Mozilla trusts.
    #[schemars(length(min = 1, max = 65_536))]
    pub ca_bundle: Option<String>,
    /// Secret whose entries are headers of the requests, such as authorization.
    #[serde(default)]
    #[schemars(schema_with = "headers_ref")]
    pub headers_secret_ref: Option<WholeSecretRef>,
}

/// A program that is run to write records.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub struct DnsExec {
    /// The program and its arguments; no shell reads them.
    #[schemars(schema_with = "command")]
    pub command: Vec<String>,
}

/// Who may have how much.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerLimits {
    /// Most certificates for Gateways and ListenerSets of one namespace; by default any number.
    #[schemars(range(min = 1, max = 100_000))]
    pub certificates_per_namespace: Option<u32>,
    /// Who may have which hosts, and nobody any other. By default every namespace may have every host. Only of a
    /// ClusterAcmeIssuer.
    #[serde(default)]
    #[schemars(length(min = 1, max = 256))]
    pub allowed_hosts: Option<Vec<AllowedHosts>>,
}

/// Hosts that some namespaces may have certificates for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct AllowedHosts {
    /// Whose Gateways and ListenerSets.
    #[schemars(schema_with = "namespaces")]
    pub namespaces: Vec<String>,
    /// Which hosts, such as a.example.com, or *.a.example.com for all below it.
    #[schemars(schema_with = "allowed_hosts")]
    pub hosts: Vec<String>,
}

/// Which names get certificates when clients ask for them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct OnDemand {
    /// Who says so. Without such a service anybody could have certificates ordered without end.
    pub ask: AskService,
}

/// A server of yours that knows which names are yours, such as domains of your customers. It is asked by
/// GET URL?domain=NAME: an answer of 2xx agrees, and one of 4xx, but for 429, does not. It is asked again once a day, and
/// a certificate of a name that it does not agree to any more is neither served nor renewed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskService {
    /// Where it is asked. In a ClusterAcmeIssuer it may begin with http://.
    #[schemars(schema_with = "ask_url")]
    pub url: String,
    /// Certificates in PEM: whom the server is checked against. By default those that Mozilla trusts.
    #[schemars(length(min = 1, max = 65_536))]
    pub ca_bundle: Option<String>,
    /// Secret whose entries are headers of the requests, such as authorization; only with https://.
    #[serde(default)]
    #[schemars(schema_with = "headers_ref")]
    pub headers_secret_ref: Option<WholeSecretRef>,
}

fn usual_propagation() -> Duration {
    PROPAGATION
}

fn with_hmac<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretEntryRef, D::Error> {
    SecretEntryRef::deserialize(deserializer).map(|written| written.or_entry(HMAC))
}

fn with_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretEntryRef, D::Error> {
    SecretEntryRef::deserialize(deserializer).map(|written| written.or_entry(SECRET))
}

/// RFC 1123 label.
const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// RFC 1123 subdomain.
const SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A host of Gateway API.
const HOST: &str = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// An absolute URL of HTTPS without user and fragment.
const HTTPS: &str = r#"^https://[-A-Za-z0-9.:\[\]]+(/[!-"$-~]*)?$"#;

fn url() -> Schema {
    json_schema!({"type": "string", "maxLength": 2048, "pattern": HTTPS})
}

fn directory(_: &mut SchemaGenerator) -> Schema {
    url()
}

fn webhook_url(_: &mut SchemaGenerator) -> Schema {
    url()
}

fn ask_url(_: &mut SchemaGenerator) -> Schema {
    let pattern = HTTPS.replacen("https", "https?", 1);
    json_schema!({"type": "string", "maxLength": 2048, "pattern": pattern})
}

fn hosts(most: u32) -> Schema {
    let host = json!({"type": "string", "minLength": 1, "maxLength": 253, "pattern": HOST});
    json_schema!({"type": "array", "items": host, "minItems": 1, "maxItems": most})
}

fn challenge_hosts(_: &mut SchemaGenerator) -> Schema {
    hosts(64)
}

fn allowed_hosts(_: &mut SchemaGenerator) -> Schema {
    hosts(256)
}

fn namespaces(_: &mut SchemaGenerator) -> Schema {
    let namespace = json!({"type": "string", "minLength": 1, "maxLength": 63, "pattern": LABEL});
    json_schema!({"type": "array", "items": namespace, "minItems": 1, "maxItems": 256})
}

fn nameservers(_: &mut SchemaGenerator) -> Schema {
    let pattern = r"^(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]{1,5}$";
    let address = json!({"type": "string", "maxLength": 64, "pattern": pattern});
    json_schema!({"type": "array", "items": address, "minItems": 1, "maxItems": 8})
}

fn command(_: &mut SchemaGenerator) -> Schema {
    let word = json!({"type": "string", "maxLength": 4096});
    json_schema!({"type": "array", "items": word, "minItems": 1, "maxItems": 64})
}

fn propagation(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 16, "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"})
}

fn hmac_ref(_: &mut SchemaGenerator) -> Schema {
    entry_ref(HMAC)
}

fn tsig_ref(_: &mut SchemaGenerator) -> Schema {
    entry_ref(SECRET)
}

fn headers_ref(_: &mut SchemaGenerator) -> Schema {
    secret_ref()
}

fn secret_ref() -> Schema {
    let namespace =
        "Namespace of the Secret: required in a ClusterAcmeIssuer, not allowed in an AcmeIssuer, whose own it is.";
    json_schema!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "namespace": {"type": "string", "description": namespace, "minLength": 1, "maxLength": 63, "pattern": LABEL},
            "name": {"type": "string", "description": "Name of the Secret.", "minLength": 1, "maxLength": 253,
                "pattern": SUBDOMAIN},
        },
    })
}

fn entry_ref(default: &str) -> Schema {
    let mut schema = Value::from(secret_ref());
    schema["properties"]["key"] = json!({"type": "string", "description": "Entry of the Secret.", "minLength": 1,
        "maxLength": 253, "pattern": "^[-._a-zA-Z0-9]+$", "default": default});
    schema.try_into().unwrap_or_default()
}
