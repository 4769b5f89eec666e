// SPDX-License-Identifier: Apache-2.0
//! Where two answers differ, and which of these differences are known and explained.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::outcome::{Answer, Destination, Forward, Outcome, Target};
use super::scenario::{Call, Protocol, Scenario};

/// What is not the same.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    /// Which call; none: which objects are refused.
    pub(super) call: Option<usize>,
    /// What differs: the kind of outcome, or a field of it.
    pub(super) what: String,
    pub(super) istio: String,
    pub(super) torana: String,
}

/// What is around a difference.
pub(super) struct Seen<'a> {
    pub(super) scenario: &'a Scenario,
    /// None: it is about objects.
    pub(super) call: Option<&'a Call>,
    pub(super) istio: Option<&'a Outcome>,
    pub(super) torana: Option<&'a Outcome>,
    pub(super) difference: &'a Difference,
}

/// A difference that is wanted, or that cannot be avoided.
pub(super) struct Explained {
    /// Whether it is this one.
    pub(super) holds: fn(&Seen) -> bool,
    pub(super) why: &'static str,
}

/// All that may differ.
pub(super) const EXPLAINED: [Explained; 17] = [
    Explained {
        holds: |seen| matches!(seen.istio, Some(Outcome::Undefined(_))),
        why: "Envoy would refuse what Istio makes of it: two chains for one server name, or a redirect of unknown status",
    },
    Explained {
        holds: |seen| seen.call.is_some_and(|call| in_capitals(call, seen)),
        why: "Istio compares the hosts of servers, rules and handshakes letter by letter; names have no case",
    },
    Explained {
        holds: |seen| seen.difference.istio.contains("%REQ(") || seen.difference.istio.contains("%DOWNSTREAM"),
        why: "values of headers with %VARIABLES% are not supported: the field is not sent, and lint says so",
    },
    Explained {
        holds: |seen| seen.call.is_none() && seen.difference.torana.is_empty() && mesh_of_all(seen),
        why: "hosts [*] for the mesh: Istio refuses it, Torana may serve it at a Gateway that asks for such (and says so)",
    },
    Explained {
        holds: |seen| {
            let Some(call) = seen.call else { return false };
            let lists = listing(call, seen.scenario);
            match (seen.istio, seen.torana) {
                (Some(Outcome::Stream(_)), Some(Outcome::Closed)) => lists.len() > 1 || !lists.contains(&true),
                (Some(Outcome::Stream(_)), Some(Outcome::Stream(_))) => {
                    lists.contains(&false) && call.protocol == Protocol::Tls
                }
                _ => false,
            }
        },
        why: "TLS that is passed on: Istio serves every name of a VirtualService that shares one with a server, Torana what \
              the server lists, and of several servers the one that lists the name most narrowly",
    },
    Explained {
        holds: |seen| seen.call.is_some_and(|call| call.protocol == Protocol::Https && call.sni.is_none()),
        why: "a client that names no server: Istio asks the server of every name alone, Torana routes by the request's host",
    },
    Explained {
        holds: |seen| {
            let to_https = matches!(seen.torana, Some(Outcome::Redirect { status: 301, location, .. }) if location.starts_with("https:"));
            to_https && redirects_within(seen.scenario)
        },
        why: "httpsRedirect of a host with a namespace before it: Istio's is dead where no VirtualService has the host",
    },
    Explained {
        holds: |seen| {
            redirects(seen)
                .is_some_and(|(one, other)| one.starts_with("https:") && one.replacen(":80/", "/", 1) == *other)
        },
        why: "httpsRedirect: Istio sends whoever wrote port 80 to https at port 80",
    },
    Explained {
        holds: |seen| {
            let both = seen.call.is_some_and(|call| shares(call, seen.scenario, true));
            both && seen.difference.what == "outcome"
        },
        why: "in the clear after TLS on one port: Istio serves both, and takes for bytes what no server of TLS has; at \
              Torana the first server's way to begin holds for the port",
    },
    Explained {
        holds: |seen| {
            seen.call.is_some_and(|call| shares(call, seen.scenario, false)) && seen.difference.what == "outcome"
        },
        why: "TLS that is passed on, that ends for requests and that ends for bytes on one port, with hosts in common: Istio \
              goes by the names that VirtualServices list, Torana by those of the servers",
    },
    Explained {
        holds: |seen| {
            let lost = |target: &Target| target.destination == Destination::Unknown;
            let lost = matches!(seen.torana, Some(Outcome::Forward(forward)) if forward.targets.iter().any(lost));
            lost && seen.difference.what == "hash"
        },
        why: "what leads nowhere is hashed by nothing",
    },
    Explained {
        holds: |seen| matches!(seen.torana, Some(Outcome::Misdirected)),
        why: "the host is another server's than the one that TLS was set up for: Torana answers 421 (RFC 9110, 7.4)",
    },
    Explained {
        holds: |seen| matches!((seen.istio, seen.torana), (Some(Outcome::NoListener), Some(Outcome::Closed))),
        why: "nothing is routed from a server of bytes: Istio does not listen, Torana listens and closes",
    },
    Explained {
        holds: |seen| {
            matches!(&*seen.difference.what, "targets" | "hash" | "outcome" | "mirrors" | "retries")
                && is_described_twice(seen)
        },
        why: "a host of several ServiceEntries, or of a Service too: Istio takes its ports, its clusters and its DestinationRule from one or \
              another of them, Torana all from the one that is in force",
    },
    Explained {
        holds: |seen| {
            redirects(seen).is_some_and(|(one, other)| {
                let usual = |text: &str| text.replacen(":80/", "/", 1).replacen(":443/", "/", 1);
                one.starts_with("http:") && usual(one) == usual(other)
            })
        },
        why: "ports 80 and 443 of http: whether Istio writes them depends on the first server of the port, at which \
              httpsRedirect counts as TLS; Torana leaves out 80 and no other",
    },
    Explained {
        holds: |seen| {
            let host = seen.call.map(|call| call.host.to_lowercase()).unwrap_or_default();
            let named = host.strip_suffix('.').zip(redirects(seen));
            named.is_some_and(|(named, (one, other))| one.replacen(&host, named, 1) == *other)
        },
        why: "the dot at the end of a name is no part of it: Torana redirects to the name without it",
    },
    Explained {
        holds: |seen| {
            let by_dns = |host: &str| {
                seen.scenario.istio.iter().any(|object| {
                    let resolution = object["spec"]["resolution"].as_str().unwrap_or_default();
                    let hosts = object["spec"]["hosts"].as_array().map(Vec::as_slice).unwrap_or_default();
                    resolution.starts_with("DNS") && hosts.iter().any(|it| it == host)
                })
            };
            let is_part = |destination: &Destination| matches!(destination, Destination::Known { host, subset: Some(_), .. } if by_dns(host));
            destinations(seen.istio).contains(&Destination::Unknown) && destinations(seen.torana).iter().any(is_part)
        },
        why: "a subset of a host of DNS that no endpoint belongs to: Istio makes no cluster, Torana a backend without \
              endpoints; both answer 503",
    },
];

/// Where both redirect to, if both do.
fn redirects<'s>(seen: &Seen<'s>) -> Option<(&'s str, &'s str)> {
    match (seen.istio, seen.torana) {
        (Some(Outcome::Redirect { location: one, .. }), Some(Outcome::Redirect { location: other, .. })) => {
            Some((one, other))
        }
        _ => None,
    }
}

/// Where requests go, and copies of them.
fn destinations(outcome: Option<&Outcome>) -> Vec<Destination> {
    match outcome {
        Some(Outcome::Forward(forward)) => {
            let mirrors = forward.mirrors.iter().map(|(destination, _)| destination);
            forward.targets.iter().map(|target| &target.destination).chain(mirrors).cloned().collect()
        }
        Some(Outcome::Stream(targets)) => targets.iter().map(|target| target.destination.clone()).collect(),
        _ => Vec::new(),
    }
}

/// Whether the call may go to a host that several ServiceEntries describe.
fn is_described_twice(seen: &Seen) -> bool {
    let destinations = [destinations(seen.istio), destinations(seen.torana)].concat();
    let describes = |object: &Value, host: &str| {
        let hosts = object["spec"]["hosts"].as_array().map(Vec::as_slice).unwrap_or_default();
        object["kind"] == "ServiceEntry" && hosts.iter().any(|it| it == host)
    };
    destinations.iter().any(|destination| match destination {
        Destination::Known { host, .. } => {
            let is_service = |object: &&Value| {
                let (name, namespace) = (&object["metadata"]["name"], &object["metadata"]["namespace"]);
                let whole =
                    name.as_str().zip(namespace.as_str()).map(|(it, at)| format!("{it}.{at}.svc.cluster.local"));
                object["kind"] == "Service" && whole.as_ref() == Some(host)
            };
            let services = seen.scenario.kubernetes.iter().filter(is_service).count();
            services + seen.scenario.istio.iter().filter(|object| describes(object, host)).count() > 1
        }
        Destination::Unknown => false,
    })
}

/// Whether a server redirects hosts with a namespace before them.
fn redirects_within(scenario: &Scenario) -> bool {
    let mut servers = scenario.istio.iter().filter_map(|object| object["spec"]["servers"].as_array()).flatten();
    servers.any(|server| {
        let mut hosts = server["hosts"].as_array().into_iter().flatten().filter_map(Value::as_str);
        server["tls"]["httpsRedirect"] == true && hosts.any(|host| host.contains('/'))
    })
}

/// Whether they list its server name, of all servers with TLS at the call's port.
fn listing(call: &Call, scenario: &Scenario) -> Vec<bool> {
    let name = call.sni.as_deref().unwrap_or_default().to_lowercase();
    let servers = scenario.istio.iter().filter_map(|object| object["spec"]["servers"].as_array()).flatten();
    let here = servers.filter(|server| server["port"]["number"] == call.port && server["tls"].is_object());
    let covers = |host: &str| match host.strip_prefix('*') {
        None => host.to_lowercase() == name,
        Some(end) => name.ends_with(&end.to_lowercase()) && name.len() > end.len(),
    };
    let list = |server: &Value| {
        let hosts = server["hosts"].as_array().into_iter().flatten();
        hosts.filter_map(|host| host.as_str()?.rsplit('/').next()).any(covers)
    };
    here.map(list).collect()
}

/// Whether all that Istio alone refuses is for every host of the mesh.
fn mesh_of_all(seen: &Seen) -> bool {
    [&*seen.difference.istio].iter().all(|name| {
        let mut parts = name.split('/');
        let (kind, namespace, own) = (parts.next(), parts.next(), parts.next());
        seen.scenario.istio.iter().any(|object| {
            let is_it = object["kind"].as_str() == kind
                && object["metadata"]["namespace"].as_str() == namespace
                && object["metadata"]["name"].as_str() == own;
            let says = |field: &str, text: &str| {
                object["spec"][field].as_array().is_some_and(|list| list.iter().any(|it| it == text))
            };
            let mesh = object["spec"]["gateways"].as_array().is_none_or(Vec::is_empty) || says("gateways", "mesh");
            is_it && kind == Some("VirtualService") && says("hosts", "*") && mesh
        })
    })
}

/// Whether servers of the call's port begin in different ways: some in the clear and some with TLS; or, of those with TLS,
/// some pass it on, some end it for requests, some for bytes.
fn shares(call: &Call, scenario: &Scenario, in_the_clear: bool) -> bool {
    let servers = scenario.istio.iter().filter_map(|object| object["spec"]["servers"].as_array()).flatten();
    let here = servers.filter(|server| server["port"]["number"] == call.port);
    let mut plain = false;
    let mut of_tls = BTreeSet::new();
    for server in here {
        let protocol = server["port"]["protocol"].as_str().unwrap_or_default().to_uppercase();
        let passes = matches!(server["tls"]["mode"].as_str(), None | Some("PASSTHROUGH"));
        match &*protocol {
            "HTTPS" | "TLS" if passes => drop(of_tls.insert("passed on")),
            "HTTPS" => drop(of_tls.insert("requests")),
            "TLS" => drop(of_tls.insert("bytes")),
            _ => plain = true,
        }
    }
    if in_the_clear { plain && !of_tls.is_empty() } else { of_tls.len() > 1 }
}

/// Whether an object writes the host of the call with other letters, or looks at an authority that the call does. Bytes
/// without a name may be for any host.
fn in_capitals(call: &Call, seen: &Seen) -> bool {
    // A handshake may be for one host of a server, and the request in it for another.
    let names = call.sni.iter().chain([&call.host]).map(|name| name.split(':').next().unwrap_or_default());
    let names: Vec<_> = names.collect();
    let is_loud = call.host.bytes().any(|byte| byte.is_ascii_uppercase());
    let are_bytes = matches!(seen.istio, Some(Outcome::Stream(_))) || matches!(seen.torana, Some(Outcome::Stream(_)));
    let loud_hosts = |object: &Value| {
        let servers = object["spec"]["servers"].as_array().into_iter().flatten();
        let hosts = servers.map(|server| &server["hosts"]).chain([&object["spec"]["hosts"]]);
        hosts.map(ToString::to_string).any(|text| text.chars().any(|it| it.is_ascii_uppercase()))
    };
    seen.scenario.istio.iter().any(|object| {
        names.iter().any(|name| capitals(&object["spec"], name))
            || (is_loud && object["spec"].to_string().contains("\"authority\":{"))
            || (are_bytes && loud_hosts(object))
    })
}

fn capitals(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => {
            let host = text.rsplit('/').next().unwrap_or(text);
            host.eq_ignore_ascii_case(name) && host.bytes().any(|byte| byte.is_ascii_uppercase())
        }
        Value::Array(members) => members.iter().any(|member| capitals(member, name)),
        Value::Object(fields) => fields.values().any(|field| capitals(field, name)),
        _ => false,
    }
}

/// Every difference, those that are explained with the place of their explanation in [`EXPLAINED`].
pub(super) fn differences(scenario: &Scenario, istio: &Answer, torana: &Answer) -> Vec<(Difference, Option<usize>)> {
    let mut found = Vec::new();
    if istio.rejected != torana.rejected {
        let refused = |istio: &str, torana: &str| Difference {
            call: None,
            what: "refused by one alone".to_owned(),
            istio: istio.to_owned(),
            torana: torana.to_owned(),
        };
        found.extend(without(&istio.rejected, &torana.rejected).map(|object| refused(object, "")));
        found.extend(without(&torana.rejected, &istio.rejected).map(|object| refused("", object)));
    }
    if istio.outcomes.len() != torana.outcomes.len() {
        let (istio, torana) = (istio.outcomes.len().to_string(), torana.outcomes.len().to_string());
        found.push(Difference { call: None, what: "calls".to_owned(), istio, torana });
    }
    for (at, (one, other)) in istio.outcomes.iter().zip(&torana.outcomes).enumerate() {
        found.extend(outcomes(one, other).into_iter().map(|(what, istio, torana)| Difference {
            call: Some(at),
            what: what.to_owned(),
            istio,
            torana,
        }));
    }
    let explained = |difference: Difference| {
        let call = difference.call.and_then(|at| scenario.calls.get(at));
        let of = |answer: &'_ Answer| difference.call.and_then(|at| answer.outcomes.get(at).cloned());
        let (istio, torana) = (of(istio), of(torana));
        let seen = Seen { scenario, call, istio: istio.as_ref(), torana: torana.as_ref(), difference: &difference };
        let reason = EXPLAINED.iter().position(|explained| (explained.holds)(&seen));
        (difference, reason)
    };
    found.into_iter().map(explained).collect()
}

/// Those that only the first has.
fn without<'s>(some: &'s [String], others: &'s [String]) -> impl Iterator<Item = &'s str> {
    some.iter().filter(|it| !others.contains(it)).map(String::as_str)
}

/// What differs, and both sides of it.
type Pair = (&'static str, String, String);

fn outcomes(istio: &Outcome, torana: &Outcome) -> Vec<Pair> {
    match (istio, torana) {
        (Outcome::Forward(istio), Outcome::Forward(torana)) => forwards(istio, torana),
        _ if istio == torana => Vec::new(),
        _ => vec![("outcome", format!("{istio:?}"), format!("{torana:?}"))],
    }
}

fn forwards(istio: &Forward, torana: &Forward) -> Vec<Pair> {
    let mut found = Vec::new();
    let lost = |forward: &Forward| forward.targets.iter().all(|target| target.destination == Destination::Unknown);
    if lost(istio) && lost(torana) {
        // Both answer 503, whatever else they would do.
        return found;
    }
    macro_rules! field {
        ($name:ident) => {
            if istio.$name != torana.$name {
                found.push((stringify!($name), format!("{:?}", istio.$name), format!("{:?}", torana.$name)));
            }
        };
    }
    field!(targets);
    field!(path);
    field!(authority);
    field!(timeout);
    field!(retries);
    field!(hash);
    field!(request);
    field!(response);
    field!(cors);
    field!(fault);
    field!(mirrors);
    found
}

/// A difference as people read it, with the call.
pub(super) fn told(scenario: &Scenario, difference: &Difference) -> String {
    let mut text = String::new();
    if let Some(call) = difference.call.and_then(|at| scenario.calls.get(at)) {
        let sni = call.sni.as_deref().map(|sni| format!(" (server name {sni})")).unwrap_or_default();
        let (protocol, method) = (call.protocol.word(), &call.method);
        let _ = writeln!(text, "{method} {protocol}://{} {} on port {}{sni}", call.host, call.path, call.port);
        for (name, value) in &call.headers {
            let _ = writeln!(text, "  {name}: {value}");
        }
    }
    let _ = writeln!(text, "{}\n  Istio:  {}\n  Torana: {}", difference.what, difference.istio, difference.torana);
    text
}

#[cfg(test)]
mod tests {
    use super::super::outcome::{Target, shares};
    use super::*;

    fn target(host: &str, weight: u32) -> Target {
        let destination = Destination::Known { host: host.to_owned(), port: 80, subset: None };
        let (request, response) = (Vec::new(), Vec::new());
        Target { destination, weight, request, response, authority: None }
    }

    fn answer(outcomes: Vec<Outcome>) -> Answer {
        Answer { rejected: Vec::new(), outcomes }
    }

    #[test]
    fn shares_are_the_same_whatever_their_sum_and_order() {
        let (one, other) =
            (vec![target("a", 50), target("b", 25)], vec![target("b", 1), target("a", 1), target("a", 1)]);
        assert_eq!(shares(one), shares(other));
        assert_ne!(shares(vec![target("a", 1), target("b", 2)]), shares(vec![target("a", 2), target("b", 1)]));
    }

    #[test]
    fn the_same_outcome_is_no_difference_and_another_is() {
        let scenario = super::super::generate::scenario(1, 1);
        let (one, other) = (answer(vec![Outcome::NoRoute]), answer(vec![Outcome::NoListener]));
        assert_eq!(differences(&scenario, &one, &one), []);
        let found = differences(&scenario, &one, &other);
        assert!(matches!(&found[..], [(Difference { call: Some(0), .. }, None)]), "{found:?}");
    }

    #[test]
    fn what_envoy_would_refuse_is_explained() {
        let scenario = super::super::generate::scenario(1, 1);
        let (one, other) = (answer(vec![Outcome::Undefined("x".to_owned())]), answer(vec![Outcome::NoRoute]));
        assert!(matches!(&differences(&scenario, &one, &other)[..], [(_, Some(0))]));
    }
}
