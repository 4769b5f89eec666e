// SPDX-License-Identifier: Apache-2.0
//! What is made of a RequestAuthentication, and its rules.

use std::time::Duration;

use super::*;
use crate::istio::RequestAuthentication;
use crate::istio::request_authentication::{ClaimToHeader, JwtHeader, JwtRule, RequestAuthenticationSpec};
use crate::kind::Kind::RequestAuthentication as Policy;

const KEY: &str = r#"{"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"}"#;

#[track_caller]
fn rules(rows: &[(&str, &[&str])]) {
    for (rule, expected) in rows {
        let told = marked(&problems(Policy, &format!("jwtRules: [{{{rule}}}]")));
        let below =
            expected.iter().map(|it| it.split_at(1)).map(|(mark, rest)| format!("{mark} spec.jwtRules[0]{rest}"));
        assert_eq!(told, below.collect::<Vec<_>>(), "{rule}");
    }
}

#[track_caller]
fn keys(rows: &[(&str, &[&str])]) {
    for (jwks, expected) in rows {
        let told = marked(&problems_of(object(Policy, json!({"jwtRules": [{"issuer": "a", "jwks": jwks}]}))));
        let below = expected.iter().map(|it| it.replacen(' ', " spec.jwtRules[0].jwks: ", 1));
        assert_eq!(told, below.collect::<Vec<_>>(), "{jwks}");
    }
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

#[test]
fn a_policy_is_read_of_every_version() {
    let spec = yaml(
        "
        targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]
        jwtRules:
        - issuer: https://a.example
          audiences: [b]
          jwksUri: https://a.example/keys
          jwks: '{}'
          fromHeaders: [{name: x-token, prefix: 'Token '}]
          fromParams: [token]
          fromCookies: [session]
          outputPayloadToHeader: x-payload
          forwardOriginalToken: true
          outputClaimToHeaders: [{header: x-sub, claim: sub}]
          timeout: 1.5s
          spaceDelimitedClaims: [roles]
        - {}
        ",
    );
    let rule = JwtRule {
        issuer: "https://a.example".into(),
        audiences: texts(["b"]),
        jwks_uri: "https://a.example/keys".into(),
        jwks: "{}".into(),
        from_headers: vec![JwtHeader { name: "x-token".into(), prefix: "Token ".into() }],
        from_params: texts(["token"]),
        from_cookies: texts(["session"]),
        output_payload_to_header: "x-payload".into(),
        forward_original_token: true,
        output_claim_to_headers: vec![ClaimToHeader { header: "x-sub".into(), claim: "sub".into() }],
        timeout: Some(Duration::from_millis(1500)),
        space_delimited_claims: texts(["roles"]),
    };
    for version in ["v1", "v1beta1"] {
        let mut value = object(Policy, spec.clone());
        value["apiVersion"] = json!(format!("security.istio.io/{version}"));
        let decoded = decode(value, "web");
        assert_eq!((decoded.unknown_paths, decoded.ignored), (vec![], vec![]), "{version}");
        let Some(Object::RequestAuthentication(read)) = decoded.content.object() else { panic!("{version}") };
        assert_eq!(read.spec.jwt_rules, [rule.clone(), JwtRule::default()]);
        assert_eq!(read.scope().targets().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["edge"]);
        assert_eq!(read.scope().selector, None);
    }
    assert_eq!(read::<RequestAuthentication>("{jwtRules: null}").spec, RequestAuthenticationSpec::default());
}

#[test]
fn both_names_of_the_url_are_read_but_not_together() {
    let read: RequestAuthentication = read("jwtRules: [{jwks_uri: https://a.example}]");
    assert_eq!(read.spec.jwt_rules[0].jwks_uri, "https://a.example");
    refused(&[
        (Policy, "jwtRules: [{jwks_uri: a, jwksUri: a}]", "spec.jwtRules[0]", "duplicate field"),
        (Policy, "jwtRules: [null]", "spec.jwtRules[0]", "null"),
        (Policy, "jwtRules: [{timeout: 5}]", "spec.jwtRules[0].timeout", "a string"),
        (Policy, "jwtRules: [{timeout: -5s}]", "spec.jwtRules[0].timeout", "is not a duration"),
        (Policy, "jwtRules: [{fromHeaders: [[a]]}]", "spec.jwtRules[0].fromHeaders[0]", "expected a map"),
        (Policy, "jwtRules: [{forwardOriginalToken: 'yes'}]", "spec.jwtRules[0].forwardOriginalToken", "a boolean"),
    ]);
}

#[test]
fn an_issuer_or_its_keys_are_known() {
    let long = format!("https://a.example/{}", "a".repeat(2048));
    rules(&[
        ("issuer: a", &[]),
        ("jwksUri: https://a.example/keys", &[]),
        ("issuer: a, jwksUri: 'http://10.0.0.1:8080'", &[]),
        ("", &["!.issuer: is missing, and jwksUri is too"]),
        ("issuer: ''", &["!.issuer: is missing, and jwksUri is too"]),
        (&format!("jwks: '{{\"keys\": [{KEY}]}}'"), &["!.issuer: is missing, and jwksUri is too"]),
        ("jwksUri: a.example/keys", &["!.jwksUri: does not begin with https:// or http://"]),
        ("jwksUri: file:///keys", &["!.jwksUri: does not begin with https:// or http://"]),
        ("jwksUri: 'https:///keys'", &["!.jwksUri: has no host, or one that cannot be read"]),
        ("jwksUri: 'https://a.example:b/keys'", &["!.jwksUri: has no host, or one that cannot be read"]),
        ("jwksUri: 'https://a.example/%'", &["!.jwksUri: has a % without two hexadecimal digits"]),
        (&format!("jwksUri: {long}"), &["!.jwksUri: is longer than 2048 characters"]),
        (&format!("jwksUri: https://a.example, jwks: '{{\"keys\": [{KEY}]}}'"), &["!.jwks: stands beside jwksUri"]),
    ]);
}

#[test]
fn keys_are_a_set_of_public_ones() {
    let set = |key: &str| format!("{{\"keys\": [{key}]}}");
    keys(&[
        (&set(KEY), &[]),
        (&set(r#"{"kty": "EC", "crv": "P-256", "x": "AQ==", "y": "-_8"}"#), &[]),
        (&set(r#"{"kty": "OKP", "crv": "Ed25519", "x": "+/8", "other": 1}"#), &[]),
        ("", &[]),
        ("https://a.example", &["! is no JSON object"]),
        ("[]", &["! is no JSON object"]),
        ("{}", &["! has no list \"keys\""]),
        (KEY, &["! has no list \"keys\""]),
        (r#"{"keys": {}}"#, &["! has no list \"keys\""]),
        (&set(""), &["! has no key"]),
        (&set("1"), &["! has a bad key at index 0: it is no JSON object"]),
        (&set("{}"), &["! has a bad key at index 0: it has no kty"]),
        (&set(r#"{"kty": "DSA"}"#), &["! has a bad key at index 0: its kty is none of RSA, EC, OKP and oct"]),
        (&set(&format!(r#"{KEY}, {{"kty": "RSA", "n": "AQAB"}}"#)), &["! has a bad key at index 1: it has no e"]),
        (&set(r#"{"kty": "RSA", "n": "", "e": "AQAB"}"#), &["! has a bad key at index 0: it has no n"]),
        (&set(r#"{"kty": "EC", "x": "AQ", "y": "AQ"}"#), &["! has a bad key at index 0: it has no crv"]),
        (&set(r#"{"kty": "RSA", "n": "a b", "e": "AQAB"}"#), &["! has a bad key at index 0: its n is no base64url"]),
        (
            &set(r#"{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": 1}"#),
            &["! has a bad key at index 0: its kid is no text"],
        ),
        (&set(r#"{"kty": "oct", "k": "c2VjcmV0"}"#), &["? has a private key at index 0, where a public one is enough"]),
        (
            &set(&format!(r#"{KEY}, {{"kty": "RSA", "n": "AQAB", "e": "AQAB", "d": "AQAB"}}"#)),
            &["? has a private key at index 1, where a public one is enough"],
        ),
    ]);
}

#[test]
fn what_is_looked_for_has_a_name() {
    let claims = vec!["a"; 65].join(", ");
    rules(&[
        (
            "issuer: a, audiences: [b], fromHeaders: [{name: c}], fromParams: [d], fromCookies: [e], timeout: 5s,
             outputPayloadToHeader: f, outputClaimToHeaders: [{header: x_g-1, claim: a.b}], spaceDelimitedClaims: [h]",
            &[],
        ),
        ("issuer: a, audiences: [b, '']", &["!.audiences[1]: is empty"]),
        ("issuer: a, fromHeaders: [{prefix: b}]", &["!.fromHeaders[0].name: is missing"]),
        ("issuer: a, fromHeaders: [{name: b c}]", &["?.fromHeaders[0].name: is no name of a header: \"b c\""]),
        ("issuer: a, fromParams: ['']", &["!.fromParams[0]: is empty"]),
        ("issuer: a, fromCookies: ['']", &["!.fromCookies[0]: is empty"]),
        ("issuer: a, outputPayloadToHeader: ':b'", &["?.outputPayloadToHeader: is no name of a header: \":b\""]),
        (
            "issuer: a, outputClaimToHeaders: [{}]",
            &["!.outputClaimToHeaders[0].header: is missing", "!.outputClaimToHeaders[0].claim: is missing"],
        ),
        (
            "issuer: a, outputClaimToHeaders: [{header: b.c, claim: d}]",
            &["!.outputClaimToHeaders[0].header: is no name of a header here: \"b.c\""],
        ),
        (
            "issuer: a, outputClaimToHeaders: [{header: B, claim: c}, {header: b, claim: d}]",
            &["?.outputClaimToHeaders[1].header: repeats \"b\""],
        ),
        ("issuer: a, timeout: 0s", &["!.timeout: is not a whole number of milliseconds, at least 1ms"]),
        ("issuer: a, timeout: 1.5ms", &["!.timeout: is not a whole number of milliseconds, at least 1ms"]),
        ("issuer: a, spaceDelimitedClaims: ['']", &["!.spaceDelimitedClaims[0]: is empty"]),
        (
            &format!("issuer: a, spaceDelimitedClaims: [{claims}]"),
            &["!.spaceDelimitedClaims: has 65 entries, 64 are the most"],
        ),
    ]);
}

#[test]
fn it_is_for_whom_any_policy_may_be_and_knows_no_dry_run() {
    let many = vec!["{issuer: a}"; 4097].join(", ");
    judged(
        Policy,
        &[
            ("{}", &[]),
            ("selector: {}", &["? spec.selector: has no labels: it finds every workload of the namespace"]),
            (
                "{selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: a}]}",
                &["! spec: has more than one of selector, targetRef and targetRefs"],
            ),
            ("targetRef: {kind: Service}", &["! spec.targetRef.name: is missing"]),
            (&format!("jwtRules: [{many}]"), &["! spec.jwtRules: has 4097 entries, 4096 are the most"]),
        ],
    );
    let mut policy = object(Policy, json!({}));
    policy["metadata"]["annotations"] = json!({"istio.io/dry-run": "true"});
    assert_eq!(
        marked(&problems_of(policy)),
        ["! metadata.annotations.istio.io/dry-run: only goes with an AuthorizationPolicy"]
    );
}
