// SPDX-License-Identifier: Apache-2.0
//! AuthorizationPolicy, judged twice: by what serves (objects through the door, translated, sent over the wire, compiled)
//! and by an interpreter of the policies as they are written ([`reference`]), which shares nothing with it.

mod asked;

mod draw;

mod reference;

mod samples;

mod world;

use std::env;
use std::thread;

use fastrand::Rng;

use self::asked::Asked;
use self::reference::{Policy, judge};
use self::world::World;

/// Requests for each set of policies.
const REQUESTS: u64 = 250;
/// Threads.
const THREADS: u64 = 2;

/// How many requests are judged twice: a million, unless somebody wants another number.
fn cases() -> u64 {
    env::var("TORANA_POLICY_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_000_000)
}

/// What both say of requests; how often they let one through, and how often not.
fn agree(policies: &[Policy], requests: impl Iterator<Item = Asked>) -> [u64; 2] {
    let world = World::new(policies);
    let mut seen = [0; 2];
    for asked in requests {
        // A path that no gate lets in is judged by nobody.
        let Some((asked, said)) = world.says(asked) else { continue };
        let expected = judge(policies, &asked);
        assert_eq!(said, expected, "{asked:#?}\n{policies:#?}");
        seen[usize::from(said.allowed)] += 1;
    }
    seen
}

#[test]
fn random_policies_let_through_what_the_reference_does() {
    let worker = |seed: u64| {
        let mut rng = Rng::with_seed(seed);
        let mut seen = [0; 2];
        for _ in 0..cases() / REQUESTS / THREADS {
            let policies = draw::policies(&mut rng);
            let more = agree(&policies, (0..REQUESTS).map(|_| draw::asked(&mut rng)));
            (seen[0], seen[1]) = (seen[0] + more[0], seen[1] + more[1]);
        }
        seen
    };
    let seen: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|seed| scope.spawn(move || worker(seed))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let [denied, allowed] = [0, 1].map(|at| seen.iter().map(|seen| seen[at]).sum::<u64>());
    println!("{allowed} let through, {denied} not");
    assert!(denied + allowed > cases() * 9 / 10 && denied > cases() / 10 && allowed > cases() / 10);
}

/// Every AuthorizationPolicy that Istio tests its own translation with.
#[test]
fn istios_own_policies_let_through_what_the_reference_does() {
    let Some(files) = samples::read() else { return };
    let mut seen = [0; 2];
    for (file, policies) in &files {
        let mut rng = Rng::with_seed(7);
        let vocabulary = samples::vocabulary(policies);
        let requests = (0..2000).map(|_| draw::asked_of(&mut rng, &vocabulary));
        let more = agree(policies, requests);
        println!("{file}: {} let through, {} not", more[1], more[0]);
        (seen[0], seen[1]) = (seen[0] + more[0], seen[1] + more[1]);
    }
    assert!(files.len() >= 20 && seen[0] > 0 && seen[1] > 0, "{} files, {seen:?}", files.len());
}
