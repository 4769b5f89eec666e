// SPDX-License-Identifier: Apache-2.0
//! Rules of `loadBalancer` (`validateLoadBalancer`, `ValidateLocalityLbSetting`). Never about where endpoints stand.

use std::collections::BTreeSet;

use crate::istio::load_balancer::{
    Balancing, ConsistentHash, Distribute, Failover, HashCookie, HashKey, HashTable, LoadBalancer, LocalityLb, Warmup,
};
use crate::istio::rules::shared::duration;
use crate::istio::scalars::Decimal;
use crate::violation::{At, Findings};

/// Labels of Kubernetes and Istio that say where a node stands.
const TOPOLOGY: [&str; 3] =
    ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];

/// `has_outliers`: whether outlier detection stands beside it, without which nothing fails over.
pub(super) fn judge(balancer: &LoadBalancer, has_outliers: bool, at: &At<'_>, found: &mut Findings) {
    if let Balancing::ConsistentHash(hash) = &balancer.balancing {
        judge_hash(hash, &at.field("consistentHash"), found);
    }
    if balancer.locality.is_some() && balancer.zone_aware.is_some() {
        found.error(at, "has both localityLbSetting and zoneAwareLbSetting", "keep one of them");
    }
    if let Some(locality) = &balancer.locality {
        let at = at.field("localityLbSetting");
        judge_locality(locality, &at, found);
        judge_failover(&locality.failover, &locality.failover_priority, has_outliers, &at, found);
    }
    if let Some(zones) = &balancer.zone_aware {
        let at = at.field("zoneAwareLbSetting");
        judge_priority(&zones.failover_priority, &at, found);
        judge_failover(&zones.failover, &zones.failover_priority, has_outliers, &at, found);
        if zones.min_cluster_size == 0 {
            found.error(&at.field("minClusterSize"), "is 0", "use 1 or more");
        }
    }
    if let Some(warmup) = &balancer.warmup {
        judge_warmup(warmup, &at.field("warmup"), found);
    }
}

fn judge_hash(hash: &ConsistentHash, at: &At<'_>, found: &mut Findings) {
    if let Some(HashKey::Cookie(cookie)) = &hash.key {
        judge_cookie(cookie, &at.field("httpCookie"), found);
    }
    if let HashTable::Maglev(size) = hash.table
        && !(size < 5_000_011 && is_prime(size))
    {
        let place = at.field("maglev");
        found.error(&place.field("tableSize"), "is not a prime below 5000011", "use one such as 65537");
    }
}

fn judge_cookie(cookie: &HashCookie, at: &At<'_>, found: &mut Findings) {
    if cookie.name.is_empty() {
        found.error(&at.field("name"), "is empty", "name the cookie");
    }
    let mut names = BTreeSet::new();
    for (index, attribute) in cookie.attributes.iter().enumerate() {
        let list = at.field("attributes");
        if attribute.name.is_empty() {
            found.error(&list.item(index), "has no name", "name the attribute, such as SameSite");
        } else if !names.insert(&attribute.name) {
            found.error(&list.item(index), format!("repeats {:?}", attribute.name), "keep one of them");
        }
    }
}

/// Of numbers below 5,000,011, whose roots are below 2,237.
fn is_prime(number: u64) -> bool {
    let mut factors = (2..=2_236).take_while(|factor| factor * factor <= number);
    number > 1 && factors.all(|factor| !number.is_multiple_of(factor))
}

pub(super) fn judge_locality(locality: &LocalityLb, at: &At<'_>, found: &mut Findings) {
    if !locality.distribute.is_empty() && !locality.failover.is_empty() {
        found.error(at, "has both distribute and failover", "keep one of them");
    }
    if !locality.failover.is_empty() {
        judge_priority(&locality.failover_priority, at, found);
    }
    let place = at.field("distribute");
    let mut from = Localities::default();
    for (index, share) in locality.distribute.iter().enumerate() {
        let at = place.item(index);
        from.judge(&share.from, &at.field("from"), found);
        judge_shares(share, &at.field("to"), found);
    }
}

fn judge_shares(share: &Distribute, at: &At<'_>, found: &mut Findings) {
    let mut to = Localities::default();
    for (locality, weight) in &share.to {
        let at = at.field(locality);
        to.judge(locality, &at, found);
        if !(1..=100).contains(weight) {
            found.error(&at, format!("has the share {weight}"), "use 1 to 100, and leave out what gets nothing");
        }
    }
    let sum: u64 = share.to.values().copied().map(u64::from).sum();
    if sum != 100 {
        found.error(at, format!("has shares of {sum} together"), "let them be 100 together");
    }
}

fn judge_failover(failover: &[Failover], labels: &[String], has_outliers: bool, at: &At<'_>, found: &mut Findings) {
    let fails_over = !failover.is_empty() || !labels.is_empty();
    if fails_over && !has_outliers {
        found.warning(at, "fails over only with outlierDetection, which is missing", "add outlierDetection");
    }
    for (index, one) in failover.iter().enumerate() {
        let list = at.field("failover");
        let at = list.item(index);
        if one.from == one.to {
            found.error(&at, "leads to where it begins", "name two regions");
        }
        if [&one.from, &one.to].iter().any(|region| region.contains(['/', '*'])) {
            found.error(&at, "is not between regions", "name regions, without zones and without *");
        }
    }
}

/// Where regions are told in order, their labels are not.
fn judge_priority(labels: &[String], at: &At<'_>, found: &mut Findings) {
    for (index, label) in labels.iter().enumerate() {
        if TOPOLOGY.contains(&label.as_str()) {
            let list = at.field("failoverPriority");
            found.error(&list.item(index), format!("is {label:?}, which is taken care of"), "remove it");
        }
    }
}

fn judge_warmup(warmup: &Warmup, at: &At<'_>, found: &mut Findings) {
    duration(Some(warmup.duration), &at.field("duration"), found);
    if warmup.minimum_percent > Decimal::whole(100) {
        found.error(&at.field("minimumPercent"), "is more than 100", "use 0 to 100");
    }
    if warmup.aggression == Decimal::default() {
        found.error(&at.field("aggression"), "is 0", "use a number above 0, such as 1.0");
    }
}

/// Localities that stand side by side: `region`, `region/zone`, `region/zone/subzone`, perhaps with `*` at the end.
#[derive(Default)]
struct Localities<'a> {
    /// Those that cover all below them, without `*`.
    whole: BTreeSet<&'a str>,
    /// Those above, and those themselves.
    parts: BTreeSet<&'a str>,
}

impl<'a> Localities<'a> {
    /// `validateLocalities`: each may stand once, and not within another.
    fn judge(&mut self, locality: &'a str, at: &At<'_>, found: &mut Findings) {
        let stars = locality.matches('*').count();
        if stars > 1 || (stars == 1 && !locality.ends_with('*')) || locality.splitn(3, '/').any(str::is_empty) {
            found.error(at, format!("is not a locality: {locality:?}"), "write region/zone/subzone, or * at its end");
            return;
        }
        let own = locality.strip_suffix("/*").unwrap_or(locality);
        let own = if own == "*" { "" } else { own };
        let above = own.match_indices('/').take(2).map(|(at, _)| own.get(..at).unwrap_or_default());
        let above: Vec<&str> = std::iter::once("").chain(above).filter(|one| *one != own).collect();
        if self.parts.contains(own) || above.iter().any(|one| self.whole.contains(one)) {
            found.error(at, "overlaps with another locality", "let each place be in one of them");
        }
        self.whole.insert(own);
        self.parts.extend(above);
        self.parts.insert(own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_are_known() {
        let primes: Vec<u64> = (0..30).filter(|number| is_prime(*number)).collect();
        assert_eq!(primes, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
        assert!(is_prime(65_537) && !is_prime(65_536) && is_prime(4_999_999));
    }

    #[test]
    fn localities_stand_side_by_side() {
        let errors = |all: &[&str]| {
            let (mut found, mut localities) = (Findings::default(), Localities::default());
            for one in all {
                localities.judge(one, &At::Root, &mut found);
            }
            found.errors()
        };
        for good in [&["a", "b"][..], &["a/x", "a/y"], &["a/x/1", "a/x/2", "b"], &["a/*"], &["*"], &["a*", "b"]] {
            assert_eq!(errors(good), 0, "{good:?}");
        }
        for bad in [&["a", "a"][..], &["a", "a/x"], &["a/x", "a"], &["a/*", "a/x"], &["*", "a"], &["a", "*"], &["a//x"]]
        {
            assert_eq!(errors(bad), 1, "{bad:?}");
        }
        assert_eq!(errors(&["*a", "a*b", "", "**"]), 4);
    }
}
