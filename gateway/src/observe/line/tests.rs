// SPDX-License-Identifier: Apache-2.0

use std::sync::Arc;

use torana_ir::{Backend, BackendKey, MeshPeer, MeshTransport, PeerName};

use super::*;
use crate::balance::Peer;
use crate::fault::Fault;
use crate::observe::{Nouns, RouteNouns};

fn record() -> AccessRecord {
    let start = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let mut record = AccessRecord::new(start, "10.0.0.1:5000".parse().unwrap(), "HTTP/1.1");
    record.duration = Duration::from_micros(12_345);
    record.status = 502;
    record.fault = Some(Fault::UpstreamReset);
    record.bytes_sent = 11;
    let route = RouteNouns { kind: "HTTPRoute", namespace: "shop".into(), name: "cart".into(), rule: "pay".into() };
    record.nouns = Some(Arc::new(Nouns { gateway: "infra/edge".into(), listener: "web".into(), route: Some(route) }));
    let key = BackendKey::tcp("shop", "cart", 80);
    record.backend = Some(Arc::new(Backend::new(key)));
    record.endpoint = Some("10.1.0.1:8080".parse().unwrap());
    record.attempts = 2;
    record.not_retried = Some("budget");
    record.set(Text::Method, b"GET");
    record.set(Text::Authority, b"a.com");
    record.set(Text::Path, b"/x?y=1");
    record
}

fn json(record: &AccessRecord) -> String {
    let mut out = Vec::new();
    Lines::default().json(&mut out, record);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_line_names_everything_that_took_part() {
    let expected = "{\"start_time\":\"2023-11-14T22:13:20.123Z\",\"duration_ms\":12.345,\"overhead_ms\":0.000,\
        \"method\":\"GET\",\"authority\":\"a.com\",\"path\":\"/x?y=1\",\"protocol\":\"HTTP/1.1\",\"status\":502,\
        \"flags\":\"UC\",\"reason\":\"upstream_reset\",\"fault_source\":\"upstream\",\"bytes_received\":0,\
        \"bytes_sent\":11,\"client\":\"10.0.0.1\",\"peer\":\"10.0.0.1:5000\",\"gateway\":\"infra/edge\",\
        \"listener\":\"web\",\"route\":\"HTTPRoute/shop/cart\",\"rule\":\"pay\",\"backend\":\"shop/cart:80\",\
        \"endpoint\":\"10.1.0.1:8080\",\"attempts\":2,\"not_retried\":\"budget\"}\n";
    assert_eq!(json(&record()), expected);
}

#[test]
fn what_a_backend_of_grpc_said_stands_beside_the_status() {
    let mut record = record();
    record.grpc_status = Some(0);
    assert!(json(&record).contains("\"status\":502,\"grpc_status\":0,"), "{}", json(&record));
}

#[test]
fn an_answer_of_our_own_that_is_no_fault_has_a_reason_alone() {
    let mut record = record();
    (record.fault, record.answer, record.status) = (None, Some("acme_challenge"), 200);
    assert!(json(&record).contains("\"status\":200,\"reason\":\"acme_challenge\",\"bytes_received\":0"));
    let mut out = Vec::new();
    Lines::default().text(&mut out, &record);
    assert!(String::from_utf8(out).unwrap().contains("\" 200 - acme_challenge 0 11 "));
}

#[test]
fn a_failed_handshake_with_a_backend_is_named() {
    let mut record = record();
    record.fault = Some(Fault::UpstreamTls("unknown_issuer"));
    record.upstream_transport = Some("tls");
    let names = vec![PeerName::TrustDomain("d".to_owned()), PeerName::Uri("spiffe://d/ns/n/sa/s".to_owned())];
    let peer = MeshPeer { transport: MeshTransport::Mtls, names, strict: true };
    record.upstream_peer = Some(Peer::of(&peer));
    let end = ",\"attempts\":2,\"not_retried\":\"budget\",\"upstream_transport\":\"tls\",\
               \"upstream_peer\":\"spiffe://d/ns/n/sa/s\",\"upstream_tls_error\":\"unknown_issuer\"}\n";
    assert!(json(&record).ends_with(end), "{}", json(&record));
}

#[test]
fn a_client_cannot_break_out_of_its_quotes_or_its_line() {
    let mut record = record();
    let hostile = "a\",\"status\":200,\"x\":\"\\\r\n\u{1b}[31m\u{2028}\u{85}\0ä\u{7f}";
    record.set(Text::UserAgent, hostile.as_bytes());
    record.set(Text::RequestId, b"\xff\xfe");
    let line = json(&record);
    assert_eq!(line.matches('\n').count(), 1);
    assert!(!line.contains(['\u{1b}', '\u{2028}', '\u{85}', '\u{7f}']));
    let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(parsed["user_agent"], hostile);
    assert_eq!((&parsed["status"], &parsed["request_id"]), (&502.into(), &"\u{fffd}\u{fffd}".into()));

    let mut out = Vec::new();
    Lines::default().text(&mut out, &record);
    let text = String::from_utf8(out).unwrap();
    assert!(text.matches('\n').count() == 1 && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn text_lines_have_a_dash_for_what_is_absent() {
    let mut out = Vec::new();
    Lines::default().text(&mut out, &record());
    let expected = "2023-11-14T22:13:20.123Z \"GET a.com /x?y=1 HTTP/1.1\" 502 UC upstream_reset 0 11 12.345 10.0.0.1 \
        HTTPRoute/shop/cart pay shop/cart:80 10.1.0.1:8080 \"-\" -\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    let mut out = Vec::new();
    let bare = AccessRecord::new(UNIX_EPOCH, "[::1]:1".parse().unwrap(), "HTTP/2");
    Lines::default().text(&mut out, &bare);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "1970-01-01T00:00:00.000Z \"- - - HTTP/2\" 0 - - 0 0 0.000 ::1 - - - - \"-\" -\n"
    );
}

#[test]
fn a_long_text_is_cut() {
    let mut record = record();
    record.set(Text::Path, &vec![b'a'; 100_000]);
    assert_eq!(record.text(Text::Path).len(), 2048);
    assert_eq!(record.text(Text::Method), "GET");
}
