// SPDX-License-Identifier: Apache-2.0
//! Routes that mean what cannot be, reach for what is not theirs, or carry what would harm a configuration of text.

use serde_json::Value;

use super::super::{CONTROLLERS, SYSTEM, apply, logs};
use super::{GOOD, Lab, Neighbour, OF_ROUTE, Other, ask, kubectl, must_say, refused, route, says, status, until};

/// One bad route: what its rule says, what the status says of it, and what clients of it get.
struct Row {
    name: &'static str,
    rule: &'static str,
    condition: (&'static str, &'static str, &'static str),
    message: &'static [&'static str],
    answer: u16,
}

const ECHO: &str = "backendRefs: [{name: echo, port: 80}]";

const ROWS: [Row; 8] = [
    // E03.
    Row {
        name: "not-granted",
        rule: "backendRefs: [{name: private, namespace: OTHER, port: 80}]",
        condition: ("ResolvedRefs", "False", "RefNotPermitted"),
        message: &["spec.rules[0].backendRefs[0]", "may not refer to Service", "add a ReferenceGrant in namespace"],
        answer: 500,
    },
    // E08.
    Row {
        name: "bad-regex",
        rule: "matches: [{path: {type: RegularExpression, value: '/a('}}], ECHO",
        condition: ("Accepted", "False", "UnsupportedValue"),
        message: &["spec.rules[0].matches[0].path", "\"/a(\"", "correct the expression"],
        answer: 404,
    },
    Row {
        name: "huge-regex",
        rule: "matches: [{headers: [{name: a, type: RegularExpression, value: '(a{1000}){1000}'}]}], ECHO",
        condition: ("Accepted", "False", "UnsupportedValue"),
        message: &["spec.rules[0].matches[0].headers[0]", "more than 1 MiB", "simplify it"],
        answer: 404,
    },
    Row {
        name: "no-weight",
        rule: "backendRefs: [{name: echo, port: 80, weight: 0}, {name: echo, port: 80, weight: 0}]",
        condition: ("Accepted", "True", "Accepted"),
        message: &[],
        answer: 500,
    },
    Row {
        name: "eleven-years",
        rule: "timeouts: {request: 99999h, backendRequest: 99999h}, ECHO",
        condition: ("Accepted", "True", "Accepted"),
        message: &[],
        answer: 200,
    },
    // E10.
    Row {
        name: "newline",
        rule: r#"filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: "a\r\nINJECTED: b\nINJECTED"}]}}], ECHO"#,
        condition: ("Accepted", "False", "UnsupportedValue"),
        message: &[
            "spec.rules[0].filters[0].requestHeaderModifier.set[0].value",
            r"a\r\nINJECTED",
            "correct the value",
        ],
        answer: 500,
    },
    Row {
        name: "templates",
        rule: "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: 'WEIRD'}]}}], ECHO",
        condition: ("Accepted", "True", "Accepted"),
        message: &[],
        answer: 200,
    },
    Row {
        name: "weird-path",
        rule: "matches: [{path: {value: \"/;'$(id)\"}}, {path: {value: /}}], ECHO",
        condition: ("Accepted", "True", "Accepted"),
        message: &[],
        answer: 200,
    },
];

/// Means something to shells, templates, and configuration files of other servers.
const WEIRD: &str = r#""; } location / { return 200; } # $(id) `id` ${HOME} {{ .Values }} %s"#;

impl Row {
    fn host(&self) -> String {
        format!("{}.bad.example", self.name)
    }

    fn manifest(&self, other: &str) -> String {
        let rule = self.rule.replace("OTHER", other).replace("ECHO", ECHO).replace("WEIRD", WEIRD);
        route(self.name, "edge", &self.host()).replace(ECHO, &rule)
    }
}

fn found<'v>(list: &'v Value, name: &str) -> &'v Value {
    let items = list["items"].as_array().unwrap();
    items.iter().find(|item| item["metadata"]["name"] == name).unwrap_or(&Value::Null)
}

#[test]
fn a_bad_route_says_what_is_wrong_and_harms_nobody() {
    let Some(lab) = super::super::lab() else { return };
    let other = Other::of(&lab);
    // E10: what people write into notes and labels goes where it was meant to go, as it is.
    let notes = format!("infrastructure: {{annotations: {{example.com/note: {:?}}}, ", format!("{WEIRD}\nx: y"));
    let neighbour = Neighbour::settle(&lab, 1, "", "");
    let edge = super::gateway("edge", 1).replace("infrastructure: {", &notes);
    lab.apply(&(edge + &ROWS.iter().map(|row| row.manifest(&other.0)).collect::<String>()));
    let mut routes = Value::Null;
    let right = |row: &Row, routes: &Value| says(found(routes, row.name), OF_ROUTE, row.condition, row.message);
    until("every route is judged", || {
        routes = serde_json::from_str(&lab.kubectl(&["get", "httproutes", "-o", "json"])).unwrap();
        let wrong: Vec<_> = ROWS.iter().filter(|row| !right(row, &routes)).collect();
        for row in &wrong {
            println!("{}: {}", row.name, found(&routes, row.name)["status"]);
        }
        wrong.is_empty()
    });
    for row in &ROWS {
        assert_eq!(status(&neighbour.address, &row.host()), Some(row.answer), "{}", row.name);
    }
    let echoed: Value =
        serde_json::from_slice(&ask(&neighbour.address, "templates.bad.example", "/").unwrap().body).unwrap();
    assert_eq!(echoed["headers"]["x-a"][0], WEIRD, "{echoed}");
    until("the Service has the note", || {
        lab.get("service", "edge-torana")["metadata"]["annotations"]["example.com/note"] == format!("{WEIRD}\nx: y")
    });
    logs_are_escaped(&lab, &neighbour.address);
    neighbour.must_be_unharmed();
}

/// One line is one record, whatever a record says.
fn logs_are_escaped(lab: &Lab, address: &str) {
    let mut log = String::new();
    // The note on the infrastructure replaces the proxies: the one that was asked may be gone, with its log.
    until("requests are in the log", || {
        for path in ["/", "/%22%7D%0AINJECTED/$(id)?{{x}}\"';"] {
            ask(address, "templates.bad.example", path).ok();
        }
        log = logs(&lab.namespace, "gateway.networking.k8s.io/gateway-name=edge", -1);
        log.lines().count() > 10 && log.contains("templates.bad.example")
    });
    let broken: Vec<_> = log.lines().filter(|line| serde_json::from_str::<Value>(line).is_err()).collect();
    assert!(broken.iter().all(|line| !line.contains("INJECTED")), "{broken:?}");
    let controllers = logs(SYSTEM, CONTROLLERS, -1);
    assert!(!controllers.lines().any(|line| line.starts_with("INJECTED")), "{controllers}");
}

#[test]
fn what_the_api_server_knows_to_be_wrong_never_comes_in() {
    let Some(lab) = super::super::lab() else { return };
    let timeout =
        |text: &str| route("x", "edge", "x.example").replace(ECHO, &format!("timeouts: {{request: {text}}}, {ECHO}"));
    let rows = [
        // E08.
        (timeout("-1s"), "spec.rules[0].timeouts.request"),
        (timeout("1000000s"), "spec.rules[0].timeouts.request"),
        (route("x", "edge", "x.example").replace("port: 80}", "port: 80, weight: -1}"), "backendrefs[0].weight"),
        // E01: ten megabytes.
        (
            route("x", "edge", "x.example")
                .replace("{name: x}", &format!("{{name: x, annotations: {{a: {}}}}}", "a".repeat(10 << 20))),
            "too large",
        ),
    ];
    for (manifest, part) in rows {
        let told = refused(&lab, &manifest);
        assert!(told.to_lowercase().contains(part), "{part}: {told}");
    }
}

/// Another's route for the same host: `stolen` is on every answer of it.
fn thief(name: &str, host: &str, more: &str) -> String {
    let stolen =
        "filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: stolen, value: 'NAME'}]}}]";
    let thief = route(name, "edge", &format!("{host:?}"));
    thief.replace(ECHO, &format!("{}, {more}{ECHO}", stolen.replace("NAME", name)))
}

#[test]
fn a_host_stays_with_whom_it_belongs_to_and_every_proxy_agrees() {
    let Some(lab) = super::super::lab() else { return };
    let other = Other::of(&lab);
    let neighbour = Neighbour::settle(&lab, 2, "", "");
    // E05: newer, less specific, of another namespace, of another kind.
    let foreign =
        thief("foreign", GOOD, "").replace("{name: edge}", &format!("{{name: edge, namespace: {}}}", lab.namespace));
    let grpc = route("grpc", "edge", GOOD).replace("HTTPRoute", "GRPCRoute");
    // E06: both at once, the second by name first.
    let twins = thief("twin-b", "twin.example", "") + &thief("twin-a", "twin.example", "");
    lab.apply(
        &(thief("newer", GOOD, "")
            + &thief("wildcard", "*.example", "matches: [{path: {type: Exact, value: /}}], ")
            + &grpc
            + &twins),
    );
    apply(&other.0, &foreign);
    let told = ["spec.parentRefs[0]", "takes routes from namespace", "allowedRoutes.namespaces"];
    until("the foreign route is refused", || {
        let text = kubectl(&["-n", &other.0, "get", "httproute", "foreign", "-o", "json"]);
        let route: Value = serde_json::from_str(&text).unwrap();
        says(&route, OF_ROUTE, ("Accepted", "False", "NotAllowedByListeners"), &told)
    });
    for name in ["newer", "wildcard", "twin-a", "twin-b"] {
        must_say(&lab, ("httproute", name), OF_ROUTE, ("Accepted", "True", "Accepted"), &[]);
    }
    let born = |name: &str| lab.get("httproute", name)["metadata"]["creationTimestamp"].as_str().unwrap().to_owned();
    let winner = ["twin-a", "twin-b"].into_iter().min_by_key(|name| (born(name), (*name).to_owned())).unwrap();
    let pods = lab.proxy_addresses("edge");
    assert_eq!(pods.len(), 2);
    for pod in &pods {
        let stolen = |host: &str| ask(pod, host, "/").unwrap().header("stolen").map(str::to_owned);
        assert_eq!(stolen(GOOD), None, "{pod}");
        assert_eq!(stolen("else.example").as_deref(), Some("wildcard"), "{pod}");
        assert_eq!(stolen("twin.example").as_deref(), Some(winner), "{pod}");
    }
    neighbour.must_be_unharmed();
}
