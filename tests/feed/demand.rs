// SPDX-License-Identifier: Apache-2.0
//! Certificates that are obtained when clients ask for their names: a proxy tells, and its client waits.

use tokio::sync::mpsc;
use torana_ir::wire::{self, Word};
use torana_ir::{Certificate, CertificateKey, Demand, HostPattern, Listener, Protocol, Resource, Snapshot, Tls};
use torana_tests::{Authority, Connection, ports};

use super::proxy::Proxy;
use super::puppet::Puppet;
use super::{Controller, listener_key, snapshot};

const HOST: &str = "shop.example";

fn secret() -> CertificateKey {
    CertificateKey { namespace: "n".to_owned(), name: "shop".to_owned() }
}

/// A listener that obtains its certificates on demand, and this one.
fn program(port: u16, certificate: Option<Certificate>) -> Snapshot {
    let tls = Tls { on_demand: true, ..Tls::new(certificate.iter().map(|it| it.key.clone()).collect()) };
    let listener = Listener {
        addresses: vec![[127, 0, 0, 1].into()],
        hostname: HostPattern::Any,
        protocol: Protocol::Https(tls),
        ..Listener::new(listener_key(), port)
    };
    let certificate = certificate.map(|it| Resource::Certificate(it.into()));
    snapshot(certificate.into_iter().chain([Resource::Listener(listener.into())]).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_waits_while_the_certificate_that_it_asks_for_is_obtained() {
    let (controller, port) = (Controller::start().await, ports::free());
    let (told, mut demands) = mpsc::channel(8);
    controller.hub.hear(told);
    let _proxy = Proxy::start("p", controller.address, &controller.ca);
    controller.publish(1, 1, program(port, None));
    controller.in_force(&["p"]).await;
    let authority = Authority::new();
    let config = authority.client(&["http/1.1"]);
    let client = tokio::task::spawn_blocking(move || Connection::tls(port, HOST, &config).map(drop));
    assert_eq!(demands.recv().await, Demand::new(listener_key(), HOST));
    assert!(!client.is_finished());
    let issued = authority.issue("shop", &[HOST]);
    let certificate = Certificate::from_pem(secret(), issued.chain.as_bytes(), issued.key.as_bytes()).unwrap();
    controller.publish(1, 2, program(port, Some(certificate)));
    client.await.unwrap().expect("a handshake");
    let config = authority.client(&["http/1.1"]);
    let others = tokio::task::spawn_blocking(move || Connection::tls(port, "192.0.2.7", &config).map(drop));
    assert!(others.await.unwrap().is_err(), "whoever asks for no name gets no certificate of another");
    assert!(demands.try_recv().is_err());
}

#[tokio::test]
async fn a_proxy_speaks_for_its_own_listeners_only() {
    let controller = Controller::start().await;
    let (told, mut demands) = mpsc::channel(8);
    controller.hub.hear(told);
    controller.publish(1, 1, program(443, None));
    let mut proxy = Puppet::hello(&controller, "p", vec![]).await;
    proxy.next().await;
    let demand = |listener, host| wire::demand(&Demand::new(listener, host).unwrap());
    let foreign = torana_ir::ListenerKey { name: "another".to_owned(), ..listener_key() };
    proxy.say(Word::Demand(demand(foreign, HOST))).await;
    let senseless = wire::Demand { host: "a b".to_owned(), ..demand(listener_key(), HOST) };
    proxy.say(Word::Demand(senseless)).await;
    proxy.say(Word::Demand(demand(listener_key(), "last.example"))).await;
    assert_eq!(demands.recv().await, Demand::new(listener_key(), "last.example"));
}
