// SPDX-License-Identifier: Apache-2.0
//! GRPCRoute: matched by service, method and metadata; Torana's own failures are gRPC statuses.

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use tokio::net::TcpListener;
use torana_tests::{World, eventually};

use super::http2::{client, start};

const H2C: &str = "kubernetes.io/h2c";
use super::manifests::{grpc_route, to};

/// Answers every call with its own name as metadata and `grpc-status: 0` as a trailer.
async fn backend(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let response = http::Response::builder().header("content-type", "application/grpc");
                    let mut send =
                        respond.send_response(response.header("x-name", name).body(()).unwrap(), false).unwrap();
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", "0".parse().unwrap());
                    send.send_trailers(trailers).unwrap();
                }
            });
        }
    });
    port
}

/// Host, path and metadata of a call; backend and status that answer.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str, &'static str);

/// Backend (`-` if none) and gRPC status of a call. A failure of Torana's own is 200 with the status in its head.
async fn call(client: &mut SendRequest<Bytes>, host: &str, path: &str, metadata: &[(&str, &str)]) -> (String, String) {
    let mut request = Request::post(format!("http://{host}{path}")).header("content-type", "application/grpc");
    for (name, value) in metadata {
        request = request.header(*name, *value);
    }
    let (response, _) = client.send_request(request.header("te", "trailers").body(()).unwrap(), true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200, "{host}{path}");
    assert_eq!(response.headers()["content-type"], "application/grpc", "{host}{path}");
    let text = |map: &HeaderMap, name: &str| map.get(name).map(|value| value.to_str().unwrap().to_owned());
    let (name, status) = (text(response.headers(), "x-name"), text(response.headers(), "grpc-status"));
    let mut body = response.into_body();
    let trailers = body.trailers().await.unwrap().unwrap_or_default();
    (name.unwrap_or("-".into()), status.or(text(&trailers, "grpc-status")).expect("a status"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_routed_by_service_method_and_metadata_and_failures_are_statuses() {
    let mut manifests = World::gateway().to_owned();
    for name in ["exact", "service", "method", "regex", "beta"] {
        manifests += &World::service_speaking(H2C, name, backend(name).await);
    }
    manifests += &World::service_speaking(H2C, "refused", torana_tests::ports::free());
    manifests += &super::manifests::object("v1", "Service", "resting", "ports: [{port: 80}]");
    let rule = |matches: &str, service: &str| format!("{{matches: [{{{matches}}}], {}}}", to(service));
    let rules = [
        rule("method: {service: shop.Cart, method: Add}", "exact"),
        rule("method: {service: shop.Cart}", "service"),
        rule("method: {method: Ping}", "method"),
        rule("method: {type: RegularExpression, service: \"shop[.]v[0-9]+[.].*\", method: \"Get.*\"}", "regex"),
        rule("method: {service: shop.Cart, method: Add}, headers: [{name: x-beta, value: \"1\"}]", "beta"),
        rule("method: {service: bad.Missing}", "nobody"),
        rule("method: {service: bad.Refused}", "refused"),
        rule("method: {service: bad.Resting}", "resting"),
    ];
    let spec = format!("hostnames: [grpc.example.com], rules: [{}]", rules.join(", "));
    let world = start(manifests + &grpc_route("calls", &spec)).await;
    let mut client = client(world.http).await;
    let rows: [Row; 13] = [
        ("grpc.example.com", "/shop.Cart/Add", &[], "exact", "0"),
        ("grpc.example.com", "/shop.Cart/Add", &[("x-beta", "1")], "beta", "0"),
        ("grpc.example.com", "/shop.Cart/Add", &[("x-beta", "2")], "exact", "0"),
        ("grpc.example.com", "/shop.Cart/Remove", &[], "service", "0"),
        ("grpc.example.com", "/any.Thing/Ping", &[], "method", "0"),
        ("grpc.example.com", "/shop.v2.Stock/GetAll", &[], "regex", "0"),
        // UNIMPLEMENTED where nothing matches: names are case-sensitive and whole.
        ("grpc.example.com", "/shop.v2.Stock/Set", &[], "-", "12"),
        ("grpc.example.com", "/Shop.Cart/add", &[], "-", "12"),
        ("grpc.example.com", "/shop.CartX/Add", &[], "-", "12"),
        ("other.example.com", "/shop.Cart/Add", &[], "-", "12"),
        // What HTTP calls 500 and 503, by gRPC's own table of the two: UNKNOWN, and UNAVAILABLE (it may be tried again).
        ("grpc.example.com", "/bad.Missing/X", &[], "-", "2"),
        ("grpc.example.com", "/bad.Refused/X", &[], "-", "14"),
        ("grpc.example.com", "/bad.Resting/X", &[], "-", "14"),
    ];
    for (host, path, metadata, name, status) in rows {
        let got = call(&mut client, host, path, metadata).await;
        assert_eq!(got, (name.to_owned(), status.to_owned()), "{host}{path} {metadata:?}");
    }
    let log = tokio::task::spawn_blocking(move || {
        eventually(|| world.log().contains("no_endpoints"));
        world.log()
    });
    let log = log.await.unwrap();
    for reason in
        ["no_route", "invalid_config", "connect_failed", "no_endpoints", "\"route\":\"GRPCRoute/default/calls\""]
    {
        assert!(log.contains(reason), "{reason}: {log}");
    }
}
