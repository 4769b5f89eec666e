// SPDX-License-Identifier: Apache-2.0
//! Pebble, the authority that Let's Encrypt tests with, and its name server, which leads every name here.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;
use torana_tests::{Authority, Connection, eventually, ports};

/// A process that is killed when dropped.
struct Process(Child);

impl Process {
    fn start(command: &mut Command, log: &Path, port: u16) -> Self {
        let file = fs::File::create(log).unwrap();
        let command = command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let started = command.spawn();
        let mut process = Self(started.expect("Pebble is not installed: ./dev setup, or the package pebble"));
        let listens = eventually(|| TcpStream::connect(("127.0.0.1", port)).is_ok() || process.ended());
        assert!(listens && !process.ended(), "{}", fs::read_to_string(log).unwrap_or_default());
        process
    }

    fn ended(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What is special about a Pebble.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner {
    /// Of a hundred nonces so many are refused.
    pub(super) bad_nonces: u8,
    /// Accounts are of customers only: with this key, base64url.
    pub(super) external: Option<(&'static str, &'static str)>,
    /// Another name server than its own.
    pub(super) names: Option<std::net::SocketAddr>,
}

/// A running Pebble.
pub(super) struct Pebble {
    /// Its directory.
    pub(super) directory: String,
    /// Vouches for Pebble's own HTTPS.
    pub(super) authority: Authority,
    management: u16,
    /// Where its name server is told what to say.
    names: u16,
    /// Its name server.
    pub(super) dns: u16,
    folder: TempDir,
    _server: Process,
    _names: Process,
}

impl Pebble {
    /// One that looks at these ports for answers.
    pub(super) fn start(http: u16, tls: u16) -> Self {
        Self::with(http, tls, Manner::default())
    }

    pub(super) fn with(http: u16, tls: u16, manner: Manner) -> Self {
        let (folder, authority) = (TempDir::new().unwrap(), Authority::new());
        let [port, management, names, dns] = [(); 4].map(|()| ports::free());
        let here = folder.path();
        let certificate = authority.issue("pebble", &["localhost"]);
        fs::write(here.join("chain.pem"), &certificate.chain).unwrap();
        fs::write(here.join("key.pem"), &certificate.key).unwrap();
        let external = manner.external.map(|(id, key)| format!(", \"externalAccountMACKeys\": {{{id:?}: {key:?}}}"));
        let text = format!(
            "{{\"pebble\": {{\"listenAddress\": \"127.0.0.1:{port}\", \"managementListenAddress\": \
             \"127.0.0.1:{management}\", \"certificate\": {:?}, \"privateKey\": {:?}, \"httpPort\": {http}, \"tlsPort\": \
             {tls}, \"ocspResponderURL\": \"\", \"externalAccountBindingRequired\": {}{}}}}}",
            here.join("chain.pem"),
            here.join("key.pem"),
            external.is_some(),
            external.unwrap_or_default(),
        );
        fs::write(here.join("pebble.json"), text).unwrap();
        let mut command = Command::new("pebble-challtestsrv");
        command.args(["-management", &format!("127.0.0.1:{names}"), "-dns01", &format!("127.0.0.1:{dns}")]);
        command.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        command.args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]);
        let name_server = Process::start(&mut command, &here.join("names.log"), names);
        let asked = manner.names.map_or_else(|| format!("127.0.0.1:{dns}"), |at| at.to_string());
        let mut command = Command::new("pebble");
        command.arg("-config").arg(here.join("pebble.json")).args(["-dnsserver", &asked]);
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", manner.bad_nonces.to_string());
        let server = Process::start(&mut command, &here.join("pebble.log"), port);
        let directory = format!("https://localhost:{port}/dir");
        Self { directory, authority, management, names, dns, folder, _server: server, _names: name_server }
    }

    /// The manifest of a ClusterAcmeIssuer for it. It is not looked first whether names lead here: only Pebble's own name
    /// server says so.
    pub(super) fn issuer(&self, name: &str, more: &str) -> String {
        format!(
            "apiVersion: torana.dev/v1alpha1\nkind: ClusterAcmeIssuer\nmetadata: {{name: {name}}}\nspec: {{directory: \
             {:?}, selfCheck: Skip, caBundle: {:?}{more}}}\n---\n",
            self.directory,
            self.authority.root_pem()
        )
    }

    /// Trusts what it signs.
    pub(super) fn client(&self) -> Arc<ClientConfig> {
        let mut management =
            Connection::tls(self.management, "localhost", &self.authority.client(&["http/1.1"])).unwrap();
        let root = management.get("localhost", "/roots/0").unwrap().text();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    }

    /// What it has said.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("pebble.log")).unwrap_or_default()
    }

    /// How many orders were placed.
    pub(super) fn orders(&self) -> usize {
        self.log().matches("Added order").count()
    }

    /// A program that has its name server say what a challenge of DNS asks for.
    pub(super) fn program(&self) -> PathBuf {
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
