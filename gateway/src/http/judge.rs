// SPDX-License-Identifier: Apache-2.0
//! What became of a try: what the client would be told, whether another try may follow, and what it tells about the
//! endpoint. It does nothing about any of them.

use tokio::time::Instant;
use torana_ir::Retry;

use crate::balance::Outcome;
use crate::fault::Fault;
use crate::http::exchange::{Stop, Turn};
use crate::http::forward::Order;
use crate::http::piece::Broken;
use crate::http::tries::{Again, Failed};

/// What it tells about an endpoint that there is no connection to it. Torana's own limits tell nothing.
pub(crate) fn unobtained(fault: Fault) -> Option<Outcome> {
    matches!(fault, Fault::Connect | Fault::UpstreamTls(_)).then_some(Outcome::Unanswered)
}

/// What it tells about an endpoint that an exchange with it stopped so, on a connection that was `reused`, when it was
/// somebody's `turn`. That it answered was told when it did.
pub(crate) fn ended(stop: Stop, reused: bool, turn: Turn) -> Option<Outcome> {
    match stop {
        Stop::Declined(status) => Some(Outcome::Answered(status)),
        // It may have closed an idle connection at any time.
        Stop::Broken(Broken::Upstream { before_response: true }) if reused => None,
        Stop::Broken(Broken::Upstream { .. } | Broken::UpstreamProtocol) => Some(Outcome::Unanswered),
        // One whose client is slow has nothing to answer yet, or nobody to answer to. One that does not take what is
        // there is slow itself.
        Stop::RequestTimeout | Stop::AttemptTimeout | Stop::Idle if turn == Turn::Backend => Some(Outcome::TimedOut),
        _ => None,
    }
}

/// Nothing was sent: another endpoint may be asked unless the request's deadline is what failed.
pub(crate) fn unreachable_endpoint(fault: Fault, nearest: Option<Instant>, order: &Order<'_>) -> Failed {
    let now = Instant::now();
    let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
    if passed(order.request_deadline) {
        return Failed { fault: Fault::RequestTimeout, again: Again::No };
    }
    if passed(nearest) {
        // Without a rule the try's deadline is the end, as it is for a request that was sent.
        let again = order.retry.is_some_and(|retry| retry.unsent || retry.unanswered);
        return Failed { fault: Fault::BackendTimeout, again: if again { Again::Elsewhere } else { Again::No } };
    }
    // Neither Torana's limits nor a client that has left are different elsewhere.
    let again = unsent(order.retry) && matches!(fault, Fault::Connect | Fault::UpstreamTls(_));
    Failed { fault, again: if again { Again::Elsewhere } else { Again::No } }
}

/// `untouched`: another try would be the same request, and the client would not see this one.
pub(crate) fn judge(stop: Stop, order: &Order<'_>, reused: bool, untouched: bool) -> Failed {
    // Who asks for it in so many words gets it for every method.
    let asked = order.retry.is_some_and(|retry| retry.unanswered);
    let repeatable = untouched && (asked || idempotent(order.head.method()));
    let (fault, again) = match stop {
        Stop::Broken(broken) => {
            let again = match broken {
                // RFC 9113 §8.7: the backend says that it has not processed the stream.
                Broken::Refused if untouched && unsent(order.retry) => Again::Fresh,
                // RFC 9112 §9.3.1: an idle connection may be closed at any time. The request may have been processed,
                // so only what is idempotent is sent again (RFC 9110 §9.2.2).
                Broken::Upstream { before_response: true } if reused && repeatable && !asked => Again::Fresh,
                // GEP-1731: what may have been processed is not tried again by default. Here a rule that lists 502 asks
                // for it, for what is idempotent.
                Broken::Upstream { .. } | Broken::UpstreamProtocol if repeatable => Again::IfListed,
                Broken::Refused if untouched && asked => Again::IfListed,
                _ => Again::No,
            };
            (broken.fault(), again)
        }
        Stop::Declined(_) => (Fault::NoEndpoints, Again::Granted),
        Stop::RequestTimeout => (Fault::RequestTimeout, Again::No),
        // `HTTPRouteRetry.backoff`: a try that takes too long is followed by the next. Here that, too, is listed: as 504.
        Stop::AttemptTimeout if untouched => (Fault::BackendTimeout, Again::IfListed),
        Stop::AttemptTimeout => (Fault::BackendTimeout, Again::No),
        Stop::Idle | Stop::SlowBody => (Fault::BodyTimeout, Again::No),
        Stop::SlowReader => (Fault::ReadTimeout, Again::No),
    };
    Failed { fault, again }
}

/// What was never processed may be sent again, unless the rule says no.
fn unsent(rule: Option<&Retry>) -> bool {
    rule.is_none_or(|rule| rule.unsent)
}

/// RFC 9110 §9.2.2.
fn idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Overflow;

    #[test]
    fn an_endpoint_is_told_what_it_did_and_not_what_others_did() {
        let silent = Some(Outcome::Unanswered);
        let lost = |before_response| Stop::Broken(Broken::Upstream { before_response });
        for (stop, reused, turn, expected) in [
            (Stop::Declined(503), false, Turn::Backend, Some(Outcome::Answered(503))),
            (lost(true), false, Turn::Backend, silent),
            (lost(true), true, Turn::Backend, None),
            (lost(false), true, Turn::Backend, silent),
            (Stop::Broken(Broken::UpstreamProtocol), true, Turn::Backend, silent),
            (Stop::Broken(Broken::Refused), false, Turn::Backend, None),
            (Stop::Broken(Broken::Client), false, Turn::Backend, None),
            (Stop::AttemptTimeout, false, Turn::Backend, Some(Outcome::TimedOut)),
            (Stop::RequestTimeout, false, Turn::Backend, Some(Outcome::TimedOut)),
            (Stop::RequestTimeout, false, Turn::Sender, None),
            (Stop::Idle, false, Turn::Sender, None),
            (Stop::SlowBody, false, Turn::Sender, None),
            (Stop::RequestTimeout, false, Turn::Reader, None),
            (Stop::SlowReader, false, Turn::Reader, None),
        ] {
            assert_eq!(ended(stop, reused, turn), expected, "{stop:?} {reused} {turn:?}");
        }
    }

    #[test]
    fn what_was_never_processed_is_tried_again_unless_the_rule_says_no() {
        let rule = |unsent| Retry { unsent, ..Retry::new(1) };
        assert!(unsent(None) && unsent(Some(&rule(true))) && !unsent(Some(&rule(false))));
    }

    #[test]
    fn that_there_is_no_connection_is_told_unless_we_open_none() {
        assert_eq!(unobtained(Fault::Connect), Some(Outcome::Unanswered));
        assert_eq!(unobtained(Fault::UpstreamTls("expired")), Some(Outcome::Unanswered));
        assert_eq!(unobtained(Fault::Overload(Overflow::Connections)), None);
        assert_eq!(unobtained(Fault::InvalidConfig), None);
    }
}
