// SPDX-License-Identifier: Apache-2.0
//! `HTTPFaultInjection` (Istio): some requests wait, and some are answered instead of forwarded. It only draws lots;
//! `http` waits.

use std::time::Duration;

use torana_ir::{AbortWith, Share};

use crate::answer::Answer;

/// Makes some requests wait.
#[derive(Debug)]
pub struct Delay {
    time: Duration,
    share: Share,
}

impl Delay {
    /// Prepares `delay`.
    pub fn compile(delay: &torana_ir::Delay) -> Self {
        Self { time: delay.time, share: delay.share }
    }

    /// How long the request waits, if it is one of the share; `random` is uniform.
    pub fn apply(&self, random: u64) -> Option<Duration> {
        self.share.takes(random).then_some(self.time)
    }
}

/// Answers some requests.
#[derive(Debug)]
pub struct Abort {
    with: AbortWith,
    share: Share,
}

impl Abort {
    /// Prepares `abort`.
    pub fn compile(abort: &torana_ir::Abort) -> Self {
        Self { with: abort.with, share: abort.share }
    }

    /// The answer, if the request is one of the share; `random` is uniform. A status of gRPC is the whole answer
    /// (trailers-only).
    pub fn apply(&self, random: u64) -> Option<Answer> {
        self.share.takes(random).then(|| match self.with {
            AbortWith::Http(status) => {
                let body = bytes::Bytes::from_static(b"fault filter abort");
                Answer { body, ..Answer::new(status) }.with("content-type", b"text/plain")
            }
            AbortWith::Grpc(status) => {
                let mut text = itoa::Buffer::new();
                let status = text.format(status).as_bytes();
                Answer::new(200).with("content-type", b"application/grpc").with("grpc-status", status)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_wait_and_fail_as_was_asked_for() {
        let share = Share::new(250_000).unwrap();
        let delay = Delay::compile(&torana_ir::Delay { time: Duration::from_secs(1), share });
        let abort = Abort::compile(&torana_ir::Abort { with: AbortWith::Http(503), share });
        let draws = || (0..1000u64).map(|step| u64::MAX / 1000 * step + u64::MAX / 2000);
        assert_eq!(draws().filter_map(|random| delay.apply(random)).count(), 250);
        assert_eq!(draws().filter_map(|random| abort.apply(random)).filter(|answer| answer.status == 503).count(), 250);
    }

    #[test]
    fn a_status_of_grpc_is_a_whole_answer() {
        let abort = Abort::compile(&torana_ir::Abort { with: AbortWith::Grpc(14), share: Share::ALL });
        let answer = abort.apply(0).unwrap();
        assert_eq!((answer.status, answer.fields.first("grpc-status"), answer.body.len()), (200, Some(&b"14"[..]), 0));
    }
}
