// SPDX-License-Identifier: Apache-2.0

use std::sync::atomic::AtomicUsize;

use super::*;

/// A shelf for two; how many were folded.
fn shelf() -> (Shelf<AtomicUsize>, IntCounter) {
    let folded = IntCounter::new("folded", "folded").unwrap();
    (Shelf::new(&["code", "route_name"], 2, AtomicUsize::default, &folded), folded)
}

fn labels(shelf: &Shelf<AtomicUsize>) -> Vec<String> {
    shelf.after(None, usize::MAX).iter().map(|child| child.labels().replace('\0', " ")).collect()
}

#[test]
fn a_child_goes_one_scrape_interval_after_its_last_user() {
    let (shelf, _) = shelf();
    let user = shelf.child(["200", "a"]);
    let start = Instant::now();
    let left = |after: u64| {
        shelf.sweep(start + Duration::from_secs(after), |_| false);
        labels(&shelf).len()
    };
    assert_eq!(left(0), 1);
    assert_eq!(left(100), 1, "it is used");
    drop(user);
    assert_eq!(left(110), 1, "its last value was perhaps not scraped");
    assert_eq!(left(169), 1);
    assert_eq!(left(170), 0);
}

#[test]
fn a_child_that_is_used_again_or_needed_stays() {
    let (shelf, _) = shelf();
    let first = Arc::downgrade(&shelf.child(["200", "a"]));
    let start = Instant::now();
    shelf.sweep(start, |_| false);
    let again = shelf.child(["200", "a"]);
    shelf.sweep(start + SCRAPE_INTERVAL, |_| false);
    assert!(first.upgrade().is_some_and(|first| Arc::ptr_eq(&first, &again)));
    drop(again);
    shelf.sweep(start + SCRAPE_INTERVAL * 9, |child| child.labels() == "200\0a");
    shelf.sweep(start + SCRAPE_INTERVAL * 18, |child| child.labels() == "200\0a");
    assert_eq!(labels(&shelf), ["200 a"]);
}

#[test]
fn who_finds_no_room_shares_a_child_and_is_counted() {
    let (shelf, folded) = shelf();
    let children: Vec<_> =
        [["200", "a"], ["404", "b"], ["404", "c"], ["409", "d"], ["200", "a"]].map(|it| shelf.child(it)).into();
    assert_eq!(labels(&shelf), ["200 a", "404 b", "4xx other"]);
    assert_eq!(folded.get(), 2);
    assert!(Arc::ptr_eq(&children[2], &children[3]) && Arc::ptr_eq(&children[0], &children[4]));
}

#[test]
fn children_that_go_leave_room_and_those_of_others_take_none() {
    let (shelf, folded) = shelf();
    let start = Instant::now();
    for round in 0..3 {
        drop(["a", "b", "c", "d"].map(|name| shelf.child(["200", name])));
        assert_eq!(labels(&shelf), ["200 a", "200 b", "2xx other"], "round {round}");
        shelf.sweep(start + SCRAPE_INTERVAL * (4 * round), |_| false);
        shelf.sweep(start + SCRAPE_INTERVAL * (4 * round + 1), |child| child.folded);
        assert_eq!(labels(&shelf), ["2xx other"], "round {round}");
    }
    assert_eq!(folded.get(), 6);
}

#[test]
fn children_are_read_in_pieces_also_after_one_that_has_gone() {
    let shelf = Shelf::new(&["route_name"], 9, AtomicUsize::default, &IntCounter::new("folded", "folded").unwrap());
    drop(["c", "a", "d", "b"].map(|name| shelf.child([name])));
    let names = |after| shelf.after(after, 2).iter().map(|child| child.labels().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(None), ["a", "b"]);
    assert_eq!(names(Some("b")), ["c", "d"]);
    assert_eq!(names(Some("bb")), ["c", "d"]);
    assert_eq!(names(Some("d")), Vec::<String>::new());
}
