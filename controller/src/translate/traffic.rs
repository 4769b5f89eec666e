// SPDX-License-Identifier: Apache-2.0
//! What the blocks of a DestinationRule's traffic policy mean for a backend. What cannot be done is said, and where going
//! on without it would send requests in another way than its author asked for, nothing is sent.
//!
//! Never looks for a rule.

use std::num::NonZeroU32;
use std::time::Duration;

use torana_crds::istio::DestinationRule;
use torana_crds::istio::connection_pool::{ConnectionPool, H2UpgradePolicy, OutlierDetection as Outliers};
use torana_crds::istio::destination_rule::{RetryBudget, TrafficPolicy, TunnelProtocol};
use torana_crds::istio::load_balancer::{Balancing, ConsistentHash, HashKey, HashTable, LoadBalancer, SimpleLb};
use torana_ir::{
    Backend, BackendTls, CookieName, CookiePath, HashOn, HeaderName, Invalid, LoadBalance, MOST_POINTS,
    OutlierDetection, Percent, RetryCap, TableSize, Unanswered, UpstreamProtocol, WarmUp,
};

use crate::report::Remark;
use crate::translate::connections::{self, FOR_EVER};
use crate::translate::destination_rules::Blocks;
use crate::translate::localities;
use crate::translate::servers::UNSUPPORTED;

/// Streams that a connection of HTTP/2 carries in any case at most.
const MOST_STREAMS: u32 = 100;

/// Istio's mesh default (`connectTimeout`), of every backend that a VirtualService leads to.
pub(super) const CONNECT: Duration = Duration::from_secs(10);

/// Puts all blocks but `tls` into force for `backend`. What it may not be sent to without closes it, whatever `tls` says.
pub(super) fn apply(blocks: Blocks<'_>, backend: &mut Backend) {
    backend.locality = localities::policy(&blocks);
    if let Some(balance) = blocks.balance {
        backend.balance = balancing(balance);
        backend.warm_up = warm_up(balance);
    }
    if let Some(pool) = blocks.pool {
        pooling(pool, backend);
    }
    if let Some(outliers) = blocks.outliers {
        backend.outliers = Some(ejection(outliers));
        backend.panic =
            Percent::new(u8::try_from(outliers.min_health_percent.min(100)).unwrap_or(100)).unwrap_or_default();
    }
    if blocks.balance.is_some_and(is_original) {
        backend.tls = refused("the DestinationRule asks for the endpoint that the client meant, which no edge knows");
    }
    backend.connections = connections::policy(&blocks);
    if let Some(budget) = blocks.retry_budget {
        backend.caps.retries = sharing(budget);
    }
}

/// Whether the endpoint is asked for that the client had connected to.
pub(super) fn is_original(balance: &LoadBalancer) -> bool {
    balance.balancing == Balancing::Simple(SimpleLb::Passthrough)
}

fn balancing(balance: &LoadBalancer) -> LoadBalance {
    match &balance.balancing {
        // Nothing is sent where the original destination is asked for.
        Balancing::Simple(SimpleLb::LeastRequest | SimpleLb::Passthrough) => LoadBalance::LeastRequest,
        Balancing::Simple(SimpleLb::RoundRobin) => LoadBalance::RoundRobin,
        Balancing::Simple(SimpleLb::Random) => LoadBalance::Random,
        // As with requests that have not what is hashed.
        Balancing::ConsistentHash(hash) => hashing(hash).unwrap_or(LoadBalance::Random),
    }
}

/// `None` without a property to hash by, or with one that cannot be.
fn hashing(hash: &ConsistentHash) -> Option<LoadBalance> {
    let on = match hash.key.as_ref()? {
        HashKey::Header(name) => HashOn::Header(HeaderName::new(name).ok()?),
        HashKey::SourceIp => HashOn::SourceIp,
        HashKey::QueryParameter(name) => HashOn::Query(name.clone()),
        HashKey::Cookie(cookie) => HashOn::Cookie {
            name: CookieName::new(&cookie.name).ok()?,
            path: cookie.path.as_deref().and_then(|path| CookiePath::new(path).ok()),
            ttl: cookie.ttl,
        },
    };
    Some(match hash.table {
        HashTable::RingHash(least) => {
            let least = u32::try_from(least).unwrap_or(MOST_POINTS).min(MOST_POINTS);
            LoadBalance::RingHash { on, least }
        }
        HashTable::Maglev(size) => {
            let table = u32::try_from(size).ok().and_then(|size| TableSize::new(size).ok());
            LoadBalance::Maglev { on, table: table.unwrap_or(TableSize::DEFAULT) }
        }
    })
}

fn warm_up(balance: &LoadBalancer) -> Option<WarmUp> {
    let written = balance.warmup.as_ref()?;
    let minimum = u8::try_from(written.minimum_percent.millionths() / 1_000_000).ok()?;
    let aggression = u32::try_from(written.aggression.millionths() / 1000).ok().and_then(NonZeroU32::new);
    Some(WarmUp {
        minimum: Percent::new(minimum).unwrap_or(Percent::ALL),
        aggression: aggression.unwrap_or(NonZeroU32::MIN),
        ..WarmUp::over(written.duration)
    })
}

fn pooling(pool: &ConnectionPool, backend: &mut Backend) {
    let tcp = pool.tcp.as_ref();
    backend.connect_deadline = tcp.and_then(|tcp| tcp.connect_timeout).unwrap_or(CONNECT);
    if let Some(most) = tcp.and_then(|tcp| tcp.max_connections) {
        backend.max_connections = most;
    }
    let Some(http) = &pool.http else { return };
    backend.caps.pending = http.http1_max_pending_requests;
    backend.caps.requests = http.http2_max_requests;
    backend.caps.requests_per_connection = http.max_requests_per_connection.and_then(NonZeroU32::new);
    if let Some(most) = http.max_retries {
        backend.caps.retries = RetryCap::Most(most);
    }
    match http.idle_timeout {
        Some(Duration::ZERO) => backend.idle = FOR_EVER,
        Some(idle) => backend.idle = idle,
        None => {}
    }
    match http.h2_upgrade_policy {
        H2UpgradePolicy::Upgrade => backend.protocol = UpstreamProtocol::H2c,
        H2UpgradePolicy::Default | H2UpgradePolicy::DoNotUpgrade => {}
    }
}

/// It takes the place of `maxRetries`.
fn sharing(budget: &RetryBudget) -> RetryCap {
    let percent = u8::try_from(budget.percent.millionths() / 1_000_000).ok().and_then(|it| Percent::new(it).ok());
    RetryCap::Share { percent: percent.unwrap_or(Percent::ALL), least: budget.min_retry_concurrency }
}

fn ejection(outliers: &Outliers) -> OutlierDetection {
    let unanswered = if outliers.split_external_local_origin_errors {
        Unanswered::Apart(NonZeroU32::new(outliers.consecutive_local_origin_failures.unwrap_or(5)))
    } else {
        Unanswered::AsAnswer
    };
    let most = outliers.max_ejection_percent.and_then(|most| u8::try_from(most).ok());
    OutlierDetection {
        consecutive_5xx: NonZeroU32::new(outliers.consecutive_5xx_errors),
        consecutive_gateway: NonZeroU32::new(outliers.consecutive_gateway_errors),
        unanswered,
        interval: outliers.interval,
        ejection: outliers.base_ejection_time,
        most: most.and_then(|most| Percent::new(most).ok()).unwrap_or(Percent::TENTH),
        ..OutlierDetection::of_istio()
    }
}

fn refused(message: &str) -> BackendTls {
    BackendTls::Refused(Invalid { reason: UNSUPPORTED.into(), message: message.to_owned() })
}

/// What of a rule is not done, each with its place.
pub(super) fn unsupported(rule: &DestinationRule) -> Vec<Remark> {
    let mut remarks = Vec::new();
    if let Some(policy) = rule.spec.traffic_policy.as_deref() {
        of_policy(policy, "spec.trafficPolicy", &mut remarks);
    }
    for (index, subset) in rule.spec.subsets.iter().enumerate() {
        if let Some(policy) = subset.traffic_policy.as_deref() {
            of_policy(policy, &format!("spec.subsets[{index}].trafficPolicy"), &mut remarks);
        }
    }
    remarks
}

fn of_policy(policy: &TrafficPolicy, at: &str, remarks: &mut Vec<Remark>) {
    let blocks = (&policy.load_balancer, &policy.connection_pool, &policy.outlier_detection);
    of_blocks((blocks.0.as_ref(), blocks.1.as_ref(), blocks.2.as_ref()), at, remarks);
    for (index, port) in policy.port_level.iter().enumerate() {
        let blocks = (port.load_balancer.as_ref(), port.connection_pool.as_ref(), port.outlier_detection.as_ref());
        of_blocks(blocks, &format!("{at}.portLevelSettings[{index}]"), remarks);
    }
    let mut say = |field: &str, is_there: bool, follows: &str| {
        if is_there {
            remarks.push(not_done(&format!("{at}.{field}"), follows));
        }
    };
    if let Some(tunnel) = &policy.tunnel {
        let post = tunnel.protocol == TunnelProtocol::Post;
        say("tunnel.protocol", post, "connections of TCP and TLS routes are reset");
        let http2 = policy.connection_pool.as_ref().and_then(|pool| pool.http.as_ref());
        let http2 = http2.is_some_and(|http| http.h2_upgrade_policy == H2UpgradePolicy::Upgrade);
        say("connectionPool.http.h2UpgradePolicy", http2, "the tunnel is asked for by HTTP/1.1");
    }
    if let Some(budget) = &policy.retry_budget {
        let fraction = budget.percent.millionths() % 1_000_000 > 0;
        say("retryBudget.percent", fraction, "a fraction of a percent is left out");
        let interval = !budget.budget_interval.is_zero();
        say("retryBudget.budgetInterval", interval, "the requests that are under way count");
    }
    if policy.tunnel.is_some() {
        let (place, message) =
            (format!("{at}.tunnel"), "holds for routes of TCP and TLS; requests do not go through it");
        remarks.push(Remark::note("StreamsOnly", &place, message, ""));
    }
}

pub(super) type Parts<'p> = (Option<&'p LoadBalancer>, Option<&'p ConnectionPool>, Option<&'p Outliers>);

pub(super) fn of_blocks((balance, pool, outliers): Parts<'_>, at: &str, remarks: &mut Vec<Remark>) {
    let mut say = |field: &str, is_there: bool, follows: &str| {
        if is_there {
            remarks.push(not_done(&format!("{at}.{field}"), follows));
        }
    };
    if let Some(balance) = balance {
        say("loadBalancer.zoneAwareLbSetting", balance.zone_aware.is_some(), "all endpoints are alike");
        say(
            "loadBalancer.simple",
            is_original(balance),
            "requests get 503 but where a ServiceEntry has resolution NONE",
        );
        let has_attributes = matches!(&balance.balancing, Balancing::ConsistentHash(hash)
            if matches!(&hash.key, Some(HashKey::Cookie(cookie)) if !cookie.attributes.is_empty()));
        say("loadBalancer.consistentHash.httpCookie.attributes", has_attributes, "the cookie is set without them");
    }
    if let Some(http) = pool.and_then(|pool| pool.http.as_ref()) {
        say("connectionPool.http.useClientProtocol", http.use_client_protocol, "the port decides what is spoken");
        let streams = http.max_concurrent_streams.is_some_and(|most| most > MOST_STREAMS);
        say("connectionPool.http.maxConcurrentStreams", streams, "a connection carries 100 streams at most");
        say("connectionPool.http.http2KeepAlive", http.http2_keep_alive.is_some(), "no pings are sent");
    }
    if let Some(outliers) = outliers {
        let codes = !outliers.http_error_codes.is_empty();
        say("outlierDetection.outlierDetectionHttpErrorCodes", codes, "5xx count");
    }
}

fn not_done(at: &str, follows: &str) -> Remark {
    Remark::warning(UNSUPPORTED, at, format!("is not supported, so {follows}"), "")
}
