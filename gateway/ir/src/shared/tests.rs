// SPDX-License-Identifier: Apache-2.0
use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

type Map = SharedMap<u16, u8>;

/// Every key is in its place, no chunk is empty or too large.
fn check(map: &Map) {
    let keys: Vec<_> = map.keys().copied().collect();
    assert!(keys.is_sorted_by(|one, other| one < other), "{keys:?}");
    assert!(map.chunks.iter().all(|chunk| (1..=MOST).contains(&chunk.len())));
    assert_eq!((map.len(), map.is_empty()), (keys.len(), keys.is_empty()));
}

fn step(map: &mut Map, model: &mut BTreeMap<u16, u8>, (key, value): (u16, Option<u8>)) {
    match value {
        Some(value) => assert_eq!(map.insert(key, value), model.insert(key, value)),
        None => assert_eq!(map.remove(&key), model.remove(&key)),
    }
}

fn model_of(old: &BTreeMap<u16, u8>, new: &BTreeMap<u16, u8>) -> Vec<(u16, Option<u8>)> {
    let keys: std::collections::BTreeSet<u16> = old.keys().chain(new.keys()).copied().collect();
    let changed = keys.into_iter().filter(|key| old.get(key) != new.get(key));
    changed.map(|key| (key, new.get(&key).copied())).collect()
}

fn found(old: &Map, new: &Map) -> Vec<(u16, Option<u8>)> {
    let plain = |change: Change<'_, u16, u8>| match change {
        Change::Put(key, value) => (*key, Some(*value)),
        Change::Gone(key) => (*key, None),
    };
    old.changes(new).map(plain).collect()
}

fn steps(keys: u16) -> impl Strategy<Value = Vec<(u16, Option<u8>)>> {
    vec((0..keys, prop_oneof![3 => (0..4u8).prop_map(Some), 2 => Just(None)]), 0..1500)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn it_is_what_a_map_of_the_standard_library_is(steps in prop_oneof![steps(40), steps(700), steps(60_000)]) {
        let (mut map, mut model) = (Map::new(), BTreeMap::new());
        for one in steps {
            step(&mut map, &mut model, one);
        }
        check(&map);
        prop_assert!(map.iter().eq(model.iter()));
        prop_assert!(map.values().eq(model.values()));
        for key in 0..800 {
            prop_assert_eq!(map.get(&key), model.get(&key));
        }
        for key in (0..=u16::MAX).step_by(97) {
            prop_assert!(map.iter_from(&key).eq(model.range(key..)));
        }
    }

    #[test]
    fn the_changes_between_any_two_are_exact(
        common in steps(900), one in steps(900), other in steps(900), forget in any::<bool>(),
    ) {
        let (mut base, mut base_model) = (Map::new(), BTreeMap::new());
        for it in common {
            step(&mut base, &mut base_model, it);
        }
        let branch = |steps: Vec<_>| {
            let (mut map, mut model) = (base.clone(), base_model.clone());
            for it in steps {
                step(&mut map, &mut model, it);
            }
            check(&map);
            (map, model)
        };
        let (one, one_model) = branch(one);
        let (mut other, other_model) = branch(other);
        if forget {
            // Nothing is shared any more.
            other = other_model.clone().into_iter().collect();
        }
        prop_assert_eq!(found(&one, &other), model_of(&one_model, &other_model));
        prop_assert_eq!(found(&other, &one), model_of(&other_model, &one_model));
        prop_assert_eq!(one == other, one_model == other_model);
        // Whoever held the map before the branches sees none of them.
        prop_assert!(base.iter().eq(base_model.iter()));
    }
}

#[test]
fn a_change_touches_one_chunk_of_thousands_of_entries() {
    let old: Map = (0..20_000).map(|key| (key, 0)).collect();
    assert_eq!(old.chunks.len(), 20_000 / MOST + 1, "what comes in order fills chunks");
    let mut new = old.clone();
    new.insert(7_001, 1);
    new.remove(&15_000);
    let own = new.chunks.iter().filter(|chunk| !old.chunks.iter().any(|it| Arc::ptr_eq(it, chunk)));
    assert_eq!(own.count(), 2);
    assert_eq!(found(&old, &new), [(7_001, Some(1)), (15_000, None)]);
}

#[test]
fn removals_leave_no_trail_of_small_chunks() {
    let mut map: Map = (0..20_000).map(|key| (key, 0)).collect();
    for key in (0..20_000).filter(|key| key % 50 != 0) {
        assert_eq!(map.remove(&key), Some(0));
    }
    check(&map);
    assert_eq!(map.len(), 400);
    assert!(map.chunks.len() <= 400 / (FEW / 2) + 1, "{} chunks", map.chunks.len());
}
