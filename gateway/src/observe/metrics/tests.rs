// SPDX-License-Identifier: Apache-2.0

use torana_ir::GatewayId;

use super::*;

fn listener(name: &str) -> ListenerKey {
    ListenerKey { gateway: GatewayId { namespace: "n".into(), name: "g".into() }, set: None, name: name.into() }
}

#[test]
fn every_family_that_is_bumped_is_rendered_under_its_name() {
    let metrics = Metrics::new();
    metrics.rejected("bad_host");
    metrics.fields_dropped(2);
    metrics.mirror_dropped();
    metrics.connection_refused("ip_cap");
    metrics.connection_aborted("http2_frames");
    metrics.handshake(&listener("web"), "TLSv1.3", Duration::from_millis(3));
    metrics.tls_error(None, "timeout");
    metrics.upstream_connected(
        &BackendKey { namespace: "n".into(), name: "b".into(), port: 80 },
        Duration::from_micros(90),
    );
    metrics.programmed(7, &Snapshot::default(), Duration::from_millis(4));
    metrics.config_rejected(&ResourceKey::Listener(listener("web")));
    metrics.log_dropped().inc();
    let open = metrics.connected(Some(&listener("web")), "https");
    let text = metrics.render();
    for line in [
        "torana_requests_rejected_total{reason=\"bad_host\"} 1",
        "torana_fields_dropped_total 2",
        "torana_mirrors_dropped_total 1",
        "torana_connections_refused_total{reason=\"ip_cap\"} 1",
        "torana_connections_aborted_total{reason=\"http2_frames\"} 1",
        "torana_tls_handshake_seconds_count{gateway=\"n/g\",listener=\"web\",protocol=\"TLSv1.3\"} 1",
        "torana_tls_errors_total{gateway=\"\",listener=\"\",reason=\"timeout\"} 1",
        "torana_upstream_connect_seconds_bucket{backend=\"n/b:80\",le=\"0.0001\"} 1",
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
    let key = |name: &str| BackendKey { namespace: "n".into(), name: name.into(), port: 80 };
    for name in ["kept", "gone"] {
        metrics.upstream_connected(&key(name), Duration::from_micros(90));
    }
    let mut snapshot = Snapshot::default();
    snapshot.backends.insert(key("kept"), Arc::new(torana_ir::Backend::new(key("kept"))));
    metrics.programmed(1, &snapshot, Duration::ZERO);
    let now = Instant::now();
    metrics.sweep(now);
    metrics.sweep(now + Duration::from_secs(61));
    let text = metrics.render();
    assert!(text.contains("n/kept:80") && !text.contains("n/gone:80"), "{text}");
}

#[test]
fn a_rejected_resource_is_forgotten_when_it_is_removed() {
    let metrics = Metrics::new();
    metrics.config_rejected(&ResourceKey::Listener(listener("web")));
    assert!(metrics.render().contains("torana_config_rejected_total{"));
    metrics.programmed(1, &Snapshot::default(), Duration::ZERO);
    assert!(!metrics.render().contains("torana_config_rejected_total{"));
}
