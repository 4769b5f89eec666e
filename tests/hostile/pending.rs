// SPDX-License-Identifier: Apache-2.0
//! Rows of the acceptance list whose feature does not exist yet. Each is printed, so that none is forgotten.

const NOT_YET: &[(&str, &str)] = &[
    ("A24", "HTTP/2 preface on a port that speaks HTTP/1 only: every port speaks both"),
    ("B01-B12", "floods of HTTP/2"),
    ("B17", "h2spec"),
    ("D06", "JWT"),
    ("D07", "external authorization, rate limits"),
    ("R06", "body limit of a policy"),
    ("R08", "compression"),
    ("R09-R12", "caps of connections, descriptors and memory"),
    ("T06-T11", "client certificates, PROXY protocol"),
    ("W01", "WebSocket over HTTP/2 (RFC 8441)"),
    ("W06-W07", "WebSocket drain"),
];

#[test]
fn every_row_without_a_feature_is_named() {
    for (id, feature) in NOT_YET {
        println!("hostile {id}: not yet: {feature}");
    }
    assert!(NOT_YET.iter().all(|(id, feature)| !id.is_empty() && !feature.is_empty()));
}
