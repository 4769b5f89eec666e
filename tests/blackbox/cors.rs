// SPDX-License-Identifier: Apache-2.0
//! CORS: preflights that the gateway answers, and marks on answers of backends.

use torana_tests::{Backend, Reply, World};

use super::manifests::{route, to};

const OPEN: &str = "allowOrigins: [\"*\"]";
const STRICT: &str = "allowOrigins: [\"https://a.example.com\", \"https://*.apps.example.com\", \"http://b.example.com:8080\"], \
     allowCredentials: true, allowMethods: [GET, PUT], allowHeaders: [X-One, X-Two], exposeHeaders: [X-Seen], maxAge: 600";
const LAVISH: &str = "allowOrigins: [\"https://a.example.com\"], allowCredentials: true, allowMethods: [\"*\"], \
     allowHeaders: [\"*\"], exposeHeaders: [\"*\"]";

struct Shop {
    world: World,
    backend: Backend,
}

impl Shop {
    fn open() -> Self {
        let backend = Backend::scripted(|_| {
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Of-The-Backend: 1\r\nAccess-Control-Allow-Origin: https://of.the.backend\r\n\r\nok"
                .to_vec()
        });
        let policy = |name: &str, cors: &str| {
            let rule = format!("filters: [{{type: CORS, cors: {{{cors}}}}}], {}", to("b"));
            route(name, &format!("hostnames: [{name}], rules: [{{{rule}}}]"))
        };
        let policies = [("open", OPEN), ("strict", STRICT), ("lavish", LAVISH)].map(|(name, cors)| policy(name, cors));
        let world = World::start(&[World::gateway(), &World::service("b", backend.port), &policies.concat()].concat());
        Self { world, backend }
    }

    fn ask(&self, method: &str, host: &str, fields: &[(&str, &str)]) -> Reply {
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let fields = fields.concat();
        self.world.raw(format!("{method} / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n").as_bytes()).unwrap()
    }

    /// Statuses and the fields that browsers look at.
    fn preflight(&self, host: &str, origin: &str, method: &str, headers: &str) -> (u16, Vec<(String, String)>) {
        let mut fields = vec![("Origin", origin), ("Access-Control-Request-Method", method)];
        if !headers.is_empty() {
            fields.push(("Access-Control-Request-Headers", headers));
        }
        let reply = self.ask("OPTIONS", host, &fields);
        (reply.status, marks(&reply))
    }
}

fn marks(reply: &Reply) -> Vec<(String, String)> {
    let mut marks: Vec<_> = reply
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("access-control-")?.to_owned(), value.clone())))
        .collect();
    marks.sort();
    marks
}

fn is(marks: &[(String, String)], expected: &[(&str, &str)]) -> bool {
    let mut expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    expected.sort();
    marks == expected
}

#[test]
fn a_preflight_is_answered_by_the_gateway() {
    const STRICT_MARKS: [(&str, &str); 4] = [
        ("allow-credentials", "true"),
        ("allow-methods", "GET, PUT"),
        ("allow-headers", "x-one, x-two"),
        ("max-age", "600"),
    ];
    let shop = Shop::open();
    let strict =
        |origin: &'static str| [&STRICT_MARKS[..], &[("allow-origin", origin), ("expose-headers", "x-seen")]].concat();
    let allowed = [
        ("https://a.example.com", "GET"),
        ("https://x.apps.example.com", "PUT"),
        ("https://x.y.apps.example.com", "GET"),
        ("http://b.example.com:8080", "GET"),
    ];
    for (origin, method) in allowed {
        let (status, marks) = shop.preflight("strict", origin, method, "x-one");
        assert!(status == 200 && is(&marks, &strict(origin)), "{origin}: {status} {marks:?}");
    }
    let denied = [
        "https://b.example.com",
        "http://a.example.com",
        "https://a.example.com:8443",
        "https://apps.example.com",
        "https://a.example.com.evil.org",
        "https://evil-apps.example.com",
        "http://b.example.com",
        "null",
    ];
    for origin in denied {
        let (status, marks) = shop.preflight("strict", origin, "GET", "");
        assert!(status == 403 && marks.is_empty(), "{origin}: {status} {marks:?}");
    }
    let (status, marks) = shop.preflight("open", "https://who.ever", "GET", "");
    let origin = marks.iter().find(|(name, _)| name == "allow-origin").map(|(_, value)| value.as_str());
    assert!(status == 200 && matches!(origin, Some("*" | "https://who.ever")), "{status} {marks:?}");
    assert!(!marks.iter().any(|(name, _)| name == "allow-credentials"), "{marks:?}");
    assert_eq!(shop.backend.seen().len(), 0, "no preflight reaches a backend");
}

#[test]
fn with_credentials_no_wildcard_leaves_the_gateway() {
    let shop = Shop::open();
    let (status, marks) = shop.preflight("lavish", "https://a.example.com", "PATCH", "x-any, authorization");
    assert_eq!(status, 200);
    assert!(!marks.iter().any(|(_, value)| value == "*"), "{marks:?}");
    for (name, value) in [
        ("allow-origin", "https://a.example.com"),
        ("allow-credentials", "true"),
        ("allow-methods", "PATCH"),
        ("allow-headers", "x-any, authorization"),
    ] {
        assert!(marks.contains(&(name.to_owned(), value.to_owned())), "{name}: {marks:?}");
    }
    let reply = shop.ask("GET", "lavish", &[("Origin", "https://a.example.com")]);
    let exposed = reply.header("access-control-expose-headers").unwrap_or_default();
    assert!(exposed.contains("x-of-the-backend") && !exposed.contains('*'), "{reply:?}");
}

#[test]
fn actual_answers_are_marked_for_allowed_origins_only() {
    let shop = Shop::open();
    let get = |host: &str, fields: &[(&str, &str)]| shop.ask("GET", host, fields);
    let reply = get("strict", &[("Origin", "https://a.example.com")]);
    let expected =
        [("allow-origin", "https://a.example.com"), ("allow-credentials", "true"), ("expose-headers", "x-seen")];
    assert!(reply.status == 200 && is(&marks(&reply), &expected), "{reply:?}");
    assert_eq!(reply.header("vary"), Some("Origin"));
    // The request is served all the same (a client that is no browser does not ask), but no browser shows it.
    let reply = get("strict", &[("Origin", "https://evil.org")]);
    assert!(reply.status == 200 && marks(&reply).is_empty(), "{reply:?}");
    let reply = shop.ask("OPTIONS", "strict", &[("Origin", "https://a.example.com")]);
    assert_eq!((reply.status, reply.text().as_str()), (200, "ok"), "OPTIONS that asks for no method is no preflight");
    assert_eq!(shop.backend.seen().len(), 3);
}
