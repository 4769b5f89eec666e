// SPDX-License-Identifier: Apache-2.0
//! Pure zones compute: no `async`, no clock, no socket. And what a folder may name.

use super::source::{Source, product};

/// Folders and files that decide, and do nothing else.
const PURE: [&str; 48] = [
    "gateway/ir/src/",
    "gateway/src/head/",
    "gateway/src/gate/",
    "gateway/src/route/",
    "gateway/src/session.rs",
    "gateway/src/filter/",
    "gateway/src/tls",
    "gateway/src/mesh/client.rs",
    "gateway/src/mesh/credential.rs",
    "gateway/src/mesh/roots.rs",
    "gateway/src/mesh/server.rs",
    "gateway/src/mesh/spiffe.rs",
    "gateway/src/balance/",
    "gateway/src/table/",
    "gateway/src/fault.rs",
    "gateway/src/address.rs",
    "gateway/src/grpc.rs",
    "gateway/src/trace/attributes.rs",
    "gateway/src/trace/b3.rs",
    "gateway/src/trace/context.rs",
    "gateway/src/trace/ids.rs",
    "gateway/src/trace/w3c.rs",
    "gateway/src/export/encode.rs",
    "controller/src/certificate.rs",
    "controller/src/store",
    "controller/src/report/",
    "controller/src/translate/",
    "controller/src/leader/election",
    "controller/src/status/actual.rs",
    "controller/src/status/changes.rs",
    "controller/src/status/events.rs",
    "controller/src/status/features.rs",
    "controller/src/status/merge.rs",
    "controller/src/status/patches",
    "controller/src/status/queue",
    "controller/src/status/stored.rs",
    "controller/src/provision/desired/",
    "controller/src/issuance/",
    "controller/src/acme/dns/caa.rs",
    "controller/src/acme/dns/excerpt.rs",
    "controller/src/acme/dns/message.rs",
    "controller/src/acme/dns/name.rs",
    "controller/src/acme/dns/tsig.rs",
    "controller/src/feed/acks.rs",
    "controller/src/feed/ca.rs",
    "controller/src/feed/program.rs",
    "controller/src/feed/token.rs",
    "gateway/src/feed/remote/pending.rs",
];
const IMPURE: [&str; 10] = [
    "async ",
    ".await",
    "tokio::",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::fs",
];
/// What may be named only below some folders.
struct Reserved {
    name: &'static str,
    homes: &'static [&'static str],
}

const RESERVED: [Reserved; 6] = [
    Reserved {
        name: "pingora",
        homes: &[
            "gateway/src/io/",
            "gateway/src/http/",
            "gateway/src/upstream/",
            "gateway/src/stream/",
            "gateway/src/listen/",
        ],
    },
    Reserved { name: "torana_gateway", homes: &["controller/cli/src/", "gateway/src/main.rs"] },
    Reserved { name: "kube::", homes: &["crds/src/", "controller/src/"] },
    Reserved { name: "k8s_openapi", homes: &["crds/src/", "controller/src/"] },
    Reserved {
        name: "prost::",
        homes: &[
            "gateway/ir/src/wire/",
            "gateway/src/feed/",
            "gateway/src/mesh/",
            "gateway/src/filter/check",
            "gateway/src/checks/grpc.rs",
            "gateway/src/export/",
            "controller/src/feed/",
            "controller/src/mesh_ca/",
        ],
    },
    Reserved {
        name: "tonic::",
        homes: &[
            "gateway/src/dial/",
            "gateway/src/feed/",
            "gateway/src/mesh/",
            "controller/src/feed/",
            "controller/src/mesh_ca/",
        ],
    },
];

fn impurities(source: &Source) -> Vec<String> {
    if !PURE.iter().any(|zone| source.path.starts_with(zone)) {
        return Vec::new();
    }
    let found = IMPURE.iter().filter(|word| source.code.contains(**word));
    found.map(|word| format!("{}: {word} in a pure zone", source.path)).collect()
}

fn strangers(source: &Source) -> Vec<String> {
    let found = RESERVED.iter().filter(|reserved| {
        let at_home = reserved.homes.iter().any(|home| source.path.starts_with(home));
        !at_home && source.code.contains(reserved.name)
    });
    found.map(|it| format!("{} names {}: only {:?} may", source.path, it.name, it.homes)).collect()
}

#[test]
fn pure_zones_have_no_clock_and_no_socket() {
    let sources = product();
    for zone in PURE {
        assert!(sources.iter().any(|source| source.path.starts_with(zone)), "{zone} is gone: correct this list");
    }
    let found: Vec<String> = sources.iter().flat_map(impurities).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn crates_are_named_only_where_they_belong() {
    let found: Vec<String> = product().iter().flat_map(strangers).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn impurities_and_strangers_are_found() {
    let impure = "use tokio::net::TcpStream;\nasync fn f() { g().await }\n";
    assert_eq!(impurities(&Source::new("gateway/src/route/x.rs", impure)).len(), 4);
    assert_eq!(impurities(&Source::new("gateway/src/http/x.rs", impure)), Vec::<String>::new());
    assert_eq!(strangers(&Source::new("controller/src/x.rs", "use torana_gateway::App;")).len(), 1);
    assert_eq!(strangers(&Source::new("gateway/src/http/x.rs", "use pingora_core::x;")), Vec::<String>::new());
}
