// SPDX-License-Identifier: Apache-2.0
//! What the README says in numbers and names, against the code and a running gateway.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use torana_tests::{Backend, World};

use crate::house::source::root;

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The rows of the README's table under `head`, from its first cell on.
fn rows(head: &str) -> Vec<String> {
    let readme = text("README.md");
    let table = readme.split(head).nth(1).expect("the table is there");
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.map(str::to_owned).collect()
}

/// What stands between backticks.
fn quoted(rows: &[String]) -> BTreeSet<String> {
    rows.iter().flat_map(|row| row.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The first text literal after each occurrence of one of `calls`.
fn literals(code: &str, calls: &[&str]) -> BTreeSet<String> {
    let after = calls.iter().flat_map(|call| code.split(call).skip(1));
    let literals = after.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    literals.map(str::to_owned).collect()
}

fn seconds(of: &Value) -> u64 {
    of["secs"].as_u64().unwrap()
}

#[test]
fn the_limits_are_those_of_a_running_gateway() {
    let backend = Backend::named("ok");
    let (service, route) = (World::service("b", backend.port), World::catch_all("all", "b"));
    let world = World::start(&format!("{}{service}{route}", World::gateway()));
    let config: Value = serde_json::from_str(&world.admin("/debug/config").unwrap().text()).unwrap();
    let (limits, backend) = (&config["snapshot"]["listeners"][0]["limits"], &config["snapshot"]["backends"][0]);
    let number = |name: &str| limits[name].as_u64().unwrap();
    let (connect, cap) = (seconds(&backend["connect_deadline"]), backend["max_connections"].as_u64().unwrap());
    let expected = [
        format!(
            "| a request's head | {} KiB, {} fields, target {} KiB, complete within {} s of its first byte |",
            number("head_bytes") >> 10,
            number("head_fields"),
            number("target_bytes") >> 10,
            seconds(&limits["head_deadline"])
        ),
        format!("| TLS handshake | {} s from accept |", seconds(&limits["handshake_deadline"])),
        format!("| idle connection | {} s |", seconds(&limits["idle"])),
        format!("| request in flight without a byte moved | {} s |", seconds(&limits["stream_idle"])),
        format!(
            "| connection that is passed on (TCP, TLS) without a byte moved | {} s: reset |",
            seconds(&limits["tcp_idle"])
        ),
        format!("| flow of UDP without a datagram | {} s |", seconds(&limits["udp_idle"])),
        format!(
            "| HTTP/2 streams a connection | {}, streams that were reset but still run included |",
            number("streams")
        ),
        format!("| connect to an endpoint | {connect} s; {},{:03} connections a backend |", cap / 1000, cap % 1000),
    ];
    let rows = rows("| Limit | Default |\n");
    for row in expected {
        assert!(rows.contains(&row), "{row}\nis not in\n{}", rows.join("\n"));
    }
}

/// Every family of metrics, by the code.
/// Of both programs, but for those of Istio, for which there are boards.
pub(super) fn families() -> BTreeSet<String> {
    let of_controller = literals(&text("controller/src/metrics.rs"), &["gauge(", "Opts::new("]);
    assert!(of_controller.len() >= 7, "{of_controller:?}");
    let code = text("gateway/src/observe/families.rs");
    let calls = [
        "Register::new(",
        "it.counter(",
        "it.counters(",
        "it.few(",
        "it.gauge(",
        "it.gauges(",
        "it.histogram(",
        "it.histograms(",
        "it.known(",
        "it.part(",
    ];
    let families = literals(&code, &calls).into_iter().map(|name| format!("torana_{name}"));
    let families: BTreeSet<String> = families.chain(of_controller).collect();
    assert!(families.len() > 15, "{families:?}");
    families
}

#[test]
fn every_metric_is_named_and_no_other() {
    let of_istio = torana_ir::IstioMetric::ALL.map(|metric| metric.name().to_owned());
    assert_eq!(quoted(&rows("| Family | Labels |\n")), families().into_iter().chain(of_istio).collect());
}

#[test]
fn the_caps_of_metrics_are_those_of_the_code() {
    let code = text("gateway/src/observe/families.rs");
    let cap = |of: &str| {
        let value = code.split_once("CAPS: Caps = ").unwrap().1.split_once(&format!("{of}: ")).unwrap().1;
        value.split([',', ' ']).next().unwrap().replace('_', ",")
    };
    let (counters, histograms) = (cap("counters"), cap("histograms"));
    let text = rows("| A family | Has names of its own on at most | Beyond, its children have |\n").join("\n");
    let starts = [
        format!("| of counters or gauges, by route | {counters} children |"),
        format!("| of histograms, by route | {histograms} children: one is 16 lines |"),
        format!("| `torana_upstream_connect_seconds` | {histograms} backends |"),
        format!("| `torana_upstream_retries_total` | {counters} backends |"),
    ];
    for start in starts {
        assert!(text.contains(&start), "{start}\nis not in\n{text}");
    }
}

#[test]
fn every_field_of_the_access_log_is_named_and_no_other() {
    let code = text("gateway/src/observe/line.rs");
    let mut fields = literals(&code, &["line.text(", "line.number(", "line.millis(", "line.raw("]);
    // Texts by the names of their fields, and the one that opens the object.
    let texts = code.lines().filter(|line| line.contains(", Text::")).filter_map(|line| line.split('"').nth(1));
    fields.extend(texts.map(str::to_owned));
    fields.insert("start_time".to_owned());
    assert!(fields.len() > 20, "{fields:?}");
    assert_eq!(quoted(&rows("| Fields | |\n")), fields);
}

#[test]
fn literals_and_rows_are_found() {
    assert_eq!(literals("it.x(\n    \"a\", \"b\") it.x(c) it.y(\"d\")", &["it.x("]), BTreeSet::from(["a".to_owned()]));
    assert_eq!(quoted(&["| `a`, `b` | c |".to_owned()]), BTreeSet::from(["a".to_owned(), "b".to_owned()]));
}
