// SPDX-License-Identifier: Apache-2.0
//! Requests that are aimed at what a configuration holds, and at its neighbours.

use serde_json::{Map, Value};

use super::dice::Dice;
use super::matches::PATHS;
use super::place;
use super::virtual_services::covers;
use super::words::{EXPRESSIONS, HOSTS, PLAIN_PORTS, TLS_PORTS};
use crate::oracle::scenario::{Call, Protocol};

/// A server of a Gateway, as a client sees it.
struct Server {
    /// Of its Gateway.
    place: (String, String),
    port: u16,
    protocol: Protocol,
    /// Without namespaces.
    hosts: Vec<String>,
}

/// What a call can be aimed at.
struct Targets<'a> {
    servers: Vec<Server>,
    /// Objects with hosts.
    roots: Vec<&'a Value>,
    /// Those of them that some server should serve.
    served: Vec<&'a Value>,
    /// Objects without.
    delegates: Vec<&'a Value>,
}

/// So many calls to a gateway that has these objects.
pub(super) fn some(dice: &mut Dice, objects: &[Value], count: usize) -> Vec<Call> {
    let targets = targets(objects);
    (0..count).map(|_| call(dice, &targets)).collect()
}

fn targets(objects: &[Value]) -> Targets<'_> {
    let of = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
    // What another pod serves is hardly worth a call.
    let ours = |gateway: &&Value| gateway["spec"]["selector"]["istio"] != "egressgateway";
    let servers = of("Gateway").filter(ours).flat_map(|gateway| {
        let place = place(gateway);
        list(&gateway["spec"]["servers"]).iter().filter_map(move |found| server(found, &place))
    });
    let servers: Vec<Server> = servers.collect();
    let (roots, delegates): (Vec<_>, _) =
        of("VirtualService").partition(|object| object["spec"].get("hosts").is_some());
    let served = |root: &&&Value| servers.iter().any(|server| serves(server, root));
    let served = roots.iter().filter(served).copied().collect();
    Targets { servers, roots, served, delegates }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn server(server: &Value, place: &(String, String)) -> Option<Server> {
    let port = u16::try_from(server["port"]["number"].as_u64()?).ok()?;
    let protocol = match (server["port"]["protocol"].as_str()?, server["tls"]["mode"].as_str()) {
        ("TCP", _) => Protocol::Tcp,
        ("HTTPS", Some("SIMPLE" | "MUTUAL" | "OPTIONAL_MUTUAL")) => Protocol::Https,
        ("TLS" | "HTTPS", _) => Protocol::Tls,
        _ => Protocol::Http,
    };
    let hosts = list(&server["hosts"]).iter().filter_map(Value::as_str);
    let hosts = hosts.map(|host| host.rsplit('/').next().unwrap_or(host).to_owned()).collect();
    Some(Server { place: place.clone(), port, protocol, hosts })
}

fn call(dice: &mut Dice, targets: &Targets) -> Call {
    let roots = if targets.served.is_empty() || dice.chance(10) { &targets.roots } else { &targets.served };
    let root = (!roots.is_empty() && dice.chance(90)).then(|| dice.pick(roots));
    let host = host(dice, root, targets);
    let (port, protocol) = door(dice, root, &host, targets);
    let conditions = root.map(|root| aim(dice, root, targets)).unwrap_or_default();
    let mut call =
        Call { port, protocol, sni: None, host, method: "GET".into(), path: "/".into(), headers: Vec::new() };
    call.path = path(dice, &conditions);
    headers(dice, &conditions, &mut call.headers);
    if let Some(method) = text(dice, &conditions, "method") {
        call.method = if method.is_empty() { "GET".into() } else { method };
    }
    if matches!(protocol, Protocol::Https | Protocol::Tls) && dice.chance(96) {
        let other = dice.pick(&HOSTS);
        let name = if dice.chance(94) { call.host.clone() } else { instance(dice, other) };
        call.sni = Some(name.split(':').next().unwrap_or_default().to_lowercase());
    }
    if let Some(authority) = text(dice, &conditions, "authority").filter(|authority| authority.contains('.')) {
        call.host = authority;
    } else if dice.chance(12) {
        call.host = format!("{}:{}", call.host, dice.pick(&[80, 443, 8080]));
    }
    call
}

/// A host that the object has, or a server, or anybody.
fn host(dice: &mut Dice, root: Option<&Value>, targets: &Targets) -> String {
    let mut named: Vec<&str> =
        root.map_or(&[][..], |root| list(&root["spec"]["hosts"])).iter().filter_map(Value::as_str).collect();
    if named.is_empty() || (named.contains(&"*") && dice.chance(70)) {
        let bound = |server: &&Server| root.is_none_or(|root| binds(root, &server.place));
        named.extend(targets.servers.iter().filter(bound).flat_map(|server| &server.hosts).map(String::as_str));
    }
    if named.is_empty() || dice.chance(5) {
        named = HOSTS.to_vec();
    }
    let host = dice.pick(&named).to_owned();
    let host = instance(dice, &host);
    if dice.chance(4) { host.to_uppercase() } else { host }
}

/// A name that a pattern of hosts covers; seldom one that it just does not.
fn instance(dice: &mut Dice, pattern: &str) -> String {
    match pattern.strip_prefix('*') {
        None => pattern.to_owned(),
        Some("") => dice.pick(&["a.example.com", "x.a.example.com", "localhost", "other.test"]).to_owned(),
        Some(suffix) if dice.chance(10) => suffix.trim_start_matches('.').to_owned(),
        Some(suffix) => format!("{}{suffix}", dice.pick(&["x", "a", "z.y"])),
    }
}

/// Port and protocol of a server that should have the host, and the object; seldom of any, or of none.
fn door(dice: &mut Dice, root: Option<&Value>, host: &str, targets: &Targets) -> (u16, Protocol) {
    let has = |server: &&Server| {
        let covers = |of: &String| of == host || of.strip_prefix('*').is_some_and(|suffix| host.ends_with(suffix));
        server.hosts.iter().any(covers)
            && root.is_none_or(|root| binds(root, &server.place) && says(root, server.protocol))
    };
    let mut open: Vec<&Server> = targets.servers.iter().filter(has).collect();
    if open.is_empty() || dice.chance(8) {
        open = targets.servers.iter().collect();
    }
    let protocols = [Protocol::Http, Protocol::Https, Protocol::Tls, Protocol::Tcp];
    if open.is_empty() || dice.chance(3) {
        let port = if dice.chance(50) { dice.pick(&PLAIN_PORTS) } else { dice.pick(&TLS_PORTS) };
        return (port, dice.pick(&protocols));
    }
    let server = dice.pick(&open);
    (server.port, if dice.chance(97) { server.protocol } else { dice.pick(&protocols) })
}

/// Whether the server should do what the object says.
fn serves(server: &Server, root: &Value) -> bool {
    let overlap = |of: &str| server.hosts.iter().any(|host| covers(host, of) || covers(of, host));
    let hosts = list(&root["spec"]["hosts"]).iter().filter_map(Value::as_str);
    binds(root, &server.place) && says(root, server.protocol) && hosts.into_iter().any(overlap)
}

/// Whether the object has rules for such a server.
fn says(root: &Value, protocol: Protocol) -> bool {
    let has = |section: &str| root["spec"].get(section).is_some();
    match protocol {
        Protocol::Http | Protocol::Https => has("http"),
        Protocol::Tls => has("tls") || has("tcp"),
        Protocol::Tcp => has("tcp"),
    }
}

/// Whether the object names the Gateway, in any form.
fn binds(root: &Value, (of, name): &(String, String)) -> bool {
    let (own, _) = place(root);
    let forms = [format!("{of}/{name}"), format!("{name}.{of}.svc.cluster.local")];
    let names = list(&root["spec"]["gateways"]).iter().filter_map(Value::as_str);
    let mut names = names.map(|written| if &own == of { written.trim_start_matches("./") } else { written });
    names.any(|written| forms.iter().any(|form| form == written) || (&own == of && written == name))
}

/// The conditions of one match of the object; where it delegates, with those of one that is delegated to.
fn aim(dice: &mut Dice, root: &Value, targets: &Targets) -> Map<String, Value> {
    let (mut conditions, rule) = one(dice, root);
    if let Some(name) = rule.and_then(|rule| rule["delegate"]["name"].as_str()) {
        let named: Vec<&Value> =
            targets.delegates.iter().filter(|it| it["metadata"]["name"] == name).copied().collect();
        if !named.is_empty() {
            let delegate = dice.pick(&named);
            let (narrower, _) = one(dice, delegate);
            conditions.extend(narrower);
        }
    }
    conditions
}

/// One match of one rule, and the rule.
fn one<'a>(dice: &mut Dice, object: &'a Value) -> (Map<String, Value>, Option<&'a Value>) {
    let rules: Vec<&Value> = list(&object["spec"]["http"]).iter().collect();
    if rules.is_empty() {
        return (Map::new(), None);
    }
    let rule = dice.pick(&rules);
    let matches: Vec<&Value> = list(&rule["match"]).iter().collect();
    let conditions = if matches.is_empty() { None } else { dice.pick(&matches).as_object() };
    (conditions.cloned().unwrap_or_default(), Some(rule))
}

/// A text that most likely satisfies the condition of that name, if there is one.
fn text(dice: &mut Dice, conditions: &Map<String, Value>, name: &str) -> Option<String> {
    let wanted = conditions.get(name)?;
    dice.chance(85).then(|| sample(dice, wanted))
}

fn sample(dice: &mut Dice, wanted: &Value) -> String {
    if let Some(exact) = wanted["exact"].as_str() {
        return exact.to_owned();
    }
    if let Some(prefix) = wanted["prefix"].as_str() {
        return format!("{prefix}{}", dice.pick(&["", "", "x", "1"]));
    }
    let expression = wanted["regex"].as_str().unwrap_or("*");
    let samples =
        EXPRESSIONS.iter().find(|(known, _)| *known == expression).map_or(&["any"][..], |(_, samples)| samples);
    dice.pick(samples).to_owned()
}

/// Always begins with `/`; what it stands beside is often one byte away.
fn path(dice: &mut Dice, conditions: &Map<String, Value>) -> String {
    let aimed = dice.chance(88);
    let known = conditions.get("uri").filter(|_| aimed).map(|uri| sample(dice, uri));
    let mut path = known.unwrap_or_else(|| dice.pick(&PATHS).to_owned());
    match dice.count(0..=11) {
        0 => path.push('x'),
        1 => path.push_str("/x"),
        2 => path.push('/'),
        3 => path = path.to_uppercase(),
        4 => drop(path.pop()),
        _ => {}
    }
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
    if let Some(query) = query(dice, conditions) {
        path = format!("{path}?{query}");
    }
    path
}

/// Parameters that are asked for, some twice, some without value; seldom others.
fn query(dice: &mut Dice, conditions: &Map<String, Value>) -> Option<String> {
    let mut pairs = Vec::new();
    for (name, wanted) in conditions.get("queryParams").and_then(Value::as_object).into_iter().flatten() {
        if dice.chance(88) {
            let value = sample(dice, wanted).trim().to_owned();
            pairs.push(if value.is_empty() && dice.chance(50) { name.clone() } else { format!("{name}={value}") });
            if dice.chance(15) {
                pairs.push(format!("{name}=again"));
            }
        }
    }
    if dice.chance(8) {
        pairs.insert(0, dice.pick(&["q=zzz", "r", "other=1"]).to_owned());
    }
    (!pairs.is_empty()).then(|| pairs.join("&"))
}

fn headers(dice: &mut Dice, conditions: &Map<String, Value>, found: &mut Vec<(String, String)>) {
    for (part, percent) in [("headers", 88), ("withoutHeaders", 30)] {
        for (name, wanted) in conditions.get(part).and_then(Value::as_object).into_iter().flatten() {
            if dice.chance(percent) {
                found.push((name.clone(), sample(dice, wanted).trim().to_owned()));
                if dice.chance(6) {
                    found.push((name.clone(), "again".to_owned()));
                }
            }
        }
    }
    if dice.chance(6) {
        found.push(("x-user".to_owned(), dice.pick(&["a", "zzz"]).to_owned()));
    }
}
