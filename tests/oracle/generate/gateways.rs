// SPDX-License-Identifier: Apache-2.0
//! Gateways: servers of every protocol, with ports and hosts that collide.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::words::{GATEWAYS, HOSTS, NAMESPACES, PLAIN_PORTS, TLS_PORTS, object};

#[derive(Clone, Copy)]
enum Server {
    Http,
    Redirect,
    Https,
    Passthrough,
    Tcp,
    Tls,
}

const SERVERS: [(u32, Server); 6] = [
    (24, Server::Http),
    (3, Server::Redirect),
    (10, Server::Https),
    (6, Server::Passthrough),
    (4, Server::Tcp),
    (2, Server::Tls),
];

/// One to three, of any namespace.
pub(super) fn some(dice: &mut Dice) -> Vec<Value> {
    let count = dice.count(1..=3);
    let places = dice.few(count, &GATEWAYS);
    places.into_iter().map(|place| gateway(dice, place)).collect()
}

fn gateway(dice: &mut Dice, place: (&str, &str)) -> Value {
    let servers: Vec<Value> = (0..dice.count(1..=4)).map(|at| server(dice, at)).collect();
    let mut spec = Map::new();
    spec.insert("servers".into(), servers.into());
    match dice.count(0..=29) {
        0..=25 => drop(spec.insert("selector".into(), json!({"istio": "ingressgateway"}))),
        26 => drop(spec.insert("selector".into(), json!({"istio": "ingressgateway", "app": "edge"}))),
        27 => drop(spec.insert("selector".into(), json!({"istio": "egressgateway"}))),
        _ => {}
    }
    object(dice, "Gateway", place, spec)
}

fn server(dice: &mut Dice, at: usize) -> Value {
    let kind = dice.weighted(&SERVERS);
    // Most have ports of their kind; the rest is where the others are.
    let port = match kind {
        _ if dice.chance(6) => dice.pick(&[PLAIN_PORTS[0], PLAIN_PORTS[2], TLS_PORTS[0]]),
        Server::Http | Server::Redirect => dice.pick(&PLAIN_PORTS[..2]),
        Server::Tcp => PLAIN_PORTS[2],
        Server::Https => TLS_PORTS[0],
        Server::Passthrough | Server::Tls => dice.pick(&TLS_PORTS),
    };
    let protocol = match kind {
        Server::Http | Server::Redirect => dice.pick(&["HTTP", "HTTP", "HTTP", "HTTP2", "GRPC", "http"]),
        Server::Https => "HTTPS",
        Server::Passthrough => dice.pick(&["TLS", "HTTPS"]),
        Server::Tcp => "TCP",
        Server::Tls => "TLS",
    };
    // Names are unique, but for few.
    let name = if dice.chance(98) { format!("p{at}") } else { "p0".to_owned() };
    let mut server = Map::new();
    server.insert("port".into(), json!({"number": port, "name": name, "protocol": protocol}));
    server.insert("hosts".into(), hosts(dice));
    if let Some(tls) = tls(dice, kind) {
        server.insert("tls".into(), tls);
    }
    server.into()
}

fn tls(dice: &mut Dice, kind: Server) -> Option<Value> {
    Some(match kind {
        Server::Http | Server::Tcp => return None,
        Server::Redirect => json!({"httpsRedirect": true}),
        Server::Passthrough if dice.chance(20) => json!({}),
        Server::Passthrough => json!({"mode": "PASSTHROUGH"}),
        Server::Https | Server::Tls => {
            let mode = dice.pick(&["SIMPLE", "SIMPLE", "SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"]);
            json!({"mode": mode, "credentialName": "certificate"})
        }
    })
}

fn hosts(dice: &mut Dice) -> Value {
    let count = dice.weighted(&[(6, 1), (3, 2), (1, 3)]);
    let hosts = dice.few(count, &HOSTS);
    hosts.into_iter().map(|host| Value::from(qualified(dice, host))).collect()
}

fn qualified(dice: &mut Dice, host: &str) -> String {
    let namespace = match dice.count(0..=15) {
        0..=12 => return host.to_owned(),
        // `*/*` beside others ends Istio: it is not generated.
        13 if host != "*" => "*",
        14 => ".",
        _ => dice.pick(&NAMESPACES),
    };
    format!("{namespace}/{host}")
}
