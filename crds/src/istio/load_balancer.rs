// SPDX-License-Identifier: Apache-2.0
//! `LoadBalancerSettings`: which endpoint a request goes to. Never looks at an endpoint.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::istio::matching::at_most_one;
use crate::istio::scalars::{Decimal, text, words};
use crate::istio::{MaybeDuration, duration};

/// `LoadBalancerSettings`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "RawLoadBalancer")]
pub struct LoadBalancer {
    /// By what.
    pub balancing: Balancing,
    /// Near endpoints first; `None`: what the mesh says.
    pub locality: Option<LocalityLb>,
    /// The same by zones; excludes `locality`.
    pub zone_aware: Option<ZoneAwareLb>,
    /// New endpoints get little at first.
    pub warmup: Option<Warmup>,
}

/// By what an endpoint is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balancing {
    /// By none of the request's own.
    Simple(SimpleLb),
    /// The same endpoint for the same key.
    ConsistentHash(ConsistentHash),
}

impl Default for Balancing {
    fn default() -> Self {
        Self::Simple(SimpleLb::default())
    }
}

words! {
    /// `SimpleLB`.
    #[derive(Default)]
    SimpleLb {
        /// That of two with fewer requests. Also what `UNSPECIFIED` and `LEAST_CONN` mean, and an absent choice.
        #[default]
        LeastRequest = "LEAST_REQUEST" | "LEAST_CONN" | "UNSPECIFIED",
        /// One after the other.
        RoundRobin = "ROUND_ROBIN",
        /// Any.
        Random = "RANDOM",
        /// That which the client meant.
        Passthrough = "PASSTHROUGH",
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawLoadBalancer {
    simple: Option<SimpleLb>,
    consistent_hash: Option<ConsistentHash>,
    locality_lb_setting: Option<LocalityLb>,
    zone_aware_lb_setting: Option<ZoneAwareLb>,
    warmup: Option<Warmup>,
}

impl TryFrom<RawLoadBalancer> for LoadBalancer {
    type Error = String;

    fn try_from(raw: RawLoadBalancer) -> Result<Self, String> {
        let given = [
            ("simple", raw.simple.map(Balancing::Simple)),
            ("consistentHash", raw.consistent_hash.map(Balancing::ConsistentHash)),
        ];
        Ok(Self {
            balancing: at_most_one(given)?.unwrap_or_default(),
            locality: raw.locality_lb_setting,
            zone_aware: raw.zone_aware_lb_setting,
            warmup: raw.warmup,
        })
    }
}

/// `ConsistentHashLB`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawConsistentHash")]
pub struct ConsistentHash {
    /// Of what the hash is; `None`: of nothing, so the endpoint is any.
    pub key: Option<HashKey>,
    /// How an endpoint is found by it.
    pub table: HashTable,
}

/// Of what a hash is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// A header field, by its name.
    Header(String),
    /// A cookie.
    Cookie(HashCookie),
    /// The address of the client.
    SourceIp,
    /// A query parameter, by its name.
    QueryParameter(String),
}

/// How an endpoint is found by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashTable {
    /// A ring of at least so many places.
    RingHash(u64),
    /// A table of so many places, a prime.
    Maglev(u64),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawConsistentHash {
    http_header_name: Option<String>,
    http_cookie: Option<HashCookie>,
    use_source_ip: Option<bool>,
    http_query_parameter_name: Option<String>,
    ring_hash: Option<RingHash>,
    maglev: Option<Maglev>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RingHash {
    minimum_ring_size: u64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Maglev {
    table_size: u64,
}

/// `RingHash.minimumRingSize`: "defaults to 1024".
const RING: u64 = 1024;

impl TryFrom<RawConsistentHash> for ConsistentHash {
    type Error = String;

    fn try_from(raw: RawConsistentHash) -> Result<Self, String> {
        let key = [
            ("httpHeaderName", raw.http_header_name.map(|name| Some(HashKey::Header(name)))),
            ("httpCookie", raw.http_cookie.map(|cookie| Some(HashKey::Cookie(cookie)))),
            ("useSourceIp", raw.use_source_ip.map(|is_used| is_used.then_some(HashKey::SourceIp))),
            ("httpQueryParameterName", raw.http_query_parameter_name.map(|name| Some(HashKey::QueryParameter(name)))),
        ];
        let ring =
            |it: RingHash| HashTable::RingHash(if it.minimum_ring_size == 0 { RING } else { it.minimum_ring_size });
        let table =
            [("ringHash", raw.ring_hash.map(ring)), ("maglev", raw.maglev.map(|it| HashTable::Maglev(it.table_size)))];
        let table = at_most_one(table)?.unwrap_or(HashTable::RingHash(RING));
        Ok(Self { key: at_most_one(key)?.flatten(), table })
    }
}

/// `HTTPCookie`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HashCookie {
    /// Name.
    pub name: String,
    /// Path of a cookie that is made.
    #[serde(default, deserialize_with = "text")]
    pub path: Option<String>,
    /// How long one that is made lives, zero: as long as the client's session. `None`: none is made.
    #[serde(default, deserialize_with = "duration::optional")]
    pub ttl: MaybeDuration,
    /// Attributes of a cookie that is made.
    #[serde(default)]
    pub attributes: Vec<CookieAttribute>,
}

/// `CookieAttribute`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CookieAttribute {
    /// Such as `SameSite`.
    pub name: String,
    /// `None`: only the name is written.
    #[serde(default, deserialize_with = "text")]
    pub value: Option<String>,
}

/// `LocalityLoadBalancerSetting`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalityLb {
    /// `None`: what the mesh says, usually yes.
    pub enabled: Option<bool>,
    /// Shares, by where the client is; excludes `failover`.
    pub distribute: Vec<Distribute>,
    /// Which region is next.
    pub failover: Vec<Failover>,
    /// Labels (`key` or `key=value`) that near endpoints have in common, most important first.
    pub failover_priority: Vec<String>,
}

/// `LocalityLoadBalancerSetting.Distribute`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Distribute {
    /// `region/zone/subzone` of the client, perhaps with `*` at its end.
    pub from: String,
    /// Shares of localities, 100 together.
    pub to: BTreeMap<String, u32>,
}

/// `LocalityLoadBalancerSetting.Failover`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Failover {
    /// A region.
    pub from: String,
    /// The region that takes over.
    pub to: String,
}

/// `ZoneAwareLoadBalancerSetting`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ZoneAwareLb {
    /// `None`: what the mesh says.
    pub enabled: Option<bool>,
    /// Which region is next.
    pub failover: Vec<Failover>,
    /// Labels that near endpoints have in common, most important first; none of locality.
    pub failover_priority: Vec<String>,
    /// With fewer endpoints zones do not count; default 6.
    pub min_cluster_size: u32,
}

impl Default for ZoneAwareLb {
    fn default() -> Self {
        Self { enabled: None, failover: Vec::new(), failover_priority: Vec::new(), min_cluster_size: 6 }
    }
}

/// `WarmupConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Warmup {
    /// Until an endpoint gets its full share.
    #[serde(deserialize_with = "duration::required")]
    pub duration: Duration,
    /// Percent of its share that it gets at first; default 10.
    #[serde(default = "ten")]
    pub minimum_percent: Decimal,
    /// Above 1 faster at first, below 1 slower; default 1.
    #[serde(default = "one")]
    pub aggression: Decimal,
}

fn ten() -> Decimal {
    Decimal::whole(10)
}

fn one() -> Decimal {
    Decimal::whole(1)
}
