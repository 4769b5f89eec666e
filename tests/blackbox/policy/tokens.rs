// SPDX-License-Identifier: Apache-2.0
//! Tokens: which are believed, what they are good for, and what clients are told of those that are not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use torana_tests::{Backend, Reply, World, eventually};

use super::super::log::line;
use super::super::manifests::object;
use super::issuer::{Issuer, NAME, but, claims, in_seconds};
use super::{authentication, policy, world};

/// A rule that believes tokens of these keys, and what else it says.
fn rule(jwks: &str, more: &str) -> String {
    format!("{{issuer: '{NAME}', jwks: '{jwks}'{more}}}")
}

fn get(world: &World, target: &str, fields: &[(&str, &str)]) -> Reply {
    let fields = fields.iter().fold(String::new(), |all, (name, value)| all + name + ": " + value + "\r\n");
    world.raw(format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n").as_bytes()).unwrap()
}

fn bearing(world: &World, token: &str) -> (u16, String) {
    let reply = get(world, "/", &[("Authorization", &format!("Bearer {token}"))]);
    let text = if reply.status == 200 { String::new() } else { reply.text() };
    (reply.status, text)
}

/// A token: what is special about it, itself, and the answer.
type Row = (&'static str, String, u16, &'static str);

const FORM: &str = "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections";
const ALGORITHM: &str = "Jwt header [alg] is not supported";
const SIGNATURE: &str = "Jwt verification fails";
const NO_KEY: &str = "Jwks doesn't have key to match kid or alg from Jwt";

/// Tokens that are well made: who signed them, for whom, for when.
fn well_made(own: &Issuer, other: &Issuer) -> Vec<Row> {
    let good = own.signs(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let headed = |header: &str| own.signs_raw(header, &claims().to_string());
    vec![
        ("a good one", good.clone(), 200, ""),
        ("the same again", good.clone(), 200, ""),
        ("another algorithm", other.signs(&claims()), 200, ""),
        (
            "without an end",
            own.signs(&but("exp", json!(null))),
            401,
            "Jwt payload [exp] field is not a number or is not a positive integer",
        ),
        ("over", own.signs(&but("exp", in_seconds(-120).into())), 401, "Jwt is expired"),
        ("over, but for the difference of clocks", own.signs(&but("exp", in_seconds(-30).into())), 200, ""),
        ("not yet", own.signs(&but("nbf", in_seconds(120).into())), 401, "Jwt not yet valid"),
        ("soon", own.signs(&but("nbf", in_seconds(30).into())), 200, ""),
        ("for others", own.signs(&but("aud", json!("else"))), 403, "Audiences in Jwt are not allowed"),
        ("for one as a text", own.signs(&but("aud", json!("shop"))), 200, ""),
        (
            "of another issuer",
            own.signs(&but("iss", json!("https://evil.example"))),
            401,
            "Jwt issuer is not configured",
        ),
        (
            "of an issuer that is no text",
            own.signs(&but("iss", json!(7))),
            401,
            "Jwt payload [iss] field is not a string",
        ),
        ("of a key that nobody has", Issuer::rsa("new").signs(&claims()), 401, NO_KEY),
        ("of a path as a key", headed(r#"{"alg":"RS256","kid":"../../etc/passwd"}"#), 401, NO_KEY),
        ("of a query as a key", headed(r#"{"alg":"RS256","kid":"' OR 1=1 --"}"#), 401, NO_KEY),
        (
            "of a key that is no text",
            headed(r#"{"alg":"RS256","kid":1}"#),
            401,
            "Jwt header [kid] field is not a string",
        ),
        ("by a stranger under a known name", Issuer::rsa("own").signs(&claims()), 401, SIGNATURE),
        ("without a signature", format!("{}.{}.", parts[0], parts[1]), 401, SIGNATURE),
        ("with a cut signature", good[..good.len() - 2].to_owned(), 401, SIGNATURE),
        (
            "with a signature that is none",
            format!("{}.{}.!", parts[0], parts[1]),
            401,
            "Jwt signature is an invalid Base64url encoded",
        ),
    ]
}

/// Tokens that nobody makes who means well.
fn ill_made(own: &Issuer) -> Vec<Row> {
    let good = own.signs(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload) = (r#"{"alg":"RS256","kid":"own"}"#, claims().to_string());
    let headed = |header: &str| own.signs_raw(header, &payload);
    let said = |claims: &str| own.signs_raw(header, claims);
    let twice = payload.replacen('{', "{\"sub\":\"admin\",", 1);
    vec![
        ("algorithm none", headed(r#"{"alg":"none","kid":"own"}"#), 401, ALGORITHM),
        ("algorithm NONE", headed(r#"{"alg":"NoNe","kid":"own"}"#), 401, ALGORITHM),
        ("no algorithm", headed(r#"{"kid":"own"}"#), 401, "Jwt header [alg] field is required and must be a string"),
        ("a secret that is the public key", own.confused(&claims()), 401, NO_KEY),
        ("another algorithm than the key's", headed(r#"{"alg":"ES256","kid":"own"}"#), 401, NO_KEY),
        (
            "a key that it brings along",
            headed(r#"{"alg":"RS256","kid":"new","jwk":{"kty":"oct","k":"YQ"}}"#),
            401,
            NO_KEY,
        ),
        (
            "a place of keys that it brings along",
            headed(r#"{"alg":"RS256","kid":"new","jku":"http://127.0.0.1:1/"}"#),
            401,
            NO_KEY,
        ),
        (
            "unencoded",
            headed(r#"{"alg":"RS256","kid":"own","b64":false,"crit":["b64"]}"#),
            401,
            "Jwt header [crit] is not supported",
        ),
        ("with a member twice", said(&twice), 401, "Jwt payload is an invalid JSON"),
        ("with an algorithm twice", headed(r#"{"alg":"none","alg":"RS256"}"#), 401, "Jwt header is an invalid JSON"),
        ("that is no JSON", said("{"), 401, "Jwt payload is an invalid JSON"),
        ("that is a list", said("[]"), 401, "Jwt payload is an invalid JSON"),
        ("of one part", "abc".to_owned(), 401, FORM),
        ("of four parts", format!("{good}.x"), 401, FORM),
        ("of nothing", "..".to_owned(), 401, "Jwt header is an invalid JSON"),
        (
            "of what is no base64",
            format!("!.{}.{}", parts[1], parts[2]),
            401,
            "Jwt header is an invalid Base64url encoded",
        ),
        (
            "padded",
            format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
            401,
            "Jwt header is an invalid Base64url encoded",
        ),
        ("too long", format!("{}.{}.{}", parts[0], "a".repeat(40_000), parts[2]), 401, FORM),
    ]
}

#[test]
fn every_kind_of_token_gets_its_status_and_text() {
    let (own, other) = (Issuer::rsa("own"), Issuer::ecdsa("ec"));
    let backend = Backend::named("app");
    let rules = rule(&Issuer::jwks(&[&own, &other]), ", audiences: [shop]");
    let world = world(&backend, &authentication(&rules));
    for (what, token, status, text) in well_made(&own, &other).into_iter().chain(ill_made(&own)) {
        assert_eq!(bearing(&world, &token), (status, text.to_owned()), "{what}");
    }
}

#[test]
fn whoever_has_a_bad_token_is_told_so_and_whoever_has_none_is_not() {
    let own = Issuer::ecdsa("own");
    let world = world(&Backend::named("app"), &authentication(&rule(&Issuer::jwks(&[&own]), "")));
    let good = own.signs(&claims());
    let two = [("Authorization", &*format!("Bearer {good}")), ("Authorization", &format!("Bearer {good}"))];
    assert_eq!(get(&world, "/two", &two).text(), FORM, "two are none");
    let refused = get(&world, "/x?y", &[("Authorization", "Bearer a")]);
    let challenge = "Bearer realm=\"http://a.example/x\", error=\"invalid_token\"";
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some(challenge)));
    let line = line(&world, "/two");
    assert_eq!((&line["reason"], &line["fault_source"]), (&json!("token_refused"), &json!("client")));
    let huge = get(&world, "/", &[("Authorization", &format!("Bearer {}", "a".repeat(1 << 20)))]);
    assert_eq!(huge.status, 431);
    for (what, fields) in [("none", vec![]), ("of another kind", vec![("Authorization", "Basic YTpi")])] {
        assert_eq!(get(&world, "/", &fields).status, 200, "{what}: that is for policies to say");
    }
    let preflight = "OPTIONS / HTTP/1.1\r\nHost: a.example\r\nOrigin: http://b\r\nAccess-Control-Request-Method: PUT\r\n\
                     Authorization: Bearer bad\r\n\r\n";
    assert_eq!(world.raw(preflight.as_bytes()).unwrap().status, 200, "a preflight has no credentials");
}

#[test]
fn tokens_are_found_where_they_are_said_to_be_and_backends_are_told_of_them() {
    let own = Issuer::ecdsa("own");
    let backend = Backend::named("app");
    let more = ", fromHeaders: [{name: x-jwt, prefix: 'Token '}], fromParams: [jwt], fromCookies: [session], \
                outputPayloadToHeader: x-payload, outputClaimToHeaders: [{header: x-user, claim: sub}, \
                {header: x-deep, claim: deep.er}, {header: x-level, claim: level}, {header: x-none, claim: groups}]";
    let world = world(&backend, &authentication(&rule(&Issuer::jwks(&[&own]), more)));
    let good = own.signs(&claims());
    let forged = ("X-User", "root");
    for (target, fields, forwarded) in [
        ("/header", vec![("X-Jwt", format!("Token {good}")), ("X-User", "root".into())], "/header"),
        (&*format!("/param?a=b&jwt={good}&c"), vec![], "/param?a=b&c"),
        (&format!("/only?jwt={good}"), vec![], "/only"),
        ("/cookie", vec![("Cookie", format!("a=b; session={good}"))], "/cookie"),
    ] {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(get(&world, target, &fields).status, 200, "{target}");
        let seen = backend.take().pop().unwrap();
        let told = ["x-user", "x-deep", "x-level", "x-none"].map(|name| seen.header(name));
        assert_eq!(told, [Some("alice"), Some("down"), Some("7"), None], "{target}");
        assert_eq!(seen.header("x-payload"), good.split('.').nth(1));
        assert_eq!((seen.target.as_str(), seen.header("x-jwt")), (forwarded, None), "the token itself is kept here");
    }
    assert_eq!(get(&world, "/", &[forged, ("X-Payload", "forged"), ("Authorization", "Bearer bad")]).status, 200);
    let seen = backend.take().pop().unwrap();
    assert_eq!((seen.header("x-user"), seen.header("x-payload")), (None, None), "nobody says it in Torana's place");
    assert_eq!(get(&world, "/?jwt=bad", &[]).status, 401);
    let forwarding = rule(&Issuer::jwks(&[&own]), ", forwardOriginalToken: true");
    world.apply("policies.yaml", &authentication(&forwarding));
    let bearer = format!("Bearer {good}");
    let kept = || {
        get(&world, "/kept", &[("Authorization", &bearer)]);
        backend.take().pop().is_some_and(|seen| seen.header("authorization") == Some(&bearer))
    };
    assert!(eventually(kept), "{}", world.log());
}

#[test]
fn policies_ask_for_claims_and_whose_a_token_is() {
    let own = Issuer::ecdsa("own");
    let backend = Backend::named("app");
    let world = world(&backend, &authentication(&rule(&Issuer::jwks(&[&own]), "")));
    let (good, other) = (own.signs(&claims()), own.signs(&but("sub", json!("bob"))));
    let status = |token: Option<&str>| token.map_or_else(|| world.status("a", "/"), |token| bearing(&world, token).0);
    let from = |value: &str| format!("rules: [{{from: [{{source: {{requestPrincipals: ['{value}']}}}}]}}]");
    let when = |key: &str, value: &str| format!("rules: [{{when: [{{key: '{key}', values: ['{value}']}}]}}]");
    for (spec, expected) in [
        (from("*"), [200, 200, 403]),
        (from(&format!("{NAME}/alice")), [200, 403, 403]),
        (from(&format!("{NAME}/*")), [200, 200, 403]),
        (when("request.auth.claims[groups]", "admin"), [200, 200, 403]),
        (when("request.auth.claims[groups]", "root"), [403, 403, 403]),
        (when("request.auth.claims[scope]", "write"), [200, 200, 403]),
        (when("request.auth.claims[deep][er]", "do*"), [200, 200, 403]),
        (when("request.auth.audiences", "bank"), [200, 200, 403]),
        (format!("action: DENY, {}", when("request.auth.claims[sub]", "bob")), [200, 403, 200]),
        ("action: DENY, rules: [{from: [{source: {notRequestPrincipals: ['*']}}]}]".to_owned(), [200, 200, 403]),
    ] {
        world.apply("policy.yaml", &policy("p", &spec));
        let seen = || [status(Some(&good)), status(Some(&other)), status(None)];
        assert!(eventually(|| seen() == expected), "{spec}: {:?}", seen());
    }
}

/// A server of keys: what it answers, and how often it was asked.
fn server(answer: &Arc<Mutex<String>>, pause: Duration) -> (Backend, Arc<AtomicUsize>) {
    let (answer, asked) = (Arc::clone(answer), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    let backend = Backend::scripted(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        thread::sleep(pause);
        let body = answer.lock().unwrap().clone();
        let status = if body.is_empty() { "503 Away" } else { "200 OK" };
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    });
    (backend, asked)
}

#[test]
fn keys_are_fetched_rotated_and_kept_while_their_server_is_away() {
    let (first, second) = (Issuer::ecdsa("first"), Issuer::rsa("second"));
    let answer = Arc::new(Mutex::new(Issuer::jwks(&[&first])));
    let (keys, asked) = server(&answer, Duration::ZERO);
    let backend = Backend::named("app");
    let rules = format!("{{issuer: '{NAME}', jwksUri: 'http://127.0.0.1:{}/keys'}}", keys.port);
    let world = world(&backend, &authentication(&rules));
    assert_eq!(bearing(&world, &first.signs(&claims())).0, 200, "the first waits for keys: {}", world.log());
    for _ in 0..20 {
        assert_eq!(bearing(&world, &first.signs(&claims())).0, 200);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1, "once for all");
    // Rotated: a token of a key that is not known yet has them fetched early.
    *answer.lock().unwrap() = Issuer::jwks(&[&second]);
    let begun = Instant::now();
    assert!(eventually(|| bearing(&world, &second.signs(&claims())).0 == 200), "{}", world.log());
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(bearing(&world, &first.signs(&claims())).0, 401, "what was withdrawn is good no more");
    // Away: the last good keys stay, and strangers cannot have it asked more than once in a while.
    answer.lock().unwrap().clear();
    let before = asked.load(Ordering::Relaxed);
    for number in 0..30 {
        assert_eq!(bearing(&world, &Issuer::ecdsa(&number.to_string()).signs(&claims())).0, 401);
        assert_eq!(bearing(&world, &second.signs(&claims())).0, 200);
    }
    assert!(asked.load(Ordering::Relaxed) - before <= 3, "{} times", asked.load(Ordering::Relaxed) - before);
    assert!(world.metric("torana_key_fetches_total{result=\"success\"}").is_some_and(|count| count >= 2.0));
}

#[test]
fn without_keys_tokens_are_refused_and_nobody_else() {
    const UNFETCHED: &str = "Jwks remote fetch is failed";
    let own = Issuer::ecdsa("own");
    let jwks = Issuer::jwks(&[&own]);
    let huge = format!("{{\"keys\": [{}], \"more\": \"{}\"}}", own.jwk(), "x".repeat(1 << 20));
    for (what, answer, pause, text) in [
        ("away", String::new(), 0, UNFETCHED),
        ("slow", jwks, 3000, UNFETCHED),
        ("huge", huge, 0, UNFETCHED),
        ("no keys", "{\"keys\": []}".to_owned(), 0, UNFETCHED),
        ("no JSON", "<html>".to_owned(), 0, UNFETCHED),
        (
            "keys of no use",
            "{\"keys\": [{\"kty\": \"oct\", \"k\": \"YQ\"}]}".to_owned(),
            0,
            "Jwks doesn't have any valid public key",
        ),
    ] {
        let (keys, _) = server(&Arc::new(Mutex::new(answer)), Duration::from_millis(pause));
        let rules = format!("{{issuer: '{NAME}', jwksUri: 'http://127.0.0.1:{}/', timeout: 1s}}", keys.port);
        let world = world(&Backend::named("app"), &authentication(&rules));
        assert_eq!(bearing(&world, &own.signs(&claims())), (401, text.to_owned()), "{what}: {}", world.log());
        assert_eq!(world.status("a", "/"), 200, "{what}: who has no token needs no keys");
    }
}

#[test]
fn an_issuer_tells_where_its_keys_are() {
    let own = Issuer::ecdsa("own");
    let keys = Backend::scripted({
        let jwks = Issuer::jwks(&[&own]);
        move |seen| {
            let host = seen.header("host").unwrap();
            let body = match seen.target.as_str() {
                "/realm/.well-known/openid-configuration" => format!("{{\"jwks_uri\": \"http://{host}/keys\"}}"),
                "/keys" => jwks.clone(),
                _ => return b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_vec(),
            };
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
        }
    });
    let issuer = format!("http://127.0.0.1:{}/realm/", keys.port);
    let world = world(&Backend::named("app"), &authentication(&format!("{{issuer: '{issuer}'}}")));
    assert_eq!(bearing(&world, &own.signs(&but("iss", json!(issuer)))), (200, String::new()), "{}", world.log());
}

#[test]
fn rules_of_a_virtual_service_may_ask_for_claims() {
    let own = Issuer::ecdsa("own");
    let (staff, others) = (Backend::named("staff"), Backend::named("others"));
    let api = "networking.istio.io/v1";
    let server = "{port: {number: ${HTTP}, name: http, protocol: HTTP}, hosts: ['*']}";
    let gateway = object(api, "Gateway", "edge", &format!("selector: {{istio: ingressgateway}}, servers: [{server}]"));
    let to = |name: &str| format!("route: [{{destination: {{host: {name}}}}}]");
    let http = [
        format!("{{match: [{{headers: {{'@request.auth.claims.groups': {{exact: staff}}}}}}], {}}}", to("staff")),
        format!(
            "{{match: [{{uri: {{prefix: /deep}}, headers: {{'@request.auth.claims[deep][er]': {{prefix: do}}}}}}], {}}}",
            to("staff")
        ),
        format!("{{{}}}", to("others")),
    ];
    let rules =
        object(api, "VirtualService", "r", &format!("hosts: ['*'], gateways: [edge], http: [{}]", http.join(", ")));
    let services = World::service("staff", staff.port) + &World::service("others", others.port);
    let believed = authentication(&rule(&Issuer::jwks(&[&own]), ""));
    let world = World::start(&[gateway, rules, services, believed].concat());
    let answered = |target: &str, token: Option<&str>| {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let fields: Vec<_> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
        let reply = get(&world, target, &fields);
        (reply.status, if reply.text().contains("staff") { "staff" } else { "others" })
    };
    let (of_staff, of_others) = (own.signs(&claims()), own.signs(&but("groups", json!(["guests"]))));
    for (target, token, expected) in [
        ("/", None, (200, "others")),
        ("/", Some(&of_staff), (200, "staff")),
        ("/", Some(&of_others), (200, "others")),
        ("/deep", Some(&of_others), (200, "staff")),
        ("/deep", None, (200, "others")),
        ("/", Some(&"bad".to_owned()), (401, "others")),
    ] {
        assert_eq!(answered(target, token.map(String::as_str)), expected, "{target}: {}", world.log());
    }
    let forged = get(&world, "/", &[("@request.auth.claims.groups", "staff"), ("X-Claims", "staff")]);
    assert!(forged.status == 400 || forged.text().contains("others"), "nobody says it in a field");
}

#[test]
fn of_two_tokens_backends_are_told_of_the_one_that_policies_see() {
    let (corp, public) = (Issuer::ecdsa("corp"), Issuer::ecdsa("public"));
    let backend = Backend::named("app");
    let of = |name: &str, issuer: &Issuer| {
        let jwks = Issuer::jwks(&[issuer]);
        format!("{{issuer: '{name}', jwks: '{jwks}', outputClaimToHeaders: [{{header: x-user, claim: sub}}]}}")
    };
    let rules = [of("corp", &corp), of("public", &public)].join(", ");
    let world = world(&backend, &authentication(&rules));
    let said = |issuer: &str, subject: &str| json!({"iss": issuer, "sub": subject});
    let (own, other) = (corp.signs(&said("corp", "mallory")), public.signs(&said("public", "admin")));
    let target = format!("/two?access_token={other}");
    assert_eq!(get(&world, &target, &[("Authorization", &format!("Bearer {own}"))]).status, 200);
    let seen = backend.take().pop().unwrap();
    assert_eq!((seen.header("x-user"), seen.target.as_str()), (Some("mallory"), "/two"));
    let forged = get(&world, &target, &[("Authorization", "Bearer bad")]);
    assert_eq!(forged.status, 401, "each must be good");
}
