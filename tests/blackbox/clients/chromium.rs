// SPDX-License-Identifier: Apache-2.0
//! Chromium, headless: a page over HTTP/2 with what it loads, `fetch` across origins, an upload, and a WebSocket. The
//! page writes what it saw into itself, and Chromium prints the page.
//!
//! Too much to install for every run of the tests: `./dev clients` runs it.

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;
use torana_tests::{Authority, Echo, Nginx, World};

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");

/// One certificate for both hosts, each a listener of its own: Chromium uses its connection to the first for the
/// second (RFC 9113 §9.1.1), is told 421, and must ask again over a new one.
const LISTENERS: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  gatewayClassName: torana
  listeners:
  - {name: app, port: ${HTTPS}, protocol: HTTPS, hostname: app.example.com, tls: {certificateRefs: [{name: both}]}}
  - {name: api, port: ${HTTPS}, protocol: HTTPS, hostname: api.example.com, tls: {certificateRefs: [{name: both}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: app, namespace: default}
spec:
  parentRefs: [{name: edge}]
  hostnames: [app.example.com]
  rules:
  - backendRefs: [{name: nginx, port: 80}]
  - matches: [{path: {value: /chat}}, {path: {value: /delay}}, {path: {value: /upload}}]
    backendRefs: [{name: echo, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: api, namespace: default}
spec:
  parentRefs: [{name: edge}]
  hostnames: [api.example.com]
  rules:
  - matches: [{path: {value: /allowed}}]
    filters:
    - type: CORS
      cors:
        allowOrigins: ['https://app.example.com:${HTTPS}']
        allowMethods: [GET, PUT]
        allowHeaders: [x-custom]
        exposeHeaders: [x-echo-name]
        maxAge: 60
    - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: timing-allow-origin, value: '*'}]}}
    backendRefs: [{name: echo, port: 80}]
  - matches: [{path: {value: /dot.svg}}]
    backendRefs: [{name: nginx, port: 80}]
  - matches: [{path: {value: /other}}]
    filters:
    - {type: CORS, cors: {allowOrigins: ['https://other.example.com']}}
    backendRefs: [{name: echo, port: 80}]
---
";

/// What the page writes, a line each.
const EXPECTED: &[&str] = &[
    "navigation=h2 200",
    "images=20",
    "fetch across origins=200 PUT {\"x-custom\":[\"1\"]} echo h2",
    "image of the other host=loaded",
    "origin not allowed=TypeError",
    "method not allowed=TypeError",
    "upload=2097152 HTTP/1.1",
    "websocket=hello, large 70000",
    "websocket closed=1000 true",
    "protocols=h2",
];

fn run(program: &str, arguments: &[&str], home: &TempDir) -> Output {
    let mut command = Command::new("timeout");
    let command = command.args(["--kill-after=5", "90", program]).args(arguments).env("HOME", home.path());
    command.output().expect("timeout runs")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Chromium trusts what is in the database of certificates in the home folder.
fn trust(authority: &Authority, home: &TempDir) {
    let folder = home.path().join(".pki/nssdb");
    fs::create_dir_all(&folder).unwrap();
    let (database, root) = (format!("sql:{}", folder.display()), authority.root_file());
    let root = root.to_str().unwrap();
    for arguments in [
        &["-d", &database, "-N", "--empty-password"][..],
        &["-d", &database, "-A", "-n", "torana", "-t", "C,,", "-i", root][..],
    ] {
        let output = run("certutil", arguments, home);
        assert!(output.status.success(), "certutil, of the package libnss3-tools: {}", text(&output));
    }
}

#[test]
#[ignore = "needs Chromium: ./dev clients"]
fn chromium_loads_a_page_with_all_that_belongs_to_it() {
    let (authority, nginx, echo) = (Authority::new(), Nginx::start(), Echo::start("echo"));
    nginx.serve("index.html", PAGE);
    nginx.serve("page.js", SCRIPT);
    nginx.serve("style.css", "body { color: green }\n");
    nginx.serve("dot.svg", "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><circle r='4'/></svg>");
    let world = World::start(&format!(
        "{LISTENERS}{}{}{}",
        authority.secret("both", &["app.example.com", "api.example.com"]),
        World::service("echo", echo.port),
        World::service("nginx", nginx.port)
    ));
    let home = TempDir::new().unwrap();
    trust(&authority, &home);
    let profile = format!("--user-data-dir={}", home.path().join("profile").display());
    let url = format!("https://app.example.com:{}/index.html", world.https);
    let output = run(
        "chromium",
        &[
            "--headless=new",
            // As root there is no sandbox.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--host-resolver-rules=MAP *.example.com 127.0.0.1",
            &profile,
            "--dump-dom",
            &url,
        ],
        &home,
    );
    let page = text(&output).replace("&amp;", "&");
    let missing: Vec<_> = EXPECTED.iter().filter(|line| !page.contains(*line)).collect();
    assert!(missing.is_empty(), "missing {missing:?}:\n{page}\n{}", world.log());
    println!("{}", EXPECTED.join("\n"));
    // It did try its connection to the one host for the other.
    assert!(world.log().contains("\"status\":421"), "no connection was shared:\n{}", world.log());
}
