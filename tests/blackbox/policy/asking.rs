// SPDX-License-Identifier: Apache-2.0
//! `CUSTOM`: somebody else is asked, an extension provider of the mesh, before all other policies.

use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;
use torana_tests::{Backend, Reply, World, eventually, ports};

use super::super::log::line;
use super::issuer::{Issuer, NAME, claims};
use super::{authentication, policy};

/// The mesh's settings with an authorization server that speaks HTTP, and what else there is to say of it.
fn mesh(more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n    \
         extensionProviders:\n    - {{name: asked, envoyExtAuthzHttp: {{service: auth.default.svc.cluster.local, port: \
         80{more}}}}}\n---\n"
    )
}

/// What is asked about, in `rules`.
fn custom(rules: &str) -> String {
    policy("custom", &format!("action: CUSTOM, provider: {{name: asked}}, rules: [{rules}]"))
}

/// A world whose provider is at this port, or is nobody.
fn world(auth: u16, app: &Backend, manifests: &str) -> World {
    let services = World::service("auth", auth) + &World::service("app", app.port);
    World::start(&[World::gateway(), &services, &World::catch_all("all", "app"), manifests].concat())
}

fn ask(world: &World, path: &str, fields: &str, body: &str) -> Reply {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let method = if body.is_empty() { "GET" } else { "POST" };
    world.raw(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}{length}\r\n{body}").as_bytes()).unwrap()
}

/// Says yes to `X-Ext: allow`, fails where `X-Ext: fail` is said, and no to all others.
fn server() -> Backend {
    Backend::scripted(|seen| match seen.header("x-ext") {
        Some("allow") => {
            b"HTTP/1.1 200 OK\r\nX-User: me\r\nX-Seen: 1\r\nX-Other: 1\r\nContent-Length: 0\r\n\r\n".to_vec()
        }
        Some("fail") => b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_vec(),
        Some("moved") => b"HTTP/1.1 204 No\r\n\r\n".to_vec(),
        _ => b"HTTP/1.1 401 No\r\nX-Why: you\r\nX-Other: 1\r\nWWW-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nwho?"
            .to_vec(),
    })
}

const FIELDS: &str = ", pathPrefix: /check, includeRequestHeadersInCheck: [x-ext, x-in-*], includeAdditionalHeadersInCheck: \
                      {x-in-2: ours}, headersToUpstreamOnAllow: [x-user], headersToDownstreamOnAllow: [x-seen], \
                      headersToDownstreamOnDeny: [x-why]";

#[test]
fn the_provider_is_asked_about_what_rules_take_and_says_what_becomes_of_it() {
    let (auth, app) = (server(), Backend::named("app"));
    let rule = "{to: [{operation: {paths: ['/asked*']}}]}";
    let world = world(auth.port, &app, &(mesh(FIELDS) + &custom(rule)));
    let said = "X-Ext: allow\r\nX-In-1: a\r\nX-In-2: forged\r\nX-User: forged\r\nCookie: c\r\n";
    let reply = ask(&world, "/asked/x?y=1", said, "body");
    assert_eq!((reply.status, reply.header("x-seen"), reply.header("x-other")), (200, Some("1"), None));
    let asked = &auth.take()[0];
    assert_eq!((asked.target.as_str(), asked.header("host")), ("/check/asked/x?y=1", Some("a")));
    assert_eq!((asked.header("x-in-1"), asked.header("x-in-2")), (Some("a"), Some("ours")));
    assert!(asked.header("cookie").is_none() && asked.header("x-user").is_none(), "{asked:?}");
    let seen = &app.take()[0];
    assert_eq!((seen.header("x-user"), seen.header("x-other"), seen.body.as_slice()), (Some("me"), None, &b"body"[..]));
    let reply = ask(&world, "/asked", "", "");
    assert_eq!((reply.status, reply.text().as_str(), reply.header("x-why")), (401, "who?", Some("you")));
    assert_eq!((reply.header("www-authenticate"), reply.header("x-other")), (Some("Basic"), None));
    let denied = line(&world, "/asked");
    assert_eq!((&denied["policy"], &denied["reason"]), (&json!("istio-system/custom[0]"), &json!("auth_denied")));
    drop(auth.take());
    assert_eq!((ask(&world, "/free", "", "").status, auth.seen().len()), (200, 0), "it is not asked about others");
    let url = format!("http://a:{}/asked", world.http);
    let text = torana_tests::torana(["explain", "-f", world.folder().to_str().unwrap(), &url]).stdout;
    assert!(text.contains("allowed, if asked says yes to it (istio-system/custom[0])"), "{text}");
    // What a backend may take for the path counts, too.
    for path in ["//asked", "/x/..%2fasked", "/asked/"] {
        assert_eq!(ask(&world, path, "", "").status, 401, "{path}");
    }
    for (decision, count) in [("granted", 1.0), ("refused", 4.0)] {
        assert_eq!(world.metric(&format!("torana_policy_decisions_total{{decision=\"{decision}\"}}")), Some(count));
    }
}

#[test]
fn whoever_says_nothing_has_not_said_yes_unless_the_mesh_says_so() {
    let (auth, app) = (server(), Backend::named("app"));
    let shown = ", includeRequestHeadersInCheck: [x-ext]";
    let world = world(auth.port, &app, &(mesh(shown) + &custom("{}")));
    let statuses = || ["fail", "moved", "no"].map(|what| ask(&world, "/", &format!("X-Ext: {what}\r\n"), "").status);
    assert_eq!(statuses(), [403, 403, 401]);
    for (more, expected) in [
        (", statusOnError: '503'", [503, 403, 401]),
        // An answer that is no yes is no failure.
        (", failOpen: true", [200, 403, 401]),
        (", failOpen: true, statusOnError: '503'", [200, 403, 401]),
    ] {
        world.apply("mesh.yaml", &mesh(&format!("{shown}{more}")));
        assert!(eventually(|| statuses() == expected), "{more}: {:?}", statuses());
    }
    let nobody = World::service("auth", ports::free());
    world.apply("services.yaml", &nobody);
    world.apply("mesh.yaml", &mesh(", statusOnError: '429'"));
    assert!(eventually(|| ask(&world, "/", "", "").status == 429));
}

#[test]
fn a_body_is_shown_as_far_as_the_provider_wants_it() {
    let (auth, app) = (server(), Backend::named("app"));
    let wants = |more: &str| {
        mesh(&format!(
            ", includeRequestHeadersInCheck: [x-ext], includeRequestBodyInCheck: {{maxRequestBytes: 4{more}}}"
        ))
    };
    let world = world(auth.port, &app, &(wants("") + &custom("{}")));
    let post = |body: &str| (ask(&world, "/", "X-Ext: allow\r\n", body).status, auth.take(), app.take());
    let (status, asked, seen) = post("four");
    assert_eq!((status, asked[0].body.as_slice(), seen[0].body.as_slice()), (200, &b"four"[..], &b"four"[..]));
    let (status, asked, seen) = post("fives");
    assert_eq!((status, asked.len(), seen.len()), (413, 0, 0));
    world.apply("mesh.yaml", &wants(", allowPartialMessage: true"));
    assert!(eventually(|| post("fives").0 == 200));
    for body in ["fives".to_owned(), "0123456789".repeat(100_000)] {
        let (status, asked, seen) = post(&body);
        assert_eq!((status, asked[0].body.as_slice()), (200, &body.as_bytes()[..4]));
        assert_eq!(asked[0].header("x-envoy-auth-partial-body"), Some("true"));
        assert!(seen[0].body == body.as_bytes(), "{} bytes of {}", seen[0].body.len(), body.len());
    }
}

#[test]
fn it_is_asked_before_tokens_and_other_policies_and_they_see_what_it_says() {
    let issuer = Issuer::rsa("own");
    let token = issuer.signs(&claims());
    let auth = Backend::scripted(move |seen| {
        let token = if seen.header("x-ext") == Some("allow") { token.as_str() } else { "none" };
        format!("HTTP/1.1 200 OK\r\nAuthorization: Bearer {token}\r\nX-Team: red\r\nContent-Length: 0\r\n\r\n")
            .into_bytes()
    });
    let app = Backend::named("app");
    let mesh = mesh(", includeRequestHeadersInCheck: [x-ext], headersToUpstreamOnAllow: [authorization, x-team]");
    let jwt = authentication(&format!("{{issuer: '{NAME}', jwks: '{}'}}", Issuer::jwks(&[&issuer])));
    let allow = policy(
        "allow",
        "rules: [{when: [{key: 'request.headers[x-team]', values: [red]}, {key: 'request.auth.claims[groups]', values: \
         [admin]}]}]",
    );
    let world = world(auth.port, &app, &[mesh, custom("{}"), jwt, allow].concat());
    assert_eq!((ask(&world, "/", "X-Ext: allow\r\n", "").status, ask(&world, "/", "", "").status), (200, 401));
    assert_eq!(auth.seen().len(), 2, "once for each");
}

#[test]
fn routes_are_looked_at_again_only_where_the_mesh_says_so() {
    let auth = Backend::scripted(|_| b"HTTP/1.1 200 OK\r\nX-Team: red\r\nContent-Length: 0\r\n\r\n".to_vec());
    let (app, red) = (Backend::named("app"), Backend::named("red"));
    let matches = "rules: [{matches: [{headers: [{name: x-team, value: red}]}], backendRefs: [{name: red, port: 80}]}]";
    let routes = World::service("red", red.port) + &super::super::manifests::route("red", matches);
    let upstream = ", headersToUpstreamOnAllow: [x-team]";
    let world = world(auth.port, &app, &[mesh(upstream), custom("{}"), routes].concat());
    assert_eq!(ask(&world, "/", "", "").text(), "app");
    world.apply("mesh.yaml", &mesh(&format!("{upstream}, clearRouteCache: true")));
    assert!(eventually(|| ask(&world, "/", "", "").text() == "red"));
    drop(auth.take());
    ask(&world, "/", "", "");
    assert_eq!(auth.seen().len(), 1, "it is asked once, however often routes are looked at");
}

#[test]
fn a_client_that_leaves_is_not_asked_about_any_longer() {
    let (tells, asked) = mpsc::channel();
    let auth = Backend::scripted(move |_| {
        tells.send(()).unwrap();
        std::thread::sleep(Duration::from_secs(20));
        b"!".to_vec()
    });
    let app = Backend::named("app");
    let world = world(auth.port, &app, &(mesh("") + &custom("{}")));
    let mut connection = torana_tests::Connection::open(world.http).unwrap();
    connection.send(b"GET /gone HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    asked.recv_timeout(Duration::from_secs(10)).unwrap();
    drop(connection);
    let left = line(&world, "/gone");
    assert_eq!((&left["reason"], app.seen().len()), (&json!("client_gone"), 0), "{left}");
}

#[test]
fn who_cannot_be_asked_lets_nobody_through_whom_its_rules_take() {
    let app = Backend::named("app");
    let rule = "{to: [{operation: {paths: [/asked]}}]}";
    let other = policy("custom", &format!("action: CUSTOM, provider: {{name: other}}, rules: [{rule}]"));
    let auth = server();
    let world = world(auth.port, &app, &(mesh("") + &other));
    assert_eq!((world.status("a", "/asked"), world.status("a", "/")), (403, 200));
    let why = "there is no extension provider \"other\" in MeshConfig (there is asked)";
    assert!(eventually(|| world.log().contains(why)), "{}", world.log());
    let broken = mesh("").replace("auth.default", "nobody.default");
    world.apply("policy.yaml", "");
    world.apply("all.yaml", &(broken + &custom(rule)));
    assert!(eventually(|| world.log().contains("there is no service nobody.default.svc.cluster.local")));
}
