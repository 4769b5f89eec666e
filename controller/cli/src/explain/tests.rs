// SPDX-License-Identifier: Apache-2.0
//! Puzzling requests: `explain` names the cause and the object to change.

use std::fs;

use torana_ir::{AcmeHost, AcmeHostKey, GatewayId, Snapshot};

use super::*;

const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: torana
  listeners:
  - {name: http, port: 80, protocol: HTTP}
";

const BACKENDS: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [127.0.0.1]}]
ports: [{port: 9}]
---
apiVersion: v1
kind: Service
metadata: {name: idle}
spec: {ports: [{port: 80}]}
";

const CERTIFICATE: &str = include_str!("../../testdata/certificate.yaml");

fn route(name: &str, spec: &str) -> String {
    let head = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:";
    let spec =
        if spec.contains("parentRefs") { spec.to_owned() } else { format!("parentRefs: [{{name: edge}}], {spec}") };
    format!("{head} {{name: {name}}}\nspec: {{{spec}}}\n")
}

fn gateway(listeners: &str) -> String {
    let listeners = format!("  - {}", listeners.replace('\n', "\n  - "));
    GATEWAY.replace("  - {name: http, port: 80, protocol: HTTP}", &listeners)
}

/// Explains `request` (`METHOD URL`, then one header a line) with `documents` and the backends.
fn explained(documents: &[String], request: &str) -> Answer {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("backends.yaml"), BACKENDS).unwrap();
    fs::write(root.path().join("case.yaml"), documents.join("---\n")).unwrap();
    let plane = Plane::open(&[root.path().to_owned()], settings(Server::ADMIN, Server::HEALTH));
    let table = Table::compile(&plane.snapshot(), &Table::empty());
    let mut lines = request.lines();
    let (method, url) = lines.next().unwrap().split_once(' ').unwrap();
    let headers: Vec<String> = lines.map(str::to_owned).collect();
    explain(&table, &plane, &Question::new(url, method, &headers).unwrap())
}

/// One puzzle: objects, a request, and the status, object and words that explain it.
#[derive(Clone)]
struct Puzzle {
    name: &'static str,
    documents: Vec<String>,
    request: &'static str,
    status: Option<u16>,
    object: &'static str,
    words: &'static str,
}

fn puzzle(
    name: &'static str,
    documents: impl Into<Vec<String>>,
    request: &'static str,
    (status, object, words): (u16, &'static str, &'static str),
) -> Puzzle {
    let status = (status > 0).then_some(status);
    Puzzle { name, documents: documents.into(), request, status, object, words }
}

const TO_WEB: &str = "rules: [{backendRefs: [{name: web, port: 80}]}]";

fn with(route_spec: &str) -> Vec<String> {
    vec![GATEWAY.to_owned(), route("web", route_spec)]
}

fn of_listeners() -> Vec<Puzzle> {
    let isolated =
        "{name: any, port: 80, protocol: HTTP}\n{name: shop, port: 80, protocol: HTTP, hostname: shop.example.com}";
    let tls = "{name: a, port: 443, protocol: HTTPS, hostname: a.example.com, tls: {certificateRefs: [{name: cert}]}}\n\
        {name: b, port: 443, protocol: HTTPS, hostname: b.example.com, tls: {certificateRefs: [{name: cert}]}}";
    let only_any = "parentRefs: [{name: edge, sectionName: any}], hostnames: [shop.example.com], ";
    let foreign = GATEWAY.replace("gatewayClassName: torana", "gatewayClassName: nginx");
    let no_certificate = "{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: lost}]}}";
    vec![
        puzzle(
            "no listener on the port",
            with(TO_WEB),
            "GET http://a.example.com:81/",
            (0, "Gateway default/edge", "no listener has port 81"),
        ),
        puzzle(
            "a Gateway of another class",
            [foreign],
            "GET http://a/",
            (0, "Gateway default/edge", "class nginx is not Torana's"),
        ),
        puzzle(
            "https to a port that speaks http",
            with(TO_WEB),
            "GET https://a.example.com:80/",
            (0, "Gateway default/edge", "speak HTTP"),
        ),
        puzzle(
            "no listener covers the host",
            [gateway("{name: x, port: 80, protocol: HTTP, hostname: \"*.example.com\"}")],
            "GET http://example.com/",
            (404, "Gateway default/edge", "covers *.example.com only"),
        ),
        puzzle(
            "listener isolation",
            [gateway(isolated), route("web", &format!("{only_any}{TO_WEB}"))],
            "GET http://shop.example.com/",
            (404, "HTTPRoute default/web", "listener isolation"),
        ),
        puzzle(
            "misdirected",
            [gateway(tls), CERTIFICATE.to_owned(), route("web", TO_WEB)],
            "GET https://a.example.com/\nHost: b.example.com",
            (421, "Gateway default/edge", "the handshake was for a.example.com (listener a)"),
        ),
        puzzle(
            "a listener without its certificate",
            [gateway(no_certificate), route("web", TO_WEB)],
            "GET https://a.example.com/",
            (0, "Gateway default/edge", "there is no Secret default/lost"),
        ),
        puzzle(
            "two protocols on one port",
            [
                gateway(
                    "{name: a, port: 80, protocol: HTTP}\n\
                     {name: b, port: 80, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}",
                ),
                CERTIFICATE.to_owned(),
            ],
            "GET http://a/",
            (0, "Gateway default/edge", "ProtocolConflict"),
        ),
        puzzle(
            "no route at all",
            [GATEWAY.to_owned()],
            "GET http://a/",
            (404, "Gateway default/edge", "no route is attached to listener http"),
        ),
    ]
}

fn stream_route(kind: &str, spec: &str) -> String {
    route("web", spec).replace("kind: HTTPRoute", &format!("kind: {kind}"))
}

fn of_streams() -> Vec<Puzzle> {
    let tcp = gateway("{name: db, port: 80, protocol: TCP}");
    let udp = gateway("{name: dns, port: 80, protocol: UDP}");
    let pass = gateway("{name: pass, port: 443, protocol: TLS, tls: {mode: Passthrough}}");
    let lost = "rules: [{backendRefs: [{name: lost, port: 80}]}]";
    vec![
        puzzle(
            "a port that is passed on",
            [tcp.clone(), stream_route("TCPRoute", "rules: [{backendRefs: [{name: idle, port: 80}]}]")],
            "GET http://a.example.com/",
            (0, "Service default/idle", "default/edge/db: TCP, passed on as it comes"),
        ),
        puzzle(
            "a port that is passed on to nobody",
            [tcp.clone()],
            "GET http://a.example.com/",
            (0, "Gateway default/edge", "no TCPRoute of listener db takes the connection"),
        ),
        puzzle(
            "a missing backend of a stream",
            [tcp, stream_route("TCPRoute", lost)],
            "GET http://a.example.com/",
            (0, "TCPRoute default/web", "there is no Service default/lost"),
        ),
        puzzle(
            "a port of datagrams",
            [udp],
            "GET http://a.example.com/",
            (0, "Gateway default/edge", "carries UDP only"),
        ),
        puzzle(
            "TLS that passes through for another name",
            [pass.clone(), stream_route("TLSRoute", &format!("hostnames: [a.example.com], {TO_WEB}"))],
            "GET https://b.example.com/",
            (0, "Gateway default/edge", "no TLSRoute of listener pass takes the connection"),
        ),
        puzzle(
            "http to a port of TLS",
            [pass],
            "GET http://a.example.com:443/",
            (0, "Gateway default/edge", "speak TLS"),
        ),
    ]
}

fn of_routes() -> Vec<Puzzle> {
    let host = format!("hostnames: [a.example.com], {TO_WEB}");
    let matching = |matches: &str| format!("rules: [{{matches: [{matches}], backendRefs: [{{name: web, port: 80}}]}}]");
    vec![
        puzzle(
            "another host",
            with(&host),
            "GET http://b.example.com/",
            (404, "HTTPRoute default/web", "serves host a.example.com, not b.example.com"),
        ),
        puzzle(
            "another path",
            with(&matching("{path: {value: /shop}}")),
            "GET http://a/shopping",
            (404, "HTTPRoute default/web", "wants prefix /shop, the path is /shopping"),
        ),
        puzzle(
            "an exact path with a slash at its end",
            with(&matching("{path: {type: Exact, value: /shop}}")),
            "GET http://a/shop/",
            (404, "HTTPRoute default/web", "wants exact /shop, the path is /shop/"),
        ),
        puzzle(
            "another method",
            with(&matching("{method: POST}")),
            "GET http://a/",
            (404, "HTTPRoute default/web", "method must be POST"),
        ),
        puzzle(
            "a header that is absent",
            with(&matching("{headers: [{name: X-Beta, value: \"1\"}]}")),
            "GET http://a/",
            (404, "HTTPRoute default/web", "header x-beta must be \"1\", is absent"),
        ),
        puzzle(
            "a query parameter of another value",
            with(&matching("{queryParams: [{name: v, value: \"2\"}]}")),
            "GET http://a/?v=1",
            (404, "HTTPRoute default/web", "query v must be \"2\", is \"1\""),
        ),
    ]
}

fn of_attachment() -> Vec<Puzzle> {
    let host = format!("hostnames: [a.example.com], {TO_WEB}");
    let elsewhere = route("web", TO_WEB)
        .replace("{name: web}\nspec", "{name: web, namespace: other}\nspec")
        .replace("[{name: edge}]", "[{name: edge, namespace: default}]");
    vec![
        puzzle(
            "a namespace that may not attach",
            [GATEWAY.to_owned(), elsewhere],
            "GET http://a/",
            (404, "HTTPRoute other/web", "NotAllowedByListeners"),
        ),
        puzzle(
            "a section that is not there",
            with(&format!("parentRefs: [{{name: edge, sectionName: https}}], {TO_WEB}")),
            "GET http://a/",
            (404, "HTTPRoute default/web", "has no listener https"),
        ),
        puzzle(
            "a Gateway that is not there",
            with(&format!("parentRefs: [{{name: other}}], {TO_WEB}")),
            "GET http://a/",
            (404, "HTTPRoute default/web", "there is no Gateway default/other"),
        ),
        puzzle(
            "hostnames that do not meet",
            [
                gateway(
                    "{name: http, port: 80, protocol: HTTP}\n\
                     {name: org, port: 81, protocol: HTTP, hostname: \"*.example.org\"}",
                ),
                route("web", &format!("parentRefs: [{{name: edge, sectionName: org}}], {host}")),
            ],
            "GET http://a.example.com/",
            (404, "HTTPRoute default/web", "NoMatchingListenerHostname"),
        ),
        puzzle(
            "attached to another port only",
            [
                gateway("{name: http, port: 80, protocol: HTTP}\n{name: other, port: 81, protocol: HTTP}"),
                route("web", &format!("parentRefs: [{{name: edge, sectionName: other}}], {TO_WEB}")),
            ],
            "GET http://a/",
            (404, "HTTPRoute default/web", "which is not on port 80"),
        ),
        puzzle(
            "a route that is refused",
            with("rules: [{matches: [{path: {type: Glob, value: /*}}]}]"),
            "GET http://a/",
            (404, "HTTPRoute default/web", "\"Glob\" is not one of"),
        ),
        puzzle(
            "a request that the gate refuses",
            with(TO_WEB),
            "GET http://a/%00",
            (400, "", "the strict gate objects"),
        ),
    ]
}

fn of_backends() -> Vec<Puzzle> {
    let to = |refs: &str| format!("rules: [{{backendRefs: [{refs}]}}]");
    let private =
        "apiVersion: v1\nkind: Service\nmetadata: {name: private, namespace: other}\nspec: {ports: [{port: 80}]}\n";
    let with_private =
        vec![GATEWAY.to_owned(), private.to_owned(), route("web", &to("{name: private, namespace: other, port: 80}"))];
    let policy = "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: web}\nspec:\n  \
        targetRefs: [{group: \"\", kind: Service, name: web}]\n  \
        validation: {hostname: a.example.com, caCertificateRefs: [{group: \"\", kind: ConfigMap, name: lost}]}\n";
    let shadow = vec![GATEWAY.to_owned(), route("a", TO_WEB), route("b", TO_WEB)];
    let order = "rules: [{backendRefs: [{name: web, port: 80}]}, {name: late, backendRefs: [{name: idle, port: 80}]}]";
    let redirect = "rules: [{filters: [{type: RequestRedirect, requestRedirect: {scheme: https, statusCode: 301}}]}]";
    vec![
        puzzle(
            "a missing Service",
            with(&to("{name: nobody, port: 80}")),
            "GET http://a/",
            (500, "HTTPRoute default/web", "there is no Service default/nobody"),
        ),
        puzzle(
            "a missing port",
            with(&to("{name: web, port: 81}")),
            "GET http://a/",
            (500, "HTTPRoute default/web", "has no port 81"),
        ),
        puzzle(
            "a missing grant",
            with_private,
            "GET http://a/",
            (500, "HTTPRoute default/web", "add a ReferenceGrant in namespace other"),
        ),
        puzzle(
            "weight zero",
            with(&to("{name: web, port: 80, weight: 0}")),
            "GET http://a/",
            (500, "HTTPRoute default/web", "every backendRef of the rule has weight 0"),
        ),
        puzzle(
            "no backend",
            with("rules: [{matches: [{path: {value: /}}]}]"),
            "GET http://a/",
            (500, "HTTPRoute default/web", "names no backend"),
        ),
        puzzle(
            "no endpoints",
            with(&to("{name: idle, port: 80}")),
            "GET http://a/",
            (503, "Service default/idle", "EndpointSlice"),
        ),
        puzzle(
            "TLS that cannot be had",
            [GATEWAY.to_owned(), policy.to_owned(), route("web", TO_WEB)],
            "GET http://a/",
            (500, "BackendTLSPolicy default/web", "there is no ConfigMap default/lost"),
        ),
        puzzle(
            "half of the requests fail",
            with(&to("{name: web, port: 80}, {name: nobody, port: 80}")),
            "GET http://a/",
            (0, "HTTPRoute default/web", "there is no Service default/nobody"),
        ),
        puzzle(
            "a route shadowed by its older sibling",
            shadow,
            "GET http://a/",
            (0, "HTTPRoute default/b", "its route comes first by namespace and name"),
        ),
        puzzle(
            "a rule shadowed by an earlier one",
            with(order),
            "GET http://a/",
            (0, "HTTPRoute default/web", "rule 1 fits too, but"),
        ),
        puzzle("a redirect", with(redirect), "GET http://a/x", (301, "", "to https://a/x")),
    ]
}

#[test]
fn every_puzzle_is_explained_by_its_object() {
    let puzzles = [of_listeners(), of_streams(), of_routes(), of_attachment(), of_backends()].concat();
    assert!(puzzles.len() >= 20);
    let failed: Vec<String> = puzzles.iter().filter_map(unexplained).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What is wrong with the answer to a puzzle.
fn unexplained(puzzle: &Puzzle) -> Option<String> {
    let answer = explained(&puzzle.documents, puzzle.request);
    let text = answer.to_string();
    let object = answer.causes.first().and_then(|cause| cause.object.as_ref()).map(ToString::to_string);
    let ok = answer.status == puzzle.status
        && object.unwrap_or_default() == puzzle.object
        && text.contains(puzzle.words)
        && answer.causes.iter().all(|cause| cause.object.is_none() || cause.place.is_some());
    (!ok)
        .then(|| format!("== {}: wanted {:?} {} {:?}\n{text}", puzzle.name, puzzle.status, puzzle.object, puzzle.words))
}

#[test]
fn a_request_that_arrives_is_followed_to_its_endpoints() {
    let rewrite = "hostnames: [a.example.com], rules: [{matches: [{path: {value: /old}}], \
        filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}], \
        backendRefs: [{name: web, port: 80}]}]";
    let answer = explained(&with(rewrite), "GET http://a.example.com/old/x?y=1");
    assert!(answer.arrives() && answer.causes.is_empty(), "{answer}");
    assert_eq!(answer.forwarded.as_deref(), Some("GET a.example.com/new/x?y=1"));
    assert_eq!(answer.backends[0].endpoints, ["127.0.0.1:9"]);
    let text = answer.to_string();
    for part in [
        "listener  default/edge/http",
        "HTTPRoute/default/web rule 0 match 0: prefix /old",
        "URLRewrite",
        "✔ forwarded",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn what_endpoints_are_asked_before_they_are_sent_anything_stands_beside_them() {
    let checked = |active: &str| {
        let head = "apiVersion: torana.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: web}\n";
        let targets = "targetRefs: [{group: \"\", kind: Service, name: web}]";
        let policy = format!("{head}spec: {{{targets}, healthCheck: {{active: {{{active}}}}}}}\n");
        let answer = explained(&[GATEWAY.to_owned(), route("web", TO_WEB), policy], "GET http://a/");
        assert!(answer.to_string().contains("127.0.0.1:9, checked by "), "{answer}");
        answer.backends[0].check.clone().unwrap()
    };
    for (active, expected) in [
        ("http: {path: /healthz, method: HEAD}", "HEAD /healthz every 5s"),
        ("interval: 500ms, tcp: {}, port: 81", "connecting on port 81 every 500ms"),
        ("grpc: {}", "grpc.health.v1.Health every 5s"),
        ("grpc: {service: a.B}", "grpc.health.v1.Health of a.B every 5s"),
    ] {
        assert_eq!(checked(active), expected);
    }
}

#[test]
fn a_connection_that_is_passed_on_is_followed_to_its_endpoints() {
    let pass = gateway("{name: pass, port: 443, protocol: TLS, tls: {mode: Passthrough}}");
    let route = stream_route("TLSRoute", &format!("hostnames: [a.example.com], {TO_WEB}"));
    let answer = explained(&[pass, route], "GET https://a.example.com/");
    assert!(answer.arrives() && answer.causes.is_empty(), "{answer}");
    assert_eq!(answer.backends[0].endpoints, ["127.0.0.1:9"]);
    let text = answer.to_string();
    for part in ["TLS, passed on to end at the backend", "TLSRoute/default/web rule 0", "✔ passed on"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_question_of_acme_is_answered_before_any_route() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.yaml"), [GATEWAY, &route("web", TO_WEB), BACKENDS].join("---\n")).unwrap();
    let plane = Plane::open(&[root.path().to_owned()], settings(Server::ADMIN, Server::HEALTH));
    let gateway = GatewayId { namespace: "default".to_owned(), name: "edge".to_owned() };
    let key = AcmeHostKey { gateway, host: "a.example.com".to_owned() };
    let host = AcmeHost::new(key.clone(), [("t".to_owned(), "t.thumb".to_owned())].into(), None, true).unwrap();
    let mut snapshot = Snapshot::clone(&plane.snapshot());
    snapshot.acme_hosts.insert(key, host.into());
    let table = Table::compile(&snapshot, &Table::empty());
    let path = "http://a.example.com/.well-known/acme-challenge";
    let told = |method: &str, token: &str| {
        explain(&table, &plane, &Question::new(&format!("{path}/{token}"), method, &[]).unwrap())
    };
    let answer = told("GET", "t");
    assert!(answer.arrives() && answer.status == Some(200) && answer.winner.is_none(), "{answer}");
    assert!(answer.to_string().contains("✔ 200: a question of ACME, answered by the gateway itself"), "{answer}");
    for (method, token, status, words) in
        [("GET", "u", 404, "nobody has an answer to"), ("POST", "t", 405, "is asked by GET")]
    {
        let answer = told(method, token);
        assert_eq!((answer.status, answer.arrives()), (Some(status), false), "{answer}");
        assert!(answer.to_string().contains(words), "{answer}");
    }
}

#[test]
fn a_running_gateway_answers_the_same_by_its_admin_server() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.yaml"), [GATEWAY, &route("web", TO_WEB), BACKENDS].join("---\n")).unwrap();
    let plane = Plane::open(&[root.path().to_owned()], settings(Server::ADMIN, Server::HEALTH));
    let table = Table::compile(&plane.snapshot(), &Table::empty());
    let query = query::encode([("url", "http://a/x?y"), ("method", "POST"), ("header", "X-A: b")]);
    let json: Value = serde_json::from_str(&answer(&table, &plane, &query).unwrap()).unwrap();
    assert_eq!((&json["arrives"], &json["request"]), (&Value::Bool(true), &"POST http://a/x?y".into()));
    assert!(json["text"].as_str().unwrap().contains("default/web:80"), "{json}");
    for bad in ["", "method=GET", "url=ftp%3A%2F%2Fa%2F", "url=http://a/&colour=red", "url=http://a/&header=x"] {
        assert!(answer(&table, &plane, bad).is_err(), "{bad}");
    }
}
