// SPDX-License-Identifier: Apache-2.0
//! Rules of DestinationRule (`ValidateDestinationRule`). Never about the host that it names.

use std::collections::BTreeSet;

use crate::istio::DestinationRule;
use crate::istio::connection_pool::{ConnectionPool, H2UpgradePolicy, HttpPool, OutlierDetection, TcpPool};
use crate::istio::destination_rule::{
    ClientTls, ClientTlsMode, PortPolicy, ProxyProtocol, Subset, TrafficPolicy, Tunnel,
};
use crate::istio::load_balancer::LoadBalancer;
use crate::istio::rules::shared::{Exporter, at_most, duration, export_to, labels, selector};
use crate::istio::rules::{facts, load_balancer};
use crate::istio::scalars::Decimal;
use crate::violation::{At, Findings};

pub(super) fn judge(rule: &DestinationRule, root: &At<'_>, found: &mut Findings) {
    let (spec, at) = (&rule.spec, root.field("spec"));
    if !facts::is_pattern(&spec.host) {
        let remedy = "name a Service or a host of a ServiceEntry, or write *.suffix";
        found.error(&at.field("host"), format!("is not a host: {:?}", spec.host), remedy);
    }
    if let Some(policy) = &spec.traffic_policy {
        judge_policy(policy, &at.field("trafficPolicy"), found);
    }
    let mut names = BTreeSet::new();
    for (index, subset) in spec.subsets.iter().enumerate() {
        let list = at.field("subsets");
        let at = list.item(index);
        if !names.insert(&subset.name) {
            found.error(&at.field("name"), format!("repeats {:?}", subset.name), "give each subset a name of its own");
        }
        judge_subset(subset, &at, found);
    }
    let exporter = if spec.workload_selector.is_some() { Exporter::Selecting } else { Exporter::Other };
    export_to(&spec.export_to, &rule.meta.namespace, exporter, &at.field("exportTo"), found);
    if let Some(pods) = &spec.workload_selector {
        selector(&pods.match_labels, 4096, &at.field("workloadSelector").field("matchLabels"), found);
    }
}

fn judge_subset(subset: &Subset, at: &At<'_>, found: &mut Findings) {
    if !facts::is_label(&subset.name) {
        let why = format!("is not a name of a subset: {:?}", subset.name);
        found.error(&at.field("name"), why, "use at most 63 letters, digits and -");
    }
    labels(&subset.labels, &at.field("labels"), found);
    if subset.labels.is_empty() {
        found.warning(at, "has no labels: it is every endpoint of the host", "add the labels of its pods");
    }
    if let Some(policy) = &subset.traffic_policy {
        judge_policy(policy, &at.field("trafficPolicy"), found);
    }
}

/// What a policy has for a host and for a single port alike.
struct Blocks<'a> {
    balancer: Option<&'a LoadBalancer>,
    pool: Option<&'a ConnectionPool>,
    outliers: Option<&'a OutlierDetection>,
    tls: Option<&'a ClientTls>,
}

impl Blocks<'_> {
    fn is_empty(&self) -> bool {
        self.balancer.is_none() && self.pool.is_none() && self.outliers.is_none() && self.tls.is_none()
    }

    fn judge(&self, at: &At<'_>, found: &mut Findings) {
        if let Some(balancer) = self.balancer {
            load_balancer::judge(balancer, self.outliers.is_some(), &at.field("loadBalancer"), found);
        }
        if let Some(pool) = self.pool {
            judge_pool(pool, &at.field("connectionPool"), found);
        }
        if let Some(outliers) = self.outliers {
            judge_outliers(outliers, &at.field("outlierDetection"), found);
        }
        if let Some(tls) = self.tls {
            judge_tls(tls, &at.field("tls"), found);
        }
    }
}

fn judge_policy(policy: &TrafficPolicy, at: &At<'_>, found: &mut Findings) {
    let blocks = Blocks {
        balancer: policy.load_balancer.as_ref(),
        pool: policy.connection_pool.as_ref(),
        outliers: policy.outlier_detection.as_ref(),
        tls: policy.tls.as_ref(),
    };
    let others = policy.tunnel.is_some() || policy.proxy_protocol.is_some() || policy.retry_budget.is_some();
    if blocks.is_empty() && policy.port_level.is_empty() && !others {
        found.error(at, "says nothing", "add loadBalancer, connectionPool, outlierDetection or tls, or remove it");
    }
    blocks.judge(at, found);
    let ports = at.field("portLevelSettings");
    at_most(4096, policy.port_level.len(), &ports, found);
    for (index, port) in policy.port_level.iter().enumerate() {
        judge_port(port, &ports.item(index), found);
    }
    judge_tunnel(policy.tunnel.as_ref(), policy.proxy_protocol, at, found);
    if policy.retry_budget.as_ref().is_some_and(|budget| budget.percent > Decimal::whole(100)) {
        found.error(&at.field("retryBudget").field("percent"), "is more than 100", "use 0 to 100");
    }
    let max_retries = || policy.connection_pool.as_ref()?.http.as_ref()?.max_retries;
    if policy.retry_budget.is_some() && max_retries().is_some() {
        let remedy = "keep one of them";
        found.warning(&at.field("retryBudget"), "takes the place of connectionPool.http.maxRetries", remedy);
    }
}

fn judge_port(port: &PortPolicy, at: &At<'_>, found: &mut Findings) {
    let blocks = Blocks {
        balancer: port.load_balancer.as_ref(),
        pool: port.connection_pool.as_ref(),
        outliers: port.outlier_detection.as_ref(),
        tls: port.tls.as_ref(),
    };
    if blocks.is_empty() {
        found.error(at, "says nothing but its port", "add loadBalancer, connectionPool, outlierDetection or tls");
    }
    blocks.judge(at, found);
}

fn judge_tunnel(tunnel: Option<&Tunnel>, proxy: Option<ProxyProtocol>, at: &At<'_>, found: &mut Findings) {
    let Some(tunnel) = tunnel else { return };
    let place = at.field("tunnel");
    if proxy.is_some() {
        found.error(&place, "does not go with proxyProtocol", "keep one of them");
    }
    if !facts::is_name(&tunnel.target_host) && !facts::is_ip(&tunnel.target_host) {
        let why = format!("is not a host: {:?}", tunnel.target_host);
        found.error(&place.field("targetHost"), why, "write a DNS name or an IP address");
    }
}

pub(super) fn judge_pool(pool: &ConnectionPool, at: &At<'_>, found: &mut Findings) {
    if pool.tcp.is_none() && pool.http.is_none() {
        found.error(at, "says nothing", "add tcp or http");
    }
    if let Some(tcp) = &pool.tcp {
        judge_tcp(tcp, &at.field("tcp"), found);
    }
    if let Some(http) = &pool.http {
        judge_http(http, &at.field("http"), found);
    }
}

fn judge_tcp(tcp: &TcpPool, at: &At<'_>, found: &mut Findings) {
    duration(tcp.connect_timeout, &at.field("connectTimeout"), found);
    duration(tcp.max_connection_duration, &at.field("maxConnectionDuration"), found);
    // Less than 1 ms is none.
    duration(tcp.idle_timeout.filter(|idle| idle.as_millis() > 0), &at.field("idleTimeout"), found);
    if let Some(keepalive) = &tcp.tcp_keepalive {
        let at = at.field("tcpKeepalive");
        duration(keepalive.time, &at.field("time"), found);
        duration(keepalive.interval, &at.field("interval"), found);
    }
}

fn judge_http(http: &HttpPool, at: &At<'_>, found: &mut Findings) {
    duration(http.idle_timeout, &at.field("idleTimeout"), found);
    if http.h2_upgrade_policy == H2UpgradePolicy::Upgrade && http.use_client_protocol {
        found.error(&at.field("useClientProtocol"), "does not go with h2UpgradePolicy UPGRADE", "keep one of them");
    }
    if let Some(keepalive) = &http.http2_keep_alive {
        let at = at.field("http2KeepAlive");
        for (field, value) in [("interval", keepalive.interval), ("timeout", keepalive.timeout)] {
            duration(value, &at.field(field), found);
            if value.is_none() {
                found.error(&at.field(field), "is missing", "say both interval and timeout");
            }
        }
    }
}

pub(super) fn judge_outliers(outliers: &OutlierDetection, at: &At<'_>, found: &mut Findings) {
    duration(Some(outliers.interval), &at.field("interval"), found);
    duration(Some(outliers.base_ejection_time), &at.field("baseEjectionTime"), found);
    if outliers.consecutive_local_origin_failures.is_some() && !outliers.split_external_local_origin_errors {
        let place = at.field("consecutiveLocalOriginFailures");
        found.error(&place, "counts only with splitExternalLocalOriginErrors", "set that to true");
    }
    let percents = [
        ("maxEjectionPercent", outliers.max_ejection_percent.unwrap_or_default()),
        ("minHealthPercent", outliers.min_health_percent),
    ];
    for (field, percent) in percents {
        if percent > 100 {
            found.error(&at.field(field), "is more than 100", "use 0 to 100");
        }
    }
    for (index, code) in outliers.http_error_codes.iter().enumerate() {
        if !(100..=599).contains(code) {
            let list = at.field("outlierDetectionHttpErrorCodes");
            found.error(&list.item(index), format!("is {code}, which is no status code"), "use 100 to 599");
        }
    }
}

/// `ValidateTLS`.
fn judge_tls(tls: &ClientTls, at: &At<'_>, found: &mut Findings) {
    let credential = tls.credential_name.as_deref();
    if credential.and_then(|name| name.strip_prefix("configmap://")).is_some_and(str::is_empty) {
        found.error(&at.field("credentialName"), "names no ConfigMap", "write configmap://name");
    }
    let is_own = matches!(tls.mode, ClientTlsMode::Simple | ClientTlsMode::Mutual);
    let has_ca = tls.ca_certificates.is_some() || (credential.is_some() && tls.mode == ClientTlsMode::Simple);
    if is_own && tls.insecure_skip_verify && (has_ca || !tls.subject_alt_names.is_empty()) {
        let why = "does not go with authorities or subjectAltNames, which it leaves unchecked";
        found.error(&at.field("insecureSkipVerify"), why, "remove one of them");
    }
    let files = [&tls.client_certificate, &tls.private_key, &tls.ca_certificates, &tls.ca_crl];
    let has_files = files.iter().any(|file| file.is_some());
    if is_own && credential.is_some() {
        if has_files {
            found.error(&at.field("credentialName"), "stands beside files", "keep one of them");
        }
        return;
    }
    if tls.mode == ClientTlsMode::Mutual {
        for (field, file) in [("clientCertificate", &tls.client_certificate), ("privateKey", &tls.private_key)] {
            if file.is_none() {
                found.error(&at.field(field), "is missing with mode MUTUAL", "write it, or credentialName");
            }
        }
    }
    if tls.mode == ClientTlsMode::IstioMutual && (has_files || credential.is_some()) {
        let why = "has certificates beside ISTIO_MUTUAL, which has the mesh's";
        found.warning(at, why, "remove them");
    }
}
