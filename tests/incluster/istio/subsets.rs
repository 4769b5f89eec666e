// SPDX-License-Identifier: Apache-2.0
//! VirtualServices of a Gateway of Gateway API, and subsets, which go by the labels of pods.

use super::{ask, counts, lab, until, version};

const RULES: &str = "
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {selector: {app: reviews}, ports: [{name: http, port: 80, targetPort: 9001}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews.example]
  gateways: [edge]
  http:
    - match: [{headers: {end-user: {exact: jason}}}]
      route: [{destination: {host: reviews, subset: v2}}]
    - route: [{destination: {host: reviews, subset: v1}}]
---
";

#[test]
fn a_subset_is_the_pods_with_its_labels_and_follows_them() {
    let Some(lab) = lab() else { return };
    lab.apply(&(version("reviews", "v1", 9001) + &version("reviews", "v2", 9001)));
    lab.apply(&(super::super::gateway("edge", 1) + RULES));
    let address = lab.address("edge");
    until("the rule is in force", || ask(&address, "reviews.example", "/").is_ok_and(|reply| reply.status == 200));
    assert_eq!(counts(&address, "reviews.example", 50).keys().collect::<Vec<_>>(), ["v1"]);
    // Another label, another subset.
    let subset = r#"{"spec": {"subsets": [{"name": "v1", "labels": {"version": "v2"}}]}}"#;
    lab.kubectl(&["patch", "destinationrule", "reviews", "--type=merge", "-p", subset]);
    until("the subset is the other pod", || {
        let reply = ask(&address, "reviews.example", "/").unwrap();
        reply.header("x-echo-name") == Some("v2")
    });
    lab.kubectl(&["delete", "destinationrule", "reviews"]);
    until("a subset that nobody describes is nowhere", || {
        ask(&address, "reviews.example", "/").is_ok_and(|reply| reply.status == 503)
    });
}
