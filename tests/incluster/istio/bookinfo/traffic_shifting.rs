// SPDX-License-Identifier: Apache-2.0
//! "Traffic Shifting".

use super::{Book, until, until_all_answer};

pub(super) fn half_of_the_requests_go_to_version_3_and_then_all(book: &Book) {
    book.begin();
    assert_eq!(book.counts("reviews", 50).into_keys().collect::<Vec<_>>(), ["reviews-v1"]);

    book.apply("virtual-service-reviews-50-v3");
    until_all_answer(&book.edge, "reviews", &["reviews-v1", "reviews-v3"]);
    let counts = book.counts("reviews", 400);
    println!("of 400: {counts:?}");
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["reviews-v1", "reviews-v3"]);
    // Five standard deviations.
    assert!(counts.values().all(|count| (150..=250).contains(count)), "{counts:?}");

    book.apply("virtual-service-reviews-v3");
    until("all go to version 3", || book.counts("reviews", 20).into_keys().eq(["reviews-v3"]));
    assert_eq!(book.counts("reviews", 100).into_keys().collect::<Vec<_>>(), ["reviews-v3"]);
    book.end();
}
