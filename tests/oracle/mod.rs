// SPDX-License-Identifier: Apache-2.0
//! Istio itself as the oracle: random configurations and calls, evaluated by Istio's own packages (the Go program of
//! this folder) and by Torana's translator and router. `TORANA_ISTIO_ORACLE` is that program, as `build.sh` prints it;
//! without it these tests say that they were skipped.

mod scenario;

mod outcome;

mod istio;

mod peer;

mod generate;

mod compare;

mod torana;

mod shrink;

mod run;

mod samples;

use std::env;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use self::outcome::{Answer, Outcome};
use self::peer::Peer;
use self::scenario::Scenario;

/// Istio's program, if there is one.
fn program() -> Option<PathBuf> {
    let program = env::var_os("TORANA_ISTIO_ORACLE").map(PathBuf::from);
    if program.is_none() {
        println!("skipped: TORANA_ISTIO_ORACLE is not set");
    }
    program
}

/// Fails, and tells what nothing explains, unless both sides make the same of the scenarios of these numbers.
fn agree(program: &Path, seed: u64, numbers: Range<u64>, torana: impl Fn(&Scenario) -> Answer + Sync) {
    let count = numbers.end - numbers.start;
    let tally = run::run(program, seed, numbers, torana);
    let summary = tally.summary();
    println!("{}\n{}\n{summary}", tally.told.join("\n"), tally.failures.join("\n"));
    assert!(tally.scenarios == count && tally.unexplained == 0, "{} failures; {summary}", tally.failures.len());
}

/// What it says must not depend on the order of a map.
#[test]
fn istio_agrees_with_itself() {
    let Some(program) = program() else { return };
    let other = Mutex::new(Peer::new(program.clone()));
    agree(&program, 2, 0..20, |scenario| other.lock().unwrap().ask(scenario).unwrap_or_default());
}

/// `TORANA_ORACLE_COUNT` scenarios of `TORANA_ORACLE_SEED`, or that of `TORANA_ORACLE_ONLY` alone.
#[test]
fn torana_makes_of_istio_s_objects_what_istio_does() {
    let Some(program) = program() else { return };
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("TORANA_ORACLE_SEED").unwrap_or(1);
    let numbers = match number("TORANA_ORACLE_ONLY") {
        Some(only) => only..only + 1,
        None => 0..number("TORANA_ORACLE_COUNT").unwrap_or(300),
    };
    agree(&program, seed, numbers, torana::answer);
}

#[test]
fn the_same_seed_and_number_give_the_same_scenario_and_others_another() {
    let line = |seed, number| generate::scenario(seed, number).line(0);
    assert_eq!(line(7, 3), line(7, 3));
    assert_ne!(line(7, 3), line(7, 4));
    assert_ne!(line(7, 3), line(8, 3));
}

/// Random input that only ever meets 404 would find nothing.
#[test]
fn istio_takes_most_of_what_is_generated_and_calls_reach_every_outcome() {
    let Some(program) = program() else { return };
    let mut peer = Peer::new(program);
    let (mut refused, mut objects, mut kinds) = (0, 0, [0_usize; 9]);
    for number in 0..60 {
        let scenario = generate::scenario(1, number);
        let answer = peer.ask(&scenario).unwrap_or_else(|error| panic!("{number}: {error}"));
        refused += answer.rejected.len();
        objects += scenario.istio.len();
        for outcome in &answer.outcomes {
            kinds[kind(outcome)] += 1;
        }
    }
    println!("{refused} of {objects} objects refused; outcomes {kinds:?}");
    assert!(refused * 8 < objects && refused > 0, "{refused} of {objects} objects refused");
    let calls: usize = kinds.iter().sum();
    assert!(kinds[kind_of_forward()] * 5 > calls, "of {calls} calls: {kinds:?}");
    // Istio knows no 421.
    assert!(kinds[..8].iter().all(|count| *count > 0), "of {calls} calls: {kinds:?}");
}

fn kind(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::NoListener => 0,
        Outcome::Closed => 1,
        Outcome::NoRoute => 2,
        Outcome::Redirect { .. } => 3,
        Outcome::Direct { .. } => 4,
        Outcome::Forward(_) => kind_of_forward(),
        Outcome::Stream(_) => 6,
        Outcome::Undefined(_) => 7,
        Outcome::Misdirected => 8,
    }
}

fn kind_of_forward() -> usize {
    5
}
