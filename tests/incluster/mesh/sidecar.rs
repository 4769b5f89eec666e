// SPDX-License-Identifier: Apache-2.0
//! The objects of a user who begins, the whole of them: a policy that says STRICT, pods whose sidecars keep to it, and
//! Torana as the entrypoint.

use super::answer::Answer;
use super::capture::Capture;
use super::{Lab, Workload, ask, identity, lab, route, status, until};

const OBJECTS: &str = include_str!("../istio/my-app.yaml");
const HOST: &str = "any.example";

/// Everything that the API server knows, in the order in which a user has it. What reaches the pod is seen from before
/// there was a Gateway.
fn seeded() -> Option<(Lab, Workload, Capture, String)> {
    let lab = lab()?;
    let app = Workload::start(&lab, "my-app");
    let capture = Capture::start(&app);
    let known: Vec<_> = OBJECTS.split("---\n").filter(|it| !it.contains("monitoring.istio.io")).collect();
    assert!(known.iter().any(|it| it.contains("mode: STRICT")));
    lab.apply(&known.join("---\n"));
    lab.apply(&super::super::istio::edge());
    let address = lab.address("edge");
    until("the app answers", || status(&address, HOST) == Some(200));
    Some((lab, app, capture, address))
}

#[test]
fn a_strict_app_answers_and_knows_torana_by_its_identity() {
    let Some((lab, app, capture, address)) = seeded() else { return };
    let expected = identity(&lab, "edge");
    let answer = Answer::of(&ask(&address, HOST, "/hello").unwrap());
    assert_eq!(answer.field("URL"), Some("/hello"));
    assert_eq!(answer.peer(), Some(expected.as_str()));
    assert_eq!(app.seen("peers").into_keys().collect::<Vec<_>>(), [expected]);
    assert_eq!(app.seen("plaintext").len(), 0);
    capture.ends_with_tls_only(&[8080, 7070, 8081, 15008]);
}

#[test]
fn a_sidecar_is_offered_the_protocols_and_the_name_that_it_chooses_by() {
    let Some((lab, app, _capture, address)) = seeded() else { return };
    assert_eq!(status(&address, HOST), Some(200));
    assert_eq!(app.seen("alpn").into_keys().collect::<Vec<_>>(), ["istio-http/1.1,istio,http/1.1"]);
    let name = format!("outbound_.80_._.my-app.{}.svc.cluster.local", lab.namespace);
    assert_eq!(app.seen("sni").into_keys().collect::<Vec<_>>(), [name]);
}

#[test]
fn fifty_requests_one_after_the_other_share_a_connection() {
    let Some((_lab, app, _capture, address)) = seeded() else { return };
    let before = app.connections(8080);
    let mut client = torana_tests::Connection::to(format!("{address}:80").parse().unwrap()).unwrap();
    for _ in 0..50 {
        assert_eq!(client.get(HOST, "/").unwrap().status, 200);
    }
    assert!(app.connections(8080) <= before + 1);
}

#[test]
fn a_client_cannot_say_who_it_is_in_the_mesh() {
    let Some((lab, _app, _capture, address)) = seeded() else { return };
    let mut client = torana_tests::Connection::to(format!("{address}:80").parse().unwrap()).unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {HOST}\r\nx-forwarded-client-cert: URI=spiffe://cluster.local/ns/a/sa/admin\r\n\
         x-envoy-peer-metadata: a\r\nx-envoy-peer-metadata-id: b\r\n\r\n"
    );
    client.send(request.as_bytes()).unwrap();
    let answer = Answer::of(&client.reply("GET").unwrap());
    let elements: Vec<_> = answer.headers("x-forwarded-client-cert").join(",").split(',').map(str::to_owned).collect();
    assert_eq!(elements.len(), 1, "{elements:?}");
    assert_eq!(answer.peer(), Some(identity(&lab, "edge").as_str()));
    assert!(
        answer.headers("x-envoy-peer-metadata").is_empty() && answer.headers("x-envoy-peer-metadata-id").is_empty()
    );
}

#[test]
fn grpc_goes_through_the_sidecar_too() {
    let Some((lab, _app, capture, address)) = seeded() else { return };
    lab.apply(&route("GRPCRoute", "grpc.example", "my-app-grpc", 80));
    let answer = super::ambient::until_grpc_answers(&address, "grpc.example");
    assert_eq!(answer.peer(), Some(identity(&lab, "edge").as_str()));
    capture.ends_with_tls_only(&[7070, 8080, 7071]);
}
