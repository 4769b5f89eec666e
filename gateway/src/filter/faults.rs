// SPDX-License-Identifier: Apache-2.0
//! `HTTPFaultInjection` (Istio): some requests wait, and some fail instead of going on. It only draws lots;
//! `http` waits.

use std::time::Duration;

use torana_ir::{AbortWith, Share};

use crate::fault::Fault;

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

/// Fails some requests.
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

    /// The failure, if the request is one of the share; `random` is uniform. What its client is told is made where all
    /// failures are.
    pub fn apply(&self, random: u64) -> Option<Fault> {
        let fault = match self.with {
            AbortWith::Http(status) => Fault::Injected { status, grpc: None },
            AbortWith::Grpc(status) => Fault::Injected { status: 200, grpc: Some(status) },
        };
        self.share.takes(random).then_some(fault)
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
        assert_eq!(draws().filter_map(|random| abort.apply(random)).filter(|fault| fault.status() == 503).count(), 250);
    }

    #[test]
    fn a_status_of_grpc_comes_in_an_answer_of_200() {
        let abort = Abort::compile(&torana_ir::Abort { with: AbortWith::Grpc(14), share: Share::ALL });
        assert_eq!(abort.apply(0), Some(Fault::Injected { status: 200, grpc: Some(14) }));
    }
}
