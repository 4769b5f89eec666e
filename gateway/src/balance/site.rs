// SPDX-License-Identifier: Apache-2.0
//! Where a proxy or an endpoint stands, and how near one is to the other. Never knows whether anybody is healthy.
//!
//! As Istio has it (`applyFailoverPriorities`, `LbPriority`, `applyLocalityFailover`): labels in common come first, then
//! the locality.

use std::collections::BTreeMap;

use torana_ir::{CommonLabel, Locality, LocalityPolicy, RegionFailover};

const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";
const SUBZONE: &str = "topology.istio.io/subzone";
/// One that stands first is of no weight against those behind it.
const NETWORK: &str = "topology.istio.io/network";

/// Grades of distance that localities tell apart.
const GRADES: usize = 5;

/// Where a proxy or an endpoint stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Site {
    /// As far as it is known.
    pub locality: Locality,
    /// Of its pod.
    pub labels: BTreeMap<String, String>,
}

/// Which part of the endpoints each is of; what is of none gets nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ranks {
    /// The lower, the nearer.
    Nearest(Vec<usize>),
    /// Which of the shares.
    Shares(Vec<Option<usize>>, Vec<u32>),
}

impl Site {
    /// What a label says; locality is told by labels, too.
    fn label(&self, key: &str) -> &str {
        let told = match key {
            REGION => self.locality.region(),
            ZONE => self.locality.zone(),
            SUBZONE => self.locality.subzone(),
            _ => "",
        };
        if told.is_empty() { self.labels.get(key).map(String::as_str).unwrap_or_default() } else { told }
    }

    fn is_unknown(&self) -> bool {
        self.locality.is_unknown() && self.labels.is_empty()
    }

    /// How a policy tells endpoints apart; `None`: not at all, seen from here.
    pub(super) fn ranks<'s>(&self, policy: &LocalityPolicy, sites: impl Iterator<Item = &'s Self>) -> Option<Ranks> {
        match policy {
            LocalityPolicy::Nearest { labels, failover } => {
                let by_labels = !labels.is_empty() && !self.is_unknown();
                let by_locality = (labels.is_empty() || !failover.is_empty()) && !self.locality.is_unknown();
                let rank = |there: &Self| {
                    let first = if by_labels { self.differs(there, labels) } else { 0 };
                    first * GRADES + if by_locality { self.distance(there, failover) } else { 0 }
                };
                (by_labels || by_locality).then(|| Ranks::Nearest(sites.map(rank).collect()))
            }
            LocalityPolicy::Shares(all) => {
                let shares = all.iter().find(|shares| shares.from.takes_in(&self.locality))?;
                let of = |there: &Self| shares.to.iter().position(|(to, _)| to.takes_in(&there.locality));
                let weights = shares.to.iter().map(|(_, weight)| *weight).collect();
                Some(Ranks::Shares(sites.map(of).collect(), weights))
            }
        }
    }

    /// By how many of the labels, told from the first that is not in common.
    fn differs(&self, there: &Self, labels: &[CommonLabel]) -> usize {
        let mut apart = 0;
        for (at, label) in labels.iter().enumerate() {
            let wanted = label.value.as_deref().unwrap_or_else(|| self.label(&label.key));
            if wanted == there.label(&label.key) {
                continue;
            }
            if at > 0 || label.key != NETWORK {
                return apart + labels.len() - at;
            }
            apart = labels.len();
        }
        apart
    }

    /// 0 in the same part of a zone, then zone, region, the region that is next, any other.
    fn distance(&self, there: &Self, failover: &[RegionFailover]) -> usize {
        let (one, other) = (&self.locality, &there.locality);
        let same_zone = one.zone() == other.zone();
        // Where nobody told the region of an endpoint (no pod, or no label on it), its zone does.
        let by_zone = other.region().is_empty() && same_zone && !one.zone().is_empty();
        if one.region() == other.region() || by_zone {
            return match (same_zone, one.subzone() == other.subzone()) {
                (true, true) => 0,
                (true, false) => 1,
                (false, _) => 2,
            };
        }
        let next = failover.iter().find(|failover| failover.from == one.region());
        3 + usize::from(next.is_some_and(|next| next.to != other.region()))
    }
}

#[cfg(test)]
mod tests {
    use torana_ir::{LocalityPattern, LocalityShares};

    use super::*;

    fn site(locality: &str, labels: &[(&str, &str)]) -> Site {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Site { locality: locality.to_owned().into(), labels }
    }

    fn nearest(labels: &[&str], failover: &[(&str, &str)]) -> LocalityPolicy {
        let label = |text: &&str| match text.split_once('=') {
            Some((key, value)) => CommonLabel { key: key.to_owned(), value: Some(value.to_owned()) },
            None => CommonLabel { key: (*text).to_owned(), value: None },
        };
        let region = |(from, to): &(&str, &str)| RegionFailover { from: (*from).to_owned(), to: (*to).to_owned() };
        LocalityPolicy::Nearest {
            labels: labels.iter().map(label).collect(),
            failover: failover.iter().map(region).collect(),
        }
    }

    #[test]
    fn the_nearer_the_lower() {
        let all = ["r/z/s", "r/z/t", "r/z", "r/y/s", "q/z/s", "p", ""].map(|text| site(text, &[]));
        let ranks = |here: &str, failover| site(here, &[]).ranks(&nearest(&[], failover), all.iter());
        for (here, failover, expected) in [
            ("r/z/s", &[][..], Some([0, 1, 1, 2, 3, 3, 3])),
            ("r/z", &[], Some([1, 1, 0, 2, 3, 3, 3])),
            ("r", &[], Some([2, 2, 2, 2, 3, 3, 3])),
            ("r/z/s", &[("r", "q")], Some([0, 1, 1, 2, 3, 4, 4])),
            ("r/z/s", &[("q", "p")], Some([0, 1, 1, 2, 3, 3, 3])),
            ("", &[("r", "q")], None),
        ] {
            assert_eq!(ranks(here, failover), expected.map(|it| Ranks::Nearest(it.into())), "{here} {failover:?}");
        }
    }

    #[test]
    fn a_zone_tells_the_region_that_nobody_told() {
        let all = ["/z", "/z/s", "/y", "q/z"].map(|text| site(text, &[]));
        let ranks = |here: &str| site(here, &[]).ranks(&nearest(&[], &[]), all.iter());
        assert_eq!(ranks("r/z"), Some(Ranks::Nearest(vec![0, 1, 3, 3])));
        assert_eq!(ranks("r"), Some(Ranks::Nearest(vec![3; 4])));
    }

    #[test]
    fn labels_in_common_come_first() {
        let here = site("r/z", &[("version", "v1"), ("team", "a")]);
        let all = [
            site("r/z", &[("version", "v1"), ("team", "a")]),
            site("q/z", &[("version", "v1"), ("team", "b")]),
            site("r/y", &[("version", "v2"), ("team", "a")]),
            site("q/y", &[]),
        ];
        for (labels, failover, expected) in [
            (&["version", "team"][..], &[][..], [0, 5, 10, 10]),
            (&["team", "version"], &[], [0, 10, 5, 10]),
            (&["version=v2"], &[], [5, 5, 0, 5]),
            (&["nobody"], &[], [0, 0, 0, 0]),
            (&["topology.kubernetes.io/region", "topology.kubernetes.io/zone"], &[], [0, 10, 5, 10]),
            (&["version"], &[("r", "q")], [0, 3, 7, 8]),
            // Another network is further than everything else.
            (&["topology.istio.io/network=n", "version"], &[], [10, 10, 15, 15]),
        ] {
            let ranks = here.ranks(&nearest(labels, failover), all.iter());
            assert_eq!(ranks, Some(Ranks::Nearest(expected.into())), "{labels:?} {failover:?}");
        }
        assert_eq!(site("", &[]).ranks(&nearest(&["version"], &[]), all.iter()), None);
        assert!(site("", &[("x", "y")]).ranks(&nearest(&["version"], &[]), all.iter()).is_some());
    }

    #[test]
    fn the_first_shares_for_where_it_stands_count() {
        let pattern = |text: &str| LocalityPattern(text.to_owned());
        let policy = LocalityPolicy::Shares(vec![
            LocalityShares { from: pattern("r/z/*"), to: vec![(pattern("r/z/*"), 80), (pattern("r/y"), 20)] },
            LocalityShares { from: pattern("q"), to: vec![(pattern("*"), 100)] },
        ]);
        let all = ["r/z/s", "r/y", "r/x", ""].map(|text| site(text, &[]));
        let ranks = |here: &str| site(here, &[]).ranks(&policy, all.iter());
        assert_eq!(ranks("r/z/t"), Some(Ranks::Shares(vec![Some(0), Some(1), None, None], vec![80, 20])));
        assert_eq!(ranks("q/any"), Some(Ranks::Shares(vec![Some(0); 4], vec![100])));
        assert_eq!((ranks("r/x"), ranks("")), (None, None));
    }
}
