// SPDX-License-Identifier: Apache-2.0
//! The access log names what the user named.

use serde_json::Value;
use torana_tests::{Backend, World, eventually};

use super::manifests::{route, to};

/// The access log line of the request with this path.
pub(super) fn line(world: &World, path: &str) -> Value {
    let find = || {
        world.log().lines().filter_map(|line| serde_json::from_str(line).ok()).find(|line: &Value| line["path"] == path)
    };
    assert!(eventually(|| find().is_some()), "{path}: {}", world.log());
    find().unwrap()
}

#[test]
fn a_line_names_gateway_listener_route_rule_backend_endpoint_and_reason() {
    let backend = Backend::named("ok");
    let rules = [
        format!("{{name: checkout, matches: [{{path: {{value: /named}}}}], {}}}", to("b")),
        format!("{{matches: [{{path: {{value: /unnamed}}}}], {}}}", to("b")),
        format!("{{name: lost, matches: [{{path: {{value: /lost}}}}], {}}}", to("nobody")),
        format!("{{name: refused, matches: [{{path: {{value: /refused}}}}], {}}}", to("refused")),
        "{name: moved, matches: [{path: {value: /moved}}], filters: [{type: RequestRedirect, requestRedirect: {scheme: \
         https}}]}"
            .to_owned(),
    ];
    let services = World::service("b", backend.port) + &World::service("refused", torana_tests::ports::free());
    let shop = route("shop", &format!("hostnames: [a.example.com], rules: [{}]", rules.join(", ")));
    let world = World::start(&[World::gateway(), &services, &shop].concat());
    let here = format!("127.0.0.1:{}", backend.port);
    let rows = [
        ("/named", 200, "checkout", "default/b:80", &*here, ""),
        ("/unnamed", 200, "1", "default/b:80", &here, ""),
        ("/lost", 500, "lost", "", "", "invalid_config"),
        ("/refused", 503, "refused", "default/refused:80", "*", "connect_failed"),
        ("/moved", 302, "moved", "", "", ""),
    ];
    for (path, status, rule, backend, endpoint, reason) in rows {
        assert_eq!(world.status("a.example.com", path), status, "{path}");
        let line = line(&world, path);
        let text = |field: &str| line[field].as_str().unwrap_or_default();
        assert_eq!((text("gateway"), text("listener")), ("default/edge", "http"), "{line}");
        assert_eq!((text("route"), text("rule")), ("HTTPRoute/default/shop", rule), "{line}");
        assert_eq!((text("backend"), text("reason")), (backend, reason), "{line}");
        assert!(text("endpoint") == endpoint || (endpoint == "*" && !text("endpoint").is_empty()), "{line}");
        assert_eq!(line["status"], status, "{line}");
    }
    assert_eq!(world.status("b.example.com", "/nowhere"), 404);
    let line = line(&world, "/nowhere");
    assert_eq!(
        (line["listener"].as_str(), line["route"].as_str(), line["reason"].as_str()),
        (Some("http"), None, Some("no_route"))
    );
}
