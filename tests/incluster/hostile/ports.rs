// SPDX-License-Identifier: Apache-2.0
//! E11: what is for administrators answers on the loopback of a pod only. There is no webhook.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{Neighbour, kubectl, metrics};

fn opens(address: &str, port: u16) -> bool {
    let address: SocketAddr = format!("{address}:{port}").parse().unwrap();
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

#[test]
fn nobody_reaches_the_admin_server_from_outside_of_its_pod() {
    let Some(lab) = super::super::lab() else { return };
    let neighbour = Neighbour::settle(&lab, 1, "", "");
    let pod = &lab.proxy_addresses("edge")[0];
    assert!(opens(pod, 80) && metrics(pod, 15021).contains("torana_config_generation"));
    assert!(!opens(pod, 15000), "the admin server answers at {pod}");
    for port in [15000, 15021] {
        assert!(!opens(&neighbour.address, port), "{port} is reached by the Gateway's address");
    }
    let hooks = "validatingwebhookconfigurations,mutatingwebhookconfigurations";
    assert_eq!(kubectl(&["get", hooks, "-o", "name"]), "", "nobody asked for a webhook");
    neighbour.must_be_unharmed();
}
