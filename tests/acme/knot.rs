// SPDX-License-Identifier: Apache-2.0
//! Knot DNS on a loopback port: primary server of a few zones, which some keys may update.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;
use torana_controller::acme::dns::{Algorithm, Rfc2136, Solver, Tsig};
use torana_tests::{eventually, ports};

/// May update all zones.
pub(super) const KEYS: [(&str, Algorithm, &str); 3] = [
    ("acme-256.example", Algorithm::HmacSha256, "hmac-sha256"),
    ("acme-384.example", Algorithm::HmacSha384, "hmac-sha384"),
    ("acme-512.example", Algorithm::HmacSha512, "hmac-sha512"),
];
/// Is known, and may update nothing.
pub(super) const STRANGER: &str = "stranger.example";
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// The zones, without their SOA and NS.
const ZONES: [(&str, &str); 3] = [
    (
        "torana.example",
        "@ CAA 0 issue \"letsencrypt.org; validationmethods=dns-01\"\n\
         @ CAA 0 issuewild \";\"\n\
         www A 192.0.2.1\nwww AAAA 2001:db8::1\n\
         alias CNAME other\nother CNAME www\n\
         circle CNAME round\nround CNAME circle\n\
         text TXT \"no address\"\n\
         strict CAA 128 tbs \"Unknown\"\n\
         aliased CNAME strict\n\
         _acme-challenge.app CNAME app.challenges.example.\n\
         far NS ns.elsewhere.example.\n\
         sub NS ns1\n",
    ),
    ("sub.torana.example", ""),
    ("challenges.example", ""),
];

/// A running name server; killed when dropped.
pub(super) struct Knot {
    pub(super) address: SocketAddr,
    child: Child,
    folder: TempDir,
}

impl Knot {
    /// Starts it.
    pub(super) fn start() -> Self {
        let programs = ["/usr/sbin/knotd", "/usr/local/sbin/knotd", "/usr/bin/knotd"];
        let program = programs.into_iter().find(|path| Path::new(path).exists());
        let program = program.expect("Knot DNS is not installed: ./dev setup, or the package knot");
        let (folder, port) = (TempDir::new().unwrap(), ports::free());
        let here = folder.path();
        for (zone, records) in ZONES {
            let text = format!(
                "$ORIGIN {zone}.\n$TTL 1\n@ SOA ns1 admin 1 60 60 3600 1\n@ NS ns1\nns1 A 127.0.0.1\n{records}"
            );
            fs::write(here.join(format!("{zone}.zone")), text).unwrap();
        }
        fs::create_dir(here.join("db")).unwrap();
        fs::write(here.join("knot.conf"), configuration(here, port)).unwrap();
        let log = fs::File::create(here.join("log")).unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(here.join("knot.conf")).stdin(Stdio::null());
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut knot = Self { address: (Ipv4Addr::LOCALHOST, port).into(), child, folder };
        // It listens before its zones are loaded.
        let started = eventually(|| knot.log().contains("server started") || knot.ended());
        assert!(started && !knot.ended(), "{}", knot.log());
        knot
    }

    /// Updates signed with the secret of this key.
    pub(super) fn solver(&self, key_name: &str, algorithm: Algorithm) -> Rfc2136 {
        let tsig = Tsig { key_name: key_name.to_owned(), algorithm, secret: SECRET.to_vec() };
        Rfc2136 { server: self.address.to_string(), zone: None, tsig: Some(tsig), ttl: 60 }
    }

    /// Updates that are taken.
    pub(super) fn trusted(&self) -> Solver {
        let (key_name, algorithm, _) = KEYS[0];
        Solver::Rfc2136(self.solver(key_name, algorithm))
    }

    fn ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            println!("── knotd\n{}", self.log());
        }
    }
}

fn configuration(here: &Path, port: u16) -> String {
    let (here, secret) = (here.display(), STANDARD.encode(SECRET));
    let mut text = format!(
        "server:\n  rundir: {here}\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 2\n  \
         background-workers: 1\n\
         log:\n  - target: stdout\n    any: info\n\
         database:\n  storage: {here}/db\n\
         key:\n  - id: {STRANGER}\n    algorithm: hmac-sha256\n    secret: {secret}\n"
    );
    for (name, _, algorithm) in KEYS {
        write!(text, "  - id: {name}\n    algorithm: {algorithm}\n    secret: {secret}\n").unwrap();
    }
    let keys = KEYS.map(|(name, ..)| name).join(", ");
    write!(text, "acl:\n  - id: update\n    key: [{keys}]\n    action: update\nzone:\n").unwrap();
    for (zone, _) in ZONES {
        write!(text, "  - domain: {zone}\n    file: {here}/{zone}.zone\n    acl: update\n").unwrap();
    }
    text
}
