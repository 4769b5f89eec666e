// SPDX-License-Identifier: Apache-2.0
//! "Request Routing".

use super::{Book, until};

const EVERYTHING: [&str; 4] = ["productpage", "reviews", "ratings", "details"];

pub(super) fn everybody_gets_version_1_and_then_jason_version_2(book: &Book) {
    book.begin();
    for host in EVERYTHING {
        let name = format!("{host}-v1");
        until(&format!("{name} answers"), || book.get(host, "/").from() == Some(name.as_str()));
        assert_eq!(book.counts(host, 30).into_keys().collect::<Vec<_>>(), [name]);
    }
    assert_eq!(book.get_as(Some("jason"), "reviews", "/").from(), Some("reviews-v1"));

    book.apply("virtual-service-reviews-test-v2");
    let get = |user| book.get_as(user, "reviews", "/reviews/0");
    until("jason gets version 2", || get(Some("jason")).from() == Some("reviews-v2"));
    for _ in 0..10 {
        assert_eq!(get(Some("jason")).from(), Some("reviews-v2"));
        for user in [None, Some("anna"), Some("Jason"), Some("jasons")] {
            assert_eq!(get(user).from(), Some("reviews-v1"), "{user:?}");
        }
    }

    book.end();
    for host in EVERYTHING {
        until("nothing is routed any more", || book.get(host, "/").status() == 404);
    }
}
