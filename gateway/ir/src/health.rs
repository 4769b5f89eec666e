// SPDX-License-Identifier: Apache-2.0
//! What keeps an endpoint from being chosen, as far as its answers tell (passive health), and how much of a backend may
//! be in use at once (circuit breaking).

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::percent::Percent;

/// When an endpoint is ejected: not chosen for a while (`outlierDetection`).
///
/// Counts are of failures in a row, over all routes and workers: any success in between ends the row. An endpoint is
/// ejected at the failure that completes it, not at the next `interval`, and comes back to the moment.
///
/// After an ejection for failures to reach it, one more such failure before any success ejects it again. After one for
/// its answers the count begins anew, as with Envoy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutlierDetection {
    /// So many answers of 500 and above in a row; `None`: they do not matter (`consecutive5xxErrors`, 0 there).
    pub consecutive_5xx: Option<NonZeroU32>,
    /// So many answers 502, 503 or 504 in a row (`consecutiveGatewayErrors`).
    pub consecutive_gateway: Option<NonZeroU32>,
    /// What a try counts as that got no answer at all.
    pub unanswered: Unanswered,
    /// A try that was reached and not answered in time is one of them. Else it counts for nothing: how long a client is
    /// willing to wait says little about an endpoint.
    pub timeouts: bool,
    /// For each such time that passes without an ejection, the next one is shorter by one [`OutlierDetection::ejection`].
    pub interval: Duration,
    /// How long the first ejection lasts (`baseEjectionTime`); the second lasts twice as long, and so on.
    pub ejection: Duration,
    /// None lasts longer (Envoy's `max_ejection_time`, 300 s).
    pub longest: Duration,
    /// Of a backend's endpoints at most so many are ejected at once (`maxEjectionPercent`); one always may be, unless it
    /// is the only one. All may only be at 100 %: then requests get 503.
    pub most: Percent,
}

/// What a try counts as that got no answer: its endpoint could not be connected to, or broke the connection or the
/// protocol (`splitExternalLocalOriginErrors`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unanswered {
    /// As an answer of 503.
    AsAnswer,
    /// On its own: so many in a row (`consecutiveLocalOriginFailures`); `None`: they do not matter.
    Apart(Option<NonZeroU32>),
}

impl OutlierDetection {
    /// What holds for a backend about which nothing is said: five tries in a row that got no answer eject an endpoint
    /// for a second, then each one more; at most half of the endpoints.
    ///
    /// What an endpoint answers never matters here, nor how fast: an application's 500 may be the client's doing, and a
    /// proxy that is told nothing must not take capacity away for it. That nobody is there is another thing. A second,
    /// because another endpoint is tried anyway where a connect fails, so that knocking costs nobody anything, and
    /// because one that is back should have its share back.
    pub fn of_the_unreachable() -> Self {
        let second = Duration::from_secs(1);
        Self {
            consecutive_5xx: None,
            consecutive_gateway: None,
            unanswered: Unanswered::Apart(Some(FIVE)),
            timeouts: false,
            interval: second,
            ejection: second,
            longest: second,
            most: Percent::HALF,
        }
    }

    /// What an `outlierDetection` means that says nothing else (Istio's and Envoy's defaults).
    pub fn of_istio() -> Self {
        Self {
            consecutive_5xx: Some(FIVE),
            consecutive_gateway: None,
            unanswered: Unanswered::AsAnswer,
            timeouts: true,
            interval: Duration::from_secs(10),
            ejection: Duration::from_secs(30),
            longest: Duration::from_mins(5),
            most: Percent::TENTH,
        }
    }
}

const FIVE: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);

/// How much of a backend may be in use at once (`connectionPool`), beside its connections. More gets 503 at once.
/// Each holds for one proxy, over all its routes and workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caps {
    /// Requests that wait for a connection to be opened (`http1MaxPendingRequests`); `None`: as many as like.
    pub pending: Option<u32>,
    /// Requests in flight (`http2MaxRequests`; for both protocols). Streams are not counted: each is a connection.
    pub requests: Option<u32>,
    /// A connection is closed after so many requests (`maxRequestsPerConnection`).
    pub requests_per_connection: Option<NonZeroU32>,
    /// Requests on a try after their first that their rule asks for.
    pub retries: RetryCap,
}

/// How many requests may be on a try after their first at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetryCap {
    /// A share of the requests in flight, but so many always (`retryBudget`).
    Share {
        /// Which share.
        percent: Percent,
        /// So many may always be (`minRetryConcurrency`).
        least: u32,
    },
    /// So many, whatever is in flight (`maxRetries`).
    Most(u32),
}

impl Default for Caps {
    /// No caps but a budget of retries: a fifth of what is in flight, or 32.
    fn default() -> Self {
        let retries = RetryCap::Share { percent: Percent::FIFTH, least: 32 };
        Self { pending: None, requests: None, requests_per_connection: None, retries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asked_for_judges_no_answer() {
        let ours = OutlierDetection::of_the_unreachable();
        assert_eq!((ours.consecutive_5xx, ours.consecutive_gateway, ours.timeouts), (None, None, false));
        assert_eq!(ours.unanswered, Unanswered::Apart(NonZeroU32::new(5)));
        assert!(ours.most < Percent::ALL);
    }

    #[test]
    fn istio_s_defaults_are_those_of_its_reference() {
        let istio = OutlierDetection::of_istio();
        assert_eq!((istio.consecutive_5xx.map(NonZeroU32::get), istio.consecutive_gateway), (Some(5), None));
        assert_eq!((istio.interval.as_secs(), istio.ejection.as_secs(), istio.most.number()), (10, 30, 10));
    }
}
