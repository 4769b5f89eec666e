// SPDX-License-Identifier: Apache-2.0
//! "Deploy the application, open it to outside traffic": bookinfo's Gateway selects the proxies of an ingress.

use super::{Book, ingress, until};
use crate::incluster::ask;

/// Proxies with the labels that Istio's samples select.
const INGRESS: &str = "
apiVersion: torana.dev/v1alpha1
kind: GatewayParameters
metadata: {name: ingress}
spec:
  ingress: {}
  replicas: 1
  workers: 1
  resources: {requests: {cpu: 5m, memory: 16Mi}}
";

pub(super) fn the_product_page_is_reached_from_outside(book: &Book) {
    book.lab.apply(INGRESS);
    book.apply("bookinfo-gateway");
    let address = ingress::address(&book.lab);
    let status = |path: &str| ask(&address, &address, path).map(|reply| reply.status).unwrap_or_default();
    until("the product page is there", || status("/productpage") == 200);
    let page = ask(&address, "bookinfo.example", "/productpage").unwrap();
    assert_eq!(page.header("x-echo-name"), Some("productpage-v1"));
    for (path, expected) in [
        ("/static/tailwind/tailwind.css", 200),
        ("/login", 200),
        ("/logout", 200),
        ("/api/v1/products/0/reviews", 200),
        ("/", 404),
        ("/productpage/more", 404),
        ("/reviews/0", 404),
    ] {
        assert_eq!(status(path), expected, "{path}");
    }
    book.end();
    until("nothing is routed any more", || status("/productpage") == 404);
}
