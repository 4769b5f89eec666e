// SPDX-License-Identifier: Apache-2.0

use torana_ir::{Listener, Protocol, SharedMap, Tls};

use super::*;
use crate::samples::{certificate, listener_key};

#[test]
fn every_family_that_is_bumped_is_rendered_under_its_name() {
    let metrics = Metrics::new();
    metrics.rejected("bad_host");
    metrics.fields_dropped(2);
    metrics.mirror_dropped();
    metrics.challenge_answered("http-01");
    metrics.connection_refused("ip_cap");
    metrics.connection_aborted("http2_frames");
    metrics.handshake(&listener_key("web"), "TLSv1.3", Duration::from_millis(3));
    metrics.tls_error(None, "timeout");
    metrics.upstream_connected(&BackendKey::tcp("n", "b", 80), Duration::from_micros(90));
    metrics.upstream_retried(&BackendKey::tcp("n", "b", 80));
    metrics.programmed(7, &Snapshot::default(), &BTreeSet::new(), Duration::from_millis(4));
    metrics.config_rejected(&ResourceKey::Listener(listener_key("web")));
    metrics.log_dropped().inc();
    let open = metrics.connected(Some(&listener_key("web")), "https");
    let text = metrics.render();
    for line in [
        "torana_requests_rejected_total{reason=\"bad_host\"} 1",
        "torana_fields_dropped_total 2",
        "torana_mirrors_dropped_total 1",
        "torana_acme_challenges_total{type=\"http-01\"} 1",
        "torana_acme_challenges_total{type=\"tls-alpn-01\"} 0",
        "torana_connections_refused_total{reason=\"ip_cap\"} 1",
        "torana_connections_refused_total{reason=\"ip_abuse\"} 0",
        "torana_connections_aborted_total{reason=\"http2_frames\"} 1",
        "torana_datagrams_dropped_total{direction=\"to_client\"} 0",
        "torana_tls_handshake_seconds_count{gateway=\"n/g\",listener=\"web\",protocol=\"TLSv1.3\"} 1",
        "torana_tls_errors_total{gateway=\"\",listener=\"\",reason=\"timeout\"} 1",
        "torana_upstream_connect_seconds_bucket{backend=\"n/b:80\",le=\"0.0001\"} 1",
        "torana_upstream_retries_total{backend=\"n/b:80\"} 1",
        "torana_config_generation 7",
        "torana_config_apply_seconds_count 1",
        "torana_config_rejected_total{kind=\"Listener\",name=\"web\",namespace=\"n\"} 1",
        "torana_log_dropped_total{sink=\"access\"} 1",
        "torana_connections{gateway=\"n/g\",listener=\"web\",protocol=\"https\"} 1",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
    }
    drop(open);
    assert!(metrics.render().contains("torana_connections{gateway=\"n/g\",listener=\"web\",protocol=\"https\"} 0"));
}

#[test]
fn numbers_of_a_removed_backend_go_and_those_of_a_quiet_one_stay() {
    let metrics = Metrics::new();
    let key = |name: &str| BackendKey::tcp("n", name, 80);
    for name in ["kept", "gone"] {
        metrics.upstream_connected(&key(name), Duration::from_micros(90));
    }
    let mut snapshot = Snapshot::default();
    snapshot.backends.insert(key("kept"), Arc::new(torana_ir::Backend::new(key("kept"))));
    metrics.programmed(1, &snapshot, &BTreeSet::from([ResourceKey::Backend(key("kept"))]), Duration::ZERO);
    let now = Instant::now();
    metrics.sweep(now);
    metrics.sweep(now + Duration::from_secs(61));
    let text = metrics.render();
    assert!(text.contains("n/kept:80") && !text.contains("n/gone:80"), "{text}");
    // A later generation takes it away and names nothing else.
    let none = Snapshot::default();
    metrics.programmed(2, &none, &BTreeSet::from([ResourceKey::Backend(key("kept"))]), Duration::ZERO);
    metrics.sweep(now + Duration::from_secs(70));
    metrics.sweep(now + Duration::from_secs(131));
    assert!(!metrics.render().contains("n/kept:80"), "{}", metrics.render());
}

#[test]
fn connects_to_backends_without_room_are_counted_together_and_stay() {
    let (metrics, key) = (Metrics::capped(9, 2), |name: &str| BackendKey::tcp("n", name, 80));
    for name in ["a", "b", "c", "d"] {
        metrics.upstream_connected(&key(name), Duration::from_micros(90));
    }
    let mut snapshot = Snapshot::default();
    snapshot.backends.insert(key("b"), Arc::new(torana_ir::Backend::new(key("b"))));
    metrics.programmed(1, &snapshot, &BTreeSet::from([ResourceKey::Backend(key("b"))]), Duration::ZERO);
    let now = Instant::now();
    metrics.sweep(now);
    metrics.sweep(now + Duration::from_secs(61));
    metrics.upstream_connected(&key("e"), Duration::from_micros(90));
    let text = metrics.render();
    let counts = text.lines().filter(|line| line.starts_with("torana_upstream_connect_seconds_count{"));
    let family = "torana_upstream_connect_seconds_count";
    let wanted = [("n/b:80", 1), ("n/e:80", 1), ("other", 2)];
    let wanted = wanted.map(|(backend, count)| format!("{family}{{backend=\"{backend}\"}} {count}"));
    assert_eq!(counts.collect::<Vec<_>>(), wanted, "one that has gone left room");
}

#[test]
fn ejections_are_counted_by_reason_and_end_without_a_word() {
    let (metrics, key) = (Metrics::capped(2, 2), |name: &str| BackendKey::tcp("n", name, 80));
    let gauges = |metrics: &Metrics| -> Vec<String> {
        let text = metrics.render();
        let lines = text.lines().filter_map(|line| line.strip_prefix("torana_upstream_ejected_endpoints"));
        lines.map(str::to_owned).collect()
    };
    for (name, now) in [("a", 1), ("b", 1), ("c", 1), ("d", 1)] {
        metrics.upstream_ejected(&key(name), "unanswered", now);
    }
    metrics.ejected([(&key("b"), 3), (&key("c"), 2), (&key("d"), 2)].into_iter());
    assert_eq!(gauges(&metrics), [r#"{backend="n/a:80"} 0"#, r#"{backend="n/b:80"} 3"#, r#"{backend="other"} 4"#]);
    metrics.ejected(std::iter::empty());
    assert!(gauges(&metrics).iter().all(|line| line.ends_with(" 0")));
    metrics.upstream_overflowed(&key("a"), "pending");
    let text = metrics.render();
    for line in [
        "torana_upstream_ejections_total{backend=\"n/a:80\",reason=\"unanswered\"} 1\n",
        "torana_upstream_ejections_total{backend=\"other\",reason=\"unanswered\"} 2\n",
        "torana_upstream_overflow_total{backend=\"n/a:80\",reason=\"pending\"} 1\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_backend_that_is_checked_has_a_number_of_unhealthy_endpoints_also_if_that_is_none() {
    let (metrics, key) = (Metrics::new(), |name: &str| BackendKey::tcp("n", name, 80));
    metrics.checks_begin(&key("a"));
    metrics.checks_begin(&key("b"));
    metrics.unhealthy([(&key("b"), 2)].into_iter());
    metrics.checked(&key("b"), "success");
    metrics.checked(&key("b"), "timeout");
    let text = metrics.render();
    for line in [
        "torana_upstream_unhealthy_endpoints{backend=\"n/a:80\"} 0\n",
        "torana_upstream_unhealthy_endpoints{backend=\"n/b:80\"} 2\n",
        "torana_health_checks_total{backend=\"n/b:80\",result=\"success\"} 1\n",
        "torana_health_checks_total{backend=\"n/b:80\",result=\"timeout\"} 1\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_rejected_resource_is_forgotten_when_it_is_removed() {
    let metrics = Metrics::new();
    metrics.config_rejected(&ResourceKey::Listener(listener_key("web")));
    assert!(metrics.render().contains("torana_config_rejected_total{"));
    metrics.programmed(1, &Snapshot::default(), &BTreeSet::new(), Duration::ZERO);
    assert!(!metrics.render().contains("torana_config_rejected_total{"));
}

#[test]
fn the_end_of_a_certificate_is_told_while_it_is_served() {
    let metrics = Metrics::new();
    let certificate = certificate("c", &["a.com"]);
    let tls = Tls::new(vec![certificate.key.clone()]);
    let listener = Listener { protocol: Protocol::Https(tls), ..Listener::new(listener_key("web"), 443) };
    let (key, end) = (ResourceKey::Listener(listener.key.clone()), certificate.not_after);
    let mut snapshot = Snapshot::default();
    snapshot.listeners.insert(listener.key.clone(), Arc::new(listener));
    let programmed = |snapshot: &Snapshot, key: ResourceKey| {
        metrics.programmed(1, snapshot, &BTreeSet::from([key]), Duration::ZERO);
        metrics.render()
    };
    assert!(!programmed(&snapshot, key.clone()).contains("torana_certificate_expiry"), "it is not there yet");
    let secret = ResourceKey::Certificate(certificate.key.clone());
    snapshot.certificates.insert(certificate.key.clone(), Arc::new(certificate));
    let line = format!(
        "torana_certificate_expiry_timestamp_seconds{{gateway=\"n/g\",host=\"a.com\",listener=\"web\"}} {end}\n"
    );
    assert!(programmed(&snapshot, secret).contains(&line));
    snapshot.listeners = SharedMap::new();
    assert!(!programmed(&snapshot, key).contains("torana_certificate_expiry"), "nobody serves it");
}
