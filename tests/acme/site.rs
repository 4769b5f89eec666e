// SPDX-License-Identifier: Apache-2.0
//! A Gateway that obtains certificates, where it keeps them, and what handshakes show of them.

use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::ClientConfig;
use serde_json::Value;
use tempfile::TempDir;
use torana_tests::{Backend, Clock, Connection, World, eventually, ports, torana};
use x509_parser::extensions::ParsedExtension;

use super::pebble::Pebble;

/// A host.
pub(super) const HOST: &str = "shop.torana.example";

/// Ports of a Gateway, and where what it obtains is kept.
pub(super) struct Site {
    pub(super) http: u16,
    pub(super) https: u16,
    pub(super) data: TempDir,
}

impl Site {
    pub(super) fn new() -> Self {
        Self { http: ports::free(), https: ports::free(), data: TempDir::new().unwrap() }
    }

    pub(super) fn start(&self, manifests: &str) -> World {
        World::start_with(manifests, &["--data", &self.folder()])
    }

    /// As [`Site::start`], by this clock, with more in its log.
    pub(super) fn start_by(&self, clock: &Clock, manifests: &str) -> World {
        World::start_by(clock, manifests, &["--data", &self.folder(), "--log-level", "info,torana_controller=debug"])
    }

    fn folder(&self) -> String {
        self.data.path().display().to_string()
    }

    /// A Gateway with the annotation and an HTTPS listener for each of `hosts`; with a plain one beside.
    pub(super) fn gateway(&self, hosts: &[&str]) -> String {
        let plain = format!("  - {{name: http, port: {}, protocol: HTTP}}\n", self.http);
        format!("{}{plain}---\n", self.secure(hosts))
    }

    pub(super) fn secure(&self, hosts: &[&str]) -> String {
        let listener = |(at, host): (usize, &&str)| {
            format!(
                "  - {{name: l{at}, port: {}, protocol: HTTPS, hostname: {host:?}, tls: {{certificateRefs: [{{name: \
                 shop-tls}}]}}}}\n",
                self.https
            )
        };
        let listeners: String = hosts.iter().enumerate().map(listener).collect();
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: default, \
             annotations: {{torana.dev/acme: pebble}}}}\nspec:\n  gatewayClassName: torana\n  listeners:\n{listeners}"
        )
    }

    /// What `torana certs` lists, and its exit code.
    pub(super) fn certs(&self) -> (Value, Option<i32>) {
        let listed = torana(["certs", "--data", &self.folder(), "-o", "json"]);
        (serde_json::from_str(&listed.stdout).unwrap(), listed.code)
    }

    /// Has the certificates of `host` renewed by `torana certs renew`; its exit code.
    pub(super) fn renew(&self, host: &str) -> Option<i32> {
        torana(["certs", "--data", &self.folder(), "renew", host]).code
    }

    /// What `torana certs debug` says of `host`.
    pub(super) fn debug(&self, host: &str) -> String {
        torana(["certs", "--data", &self.folder(), "debug", host]).stdout
    }

    /// What is shown to whoever trusts `client`; nothing, if that is not to be trusted.
    pub(super) fn leaf(&self, client: &Arc<ClientConfig>) -> Option<Leaf> {
        Connection::tls(self.https, HOST, client).ok().map(|connection| Leaf::of(&connection))
    }

    pub(super) fn answers(&self, host: &str, client: &Arc<ClientConfig>) -> bool {
        let connection = Connection::tls(self.https, host, client);
        connection.and_then(|mut it| it.get(host, "/")).is_ok_and(|reply| reply.status == 200)
    }
}

/// A certificate as a handshake shows it.
#[derive(Debug)]
pub(super) struct Leaf {
    /// Its public key, DER.
    pub(super) key: Vec<u8>,
    /// From when until when it is valid, in seconds since 1970.
    pub(super) valid: (i64, i64),
    /// Its id (RFC 9773 §4.1).
    pub(super) id: String,
    /// Itself, PEM.
    pub(super) pem: String,
}

impl Leaf {
    /// The one that the server of `connection` has shown.
    pub(super) fn of(connection: &Connection) -> Self {
        let leaf = connection.session().unwrap().peer_certificates().unwrap()[0].clone();
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).unwrap();
        let signer = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(signer) => signer.key_identifier.as_ref(),
            _ => None,
        });
        let parts = [signer.unwrap().0, parsed.raw_serial()].map(|part| URL_SAFE_NO_PAD.encode(part));
        let validity = parsed.validity();
        Self {
            key: parsed.public_key().raw.to_vec(),
            valid: (validity.not_before.timestamp(), validity.not_after.timestamp()),
            id: parts.join("."),
            pem: format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(&leaf)),
        }
    }
}

/// Sends everything to `backend`.
pub(super) fn route(backend: &Backend) -> String {
    World::service("app", backend.port) + &World::catch_all("all", "app")
}

/// Holds that a handshake that everybody may trust follows soon.
pub(super) fn served(site: &Site, (world, pebble): (&World, &Pebble), hosts: &[&str]) {
    let (client, began) = (pebble.client(), Instant::now());
    for host in hosts {
        assert!(eventually(|| site.answers(host, &client)), "{host}: {}\n{}", world.log(), pebble.log());
    }
    println!("{} s", began.elapsed().as_secs_f32());
}
