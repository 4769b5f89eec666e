// SPDX-License-Identifier: Apache-2.0
//! E13: in whatever order the changes of different objects come, however often each is told and however they are
//! gathered, the same follows, byte for byte; and a program that starts anew comes to it, too. Changes of one object come
//! in their own order: an API server promises that.

use std::collections::BTreeMap;

use proptest::prelude::*;
use torana_crds::ObjectRef;

use crate::store::{Cluster, Event, Settings};
use crate::translate::tests::world::{Edit, WORLD, event};
use crate::translate::{Translation, retranslate, translate};

/// Variants from which on an object is unreadable.
const UNREADABLE: usize = 7;
/// The Secrets of the world, and their variants that hold no usable certificate.
const SECRETS: [usize; 2] = [13, 14];
const UNUSABLE: [usize; 3] = [2, 3, 4];
/// The ConfigMaps of the mesh, and their variant that cannot be used.
const MESHES: [usize; 2] = [40, 41];
const REFUSED: usize = 3;

fn cluster() -> Cluster {
    let mut cluster = Cluster::new(Settings::standalone(1_798_761_600));
    cluster.apply(event((18, 4)));
    cluster
}

/// One way in which `history` may be told: at each turn another object's next change comes, or its last one again.
fn told(history: &[Edit], choices: &[(usize, bool)]) -> Vec<Event> {
    let mut rest: Vec<Vec<Edit>> = vec![Vec::new(); WORLD];
    history.iter().rev().for_each(|edit| rest[edit.0].push(*edit));
    let mut last: Vec<Option<Edit>> = vec![None; WORLD];
    let mut sequence = Vec::new();
    for (object, again) in choices.iter().map(|(object, again)| (object % WORLD, *again)) {
        let next = if again { last[object] } else { rest[object].pop() };
        last[object] = next.or(last[object]);
        sequence.extend(next);
    }
    for object in rest.iter_mut().rev() {
        sequence.extend(object.drain(..).rev());
    }
    sequence.into_iter().map(event).collect()
}

/// What follows from `events`, gathered into turns of `size`.
fn translated(events: Vec<Event>, size: usize) -> Translation {
    let mut cluster = cluster();
    let mut last = translate(&cluster);
    let mut events = events.into_iter().peekable();
    while events.peek().is_some() {
        let dirty = cluster.apply_all(events.by_ref().take(size));
        last = retranslate(&cluster, &dirty, last);
    }
    last
}

fn subject(event: &Event) -> ObjectRef {
    match event {
        Event::Applied(object) => object.reference(),
        Event::Removed(reference) | Event::Unreadable(reference, _) => reference.clone(),
    }
}

/// Programs and report as bytes.
fn bytes(translation: &Translation) -> (Vec<u8>, String) {
    let snapshots: Vec<_> = translation.snapshots.iter().map(|(fleet, snapshot)| (fleet, &**snapshot)).collect();
    (serde_json::to_vec(&snapshots).unwrap(), format!("{:?}", translation.report))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_order_in_which_objects_are_told_does_not_matter(
        history in proptest::collection::vec((0..WORLD, 0usize..12), 1..80),
        choices in proptest::collection::vec((any::<usize>(), any::<bool>()), 0..200),
        size in 1usize..9,
    ) {
        let straight = translated(history.iter().copied().map(event).collect(), 1);
        let otherwise = translated(told(&history, &choices), size);
        prop_assert_eq!(bytes(&straight), bytes(&otherwise));
    }

    #[test]
    fn a_start_comes_to_what_was_before_it(
        history in proptest::collection::vec((0..WORLD, 0usize..UNREADABLE), 1..80),
        keys in proptest::collection::vec(any::<u32>(), WORLD + 1),
    ) {
        // What is kept because its last form is broken ends with the process; that is told of, not hidden.
        let usable = |(object, variant): &Edit| {
            let is_unusable = SECRETS.contains(object) && UNUSABLE.contains(variant);
            !(is_unusable || MESHES.contains(object) && *variant == REFUSED)
        };
        let history: Vec<Event> = history.into_iter().filter(usable).map(event).collect();
        let last: BTreeMap<ObjectRef, Event> = history.iter().map(|event| (subject(event), event.clone())).collect();
        let mut listed: Vec<(u32, Event)> = keys.into_iter().zip(last.into_values()).collect();
        listed.sort_by_key(|(key, _)| *key);
        let after = translated(listed.into_iter().map(|(_, event)| event).collect(), WORLD);
        prop_assert_eq!(bytes(&translated(history, 1)), bytes(&after));
    }
}
