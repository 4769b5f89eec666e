// SPDX-License-Identifier: Apache-2.0
//! AcmeIssuer and ClusterAcmeIssuer: what is refused before anybody looks at what it means, and what is filled in.

use super::*;
use crate::issuer::{AcmeIssuerSpec, KeyType, SelfCheck};
use crate::object::Object;
use Severity::Error;

const DIRECTORY: &str = "https://acme.example/dir";

fn issuer(kind: &str, more: Value) -> Value {
    let mut spec = json!({"directory": DIRECTORY});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "torana.dev/v1alpha1", "kind": kind, "metadata": {"name": "acme"}, "spec": spec})
}

fn own(more: Value) -> Value {
    issuer("AcmeIssuer", more)
}

fn of_all(more: Value) -> Value {
    issuer("ClusterAcmeIssuer", more)
}

fn dns(dns01: Value) -> Value {
    own(json!({"challenges": [{"type": "DNS01", "dns01": dns01}]}))
}

fn read(value: Value) -> AcmeIssuerSpec {
    match decode(value, "default").content.object() {
        Some(Object::AcmeIssuer(issuer)) => issuer.spec,
        Some(Object::ClusterAcmeIssuer(issuer)) => issuer.spec,
        other => panic!("{other:?}"),
    }
}

/// All that can be said, in the way of `kind`.
fn full(kind: &str) -> Value {
    let secret = |name: &str| match kind {
        "AcmeIssuer" => json!({"name": name}),
        _ => json!({"namespace": "a", "name": name}),
    };
    let tsig = json!({"keyName": "torana", "algorithm": "hmac-sha384", "secretRef": secret("tsig")});
    let mut limits = json!({"certificatesPerNamespace": 50});
    if kind == "ClusterAcmeIssuer" {
        limits["allowedHosts"] = json!([{"namespaces": ["team-a"], "hosts": ["*.a.example.com", "a.example.com"]}]);
    }
    issuer(
        kind,
        json!({"email": "ops@example.com", "caBundle": "PEM", "profile": "shortlived", "keyType": "RSA2048",
            "externalAccountBinding": {"keyID": "abc", "secretRef": secret("eab")}, "selfCheck": "Skip", "limits": limits,
            "challenges": [
                {"hosts": ["*.example.com"], "type": "DNS01", "dns01": {"propagation": "5m", "nameservers": ["1.1.1.1:53"],
                    "rfc2136": {"server": "ns1.example.com:53", "zone": "example.com", "tsig": tsig}}},
                {"type": "DNS01", "dns01": {"webhook": {"url": "https://dns.example/x", "headersSecretRef": secret("h")}}},
                {"hosts": ["a.example"], "type": "HTTP01"}]}),
    )
}

#[test]
fn a_complete_issuer_of_each_kind_is_admitted() {
    for kind in ["AcmeIssuer", "ClusterAcmeIssuer"] {
        says(full(kind), &[]);
        let spec = read(full(kind));
        assert_eq!((spec.key_type, spec.self_check), (KeyType::Rsa2048, SelfCheck::Skip));
        let binding = &spec.external_account_binding.unwrap().secret_ref;
        assert_eq!(binding.target("b").namespace, if kind == "AcmeIssuer" { "b" } else { "a" });
    }
}

#[test]
fn what_is_left_out_is_filled_in_here_as_by_an_api_server() {
    let secret = json!({"namespace": "a", "name": "s"});
    let tsig = json!({"keyName": "k", "algorithm": "hmac-sha256", "secretRef": secret});
    let bare = of_all(json!({"externalAccountBinding": {"keyID": "k", "secretRef": secret}, "challenges": [
        {"type": "DNS01", "dns01": {"rfc2136": {"server": "ns1.example.com:53", "tsig": tsig}}}]}));
    let mut completed = bare.clone();
    assert_eq!(admit(&mut completed), []);
    assert_ne!(completed, bare);
    assert_eq!(completed.pointer("/spec/challenges/0/dns01/propagation"), Some(&json!("2m")));
    let spec = read(bare);
    assert_eq!(read(completed), spec);
    assert_eq!((spec.key_type, spec.self_check), (KeyType::P256, SelfCheck::Required));
    assert_eq!(spec.external_account_binding.unwrap().secret_ref.key, "hmac");
    let dns01 = spec.challenges[0].dns01.as_ref().unwrap();
    assert_eq!(dns01.propagation.as_secs(), 120);
    assert_eq!(dns01.rfc2136.as_ref().unwrap().tsig.as_ref().unwrap().secret_ref.key, "secret");
}

#[test]
fn records_are_written_by_one_and_only_for_dns01() {
    let webhook = json!({"url": "https://dns.example"});
    says(dns(json!({"webhook": webhook})), &[]);
    for both in [json!({}), json!({"webhook": webhook, "exec": {"command": ["x"]}})] {
        says(dns(both), &[("spec.challenges[0].dns01", Error, "exactly one of rfc2136, webhook and exec", "")]);
    }
    for challenge in [json!({"type": "DNS01"}), json!({"type": "HTTP01", "dns01": {"webhook": webhook}})] {
        let value = own(json!({"challenges": [challenge]}));
        says(value, &[("spec.challenges[0]", Error, "type DNS01 needs dns01, and no other has it", "")]);
    }
}

#[test]
fn who_is_of_a_namespace_names_none_and_who_is_not_must() {
    let bound = |secret: Value| json!({"externalAccountBinding": {"keyID": "k", "secretRef": secret}});
    let path = "spec.externalAccountBinding.secretRef";
    let elsewhere = bound(json!({"namespace": "a", "name": "s"}));
    says(own(elsewhere.clone()), &[(path, Error, "own namespace only", "")]);
    says(of_all(elsewhere), &[]);
    let named = format!("{path}.namespace");
    says(of_all(bound(json!({"name": "s"}))), &[(&named, Error, "is required", "add it")]);
    let limits = json!({"limits": {"allowedHosts": [{"namespaces": ["a"], "hosts": ["*.a.example"]}]}});
    says(own(limits.clone()), &[("spec.limits", Error, "allowedHosts is for a ClusterAcmeIssuer", "")]);
    says(of_all(limits), &[]);
}

#[test]
fn texts_have_the_form_that_their_field_asks_for() {
    let rfc = |server: &str| dns(json!({"rfc2136": {"server": server}}));
    let asked = |address: &str| dns(json!({"exec": {"command": ["x"]}, "nameservers": [address]}));
    for good in ["192.0.2.1:53", "ns1.example.com:5353", "[2001:db8::1]:53"] {
        says(rfc(good), &[]);
    }
    for (value, path, remedy) in [
        (own(json!({"directory": "http://a"})), "spec.directory", "write a URL such as https://"),
        (own(json!({"directory": "https://u:p@a/"})), "spec.directory", "write a URL such as https://"),
        (own(json!({"email": "mailto:ops@example.com"})), "spec.email", "such as ops@example.com"),
        (own(json!({"email": "a@b.example,c@d.example"})), "spec.email", "such as ops@example.com"),
        (own(json!({"profile": "a b"})), "spec.profile", "visible ASCII"),
        (own(json!({"keyType": "P521"})), "spec.keyType", "P256"),
        (rfc("ns1.example.com"), "spec.challenges[0].dns01.rfc2136.server", "write HOST:PORT"),
        (asked("dns.example:53"), "spec.challenges[0].dns01.nameservers[0]", "such as 1.1.1.1:53"),
        (
            own(json!({"challenges": [{"type": "HTTP01", "hosts": ["A.example"]}]})),
            "spec.challenges[0].hosts[0]",
            "DNS name",
        ),
        (own(json!({"limits": {"certificatesPerNamespace": 0}})), "spec.limits.certificatesPerNamespace", "use 1 to"),
    ] {
        says(value, &[(path, Error, "", remedy)]);
    }
}
