// SPDX-License-Identifier: Apache-2.0
//! "Request Timeouts". On the page reviews take as long as the ratings that they ask for, which a fault delays; here
//! `/delay/2s` says how long.

use std::time::Duration;

use super::{Book, Got, until};

/// The page's rule for ratings, whose calls take 2 s more.
const SLOW_RATINGS: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: ratings
spec:
  hosts:
  - ratings
  http:
  - fault:
      delay:
        percentage:
          value: 100
        fixedDelay: 2s
    route:
    - destination:
        host: ratings
        subset: v1
";

/// The page's rule for reviews, without its last line.
const REVIEWS: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts:
  - reviews
  http:
  - route:
    - destination:
        host: reviews
        subset: v2
";

fn is_within(got: &Got, least: f64, most: f64) -> bool {
    (least..most).contains(&got.took.as_secs_f64())
}

pub(super) fn a_rule_waits_no_longer_than_it_says(book: &Book) {
    book.begin();
    book.lab.apply(REVIEWS);
    until("version 2 answers", || book.get("reviews", "/").from() == Some("reviews-v2"));
    book.lab.apply(SLOW_RATINGS);
    until("ratings are slow", || book.get("ratings", "/").took >= Duration::from_secs(1));
    let ratings = book.get("ratings", "/");
    assert!(ratings.status() == 200 && is_within(&ratings, 2.0, 3.0), "{}: {:?}", ratings.status(), ratings.took);
    // There is no timeout by default.
    let reviews = book.get("reviews", "/delay/2s");
    assert!(reviews.status() == 200 && is_within(&reviews, 2.0, 3.0), "{}: {:?}", reviews.status(), reviews.took);

    book.lab.apply(&format!("{REVIEWS}    timeout: 0.5s\n"));
    until("the timeout is in force", || book.get("reviews", "/delay/2s").status() == 504);
    let reviews = book.get("reviews", "/delay/2s");
    assert!(reviews.status() == 504 && is_within(&reviews, 0.5, 1.5), "{}: {:?}", reviews.status(), reviews.took);
    assert_eq!(book.get("reviews", "/").from(), Some("reviews-v2"), "who is quick enough is heard");

    // "Currently, Istio does not support configuring fault injections and retry or timeout policies on the same
    // VirtualService": a timeout is for what is waited for after a delay.
    book.lab.apply(&format!("{SLOW_RATINGS}    timeout: 0.5s\n"));
    until("the delay is none of the timeout's", || {
        let slow = book.get("ratings", "/delay/1s");
        slow.status() == 504 && is_within(&slow, 2.5, 3.5)
    });
    let ratings = book.get("ratings", "/");
    assert!(ratings.status() == 200 && is_within(&ratings, 2.0, 3.0), "{}: {:?}", ratings.status(), ratings.took);
    book.end();
}
