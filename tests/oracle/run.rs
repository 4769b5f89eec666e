// SPDX-License-Identifier: Apache-2.0
//! Many scenarios, both sides of each, and what is told of the differences.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::compare::{Difference, EXPLAINED, differences, told};
use super::generate;
use super::outcome::Answer;
use super::peer::Peer;
use super::scenario::Scenario;
use super::shrink::shrink;

/// So many scenarios are asked while one is made smaller.
const PATIENCE: usize = 2_000;
/// So many unexplained differences are made small and told whole; more are only counted.
const TOLD: usize = 10;

/// What came of a run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) scenarios: u64,
    pub(super) calls: usize,
    /// For each of [`EXPLAINED`], how many differences it explains.
    pub(super) explained: [usize; EXPLAINED.len()],
    /// Differences that nothing explains.
    pub(super) unexplained: usize,
    /// Some of them, as people read them.
    pub(super) told: Vec<String>,
    /// Scenarios without an answer of Istio.
    pub(super) failures: Vec<String>,
}

impl Tally {
    /// Everything but the differences that are told one by one.
    pub(super) fn summary(&self) -> String {
        let Self { scenarios, calls, unexplained, .. } = self;
        let mut text = format!("{scenarios} configurations, {calls} calls: {unexplained} unexplained differences\n");
        for (count, explained) in self.explained.iter().zip(&EXPLAINED) {
            let _ = writeln!(text, "{count:6} × {}", explained.why);
        }
        text
    }
}

/// Compares the scenarios of these numbers, on every core.
pub(super) fn run(
    program: &Path,
    seed: u64,
    numbers: std::ops::Range<u64>,
    torana: impl Fn(&Scenario) -> Answer + Sync,
) -> Tally {
    let next = AtomicU64::new(numbers.start);
    let tally = Mutex::new(Tally::default());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut peer = Peer::new(program.to_owned());
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= numbers.end {
                        return;
                    }
                    one(&mut peer, (seed, number), &torana, &tally);
                }
            });
        }
    });
    tally.into_inner().unwrap()
}

fn one(peer: &mut Peer, (seed, number): (u64, u64), torana: &impl Fn(&Scenario) -> Answer, tally: &Mutex<Tally>) {
    let scenario = generate::scenario(seed, number);
    let istio = match peer.ask(&scenario) {
        Ok(answer) => answer,
        Err(error) => {
            tally.lock().unwrap().failures.push(format!("--seed {seed} --only {number}: {error}"));
            return;
        }
    };
    let found = differences(&scenario, &istio, &torana(&scenario));
    let mut unexplained = Vec::new();
    let room = {
        let mut tally = tally.lock().unwrap();
        tally.scenarios += 1;
        tally.calls += scenario.calls.len();
        for (difference, reason) in found {
            match reason {
                Some(reason) => tally.explained[reason] += 1,
                None => unexplained.push(difference),
            }
        }
        tally.unexplained += unexplained.len();
        TOLD.saturating_sub(tally.told.len())
    };
    if let Some(first) = unexplained.first().filter(|_| room > 0) {
        let text = small(peer, &scenario, first, torana);
        tally.lock().unwrap().told.push(format!("--seed {seed} --only {number}\n{text}"));
    }
}

/// The difference in the smallest scenario that shows it.
fn small(
    peer: &mut Peer,
    scenario: &Scenario,
    difference: &Difference,
    torana: &impl Fn(&Scenario) -> Answer,
) -> String {
    let mut start = scenario.clone();
    start.calls = difference.call.and_then(|at| scenario.calls.get(at)).cloned().into_iter().collect();
    let mut shown = |candidate: &Scenario| -> Option<Difference> {
        let istio = peer.ask(candidate).ok()?;
        let found = differences(candidate, &istio, &torana(candidate));
        found.into_iter().find(|(it, reason)| reason.is_none() && it.what == difference.what).map(|(it, _)| it)
    };
    let smallest = shrink(&start, PATIENCE, |candidate| shown(candidate).is_some());
    let seen = shown(&smallest).unwrap_or_else(|| difference.clone());
    let objects = smallest.istio.iter().chain(&smallest.kubernetes);
    let documents: Vec<String> =
        objects.map(|object| serde_saphyr::to_string(object).unwrap_or_else(|_| object.to_string())).collect();
    let pod = &smallest.pod;
    format!("{}pod of {} {:?}\n{}", told(&smallest, &seen), pod.namespace, pod.labels, documents.join("---\n"))
}

#[cfg(test)]
mod tests {
    use super::super::program;
    use super::*;

    /// Torana's side is Istio's own answer, with one wrong word.
    #[test]
    fn one_wrong_word_is_found_and_told_small() {
        let Some(program) = program() else { return };
        let peer = Mutex::new(Peer::new(program.clone()));
        let mostly_right = |scenario: &Scenario| {
            let mut answer = peer.lock().unwrap().ask(scenario).unwrap_or_default();
            for outcome in &mut answer.outcomes {
                if let super::super::outcome::Outcome::Forward(forward) = outcome {
                    forward.path.push_str("wrong");
                }
            }
            answer
        };
        let tally = run(&program, 1, 0..2, mostly_right);
        assert_eq!((tally.scenarios, tally.calls, tally.failures.len()), (2, 40, 0), "{tally:?}");
        assert!(tally.unexplained > 0, "{}", tally.summary());
        let told = &tally.told[0];
        assert!(told.starts_with("--seed 1 --only ") && told.contains("kind: VirtualService"), "{told}");
        let kinds = told.matches("kind: ").count();
        assert_eq!(kinds, 3, "a Gateway, a VirtualService and where it leads are enough:\n{told}");
    }
}
