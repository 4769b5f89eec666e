// SPDX-License-Identifier: Apache-2.0
//! What makes a provider one that nobody can ask or tell.

use serde_json::{Value, json};
use torana_crds::{Content, decode};
use torana_ir::CollectorProtocol;

use super::*;
use crate::store::{Event, Settings};

/// A mesh with these providers, and a service `auth` in namespace `app`.
fn cluster(providers: &Value) -> Cluster {
    let mesh = json!({"extensionProviders": providers}).to_string();
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "istio-system", "name": "istio"},
        "data": {"mesh": mesh}});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "app", "name": "auth"},
        "spec": {"clusterIP": "10.0.0.1", "ports": [{"name": "http", "port": 80}]}});
    let mut cluster = Cluster::new(Settings::standalone(0));
    for value in [config, service] {
        let Content::Object(object) = decode(value, "").content else { panic!("an object") };
        cluster.apply(Event::Applied((*object).into()));
    }
    cluster
}

/// Why a provider with `more` beside a good service cannot be asked.
fn why(kind: &str, more: &Value) -> String {
    let mut written = json!({"service": "auth.app.svc.cluster.local", "port": 80});
    written.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let cluster = cluster(&json!([{"name": "p", kind: written}]));
    let mut providers = Providers::new(&cluster);
    let why = providers.authorizer("p").err().unwrap_or_else(|| "it can be".to_owned());
    why.trim_start_matches("extension provider \"p\" of MeshConfig ").to_owned()
}

#[test]
fn what_cannot_be_asked_says_why() {
    let http = [
        (json!({}), "it can be"),
        (json!({"service": "app/auth.app.svc.cluster.local"}), "it can be"),
        (json!({"service": "other/auth.app.svc.cluster.local"}), "in namespace other"),
        (json!({"service": "auth"}), "there is no service auth"),
        (json!({"service": ""}), "names no service"),
        (json!({"port": 0}), "has no port from 1 to 65535"),
        (json!({"port": 81}), "auth.app.svc.cluster.local has no port 81"),
        (json!({"pathPrefix": "check"}), "begins without /"),
        (json!({"pathPrefix": "/che ck"}), "cannot stand in a path"),
        (json!({"statusOnError": "1000"}), "a statusOnError that is none"),
        (json!({"timeout": "0s"}), "a timeout of 0"),
        (json!({"includeRequestHeadersInCheck": ["*"]}), "an entry of includeRequestHeadersInCheck"),
        (json!({"includeHeadersInCheck": ["a b"]}), "an entry of includeHeadersInCheck"),
        (json!({"headersToDownstreamOnDeny": ["*"]}), "an entry of headersToDownstreamOnDeny"),
        (json!({"includeAdditionalHeadersInCheck": {"x-a": "%REQ(:path)%"}}), "variables"),
        (json!({"includeAdditionalHeadersInCheck": {"x a": "1"}}), "a header that is none"),
        (json!({"includeRequestBodyInCheck": {}}), "without maxRequestBytes"),
        (json!({"includeRequestBodyInCheck": {"maxRequestBytes": 2_000_000}}), "more bytes of bodies"),
    ];
    for (more, expected) in http {
        let why = why("envoyExtAuthzHttp", &more);
        assert!(why.contains(expected), "{more}: {why}");
    }
    assert_eq!(why("envoyExtAuthzGrpc", &json!({})), "it can be");
    assert!(why("zipkin", &json!({})).contains("of kind zipkin"));
    assert!(why("opentelemetry", &json!({})).contains("told of spans, and not asked"));
}

#[test]
fn a_name_is_one_providers() {
    let provider =
        |name: &str| json!({"name": name, "envoyExtAuthzHttp": {"service": "auth.app.svc.cluster.local", "port": 80}});
    let cluster = cluster(&json!([provider("a"), provider("b"), provider("b"), provider("C"), {"name": "d"}]));
    let mut providers = Providers::new(&cluster);
    for (name, expected) in [
        ("b", "is there twice"),
        ("C", "a name of other than"),
        ("d", "says nowhere"),
        ("e", "(there is a, b, b, C, d)"),
    ] {
        let why = providers.authorizer(name).unwrap_err();
        assert!(why.contains(expected), "{name}: {why}");
    }
    assert!(providers.authorizer("a").is_ok());
    let (chosen, places) = providers.chosen(["a", "b"].map(|name| ProviderKey(name.to_owned())));
    assert_eq!(chosen.keys().map(ToString::to_string).collect::<Vec<_>>(), ["a"]);
    assert!(places.contains(&ObjectRef::new(Kind::Service, "app", "auth")), "{places:?}");
}

#[test]
fn a_collector_speaks_grpc_unless_it_speaks_http() {
    let at = |more: Value| {
        let mut written = json!({"service": "auth.app.svc.cluster.local", "port": 80});
        written.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let cluster = cluster(&json!([{"name": "p", "opentelemetry": written}]));
        let mut providers = Providers::new(&cluster);
        let found = providers.find("p").cloned()?;
        let Purpose::Collector(collector) = found.purpose else { panic!("a collector") };
        Ok::<_, String>(collector)
    };
    let grpc = at(json!({})).unwrap();
    assert_eq!((grpc.protocol, grpc.authority.as_str()), (CollectorProtocol::Grpc, "auth.app.svc.cluster.local:80"));
    let http = at(json!({"http": {"path": "/in", "headers": [{"name": "Key", "value": "1"}]}})).unwrap();
    assert_eq!(http.protocol, CollectorProtocol::Http { path: "/in".to_owned() });
    assert_eq!((http.headers[0].0.as_str(), http.headers[0].1.as_str()), ("key", "1"));
    for (more, expected) in [
        (json!({"http": {"path": "in"}}), "an http.path that is none"),
        (json!({"http": {}, "grpc": {}}), "both http and grpc"),
        (json!({"grpc": {"initialMetadata": [{"name": "a", "envName": "A"}]}}), "from the environment"),
    ] {
        let why = at(more).unwrap_err();
        assert!(why.contains(expected), "{why}");
    }
}
