// SPDX-License-Identifier: Apache-2.0
//! `HTTPRetry`. Without one, of a rule or of the mesh, a request is tried twice more, for what was never processed and for
//! gRPC's `unavailable` and `cancelled` (`DefaultPolicy`). Never counts tries.

use torana_crds::istio::http_policy::{Retries, RetryOn, RetryReason};
use torana_ir::{HeaderName, Retry};

use crate::report::Remark;
use crate::translate::servers::UNSUPPORTED;

/// Istio's default.
const ATTEMPTS: u32 = 2;

/// Statuses of gRPC.
const CANCELLED: u8 = 1;
const UNAVAILABLE: u8 = 14;

/// What a rule asks for, written at `at`.
pub(in crate::translate) fn retry(written: Option<&Retries>, at: &str, remarks: &mut Vec<Remark>) -> Retry {
    let Some(written) = written else { return usual(ATTEMPTS) };
    if written.attempts == 0 {
        return Retry { unsent: false, ..Retry::new(0) };
    }
    let mut retry = match &written.retry_on {
        None => usual(written.attempts),
        Some(on) => conditions(on, written.attempts, at, remarks),
    };
    retry.backoff = written.backoff;
    retry.anywhere = written.retry_ignore_previous_hosts == Some(false);
    if written.retry_remote_localities == Some(true) {
        let message = "is not supported: further tries go where first ones do";
        remarks.push(Remark::warning(UNSUPPORTED, &format!("{at}.retryRemoteLocalities"), message, ""));
    }
    retry
}

fn usual(attempts: u32) -> Retry {
    Retry { grpc: [CANCELLED, UNAVAILABLE].into(), ..Retry::new(attempts) }
}

fn conditions(on: &RetryOn, attempts: u32, at: &str, remarks: &mut Vec<Remark>) -> Retry {
    let mut retry = Retry { unsent: false, ..Retry::new(attempts) };
    retry.codes.extend(on.codes.iter().filter(|code| (400..600).contains(*code)));
    for reason in &on.reasons {
        match reason {
            RetryReason::ServerError => {
                retry.codes.extend(500..600);
                (retry.unanswered, retry.unsent) = (true, true);
            }
            RetryReason::GatewayError => {
                retry.codes.extend(502..=504);
                (retry.unanswered, retry.unsent) = (true, true);
            }
            RetryReason::Reset => (retry.unanswered, retry.unsent) = (true, true),
            RetryReason::ResetBeforeRequest | RetryReason::ConnectFailure | RetryReason::RefusedStream => {
                retry.unsent = true;
            }
            RetryReason::Retriable4xx => drop(retry.codes.insert(409)),
            // Its codes stand beside it.
            RetryReason::RetriableStatusCodes => {}
            RetryReason::RateLimited => retry.header = HeaderName::new("x-envoy-ratelimited").ok(),
            RetryReason::Cancelled => drop(retry.grpc.insert(CANCELLED)),
            RetryReason::DeadlineExceeded => drop(retry.grpc.insert(4)),
            RetryReason::ResourceExhausted => drop(retry.grpc.insert(8)),
            RetryReason::Internal => drop(retry.grpc.insert(13)),
            RetryReason::Unavailable => drop(retry.grpc.insert(UNAVAILABLE)),
            RetryReason::RetriableHeaders | RetryReason::Http3PostConnectFailure => {
                let message = format!("{:?} never comes about here", reason.as_str());
                remarks.push(Remark::note(UNSUPPORTED, &format!("{at}.retryOn"), message, ""));
            }
        }
    }
    for unknown in &on.unknown {
        let message = format!("{unknown:?} is no reason to try again");
        remarks.push(Remark::warning(UNSUPPORTED, &format!("{at}.retryOn"), message, "remove it"));
    }
    retry
}
