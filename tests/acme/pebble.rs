// SPDX-License-Identifier: Apache-2.0
//! Pebble, the authority that Let's Encrypt tests with, and its name server, which leads every name here.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use torana_tests::{Authority, Connection, Process, Reply, ports};

/// What is special about a Pebble.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manner {
    /// Of a hundred nonces so many are refused.
    pub(crate) bad_nonces: u8,
    /// Accounts are of customers only: with this key, base64url.
    pub(crate) external: Option<(&'static str, &'static str)>,
    /// Another name server than its own.
    pub(crate) names: Option<std::net::SocketAddr>,
    /// Where its own leads every name, unless that is here.
    pub(crate) address: Option<std::net::Ipv4Addr>,
    /// The folder of a newer one than the machine's, of [`newer`]: it tells when certificates are to be renewed.
    pub(crate) newer: Option<PathBuf>,
    /// Profiles that the newer one has, and for how many seconds their certificates are valid.
    pub(crate) profiles: &'static [(&'static str, u32)],
}

/// The folder of the Pebble that `./dev acme` builds. Nothing, and it says so, where it was not built.
pub(crate) fn newer() -> Option<PathBuf> {
    let folder = std::env::var_os("TORANA_PEBBLE").map(PathBuf::from);
    if folder.is_none() {
        println!("SKIPPED: there is no newer Pebble; ./dev acme");
    }
    folder
}

impl Manner {
    /// A program of it.
    fn program(&self, name: &str) -> Command {
        Command::new(self.newer.as_ref().map_or_else(|| name.into(), |folder| folder.join(name)))
    }

    /// What its configuration says beside ports and certificate.
    fn settings(&self) -> Value {
        let valid =
            |&(name, seconds): &(&str, u32)| (name.to_owned(), json!({"description": name, "validityPeriod": seconds}));
        let profiles: serde_json::Map<_, _> = self.profiles.iter().map(valid).collect();
        let mut keys = serde_json::Map::new();
        keys.extend(self.external.map(|(id, key)| (id.to_owned(), key.into())));
        json!({
            "ocspResponderURL": "",
            "externalAccountBindingRequired": self.external.is_some(),
            "externalAccountMACKeys": keys,
            "profiles": profiles,
        })
    }
}

/// A running Pebble.
pub(crate) struct Pebble {
    /// Its directory.
    pub(crate) directory: String,
    /// Vouches for Pebble's own HTTPS.
    pub(crate) authority: Authority,
    /// Where it listens, on 127.0.0.1.
    pub(crate) port: u16,
    management: u16,
    /// Where its name server is told what to say.
    names: u16,
    /// Its name server.
    pub(crate) dns: u16,
    folder: TempDir,
    _server: Process,
    _names: Process,
}

impl Pebble {
    /// One that looks at these ports for answers.
    pub(crate) fn start(http: u16, tls: u16) -> Self {
        Self::with(http, tls, &Manner::default())
    }

    pub(crate) fn with(http: u16, tls: u16, manner: &Manner) -> Self {
        let (folder, authority) = (TempDir::new().unwrap(), Authority::new());
        let [port, management, names, dns] = [(); 4].map(|()| ports::free());
        let here = folder.path();
        let certificate = authority.issue("pebble", &["localhost"]);
        fs::write(here.join("chain.pem"), &certificate.chain).unwrap();
        fs::write(here.join("key.pem"), &certificate.key).unwrap();
        let mut settings = manner.settings();
        settings["listenAddress"] = format!("127.0.0.1:{port}").into();
        settings["managementListenAddress"] = format!("127.0.0.1:{management}").into();
        settings["certificate"] = json!(here.join("chain.pem"));
        settings["privateKey"] = json!(here.join("key.pem"));
        (settings["httpPort"], settings["tlsPort"]) = (http.into(), tls.into());
        fs::write(here.join("pebble.json"), json!({"pebble": settings}).to_string()).unwrap();
        let mut command = manner.program("pebble-challtestsrv");
        command.args(["-management", &format!("127.0.0.1:{names}")]);
        // The newer one can answer over HTTPS, too, and calls the flag otherwise.
        let flag = if manner.newer.is_some() { &["-doh", "", "-dnsserver"][..] } else { &["-dns01"] };
        command.args(flag).arg(format!("127.0.0.1:{dns}"));
        command.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        let address = manner.address.unwrap_or(std::net::Ipv4Addr::LOCALHOST).to_string();
        command.args(["-defaultIPv4", &address, "-defaultIPv6", ""]);
        let name_server = Process::start(&mut command, &here.join("names.log"), names);
        let asked = manner.names.map_or_else(|| format!("127.0.0.1:{dns}"), |at| at.to_string());
        let mut command = manner.program("pebble");
        command.arg("-config").arg(here.join("pebble.json")).args(["-dnsserver", &asked]);
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", manner.bad_nonces.to_string());
        let server = Process::start(&mut command, &here.join("pebble.log"), port);
        let directory = format!("https://localhost:{port}/dir");
        Self { directory, authority, port, management, names, dns, folder, _server: server, _names: name_server }
    }

    /// The manifest of a ClusterAcmeIssuer for it. It is not looked first whether names lead here: only Pebble's own name
    /// server says so.
    pub(crate) fn issuer(&self, name: &str, more: &str) -> String {
        format!(
            "apiVersion: torana.dev/v1alpha1\nkind: ClusterAcmeIssuer\nmetadata: {{name: {name}}}\nspec: {{directory: \
             {:?}, selfCheck: Skip, caBundle: {:?}{more}}}\n---\n",
            self.directory,
            self.authority.root_pem()
        )
    }

    /// Trusts what it signs.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        trusting(self.ask(self.management, "/roots/0", "").text().as_bytes())
    }

    /// The answer to `GET path`; to `POST path`, if there is a body.
    fn ask(&self, port: u16, path: &str, body: &str) -> Reply {
        let mut connection = Connection::tls(port, "localhost", &self.authority.client(&["http/1.1"])).unwrap();
        let (method, length) = (if body.is_empty() { "GET" } else { "POST" }, body.len());
        // It speaks to nobody without a name.
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: torana-tests\r\n");
        connection.send(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes()).unwrap();
        connection.reply(method).unwrap()
    }

    /// When it wants the certificate with this id (RFC 9773 §4.1) to be renewed, in seconds since 1970.
    pub(crate) fn window(&self, id: &str) -> (i64, i64) {
        let json = |text: String| serde_json::from_str::<Value>(&text).unwrap();
        let directory = json(self.ask(self.port, "/dir", "").text());
        // Of `https://localhost:PORT/…`.
        let path = directory["renewalInfo"].as_str().unwrap().splitn(4, '/').nth(3).unwrap();
        let told = json(self.ask(self.port, &format!("/{path}/{id}"), "").text());
        let moment = |which: &str| {
            let text = told["suggestedWindow"][which].as_str().unwrap_or_else(|| panic!("{told}"));
            text.parse::<jiff::Timestamp>().unwrap().as_second()
        };
        (moment("start"), moment("end"))
    }

    /// From now on it wants the certificate (PEM) to be renewed in this window, in seconds since 1970.
    pub(crate) fn move_window(&self, certificate: &str, (start, end): (i64, i64)) {
        let moment = |seconds| jiff::Timestamp::from_second(seconds).unwrap().to_string();
        let info = json!({"suggestedWindow": {"start": moment(start), "end": moment(end)}}).to_string();
        let body = json!({"Certificate": certificate, "ARIResponse": info}).to_string();
        let reply = self.ask(self.management, "/set-renewal-info/", &body);
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("pebble.log")).unwrap_or_default()
    }

    /// How many orders were placed.
    pub(crate) fn orders(&self) -> usize {
        self.log().matches("Added order").count()
    }

    /// How many were to be placed, those included that were refused.
    pub(crate) fn asked_for_orders(&self) -> usize {
        self.log().matches("POST /order-plz ->").count()
    }

    /// A program that has its name server say what a challenge of DNS asks for.
    pub(crate) fn program(&self) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.folder.path().join("record");
        let at = format!("http://127.0.0.1:{}", self.names);
        let text = format!(
            "#!/bin/sh\nset -e\ncase $1 in\npresent) exec curl -fsS -d \"{{\\\"host\\\":\\\"$2\\\",\\\"value\\\":\\\"$3\\\"}}\" {at}/set-txt;;\n\
             cleanup) exec curl -fsS -d \"{{\\\"host\\\":\\\"$2\\\"}}\" {at}/clear-txt;;\nesac\n"
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

/// Trusts what the holder of this root (PEM) signs.
pub(crate) fn trusting(root: &[u8]) -> Arc<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}
