// SPDX-License-Identifier: Apache-2.0
//! Settings of Istio's whole mesh (ConfigMap `istio`), from the manifest to bytes.

use torana_tests::{Backend, Connection, World, eventually};

use super::manifests::{object, route, to};

const MODES: [&str; 4] = ["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"];

/// Targets, and what a backend sees of each in each mode; `*`: the backend behind `/admin` sees it.
const PATHS: [(&str, [&str; 4]); 6] = [
    ("/a/../admin", ["/a/../admin", "*/admin", "*/admin", "*/admin"]),
    ("//admin?x=//", ["//admin?x=//", "//admin?x=//", "*/admin?x=//", "*/admin?x=//"]),
    ("/a%2f..%2Fadmin", ["/a%2f..%2Fadmin", "/a%2f..%2Fadmin", "/a%2f..%2Fadmin", "*/admin"]),
    ("/a/%2e%2e%2f..%5cadmin", ["/a/%2e%2e%2f..%5cadmin", "/a/..%2f..%5cadmin", "/a/..%2f..%5cadmin", "*/admin"]),
    ("/%61dmin", ["/%61dmin", "*/admin", "*/admin", "*/admin"]),
    ("/admin%252Fx", ["/admin%252Fx", "/admin%252Fx", "/admin%252Fx", "/admin%252Fx"]),
];

fn mesh(text: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n    \
         {text}\n---\n"
    )
}

fn normalised(mode: &str) -> String {
    mesh(&format!("pathNormalization: {{normalization: {mode}}}"))
}

/// `/admin` and all below goes to `guarded`, everything else to `open`.
struct Backends {
    guarded: Backend,
    open: Backend,
}

impl Backends {
    fn new() -> Self {
        Self { guarded: Backend::named("guarded"), open: Backend::named("open") }
    }

    fn services(&self) -> String {
        World::service("guarded", self.guarded.port) + &World::service("open", self.open.port)
    }

    /// By the rules of an HTTPRoute.
    fn routed(&self) -> String {
        let admin = format!("{{matches: [{{path: {{value: /admin}}}}], {}}}", to("guarded"));
        let rules = format!("rules: [{admin}, {{{}}}]", to("open"));
        [World::gateway(), &self.services(), &route("r", &rules)].concat()
    }

    /// By those of a VirtualService.
    fn virtual_service(&self) -> String {
        let server = "{port: {number: ${HTTP}, name: http, protocol: HTTP}, hosts: ['*']}";
        let gateway = format!("selector: {{istio: ingressgateway}}, servers: [{server}]");
        let to = |service: &str| format!("route: [{{destination: {{host: {service}}}}}]");
        let admin = format!("{{match: [{{uri: {{prefix: /admin/}}}}, {{uri: {{exact: /admin}}}}], {}}}", to("guarded"));
        let rules = format!("hosts: ['*'], gateways: [edge], http: [{admin}, {{{}}}]", to("open"));
        let api = "networking.istio.io/v1";
        object(api, "Gateway", "edge", &gateway) + &self.services() + &object(api, "VirtualService", "r", &rules)
    }

    /// What was seen since the last time, in the form of [`PATHS`].
    fn seen(&self) -> Vec<String> {
        let guarded = self.guarded.take().into_iter().map(|seen| format!("*{}", seen.target));
        guarded.chain(self.open.take().into_iter().map(|seen| seen.target)).collect()
    }
}

#[test]
fn routes_of_both_apis_and_backends_see_a_path_in_the_form_that_the_mesh_wants() {
    for (index, mode) in MODES.into_iter().enumerate() {
        let backends = Backends::new();
        for manifests in [backends.routed(), backends.virtual_service()] {
            let world = World::start(&(manifests + &normalised(mode)));
            for (target, expected) in PATHS {
                assert_eq!(world.status("a.example", target), 200, "{mode} {target}");
                assert_eq!(backends.seen(), [expected[index]], "{mode} {target}");
            }
            assert_eq!(world.status("a.example", "/admin%00"), 400, "{mode}");
            assert_eq!(world.status("a.example", "/admin%2"), 400, "{mode}");
            assert!(backends.seen().is_empty());
        }
    }
}

#[test]
fn an_edit_of_the_mesh_holds_for_the_next_request_of_a_connection() {
    let backends = Backends::new();
    let world = World::start(&backends.routed());
    let mut connection = Connection::open(world.http).unwrap();
    let mut ask = |target: &str| {
        connection.send(format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(connection.reply("GET").unwrap().status, 200);
        backends.seen()
    };
    let (probe, forms) = PATHS[3];
    assert_eq!(ask(probe), [forms[1]], "BASE without a mesh");
    for (mode, form) in MODES.into_iter().zip(forms) {
        world.apply("mesh.yaml", &normalised(mode));
        assert!(eventually(|| ask(probe) == [form]), "{mode}");
    }
    world.apply("mesh.yaml", &mesh("pathNormalization: ["));
    assert!(eventually(|| world.log().contains("data.mesh")), "{}", world.log());
    assert_eq!(ask(probe), [forms[3]], "what was said before stays in force");
    world.delete("mesh.yaml");
    assert!(eventually(|| ask(probe) == [forms[1]]));
}
