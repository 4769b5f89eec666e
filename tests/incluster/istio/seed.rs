// SPDX-License-Identifier: Apache-2.0
//! A Service and a VirtualService without any gateway, as people begin with Istio; Torana is the entrypoint.
//!
//! The pods of both Deployments have the label `app: my-app`, which the Service selects by; that is the one addition.

use std::collections::BTreeMap;

use super::{Lab, ask, counts, edge, kubectl, lab, until, until_all_answer, version};

/// The objects, and one of a kind that Istio does not have.
const OBJECTS: &str = include_str!("my-app.yaml");

/// The objects that the API server knows, in the namespace of the test.
fn apply(lab: &Lab) {
    let (odd, known): (Vec<_>, Vec<_>) = OBJECTS.split("---\n").partition(|it| it.contains("monitoring.istio.io"));
    assert_eq!((odd.len(), known.len()), (1, 3));
    lab.apply(&known.join("---\n"));
}

fn seeded() -> Option<(Lab, String)> {
    let lab = lab()?;
    apply(&lab);
    lab.apply(&(version("my-app", "frontend", 8080) + &version("my-app", "backend", 8080) + &edge()));
    let address = lab.address("edge");
    until_all_answer(&address, "any.example", &["frontend", "backend"]);
    Some((lab, address))
}

fn rule(lab: &Lab, policy: &str) {
    lab.apply(&format!(
        "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: my-app}}
spec:
  host: my-app
  trafficPolicy: {{loadBalancer: {{simple: {policy}}}}}
  subsets: [{{name: frontend, labels: {{version: frontend}}}}, {{name: backend, labels: {{version: backend}}}}]
"
    ));
}

#[test]
fn the_app_answers_whatever_the_host() {
    let Some((_lab, address)) = seeded() else { return };
    for host in ["any.example", "other.example", &address] {
        assert_eq!(ask(&address, host, "/hello").unwrap().status, 200, "{host}");
    }
}

#[test]
fn taken_in_turns_both_pods_get_the_same_number() {
    let Some((lab, address)) = seeded() else { return };
    rule(&lab, "ROUND_ROBIN");
    until("they take turns", || {
        let counts = counts(&address, "any.example", 200);
        counts.values().all(|count| *count == 100)
    });
}

#[test]
fn by_fewest_requests_both_pods_get_about_the_same_number() {
    let Some((_lab, address)) = seeded() else { return };
    let counts = counts(&address, "any.example", 400);
    println!("{counts:?}");
    assert!(counts.values().all(|count| (120..=280).contains(count)), "{counts:?}");
}

#[test]
fn weights_are_those_that_are_written() {
    let Some((lab, address)) = seeded() else { return };
    rule(&lab, "ROUND_ROBIN");
    lab.apply(
        "
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: my-app}
spec:
  hosts: ['*']
  http:
    - route:
        - {destination: {host: my-app, subset: frontend}, weight: 90}
        - {destination: {host: my-app, subset: backend}, weight: 10}
",
    );
    let mut last = BTreeMap::default();
    until("nine of ten go to the frontend", || {
        last = counts(&address, "any.example", 1000);
        last.get("frontend").is_some_and(|count| (870..=930).contains(count))
    });
    println!("{last:?}");
}

#[test]
fn a_kind_that_istio_does_not_have_is_refused_by_the_cluster() {
    let Some(lab) = lab() else { return };
    let odd = OBJECTS.split("---\n").find(|it| it.contains("monitoring.istio.io")).unwrap();
    let said = super::super::hostile::refused(&lab, odd);
    assert!(said.contains("no matches for kind \"Prometheus\""), "{said}");
    kubectl(&["get", "namespace", &lab.namespace]);
}
