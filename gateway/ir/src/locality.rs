// SPDX-License-Identifier: Apache-2.0
//! Where proxies and endpoints stand, and what of it decides who gets requests (`localityLbSetting`). Says nothing of any
//! one proxy: each compares with where it stands itself.

use serde::{Deserialize, Serialize};

/// `region/zone/subzone`, as far as it is known. Written without what is missing at its end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct Locality(Box<str>);

impl Locality {
    /// Of three parts, of which any may be empty. Slashes tell parts apart, so one that has some is not known.
    pub fn new(region: &str, zone: &str, subzone: &str) -> Self {
        let [region, zone, subzone] = [region, zone, subzone].map(|it| if it.contains('/') { "" } else { it });
        format!("{region}/{zone}/{subzone}").into()
    }

    /// Whether nothing is known of it.
    pub fn is_unknown(&self) -> bool {
        self.0.is_empty()
    }

    /// Region.
    pub fn region(&self) -> &str {
        self.part(0)
    }

    /// Zone.
    pub fn zone(&self) -> &str {
        self.part(1)
    }

    /// Part of the zone.
    pub fn subzone(&self) -> &str {
        self.part(2)
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn part(&self, at: usize) -> &str {
        self.0.split('/').nth(at).unwrap_or_default()
    }
}

/// What follows a third slash is not looked at.
impl From<String> for Locality {
    fn from(text: String) -> Self {
        let end = text.match_indices('/').nth(2).map_or(text.len(), |(at, _)| at);
        Self(text.get(..end).unwrap_or_default().trim_end_matches('/').into())
    }
}

/// Localities, told as `region`, `region/zone` or `region/zone/subzone`; what is left out or `*` is any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LocalityPattern(pub String);

impl LocalityPattern {
    /// Whether a locality is one of them. A region is always told, if only as `*`.
    pub fn takes_in(&self, locality: &Locality) -> bool {
        let mut parts = self.0.split('/');
        let mut next = || parts.next().unwrap_or_default();
        let (region, zone, subzone) = (next(), next(), next());
        let any = |part: &str| part == "*" || part.is_empty();
        (region == "*" || region == locality.region())
            && (any(zone) || zone == locality.zone())
            && (any(subzone) || subzone == locality.subzone())
    }
}

/// Who gets requests, by where the proxy and the endpoints stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocalityPolicy {
    /// The nearest get all while enough of them are left; then those that are next take the rest.
    Nearest {
        /// What near ones have in common with the proxy, the most important first (`failoverPriority`). Without any
        /// their localities count.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        labels: Vec<CommonLabel>,
        /// Which region comes before other ones. With labels localities count within what those tell apart.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failover: Vec<RegionFailover>,
    },
    /// Localities have shares. The first entry for where the proxy stands counts; without one all endpoints are alike.
    Shares(Vec<LocalityShares>),
}

impl LocalityPolicy {
    /// Labels of endpoints that it asks for.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        let labels = match self {
            Self::Nearest { labels, .. } => labels.as_slice(),
            Self::Shares(_) => &[],
        };
        labels.iter().map(|label| label.key.as_str())
    }
}

/// A label that an endpoint has in common with the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommonLabel {
    /// Its key.
    pub key: String,
    /// What it is compared with in place of the proxy's own value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Where requests go that a region cannot take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionFailover {
    /// Region of the proxy.
    pub from: String,
    /// The region that is next.
    pub to: String,
}

/// Shares of localities, for proxies of some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalityShares {
    /// Where the proxy stands.
    pub from: LocalityPattern,
    /// What each gets, to what others get. Endpoints of none of them get nothing.
    pub to: Vec<(LocalityPattern, u32)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locality(text: &str) -> Locality {
        text.to_owned().into()
    }

    #[test]
    fn a_locality_is_written_without_what_is_missing_at_its_end() {
        for (text, written, parts) in [
            ("", "", ["", "", ""]),
            ("//", "", ["", "", ""]),
            ("r", "r", ["r", "", ""]),
            ("r/z/", "r/z", ["r", "z", ""]),
            ("/z", "/z", ["", "z", ""]),
            ("r//s", "r//s", ["r", "", "s"]),
            ("r/z/s/t", "r/z/s", ["r", "z", "s"]),
        ] {
            let found = locality(text);
            assert_eq!((found.as_str(), [found.region(), found.zone(), found.subzone()]), (written, parts), "{text}");
            assert_eq!(found, Locality::new(parts[0], parts[1], parts[2]));
            assert_eq!(found.is_unknown(), written.is_empty());
        }
        assert_eq!(Locality::new("r", "a/b", "s"), locality("r//s"));
        assert_eq!(serde_json::to_string(&locality("r/z//")).unwrap(), "\"r/z\"");
    }

    #[test]
    fn a_pattern_takes_in_what_is_below_it() {
        for (pattern, taken, not) in [
            ("*", &["", "r", "r/z/s"][..], &[][..]),
            ("r", &["r", "r/z", "r/z/s"], &["", "q", "q/z"]),
            ("r/*", &["r", "r/z"], &["q"]),
            ("r/z/*", &["r/z", "r/z/s"], &["r", "r/y"]),
            ("r/z/s", &["r/z/s"], &["r/z", "r/z/t"]),
        ] {
            let pattern = LocalityPattern(pattern.to_owned());
            assert!(taken.iter().all(|it| pattern.takes_in(&locality(it))), "{pattern:?}");
            assert!(!not.iter().any(|it| pattern.takes_in(&locality(it))), "{pattern:?}");
        }
    }
}
