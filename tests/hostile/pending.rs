// SPDX-License-Identifier: Apache-2.0
//! Rows of the acceptance list whose feature does not exist yet. Each is printed, so that none is forgotten.

const NOT_YET: &[(&str, &str)] = &[
    ("B17", "extended CONNECT (RFC 8441)"),
    ("D06", "JWT"),
    ("D07", "rate limits"),
    ("R06", "body limit of a policy"),
    ("R08", "compression"),
    ("R11-R12", "shedding by memory and CPU"),
    ("T08-T11", "client certificates, TLS to backends, PROXY protocol, trusted hops"),
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
