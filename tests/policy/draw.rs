// SPDX-License-Identifier: Apache-2.0
//! Random policies and requests, of few words, so that they meet.

use std::net::{IpAddr, SocketAddr};

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::asked::Asked;
use super::reference::Policy;

const ADDRESSES: [&str; 5] = ["10.0.0.1", "10.1.2.3", "192.0.2.7", "fd00::1", "2001:db8::7"];
const NETWORKS: [&str; 6] = ["10.0.0.1", "10.0.0.0/8", "192.0.2.0/24", "fd00::/8", "0.0.0.0/0", "2001:db8::7"];
const HOSTS: [&str; 4] = ["a.com", "a.com:8080", "b.a.com", "B.com"];
const HOST_PATTERNS: [&str; 7] = ["a.com", "A.com", "*.com", "a.*", "*", "b.*", "*:8080"];
const METHODS: [&str; 3] = ["GET", "POST", "GETS"];
const METHOD_PATTERNS: [&str; 4] = ["GET", "G*", "*T", "*"];
const PATHS: [&str; 20] = [
    "/",
    "/a",
    "/a/b",
    "/a/b/c",
    "/b",
    "/a/",
    "//a",
    "/x/../a",
    "/x/..%2fa",
    "/a;v=1",
    "/a/..;/b",
    "/%61",
    "/a?b",
    "/A",
    "/a%2Fb",
    "/a/%252e%252e/b",
    "/a//b",
    "/b/..%5ca/b",
    "/a/.b",
    "/a%zz",
];
const PATH_PATTERNS: [&str; 12] =
    ["/a", "/a/*", "*/b", "*", "/a*", "/b", "/{*}", "/a/{*}", "/a/{**}", "/{*}/b/{**}", "/{**}", "/a/{*}/c"];
const IDENTITIES: [&str; 7] = [
    "spiffe://td.one/ns/foo/sa/web",
    "spiffe://old-td/ns/foo/sa/web",
    "spiffe://td.one/ns/bar/sa/db",
    "spiffe://else/ns/foo/sa/web",
    "spiffe://td.one/ns/foo/sa/web-2",
    "web.foo.svc",
    "CN=web",
];
const PRINCIPALS: [&str; 9] = [
    "td.one/ns/foo/sa/web",
    "old-td/ns/bar/sa/db",
    "cluster.local/ns/foo/sa/web",
    "*",
    "*/sa/web",
    "td.one/*",
    "*/ns/foo/sa/web",
    "*-td/ns/foo/sa/web",
    "else/ns/foo/sa/web",
];
const NAMESPACES: [&str; 5] = ["foo", "bar", "f*", "*r", "*"];
const ACCOUNTS: [&str; 4] = ["web", "foo/web", "bar/db", "foo/we"];
const TRUST_DOMAINS: [&str; 5] = ["td.one", "else", "*", "td*", "*-td"];
const SUBJECTS: [&str; 8] =
    ["https://iss/a", "https://iss/*", "*", "*/a", "iss/b", "https://*", "*a", "https://iss/sub/a"];
const WORDS: [&str; 5] = ["a", "ab", "b", "", "c"];
const PATTERNS: [&str; 5] = ["a", "a*", "*b", "*", "c"];

/// What requests are made of besides.
pub(super) struct Vocabulary(Vec<String>);

impl Vocabulary {
    /// The texts of policies, and what they are patterns of.
    pub(super) fn of(texts: Vec<String>) -> Self {
        let plain = |text: String| text.replace("{**}", "x/y").replace("{*}", "x").replace('*', "z");
        Self(texts.into_iter().map(plain).collect())
    }

    fn any<'v>(&'v self, rng: &mut Rng, fits: impl Fn(&str) -> bool) -> Option<&'v str> {
        let all: Vec<&str> = self.0.iter().map(String::as_str).filter(|text| fits(text)).collect();
        (!all.is_empty() && rng.bool()).then(|| all[rng.usize(..all.len())])
    }
}

fn one<'w>(rng: &mut Rng, words: &[&'w str]) -> &'w str {
    words[rng.usize(..words.len())]
}

fn some(rng: &mut Rng, words: &[&str]) -> Value {
    (0..rng.usize(1..3)).map(|_| one(rng, words)).collect()
}

/// A set of policies for one gateway.
pub(super) fn policies(rng: &mut Rng) -> Vec<Policy> {
    (0..rng.usize(1..5)).map(|_| policy(rng)).collect()
}

fn policy(rng: &mut Rng) -> Policy {
    let action = one(rng, &["ALLOW", "ALLOW", "DENY", "AUDIT"]);
    let least = usize::from(action == "DENY");
    let mut rules: Vec<Value> = (0..rng.usize(least..4)).map(|_| rule(rng)).collect();
    if rng.u8(..) < 8 {
        rules.push(json!({}));
    }
    let namespace = one(rng, &["foo", "istio-system"]).to_owned();
    // Istio has no AUDIT that only tells: it does nothing else.
    let dry_run = action != "AUDIT" && rng.u8(..) < 40;
    Policy { namespace, spec: json!({"action": action, "rules": rules}), dry_run }
}

fn rule(rng: &mut Rng) -> Value {
    let mut rule = Map::new();
    if rng.bool() {
        let from: Vec<_> = (0..rng.usize(1..3)).map(|_| json!({"source": source(rng)})).collect();
        rule.insert("from".to_owned(), from.into());
    }
    if rng.bool() {
        let to: Vec<_> = (0..rng.usize(1..3)).map(|_| json!({"operation": operation(rng)})).collect();
        rule.insert("to".to_owned(), to.into());
    }
    if rng.u8(..) < 80 || rule.is_empty() {
        let when: Vec<_> = (0..rng.usize(1..3)).map(|_| when(rng)).collect();
        rule.insert("when".to_owned(), when.into());
    }
    rule.into()
}

/// One or two of these fields, each as it is or negated.
fn fields(rng: &mut Rng, known: &[(&str, &str, &[&str])]) -> Value {
    let mut fields = Map::new();
    for _ in 0..rng.usize(1..3) {
        let (name, not, words) = known[rng.usize(..known.len())];
        let name = if rng.u8(..) < 70 { not } else { name };
        fields.insert(name.to_owned(), some(rng, words));
    }
    fields.into()
}

fn source(rng: &mut Rng) -> Value {
    // Accounts stand beside neither principals nor namespaces.
    if rng.u8(..) < 40 {
        return fields(rng, &[("serviceAccounts", "notServiceAccounts", &ACCOUNTS)]);
    }
    fields(
        rng,
        &[
            ("principals", "notPrincipals", &PRINCIPALS),
            ("requestPrincipals", "notRequestPrincipals", &SUBJECTS),
            ("namespaces", "notNamespaces", &NAMESPACES),
            ("trustDomains", "notTrustDomains", &TRUST_DOMAINS),
            ("ipBlocks", "notIpBlocks", &NETWORKS),
            ("remoteIpBlocks", "notRemoteIpBlocks", &NETWORKS),
        ],
    )
}

fn operation(rng: &mut Rng) -> Value {
    fields(
        rng,
        &[
            ("hosts", "notHosts", &HOST_PATTERNS),
            ("ports", "notPorts", &["8080", "9000", "80"]),
            ("methods", "notMethods", &METHOD_PATTERNS),
            ("paths", "notPaths", &PATH_PATTERNS),
            ("paths", "notPaths", &PATH_PATTERNS),
        ],
    )
}

fn when(rng: &mut Rng) -> Value {
    let known: [(&str, &[&str]); 15] = [
        ("request.headers[X-A]", &PATTERNS),
        ("source.ip", &NETWORKS),
        ("remote.ip", &NETWORKS),
        ("source.namespace", &NAMESPACES),
        ("source.principal", &PRINCIPALS),
        ("source.serviceAccount", &ACCOUNTS),
        ("source.trustDomain", &TRUST_DOMAINS),
        ("request.auth.principal", &SUBJECTS),
        ("request.auth.audiences", &PATTERNS),
        ("request.auth.presenter", &PATTERNS),
        ("request.auth.claims[group]", &PATTERNS),
        ("request.auth.claims[nested][name]", &PATTERNS),
        ("destination.ip", &NETWORKS),
        ("destination.port", &["8080", "9000"]),
        ("connection.sni", &["a.com", "*.com", "*"]),
    ];
    let (key, words) = known[rng.usize(..known.len())];
    match rng.u8(..3) {
        0 => json!({"key": key, "notValues": some(rng, words)}),
        1 => json!({"key": key, "values": some(rng, words), "notValues": some(rng, words)}),
        _ => json!({"key": key, "values": some(rng, words)}),
    }
}

/// A request.
pub(super) fn asked(rng: &mut Rng) -> Asked {
    asked_of(rng, &Vocabulary(Vec::new()))
}

/// A request of what policies speak of.
pub(super) fn asked_of(rng: &mut Rng, words: &Vocabulary) -> Asked {
    let address = |rng: &mut Rng| -> IpAddr { one(rng, &ADDRESSES).parse().unwrap() };
    let names = (0..rng.usize(..3)).map(|_| match words.any(rng, |text| !text.contains(['[', ':'])) {
        Some(text) if text.matches('/').count() == 4 => format!("spiffe://{text}").into(),
        Some(text) => format!("spiffe://td.one/ns/{text}/sa/web").into(),
        None => one(rng, &IDENTITIES).into(),
    });
    let names = names.collect();
    let host = words.any(rng, |text| text.contains(".com")).unwrap_or(one(rng, &HOSTS)).to_owned();
    let target = words.any(rng, |text| text.starts_with('/')).unwrap_or(one(rng, &PATHS)).to_owned();
    let method = words.any(rng, |text| text.contains("method")).unwrap_or(one(rng, &METHODS)).to_owned();
    let field = |_| (one(rng, &["x-a", "x-header"]).to_owned(), word(rng, words).to_owned());
    let fields = (0..2).map(field).collect();
    Asked {
        http: rng.u8(..5) > 0,
        fields,
        peer: address(rng),
        client: address(rng),
        local: SocketAddr::new(address(rng), 0),
        server_name: rng.bool().then(|| one(rng, &["a.com", "b.org"]).to_owned()),
        names,
        method,
        authority: host,
        target,
        claims: rng.bool().then(|| claims(rng, words)),
    }
}

fn word<'w>(rng: &mut Rng, words: &'w Vocabulary) -> &'w str {
    words.any(rng, |text| !text.contains('[')).unwrap_or(one(rng, &WORDS))
}

fn claims(rng: &mut Rng, words: &Vocabulary) -> Value {
    let mut claims = Map::new();
    for name in ["aud", "azp", "group", "nested", "iss", "sub"] {
        let issuers = ["https://iss", "iss", "https://iss/sub"];
        let value: Value = match (name, rng.u8(..4)) {
            (_, 0) => continue,
            ("iss", _) => words.any(rng, |text| text.contains("rincipal")).unwrap_or(one(rng, &issuers)).into(),
            ("sub", _) => one(rng, &["a", "b", ""]).into(),
            ("nested", _) => json!({"name": word(rng, words)}),
            (_, 1) => json!(["z", word(rng, words)]),
            (_, 2) => json!(7),
            _ => word(rng, words).into(),
        };
        claims.insert(name.to_owned(), value);
    }
    claims.into()
}
