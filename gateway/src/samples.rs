// SPDX-License-Identifier: Apache-2.0
//! What several modules' tests are made of: names, a listener on the loopback, a free port.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::Arc;

use arc_swap::ArcSwap;
use torana_ir::{Certificate, CertificateKey, Delta, GatewayId, Listener, ListenerKey, Resource};

use crate::mesh::State;
use crate::upstream::Standing;

/// Where tests listen.
pub(crate) const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A listener of the Gateway `n/g`.
pub(crate) fn listener_key(name: &str) -> ListenerKey {
    ListenerKey { gateway: GatewayId { namespace: "n".into(), name: "g".into() }, set: None, name: name.into() }
}

/// A cleartext listener for every host.
pub(crate) fn listen(name: &str, port: u16) -> Delta {
    let listener = Listener { addresses: vec![LOCAL], ..Listener::new(listener_key(name), port) };
    Delta { upserts: vec![Resource::Listener(Arc::new(listener))], removals: vec![] }
}

/// A self-signed certificate of the Secret `n/name`.
pub(crate) fn certificate(name: &str, hosts: &[&str]) -> Certificate {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(hosts).unwrap();
    let key = CertificateKey { namespace: "n".into(), name: name.into() };
    let (chain, pem) = (made.cert.pem(), made.signing_key.serialize_pem());
    Certificate::from_pem(key, chain.as_bytes(), pem.as_bytes()).unwrap()
}

/// Of a proxy that is in no mesh.
pub(crate) fn nobody() -> Standing {
    Arc::new(ArcSwap::from_pointee(State::Absent))
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((LOCAL, 0)).unwrap().local_addr().unwrap().port()
}
