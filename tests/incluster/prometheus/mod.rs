// SPDX-License-Identifier: Apache-2.0
//! A real Prometheus finds every pod by the chart's PodMonitors, and answers whatever the board and the alerts ask.

mod discovery;

mod failures;

mod monitors;

mod questions;

mod server;

mod traffic;

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::Value;

use self::failures::FAILURES;
use self::questions::Question;
use self::server::{Prometheus, checked};
use self::traffic::{Clients, HABITS};
use super::counts::{create_routes, runtime};
use super::{Lab, SYSTEM, kubectl, lab, until};
use crate::house::source::root;

/// Series of one kind of request at one proxy: a counter, and two histograms of 13 buckets, `+Inf`, sum and count.
const SERIES_OF_A_REQUEST: f64 = 33.0;
/// Of the controller that knows least.
const OBJECTS: &str = "min(torana_controller_objects > 0)";
/// Eight turns of the clients, with three errors each: a third of what the alert tells of.
const OUTWEIGHED: &str = "sum by (gateway) (increase(torana_requests_total{code='200'}[5m])) > 1500";
const ROUTES: u16 = 200;
const VISITED: u16 = 20;

#[test]
fn a_real_prometheus_finds_every_pod_and_answers_every_question_of_board_and_alerts() {
    let Some(lab) = lab() else { return };
    let begin = Instant::now();
    let said = |what: &str| println!("{:5.1} s {what}", begin.elapsed().as_secs_f64());
    let clients = Clients::of(&lab);
    let prometheus = prometheus();
    said("everything is served once, Prometheus runs");
    every_pod_is_a_target(&lab, &prometheus);
    let (_open, _) = clients.websocket().unwrap();
    let traffic = clients.go_on();
    let alerts = questions::of_alerts(&prometheus);
    let board = of_board(&lab, &prometheus);
    what_clients_do_is_told(&prometheus);
    answered(&prometheus, board.iter().filter(|question| !fails_first(question)));
    said("every panel shows something");
    // The first requests that a proxy answers are no increase of a series: until then the few errors weigh too much.
    until("good answers outweigh the errors", || !prometheus.query(OUTWEIGHED).is_empty());
    for alert in &alerts {
        assert!(is_listed(alert), "{}: which failure shows it?", alert.of);
        let told = prometheus.query(&alert.expression);
        assert!(told.is_empty(), "{} without a failure: {told:?}", alert.of);
    }
    said("no alert");
    for failure in &FAILURES {
        let _until_then = (failure.make)(&lab);
        let those = board.iter().filter(|question| failure.panels.contains(&question.of.as_str()));
        answered(&prometheus, alerts.iter().filter(|alert| alert.of == failure.alert).chain(those));
        said(failure.what);
    }
    traffic.stop();
    rules_are_evaluated(&prometheus);
    // Each brings series of its own: both are counted before anything is made.
    let both = "count(torana_controller_objects > 0) == 2";
    until("both controllers are asked again", || !prometheus.query(both).is_empty());
    series_stay_few(&lab, &clients, &prometheus);
    said("done");
}

fn prometheus() -> Prometheus {
    let rules = root().join("deploy/alerts/torana.yaml");
    println!("{}", checked(&["check", "rules", rules.to_str().unwrap()]).trim());
    let objects = monitors::rendered();
    let rendered = objects.iter().find(|object| object["kind"] == "PrometheusRule").unwrap();
    let file: Value = serde_saphyr::from_str(&std::fs::read_to_string(&rules).unwrap()).unwrap();
    assert_eq!(rendered["spec"]["groups"], file["groups"], "the chart's rules are these");
    Prometheus::start(|pods| monitors::scrapes(&objects, pods), &rules)
}

/// Namespace and name of every pod that is one of ours, found without its labels.
fn pods(lab: &Lab) -> BTreeSet<(String, String)> {
    let list: Value = serde_json::from_str(&kubectl(&["get", "pods", "-A", "-o", "json"])).unwrap();
    let ours = list["items"].as_array().unwrap().iter().filter(|pod| {
        let container = &pod["spec"]["containers"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let is_ours =
            text(&container["command"][0]) == "/bin/torana-gateway" || text(&container["args"][0]) == "controller";
        let namespace = text(&pod["metadata"]["namespace"]);
        is_ours && pod["metadata"]["deletionTimestamp"].is_null() && (namespace == SYSTEM || namespace == lab.namespace)
    });
    let name = |pod: &Value, part: &str| pod["metadata"][part].as_str().unwrap().to_owned();
    ours.map(|pod| (name(pod, "namespace"), name(pod, "name"))).collect()
}

fn every_pod_is_a_target(lab: &Lab, prometheus: &Prometheus) {
    let label = |target: &Value, name: &str| target["labels"][name].as_str().unwrap_or_default().to_owned();
    until("every pod is asked, and answers", || {
        let targets = prometheus.targets();
        // Those of an earlier test may be on their way out.
        let here = targets.iter().filter(|it| [SYSTEM, &lab.namespace].contains(&label(it, "namespace").as_str()));
        let up = here.filter(|it| it["health"] == "up").map(|it| (label(it, "namespace"), label(it, "pod")));
        up.collect::<BTreeSet<_>>() == pods(lab)
    });
    let found = pods(lab);
    assert_eq!(found.len(), 5, "two proxies, one, and two controllers: {found:?}");
    println!("{} pods are asked", found.len());
}

/// The board's questions with the Gateway of the test chosen, among those that the board offers.
fn of_board(lab: &Lab, prometheus: &Prometheus) -> Vec<Question> {
    let (metric, label) = questions::gateway_variable();
    let wanted = format!("{}/edge", lab.namespace);
    until("the board offers the Gateway", || prometheus.values(&metric, &label).contains(&wanted));
    let (all, chosen) = (questions::of_board(".*"), questions::of_board(&wanted));
    println!("{} questions of the board", chosen.len());
    chosen.into_iter().chain(all).collect()
}

fn what_clients_do_is_told(prometheus: &Prometheus) {
    for habit in &HABITS {
        until(&format!("{}: {}", habit.what, habit.told_by), || {
            prometheus.query(habit.told_by).iter().any(|sample| sample.value > 0.0)
        });
    }
}

fn fails_first(question: &Question) -> bool {
    FAILURES.iter().any(|failure| failure.panels.contains(&question.of.as_str()))
}

fn is_listed(alert: &Question) -> bool {
    FAILURES.iter().any(|failure| failure.alert == alert.of)
}

/// Waits until each has an answer.
fn answered<'q>(prometheus: &Prometheus, questions: impl Iterator<Item = &'q Question>) {
    let mut asked = 0;
    for question in questions {
        let mut last = Vec::new();
        until(&format!("an answer: {question:?}"), || {
            last = prometheus.query(&question.expression);
            question.is_answered(&last)
        });
        asked += 1;
    }
    assert!(asked > 0, "nothing was asked");
}

fn rules_are_evaluated(prometheus: &Prometheus) {
    for rule in prometheus.rules() {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}

/// Routes are no series; requests are.
fn series_stay_few(lab: &Lab, clients: &Clients, prometheus: &Prometheus) {
    let count = || prometheus.query("count({__name__=~\"torana_.+\"})")[0].value;
    let before = count();
    let known = prometheus.query(OBJECTS)[0].value;
    runtime().block_on(create_routes(&lab.namespace, ROUTES.into(), "edge"));
    until("the routes are known", || prometheus.query(OBJECTS)[0].value >= known + f64::from(ROUTES));
    let idle = count();
    for number in 0..VISITED {
        until("a route serves", || {
            super::ask(&clients.address, &format!("r{number}.example"), "/").is_ok_and(|reply| reply.status == 200)
        });
    }
    let seen = "count(count by (route_name) (torana_requests_total{route_name=~\"r[0-9]+\"}))";
    until("visits are told", || prometheus.query(seen).first().is_some_and(|it| it.value >= f64::from(VISITED)));
    let visited = count();
    println!("series: {before}; with {ROUTES} routes {idle}; {VISITED} of them visited {visited}");
    assert!(idle - before < f64::from(ROUTES) / 4.0, "routes that nobody asks have series");
    assert!(visited - idle <= f64::from(VISITED) * SERIES_OF_A_REQUEST * 2.0, "visits cost more than they must");
}
