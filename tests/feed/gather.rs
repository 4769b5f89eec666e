// SPDX-License-Identifier: Apache-2.0
//! E12: a thousand changes a second of one object, more than an API server takes: the control loop gathers them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::{Client, Config};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use torana_controller::clock::now;
use torana_controller::feed::Hub;
use torana_controller::herald::heralds;
use torana_controller::leader::Leadership;
use torana_controller::metrics::Metrics;
use torana_controller::provision::desired::Install;
use torana_controller::reconcile::proxies::Pods;
use torana_controller::reconcile::{Parts, Reconciler};
use torana_controller::source::kubernetes::Sighting;
use torana_controller::status::Board;
use torana_controller::store::{Event, Settings};
use torana_crds::Kind;
use torana_ir::SessionKey;

const CHANGES: u32 = 2_000;
/// Changes of a generation, at least and on average: a machine that is busy delivers them in bursts, with pauses that end
/// a generation.
const GATHERED: u32 = 4;

fn changed(number: u32) -> Sighting {
    let route = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"namespace": "a", "name": "busy", "generation": number},
        "spec": {"parentRefs": [{"name": "edge"}], "hostnames": [format!("h{number}.example")], "rules": [{}]}});
    let object = torana_crds::decode(route, "").content.object().unwrap();
    Sighting::Object { event: Event::Applied(Arc::new(object)), stored: None, unknown: Vec::new() }
}

fn turns(metrics: &Metrics) -> u32 {
    let text = metrics.text();
    let line = text.lines().find_map(|line| line.strip_prefix("torana_controller_translate_seconds_count "));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_changes_a_second_are_gathered_and_the_last_one_counts() {
    // Nobody is there: a replica that does not lead asks nobody.
    let client = Client::try_from(Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    let install = Install {
        image: String::new(),
        feed: String::new(),
        feed_name: String::new(),
        feed_ca: String::new(),
        mesh_roots: String::new(),
        namespace: "torana-system".to_owned(),
        version: String::new(),
    };
    let (metrics, (ready, is_ready)) = (Metrics::new().unwrap(), watch::channel(false));
    let (_lead, leadership) = watch::channel(Leadership::default());
    let (mesh, _) = watch::channel(BTreeSet::new());
    let (_pods, pods) = watch::channel(Pods::default());
    let (_install, install) = watch::channel(install);
    let (_bundles, bundles) = watch::channel(BTreeSet::new());
    let board = Arc::new(Board::default());
    let (parents, _) = watch::channel(None);
    let metrics_of = metrics.clone();
    let parts = Parts {
        hub: Hub::new(),
        board,
        leadership,
        pods,
        install,
        bundles,
        parents,
        mesh,
        heralds: heralds().0,
        ready,
        metrics: metrics_of,
    };
    let settings = Settings::cluster(Vec::new(), SessionKey::new([0; 32]), now());
    let (sender, sightings) = mpsc::channel(4_096);
    let running = tokio::spawn(Reconciler::new(client, parts, settings).run(sightings));
    for kind in Kind::ALL {
        sender.send(Sighting::Listed(kind)).await.unwrap();
    }
    let begin = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_millis(1));
    for number in 1..=CHANGES {
        pace.tick().await;
        sender.send(changed(number)).await.unwrap();
    }
    let took = begin.elapsed();
    drop(sender);
    running.await.unwrap();
    let turns = turns(&metrics);
    println!("{CHANGES} changes in {took:?}: {turns} translations");
    assert!(*is_ready.borrow() && turns > 1 && turns * GATHERED <= CHANGES, "{turns}");
}
