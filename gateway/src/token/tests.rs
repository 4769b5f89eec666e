// SPDX-License-Identifier: Apache-2.0

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use torana_ir::{ClaimField, HeaderName, KeySet, KeySource, TokenPlace, TokenRule};

use super::*;
use crate::head::{Scheme, Version};

fn token(header: &str, payload: &str) -> String {
    format!("{}.{}.YQ", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

fn head(target: &str, fields: &[(&str, &str)]) -> Head {
    let mut head = Head::new(Version::Http11, Scheme::Http, "GET", "a.com", target);
    for (name, value) in fields {
        head.fields.push(name.as_bytes(), value.as_bytes());
    }
    head
}

fn spec(places: Vec<TokenPlace>) -> TokenRule {
    TokenRule {
        issuer: None,
        audiences: vec![],
        keys: KeySource::Here(KeySet::new(r#"{"keys": [{"kty": "oct", "k": "YQ"}]}"#).unwrap()),
        places,
        forward: false,
        payload_to: None,
        claims_to: vec![ClaimField { field: HeaderName::new("x-user").unwrap(), claim: vec!["sub".to_owned()] }],
        spaced: vec!["scope".to_owned()],
    }
}

fn authorization() -> Vec<TokenPlace> {
    let field = HeaderName::new("authorization").unwrap();
    vec![TokenPlace::Field(field, "Bearer ".to_owned()), TokenPlace::Parameter("access_token".to_owned())]
}

#[test]
fn a_token_is_read_in_one_way_or_not_at_all() {
    for (header, payload, expected) in [
        (r#"{"alg":"RS256"}"#, "{}", None),
        (
            r#"{"alg":"RS256","typ":"JWT","x5u":"http://evil/"}"#,
            r#"{"exp":1.5,"aud":["a"],"n":{"a":[1,{"b":null}]}}"#,
            None,
        ),
        (r#"{"alg":"RS256","alg":"RS256"}"#, "{}", Some(TokenFault::HeaderJson)),
        (r#"{"alg":"RS256"}"#, r#"{"n":{"a":1,"a":2}}"#, Some(TokenFault::PayloadJson)),
        (r#"{"alg":"RS256"} x"#, "{}", Some(TokenFault::HeaderJson)),
        (r#"{"alg":"none"}"#, "{}", Some(TokenFault::Algorithm)),
        (r#"{"alg":7}"#, "{}", Some(TokenFault::NoAlgorithm)),
        (r#"{"alg":"RS256","crit":[]}"#, "{}", Some(TokenFault::Critical)),
        (r#"{"alg":"RS256"}"#, r#"{"exp":"1"}"#, Some(TokenFault::ExpiryType)),
        (r#"{"alg":"RS256"}"#, r#"{"exp":-1}"#, Some(TokenFault::ExpiryType)),
        (r#"{"alg":"RS256"}"#, r#"{"nbf":null}"#, Some(TokenFault::NotBeforeType)),
        (r#"{"alg":"RS256"}"#, r#"{"sub":1}"#, Some(TokenFault::SubjectType)),
        (r#"{"alg":"RS256"}"#, r#"{"aud":[1]}"#, Some(TokenFault::AudienceType)),
    ] {
        assert_eq!(Parsed::read(&token(header, payload)).err(), expected, "{header} {payload}");
    }
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep = token(r#"{"alg":"RS256"}"#, &format!("{{\"a\":{deep}}}"));
    assert!(Parsed::read(&deep).is_err(), "nor does its depth end the process");
}

#[test]
fn a_token_is_found_once_and_taken_away() {
    let rules = [Rule::compile(&spec(authorization()), &Registry::default())];
    for (target, fields, expected) in [
        ("/", vec![], vec![]),
        ("/", vec![("authorization", "Bearer a.b.c")], vec!["a.b.c"]),
        ("/", vec![("authorization", "bearer a.b.c")], vec!["a.b.c"]),
        ("/", vec![("authorization", "Basic a.b.c")], vec![]),
        ("/", vec![("authorization", "Basic x"), ("authorization", "Bearer a.b.c")], vec!["a.b.c"]),
        ("/", vec![("authorization", "x Bearer a.b.c")], vec!["a.b.c"]),
        ("/?%61ccess%5ftoken=a%2eb.c", vec![], vec!["a.b.c"]),
        ("/", vec![("authorization", "Bearer a"), ("authorization", "Bearer b")], vec!["a,Bearer b"]),
        ("/?access_token=a.b.c", vec![("authorization", "Bearer a.b.c")], vec!["a.b.c"]),
        ("/?access_token=d.e.f", vec![("authorization", "Bearer a.b.c")], vec!["a.b.c", "d.e.f"]),
        ("/?access_tokens=d.e.f&xaccess_token=a", vec![], vec![]),
    ] {
        let found = places::found(&head(target, &fields), &rules);
        assert_eq!(found.iter().map(|it| it.text.as_str()).collect::<Vec<_>>(), expected, "{target} {fields:?}");
    }
    let mut head = head("/a?b&access_token=x&c=d", &[("authorization", "Bearer x")]);
    for place in &authorization() {
        places::remove(&mut head, place);
    }
    assert_eq!((head.target(), head.fields.first("authorization")), ("/a?b&c=d", None));
}

#[tokio::test]
async fn a_policy_that_is_named_and_not_there_lets_nobody_through() {
    let key = PolicyKey { namespace: "a".to_owned(), name: "b".to_owned() };
    let tokens = Tokens::compile(&[key], |_| None, &Registry::default(), None).unwrap();
    assert_eq!(tokens.authenticate(&mut head("/", &[])).await, Err(Fault::Guarded));
}

#[tokio::test]
async fn what_a_token_would_say_nobody_else_says() {
    let policy = TokenPolicy {
        key: PolicyKey { namespace: "a".to_owned(), name: "b".to_owned() },
        rules: vec![spec(authorization())],
    };
    let (key, policy) = (policy.key.clone(), Arc::new(policy));
    let find = |_: &PolicyKey| Some(Arc::clone(&policy));
    let tokens = Tokens::compile(std::slice::from_ref(&key), find, &Registry::default(), None).unwrap();
    let again = Tokens::compile(&[key], find, &Registry::default(), Some(&tokens)).unwrap();
    assert!(Arc::ptr_eq(&tokens, &again));
    let mut head = head("/", &[("x-user", "root"), ("X-User".to_lowercase().as_str(), "admin")]);
    assert_eq!(tokens.authenticate(&mut head).await, Ok(None));
    assert_eq!(head.fields.first("x-user"), None);
}
