// SPDX-License-Identifier: Apache-2.0
//! AcmeIssuers and ClusterAcmeIssuers by themselves: whether what they say can be. One that is not valid is not asked for
//! anything. Where an API server has checked it, most of what is refused here never comes.
//!
//! Never reads a Secret, and never asks who uses an issuer.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use torana_crds::issuer::{
    AcmeIssuer, AcmeIssuerSpec, AskService, Challenge, ChallengeType, ClusterAcmeIssuer, Dns01, Rfc2136,
};
use torana_crds::{Kind, ObjectRef};
use torana_ir::{Authority, authorities};

use crate::report::conditions::issuer::{self as conditions, INVALID};
use crate::report::{Entry, Remark};
use crate::store::Cluster;
use crate::translate::entries::joined;

/// How long a record may be waited for.
const PROPAGATION: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

/// Where an issuer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// It is of one namespace.
    is_namespaced: bool,
    /// It is obeyed by controllers in a cluster.
    is_cluster: bool,
}

/// What there is to say of an issuer, if it is there.
pub(super) fn entry(cluster: &Cluster, issuer: &ObjectRef) -> Option<Entry> {
    let (namespace, name) = (&issuer.namespace, &issuer.name);
    let is_namespaced = issuer.known_kind() == Some(Kind::AcmeIssuer);
    let (meta, spec) = if is_namespaced {
        cluster.find::<AcmeIssuer>(namespace, name).map(|it| (&it.meta, &it.spec))?
    } else {
        cluster.find::<ClusterAcmeIssuer>(namespace, name).map(|it| (&it.meta, &it.spec))?
    };
    let remarks = problems(spec, Place { is_namespaced, is_cluster: cluster.settings().is_cluster() });
    let accepted = if remarks.is_empty() { conditions::accepted() } else { conditions::invalid(joined(&remarks)) };
    Some(Entry { generation: meta.generation, conditions: vec![accepted], remarks, ..Entry::default() })
}

/// Whether an issuer is asked for anything.
pub(super) fn is_usable(cluster: &Cluster, spec: &AcmeIssuerSpec, is_namespaced: bool) -> bool {
    problems(spec, Place { is_namespaced, is_cluster: cluster.settings().is_cluster() }).is_empty()
}

/// Everything that is wrong with it, in the order of the fields.
fn problems(spec: &AcmeIssuerSpec, place: Place) -> Vec<Remark> {
    let mut found = Vec::new();
    found.extend(url(&spec.directory, "spec.directory"));
    if let Some(binding) = &spec.external_account_binding {
        let namespace = binding.secret_ref.namespace.as_deref();
        found.extend(secret(namespace, "spec.externalAccountBinding.secretRef", place));
    }
    found.extend(bundle(spec.ca_bundle.as_deref(), "spec.caBundle"));
    for (at, challenge) in spec.challenges.iter().enumerate() {
        found.extend(of_challenge(challenge, &format!("spec.challenges[{at}]"), place));
    }
    if let Some(limits) = &spec.limits {
        if limits.certificates_per_namespace == Some(0) {
            let (path, message) = ("spec.limits.certificatesPerNamespace", "with 0 nobody may have a certificate");
            found.push(invalid(path, message, "write 1 or more"));
        }
        if limits.allowed_hosts.is_some() && place.is_namespaced {
            let message = "an AcmeIssuer is for its own namespace only and cannot say what others may have";
            found.push(invalid("spec.limits.allowedHosts", message, "remove it, or make it a ClusterAcmeIssuer"));
        }
    }
    if let Some(on_demand) = &spec.on_demand {
        found.extend(of_ask(&on_demand.ask, "spec.onDemand.ask", place));
    }
    found
}

fn of_ask(ask: &AskService, path: &str, place: Place) -> Vec<Remark> {
    let mut found = Vec::new();
    let at = format!("{path}.url");
    match in_cleartext(&ask.url) {
        None => found.extend(url(&ask.url, &at)),
        Some(secure) if url(&secure, &at).is_some() => found.extend(url(&ask.url, &at)),
        Some(_) if place.is_namespaced => {
            let message = "an AcmeIssuer asks over https:// only";
            found.push(invalid(&at, message, "write https://, or make it a ClusterAcmeIssuer"));
        }
        Some(_) if ask.headers_secret_ref.is_some() => {
            let message = "headers that are secret are not sent in cleartext";
            found.push(invalid(&at, message, "write https://, or remove headersSecretRef"));
        }
        Some(_) => {}
    }
    found.extend(bundle(ask.ca_bundle.as_deref(), &format!("{path}.caBundle")));
    if let Some(headers) = &ask.headers_secret_ref {
        found.extend(secret(headers.namespace.as_deref(), &format!("{path}.headersSecretRef"), place));
    }
    found
}

/// What a URL of HTTP would be as one of HTTPS.
fn in_cleartext(url: &str) -> Option<String> {
    url.strip_prefix("http://").map(|rest| format!("https://{rest}"))
}

fn of_challenge(challenge: &Challenge, path: &str, place: Place) -> Vec<Remark> {
    let path = format!("{path}.dns01");
    match (challenge.challenge_type, challenge.dns01.as_deref()) {
        (ChallengeType::Dns01, Some(dns01)) => of_dns01(dns01, &path, place),
        (ChallengeType::Dns01, None) => {
            vec![invalid(&path, "type DNS01 does not say who writes the records", "add dns01")]
        }
        (_, Some(_)) => vec![invalid(&path, "only type DNS01 has records", "remove it, or write type: DNS01")],
        (_, None) => Vec::new(),
    }
}

fn of_dns01(dns01: &Dns01, path: &str, place: Place) -> Vec<Remark> {
    let mut found = Vec::new();
    match (&dns01.rfc2136, &dns01.webhook, &dns01.exec) {
        (Some(server), None, None) => found.extend(of_server(server, &format!("{path}.rfc2136"), place)),
        (None, Some(webhook), None) => {
            found.extend(url(&webhook.url, &format!("{path}.webhook.url")));
            found.extend(bundle(webhook.ca_bundle.as_deref(), &format!("{path}.webhook.caBundle")));
            if let Some(headers) = &webhook.headers_secret_ref {
                found.extend(secret(headers.namespace.as_deref(), &format!("{path}.webhook.headersSecretRef"), place));
            }
        }
        (None, None, Some(_)) if place.is_cluster => {
            let (message, remedy) = ("controllers in a cluster run no programs", "use rfc2136 or webhook");
            found.push(invalid(&format!("{path}.exec"), message, remedy));
        }
        (None, None, Some(exec)) => {
            if exec.command.first().is_none_or(String::is_empty) {
                found.push(invalid(&format!("{path}.exec.command"), "it names no program", "write one"));
            }
        }
        (None, None, None) => {
            found.push(invalid(path, "none of rfc2136, webhook and exec is given", "add one of them"));
        }
        _ => found.push(invalid(path, "only one of rfc2136, webhook and exec can be given", "remove the others")),
    }
    if !PROPAGATION.contains(&dns01.propagation) {
        let message = format!("{:?} is not between a second and an hour", dns01.propagation);
        found.push(invalid(&format!("{path}.propagation"), &message, "write it like 2m"));
    }
    for (at, address) in dns01.nameservers.iter().flatten().enumerate() {
        if address.parse::<SocketAddr>().map_or(true, |it| it.port() == 0) {
            let path = format!("{path}.nameservers[{at}]");
            found.push(invalid(&path, &format!("{address:?} is no address with a port"), "write it like 1.1.1.1:53"));
        }
    }
    found
}

fn of_server(server: &Rfc2136, path: &str, place: Place) -> Vec<Remark> {
    let mut found = Vec::new();
    if Authority::new(&server.server).ok().and_then(|it| it.port()).is_none() {
        let message = format!("{:?} is no host with a port", server.server);
        found.push(invalid(&format!("{path}.server"), &message, "write it like ns1.example.com:53"));
    }
    if let Some(tsig) = &server.tsig {
        found.extend(secret(tsig.secret_ref.namespace.as_deref(), &format!("{path}.tsig.secretRef"), place));
    }
    found
}

/// An absolute URL of HTTPS, without a user in it.
fn url(text: &str, path: &str) -> Option<Remark> {
    let parsed = text.parse::<http::Uri>().ok().filter(|it| it.scheme_str() == Some("https"));
    let authority = parsed.as_ref().and_then(http::Uri::authority);
    if authority.is_some_and(|it| Authority::new(it.as_str()).is_ok()) {
        return None;
    }
    Some(invalid(path, "it is no URL of HTTPS", "write it like https://acme.example/directory"))
}

/// Authorities in PEM, if there are some.
fn bundle(pem: Option<&str>, path: &str) -> Option<Remark> {
    let why = authorities(pem?.as_bytes()).err()?;
    Some(invalid(path, &format!("it is not usable: {why}"), "put the authorities' certificates there, in PEM"))
}

/// Whether a reference to a Secret says what it must, and no more, of a namespace.
fn secret(namespace: Option<&str>, path: &str, place: Place) -> Option<Remark> {
    let path = format!("{path}.namespace");
    match (namespace, place.is_namespaced) {
        (Some(_), true) => {
            let message = "an AcmeIssuer reads Secrets of its own namespace only";
            Some(invalid(&path, message, "remove it, or make it a ClusterAcmeIssuer"))
        }
        (None, false) => {
            let message = "a ClusterAcmeIssuer has no namespace where the Secret could be";
            Some(invalid(&path, message, "name the namespace of the Secret"))
        }
        (Some(_), false) | (None, true) => None,
    }
}

fn invalid(path: &str, message: &str, remedy: &str) -> Remark {
    Remark::error(INVALID, path, format!("{message}, so no certificate is obtained"), remedy)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const OWN: Place = Place { is_namespaced: true, is_cluster: false };
    const OF_ALL: Place = Place { is_namespaced: false, is_cluster: true };

    fn judged(more: &Value, place: Place) -> Vec<String> {
        let mut spec = json!({"directory": "https://acme.example/dir"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        problems(&serde_json::from_value(spec).unwrap(), place).into_iter().map(|it| it.path).collect()
    }

    fn dns(dns01: &Value) -> Value {
        json!({"challenges": [{"type": "DNS01", "dns01": dns01}]})
    }

    #[test]
    fn a_program_is_run_where_there_is_no_cluster() {
        let exec = || dns(&json!({"exec": {"command": ["/usr/bin/record"]}}));
        assert_eq!(judged(&exec(), OWN), [""; 0]);
        for is_namespaced in [true, false] {
            let place = Place { is_namespaced, is_cluster: true };
            assert_eq!(judged(&exec(), place), ["spec.challenges[0].dns01.exec"]);
        }
    }

    #[test]
    fn a_secret_has_a_namespace_where_the_issuer_has_none() {
        let signed = |namespace: Value| {
            let secret = json!({"namespace": namespace, "name": "s"});
            let tsig = json!({"keyName": "k", "algorithm": "hmac-sha256", "secretRef": secret});
            let server = json!({"server": "[2001:db8::1]:53", "tsig": tsig});
            let webhook = json!({"url": "https://dns.example", "headersSecretRef": secret});
            json!({"externalAccountBinding": {"keyID": "k", "secretRef": secret}, "challenges": [
                {"type": "DNS01", "dns01": {"rfc2136": server}}, {"type": "DNS01", "dns01": {"webhook": webhook}}]})
        };
        let paths = [
            "spec.externalAccountBinding.secretRef.namespace",
            "spec.challenges[0].dns01.rfc2136.tsig.secretRef.namespace",
            "spec.challenges[1].dns01.webhook.headersSecretRef.namespace",
        ];
        assert_eq!(judged(&signed("a".into()), OWN), paths);
        assert_eq!(judged(&signed(Value::Null), OWN), [""; 0]);
        assert_eq!(judged(&signed("a".into()), OF_ALL), [""; 0]);
        assert_eq!(judged(&signed(Value::Null), OF_ALL), paths);
    }

    #[test]
    fn urls_are_of_https_and_of_a_host() {
        for good in ["https://a", "https://a.example:14000/dir?x=1", "https://192.0.2.1/dir", "https://[::1]:1/dir"] {
            assert_eq!(url(good, "p"), None, "{good}");
        }
        for bad in [
            "",
            "a.example",
            "/dir",
            "http://a.example/",
            "https://",
            "https://u:p@a/",
            "https://a:0/",
            "https://a:99999/",
        ] {
            assert!(url(bad, "p").is_some(), "{bad}");
        }
    }

    #[test]
    fn who_agrees_to_names_is_asked_in_cleartext_by_those_of_all_only_and_without_secrets() {
        let ask = |url: &str, secret: Value| json!({"onDemand": {"ask": {"url": url, "headersSecretRef": secret}}});
        let (secret, none) = (json!({"namespace": "a", "name": "s"}), [""; 0]);
        for (url, own, of_all) in [
            ("https://ask.example/may", None, None),
            ("http://ask.a.svc:8080/may", Some("spec.onDemand.ask.url"), None),
            ("http://", Some("spec.onDemand.ask.url"), Some("spec.onDemand.ask.url")),
            ("ask.example", Some("spec.onDemand.ask.url"), Some("spec.onDemand.ask.url")),
        ] {
            assert_eq!(judged(&ask(url, Value::Null), OWN), Vec::from_iter(own), "{url}");
            assert_eq!(judged(&ask(url, Value::Null), OF_ALL), Vec::from_iter(of_all), "{url}");
        }
        assert_eq!(judged(&ask("https://ask.example", secret.clone()), OF_ALL), none);
        assert_eq!(
            judged(&ask("https://ask.example", secret.clone()), OWN),
            ["spec.onDemand.ask.headersSecretRef.namespace"]
        );
        assert_eq!(judged(&ask("http://ask.example", secret), OF_ALL), ["spec.onDemand.ask.url"]);
    }

    #[test]
    fn what_cannot_be_is_told_with_its_place() {
        let rows = [
            (json!({"directory": "http://acme.example/dir"}), "spec.directory"),
            (json!({"caBundle": "x"}), "spec.caBundle"),
            (json!({"limits": {"certificatesPerNamespace": 0}}), "spec.limits.certificatesPerNamespace"),
            (json!({"limits": {"allowedHosts": []}}), "spec.limits.allowedHosts"),
            (json!({"challenges": [{"type": "HTTP01"}, {"type": "DNS01"}]}), "spec.challenges[1].dns01"),
            (json!({"challenges": [{"type": "HTTP01", "dns01": {}}]}), "spec.challenges[0].dns01"),
            (dns(&json!({})), "spec.challenges[0].dns01"),
            (dns(&json!({"exec": {"command": ["x"]}, "rfc2136": {"server": "a:53"}})), "spec.challenges[0].dns01"),
            (dns(&json!({"exec": {"command": []}})), "spec.challenges[0].dns01.exec.command"),
            (dns(&json!({"webhook": {"url": "dns.example"}})), "spec.challenges[0].dns01.webhook.url"),
            (
                dns(&json!({"webhook": {"url": "https://dns.example", "caBundle": ""}})),
                "spec.challenges[0].dns01.webhook.caBundle",
            ),
            (dns(&json!({"rfc2136": {"server": "a"}})), "spec.challenges[0].dns01.rfc2136.server"),
            (dns(&json!({"rfc2136": {"server": "a:0"}})), "spec.challenges[0].dns01.rfc2136.server"),
            (
                dns(&json!({"rfc2136": {"server": "a:53"}, "propagation": "61m"})),
                "spec.challenges[0].dns01.propagation",
            ),
            (dns(&json!({"rfc2136": {"server": "a:53"}, "propagation": "0s"})), "spec.challenges[0].dns01.propagation"),
            (
                dns(&json!({"rfc2136": {"server": "a:53"}, "nameservers": ["1.1.1.1:53", "1.1.1.1"]})),
                "spec.challenges[0].dns01.nameservers[1]",
            ),
            (
                dns(&json!({"rfc2136": {"server": "a:53"}, "nameservers": ["[::1]:0"]})),
                "spec.challenges[0].dns01.nameservers[0]",
            ),
        ];
        for (more, path) in rows {
            assert_eq!(judged(&more, OWN), [path], "{more}");
        }
    }
}
