// SPDX-License-Identifier: Apache-2.0
//! "Fault Injection".

use std::time::Duration;

use super::{Book, until};

pub(super) fn jason_waits_for_ratings_and_then_gets_none(book: &Book) {
    book.begin();
    let get = |user| book.get_as(user, "ratings", "/ratings/0");
    until("ratings are there", || get(Some("jason")).status() == 200);

    book.apply("virtual-service-ratings-test-delay");
    // Each time that it is asked too late takes 7 s.
    until("jason waits", || get(Some("jason")).took >= Duration::from_secs(1));
    let jason = get(Some("jason"));
    assert_eq!((jason.status(), jason.from()), (200, Some("ratings-v1")));
    assert!((7.0..8.5).contains(&jason.took.as_secs_f64()), "{:?}", jason.took);
    for user in [None, Some("anna")] {
        let other = get(user);
        assert_eq!((other.status(), other.from()), (200, Some("ratings-v1")), "{user:?}");
        assert!(other.took < Duration::from_secs(1), "{user:?}: {:?}", other.took);
    }

    book.apply("virtual-service-ratings-test-abort");
    until("jason gets none", || get(Some("jason")).status() == 500);
    for _ in 0..10 {
        let jason = get(Some("jason"));
        // Nobody was asked, and nobody waits.
        assert_eq!((jason.status(), jason.from()), (500, None));
        assert!(jason.took < Duration::from_secs(1), "{:?}", jason.took);
        assert_eq!(get(None).status(), 200);
    }
    book.end();
}
