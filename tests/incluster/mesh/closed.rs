// SPDX-License-Identifier: Apache-2.0
//! Without an identity the mesh is not asked at all, and everybody else as ever.

use super::capture::Capture;
use super::outage::Outage;
use super::{Workload, lab, route, status, until};

#[test]
fn without_an_identity_the_mesh_is_503_and_not_a_byte_reaches_it() {
    let Some(lab) = lab() else { return };
    let [app, ambient, plain] = ["my-app", "ambient-app", "plain-app"].map(|name| Workload::start(&lab, name));
    let [of_app, of_ambient, mut of_plain] = [&app, &ambient, &plain].map(Capture::start);
    let outage = Outage::begin();
    let hosts = [("app.example", "front"), ("ambient.example", "ambient-app"), ("plain.example", "plain-app")];
    let routes: String = hosts.iter().map(|(host, service)| route("HTTPRoute", host, service, 80)).collect();
    lab.apply(&(FRONT.to_owned() + &super::super::gateway("edge", 1) + &routes));
    let address = lab.address("edge");
    until("who is outside of the mesh answers", || status(&address, "plain.example") == Some(200));
    for _ in 0..50 {
        assert_eq!(status(&address, "app.example"), Some(503));
        assert_eq!(status(&address, "ambient.example"), Some(503));
        assert_eq!(status(&address, "plain.example"), Some(200));
    }
    assert_eq!((app.connections(8080), ambient.connections(15008)), (0, 0), "what has no certificate need not call");
    outage.end();
    for host in ["app.example", "ambient.example"] {
        until(&format!("{host} answers"), || status(&address, host) == Some(200));
    }
    of_app.ends_with_tls_only(&[8080, 8081]);
    of_ambient.ends_with_tls_only(&[15008, 8080]);
    // That plain text would have been seen.
    of_plain.stop();
    assert!(of_plain.sent_to(8080).plain.1 > 0);
}

const FRONT: &str = "
apiVersion: v1
kind: Service
metadata: {name: front}
spec: {selector: {app: my-app}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
";
