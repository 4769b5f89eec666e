// SPDX-License-Identifier: Apache-2.0

use std::time::Duration;

use super::super::Metrics;
use super::super::measure::Histogram;
use super::*;

/// A page with a shelf of each kind filled; some have more children than a step.
fn metrics() -> Metrics {
    let metrics = Metrics::new();
    for number in 0..50 {
        let key = torana_ir::BackendKey::tcp("n", format!("b{}", number * 7 % 50), 80);
        metrics.upstream_retried(&key);
        metrics.upstream_connected(&key, Duration::from_micros(90));
    }
    metrics.rejected("bad_host");
    metrics
}

#[test]
fn pieces_end_with_lines_and_are_short_and_all_of_them_are_the_page() {
    let metrics = metrics();
    let pieces: Vec<String> = metrics.page().collect();
    assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.ends_with('\n')));
    assert!(pieces.iter().all(|piece| piece.len() < 2 * PIECE), "{:?}", pieces.iter().map(String::len).max());
    assert_eq!(pieces.concat(), metrics.render());
}

#[test]
fn a_family_says_once_what_it_is_and_families_and_children_are_in_order() {
    let text = metrics().render();
    let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    assert!(heads.is_sorted() && heads.windows(2).all(|pair| pair[0] != pair[1]), "{heads:?}");
    let retries: Vec<&str> = text.lines().filter(|line| line.starts_with("torana_upstream_retries_total{")).collect();
    assert!(retries.len() == 50 && retries.is_sorted(), "{retries:?}");
    let family = "# HELP torana_upstream_retries_total tries of a request after its first\n\
                  # TYPE torana_upstream_retries_total counter\ntorana_upstream_retries_total{backend=\"n/b0:80\"} 1\n";
    assert!(text.contains(family), "{text}");
}

/// The crate's own families, gathered and encoded by it, are the measure.
#[test]
fn the_text_is_that_of_the_crate_byte_for_byte() {
    use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts};

    let names = ["gateway", "listener", "protocol"];
    let bounds = [0.05, 0.1, 2.5];
    let registry = Registry::new();
    let (counters, gauges, histograms) = (
        IntCounterVec::new(Opts::new("torana_a", "counts"), &names).unwrap(),
        IntGaugeVec::new(Opts::new("torana_b", "stands"), &names).unwrap(),
        HistogramVec::new(HistogramOpts::new("torana_c", "takes").buckets(bounds.to_vec()), &names).unwrap(),
    );
    registry.register(Box::new(counters.clone())).unwrap();
    registry.register(Box::new(gauges.clone())).unwrap();
    registry.register(Box::new(histograms.clone())).unwrap();
    let mut ours = super::super::register::Register::new("z", "folded");
    let names: &'static [&'static str] = &["gateway", "listener", "protocol"];
    let (our_counters, our_gauges) = (ours.counters("a", "counts", names, 99), ours.gauges("b", "stands", names, 99));
    let our_histograms = ours.histograms("c", "takes", names, 99, || Histogram::new(&[0.05, 0.1, 2.5]));
    let values = ["b", "a\"\\\n", "", "a", "ab", "B", "a b", "ä", "a-b", "a/b", "c"];
    for (at, name) in (0u32..60).zip(values.iter().cycle()) {
        let labels = ["n/g", name, if at % 2 == 0 { "http" } else { "https" }];
        let took = Duration::from_micros(u64::from(at) * 68_680);
        counters.with_label_values(&labels).inc_by(u64::from(at));
        our_counters.child(labels).inc_by(u64::from(at));
        gauges.with_label_values(&labels).set(5 - i64::from(at));
        our_gauges.child(labels).set(5 - i64::from(at));
        histograms.with_label_values(&labels).observe(took.as_secs_f64());
        our_histograms.child(labels).took(took);
    }
    let expected = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let page: String = Page::new(ours.page()).collect();
    let (page, rest) = page.split_at(expected.len());
    assert_eq!(page, expected);
    assert_eq!(rest, "# HELP torana_z folded\n# TYPE torana_z counter\ntorana_z 0\n");
}
