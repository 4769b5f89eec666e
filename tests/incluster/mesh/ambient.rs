// SPDX-License-Identifier: Apache-2.0
//! Pods in ambient mode: HBONE to port 15008, whatever is spoken within, over connections that stay.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;

use torana_tests::Connection;

use super::answer::Answer;
use super::capture::Capture;
use super::{Lab, Workload, ask, identity, lab, program, route, status, until};

/// Of one client, and how many of those there are.
const REQUESTS: usize = 2_500;
const CLIENTS: usize = 4;

/// The echo client's request to a host of the Gateway, once it is answered.
pub(super) fn until_grpc_answers(address: &str, host: &str) -> Answer {
    let mut said = String::new();
    until(&format!("{host} answers gRPC"), || {
        let host = format!("--header=Host: {host}");
        let output = Command::new(program("echo-client"))
            .args(["--timeout=5s", &host, &format!("grpc://{address}:80")])
            .output()
            .unwrap();
        said = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success() && said.contains("StatusCode=200")
    });
    Answer::printed(&said)
}

fn tunnelled() -> Option<(Lab, Workload, Capture, String)> {
    let lab = lab()?;
    let app = Workload::start(&lab, "ambient-app");
    let capture = Capture::start(&app);
    let routes = [("HTTPRoute", "h1.example", 80), ("HTTPRoute", "h2.example", 81), ("GRPCRoute", "grpc.example", 82)];
    let routes: String = routes.iter().map(|(kind, host, port)| route(kind, host, "ambient-app", *port)).collect();
    lab.apply(&(super::super::gateway("edge", 1) + &routes));
    let address = lab.address("edge");
    until("the app answers", || status(&address, "h1.example") == Some(200));
    Some((lab, app, capture, address))
}

#[test]
fn http_1_and_2_and_grpc_go_through_tunnels_and_nothing_goes_beside_them() {
    let Some((lab, app, capture, address)) = tunnelled() else { return };
    for (host, protocol) in [("h1.example", "HTTP/1.1"), ("h2.example", "HTTP/2.0")] {
        until(&format!("{host} answers"), || status(&address, host) == Some(200));
        let answer = Answer::of(&ask(&address, host, "/hello").unwrap());
        assert_eq!((answer.field("Proto"), answer.field("URL")), (Some(protocol), Some("/hello")));
    }
    assert_eq!(until_grpc_answers(&address, "grpc.example").field("Proto"), Some("GRPC"));
    assert_eq!(app.seen("peers").into_keys().collect::<Vec<_>>(), [identity(&lab, "edge")]);
    let asked: BTreeSet<_> = app.seen("authorities").into_keys().collect();
    assert_eq!(asked, [8080, 7070].map(|port| format!("{}:{port}", app.address)).into());
    assert_eq!(app.seen("tunnels").into_keys().collect::<Vec<_>>(), ["TLS 1.3"]);
    assert_eq!(app.seen("sni").into_keys().collect::<Vec<_>>(), [""]);
    assert_eq!(app.seen("alpn").into_keys().collect::<Vec<_>>(), ["h2"]);
    capture.ends_with_tls_only(&[15008, 8080, 7070]);
}

#[test]
fn ten_thousand_requests_open_no_further_connection_once_it_is_warm() {
    let Some((_lab, app, _capture, address)) = tunnelled() else { return };
    until("HTTP/2 answers", || status(&address, "h2.example") == Some(200));
    for host in ["h1.example", "h2.example"] {
        load(&address, host, 100);
        let before = app.connections(15008);
        load(&address, host, REQUESTS);
        assert_eq!(app.connections(15008) - before, 0, "{host}");
        println!("{host}: {before} connections, {:?} tunnels", app.seen("tunnels"));
    }
}

/// As many requests by each client, over one connection each.
fn load(address: &str, host: &str, requests: usize) {
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = Connection::to(format!("{address}:80").parse().unwrap()).unwrap();
                for _ in 0..requests {
                    assert_eq!(client.get(host, "/").unwrap().status, 200);
                }
            });
        }
    });
}
