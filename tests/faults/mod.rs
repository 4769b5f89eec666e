// SPDX-License-Identifier: Apache-2.0
//! Faults of the API server (section K of the hostile input): what a controller and its proxies make of a real API
//! server that is away, slow, full, wrong about time, or behind a line that breaks what it carries.
//!
//! A [`lab::Lab`] is etcd and kube-apiserver as plain processes on loopback ports, the real `torana controller` and the
//! real `torana-gateway`; no kubelet, no root. Between controller and API server is a [`line::Line`]: a proxy of ours, in
//! front of the real thing. `TORANA_KUBERNETES` says in which folder kube-apiserver and kubectl are; without it these tests
//! say that they were skipped. `./dev faults` sets it. `TORANA_FAULTS_SECONDS` is how long an API server stays away.

mod clocks;

mod full;

mod half_open;

mod initial;

mod lab;

mod leaders;

mod line;

mod mesh_ca;

mod outage;

mod process;

mod refusals;

mod restored;

mod server;

mod storm;

mod tamper;

mod traffic;

mod watches;

use std::env;
use std::future::Future;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lab::Lab;

/// So long anything may take to come true.
const PATIENCE: Duration = Duration::from_mins(1);
/// So long a change may take to be in force after a fault: the longest pause between two tries, and a little.
const RECOVERY: Duration = Duration::from_secs(30);

/// Runs `test` in a lab of its own, if there can be one.
fn with_lab<F: Future<Output = ()>>(test: impl FnOnce(Lab) -> F) {
    with_server(server::Options::default(), async |server| test(Lab::start(server).await).await);
}

/// Runs `test` with an API server of its own, if there can be one.
fn with_server<F: Future<Output = ()>>(options: server::Options, test: impl FnOnce(server::Server) -> F) {
    let Some(kubernetes) = env::var_os("TORANA_KUBERNETES").map(PathBuf::from) else {
        skipped();
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = server::Server::start(kubernetes, options).await;
        tokio::task::LocalSet::new().run_until(test(server)).await;
    });
}

/// Says so, once and past whoever captures what tests print.
fn skipped() {
    static SAID: std::sync::Once = std::sync::Once::new();
    let why = "SKIPPED faults::*: TORANA_KUBERNETES does not say where kube-apiserver is; ./dev faults does";
    SAID.call_once(|| writeln!(std::io::stderr(), "{why}").unwrap());
}

/// How long an API server stays away; an hour is 3600.
fn away() -> Duration {
    let seconds = env::var("TORANA_FAULTS_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

/// Waits until `found` finds something; how long that took is told too.
async fn within<T, F: Future<Output = Option<T>>>(limit: Duration, what: &str, mut found: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(it) = found().await {
            println!("{what}: after {:.1} s", begun.elapsed().as_secs_f32());
            return it;
        }
        assert!(begun.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// Waits until it is so.
async fn until(limit: Duration, what: &str, mut is: impl FnMut() -> bool) {
    within(limit, what, || std::future::ready(is().then_some(()))).await;
}
