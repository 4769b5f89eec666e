// SPDX-License-Identifier: Apache-2.0
//! Who gets which share of many requests, and what it costs when endpoints are slow, break or go. `./dev balance` runs it
//! at full size, `./dev test` smaller.

mod clients;

mod endpoint;

mod failover;

mod breaks;

mod leaving;

mod once;

mod shares;

mod slow;

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::runtime::{Builder, Runtime};
use torana_tests::{World, find};

use self::clients::Ask;
use self::endpoint::{Conduct, Endpoint};
use super::manifests::{object, service_at};

/// Requests that a slow endpoint works on at once; more wait there.
const SLOTS: usize = 16;

/// The full size is asked for, on a machine that does nothing else.
fn full() -> bool {
    std::env::var_os("TORANA_BALANCE_FULL").is_some()
}

/// A number of the full size, or of the small one.
fn size<T>(small: T, large: T) -> T {
    if full() { large } else { small }
}

/// Where endpoints and clients run.
fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// So many endpoints, called `a`, `b` …
fn endpoints(runtime: &Runtime, count: u8, conduct: Conduct) -> Vec<Endpoint> {
    (b'a'..b'a' + count).map(|name| Endpoint::start(runtime.handle(), name, conduct)).collect()
}

fn ports(endpoints: &[Endpoint]) -> Vec<u16> {
    endpoints.iter().map(|endpoint| endpoint.port).collect()
}

/// A Service before these, a VirtualService of the Gateway that sends a host of the Service's name to it, and a
/// DestinationRule for it. `rule` and `policy` are what the two say.
fn service(name: &str, endpoints: &[Endpoint], rule: &str, policy: &str) -> String {
    service_at(name, &ports(endpoints)) + &destination_rule(name, policy) + &virtual_service(name, rule)
}

/// None where the policy is empty.
fn destination_rule(host: &str, policy: &str) -> String {
    let spec = format!("host: {host}, trafficPolicy: {{{policy}}}");
    if policy.is_empty() { String::new() } else { object("networking.istio.io/v1", "DestinationRule", host, &spec) }
}

/// What a Service is called from outside; hosts of ServiceEntries have their names.
fn host(service: &str) -> String {
    if service.contains('.') { service.to_owned() } else { format!("{service}.example.com") }
}

/// A VirtualService that sends everything for a Service's host to it.
fn virtual_service(name: &str, rule: &str) -> String {
    let to = format!("route: [{{destination: {{host: {name}, port: {{number: 80}}}}}}]");
    let spec = format!("hosts: [{}], gateways: [edge], http: [{{{rule}{to}}}]", host(name));
    object("networking.istio.io/v1", "VirtualService", name, &spec)
}

fn world(manifests: &str) -> World {
    World::start(&(World::gateway().to_owned() + manifests))
}

/// GET for that Service; the path is the request's number.
fn get(service: &str) -> Ask {
    let host = host(service);
    std::sync::Arc::new(move |number| format!("GET /{number} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes())
}

/// Reads up to the end of a head, and gives where that is.
async fn head(from: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<usize> {
    loop {
        if let Some(at) = find(buffer, b"\r\n\r\n") {
            return Some(at + 4);
        }
        if from.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// Reads until there are so many bytes.
async fn fill(from: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>, length: usize) -> Option<()> {
    while buffer.len() < length {
        if from.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    Some(())
}

/// The `content-length` of a head in lower case.
fn length(head: &str) -> Option<usize> {
    head.split("content-length: ").nth(1)?.split('\r').next()?.parse().ok()
}

/// The latency that so many percent of these do not exceed.
fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}
