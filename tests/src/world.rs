// SPDX-License-Identifier: Apache-2.0
//! A folder of manifests and the `torana` that serves it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::clock::Clock;
use crate::ports;
use crate::program::{self, binary, open_many_files};
use crate::wire::{Connection, Reply};

/// How long anything may take to come true.
const PATIENCE: Duration = Duration::from_mins(1);

/// Arguments, and what is special about the environment.
type Given<'g> = (&'g [&'g str], &'g [(&'static str, String)]);

/// A running gateway. Killed, and its folder removed, when dropped.
pub struct World {
    folder: TempDir,
    child: Child,
    /// Port of the listener `http` of [`World::gateway`].
    pub http: u16,
    /// Port for a listener `https`; nothing listens unless a manifest says so.
    pub https: u16,
    /// Health and metrics.
    pub health: u16,
    /// Debug.
    pub admin: u16,
}

impl World {
    /// Starts `torana run` on `manifests` (`${HTTP}` and `${HTTPS}` become free ports) and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready; its output is shown.
    #[must_use]
    pub fn start(manifests: &str) -> Self {
        Self::start_with(manifests, &[])
    }

    /// As [`World::start`], with more arguments.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    pub fn start_with(manifests: &str, arguments: &[&str]) -> Self {
        Self::launch(manifests, (arguments, &[]), false)
    }

    /// As [`World::start_with`], by this clock.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    pub fn start_by(clock: &Clock, manifests: &str, arguments: &[&str]) -> Self {
        Self::launch(manifests, (arguments, &clock.environment()), false)
    }

    /// As [`World::start`], but the manifests come by standard input, and there is no folder of them.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    pub fn piped(manifests: &str) -> Self {
        Self::launch(manifests, (&[], &[]), true)
    }

    fn launch(manifests: &str, (arguments, environment): Given<'_>, piped: bool) -> Self {
        open_many_files();
        let folder = TempDir::new().expect("a temporary folder");
        let (http, https, health, admin) = (ports::free(), ports::free(), ports::free(), ports::free());
        let text = manifests.replace("${HTTPS}", &https.to_string()).replace("${HTTP}", &http.to_string());
        // Hidden files are no manifests.
        let file = folder.path().join(if piped { ".world.yaml" } else { "world.yaml" });
        fs::write(&file, text).expect("a manifest");
        let stdin = if piped { Stdio::from(fs::File::open(&file).expect("a manifest")) } else { Stdio::null() };
        let log = fs::File::create(folder.path().join(".log")).expect("a log file");
        let child = Command::new(binary())
            .args(["run", "-f"])
            .arg(if piped { Path::new("-") } else { folder.path() })
            .args(["--admin", &format!("127.0.0.1:{admin}"), "--health", &format!("127.0.0.1:{health}")])
            .args(if arguments.contains(&"--workers") { &[][..] } else { &["--workers", "1"] })
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(stdin)
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("torana starts: build it with `cargo build --profile ci -p torana-cli`");
        let mut world = Self { folder, child, http, https, health, admin };
        let ready = eventually(|| world.ready() || world.exited());
        assert!(ready && !world.exited(), "torana is not ready:\n{}", world.log());
        world
    }

    /// A Gateway with an HTTP listener on `${HTTP}`, open to all namespaces.
    #[must_use]
    pub fn gateway() -> &'static str {
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: default}\n\
         spec:\n  gatewayClassName: torana\n  listeners:\n  - {name: http, port: ${HTTP}, protocol: HTTP, \
         allowedRoutes: {namespaces: {from: All}}}\n---\n"
    }

    /// As [`World::gateway`], and an HTTPS listener on `${HTTPS}` with the certificate in the Secret `secret`.
    #[must_use]
    pub fn gateway_tls(secret: &str) -> String {
        let more = format!(
            "  - {{name: https, port: ${{HTTPS}}, protocol: HTTPS, tls: {{certificateRefs: [{{name: {secret}}}]}}, \
             allowedRoutes: {{namespaces: {{from: All}}}}}}\n---\n"
        );
        Self::gateway().replace("---\n", &more)
    }

    /// A Service `name` on port 80 with one endpoint on a loopback port.
    #[must_use]
    pub fn service(name: &str, port: u16) -> String {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}\n\
             spec: {{ports: [{{name: http, port: 80, targetPort: {port}}}]}}\n---\n\
             apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             metadata: {{name: {name}-1, namespace: default, labels: {{kubernetes.io/service-name: {name}}}}}\n\
             addressType: IPv4\nports: [{{name: http, port: {port}}}]\n\
             endpoints: [{{addresses: [127.0.0.1], conditions: {{ready: true}}}}]\n---\n"
        )
    }

    /// As [`World::service`], spoken to in `protocol` (an `appProtocol`).
    #[must_use]
    pub fn service_speaking(protocol: &str, name: &str, port: u16) -> String {
        let plain = "{name: http, port: 80,";
        Self::service(name, port).replacen(plain, &format!("{plain} appProtocol: {protocol},"), 1)
    }

    /// An HTTPRoute `name` that sends every path of `host` to `service`.
    #[must_use]
    pub fn route(name: &str, host: &str, service: &str) -> String {
        Self::catch_all(name, service).replacen("rules:", &format!("hostnames: [{host}], rules:"), 1)
    }

    /// An HTTPRoute `name` that sends every path of every host to `service`.
    #[must_use]
    pub fn catch_all(name: &str, service: &str) -> String {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: default}}\n\
             spec: {{parentRefs: [{{name: edge}}], rules: [{{backendRefs: [{{name: {service}, port: 80}}]}}]}}\n---\n"
        )
    }

    /// Writes (or replaces) a manifest file as an editor does: beside it, then renamed over it.
    ///
    /// # Panics
    /// If the folder is gone.
    pub fn apply(&self, file: &str, manifests: &str) {
        let text = manifests.replace("${HTTPS}", &self.https.to_string()).replace("${HTTP}", &self.http.to_string());
        let beside = self.folder.path().join(format!(".{file}.new"));
        fs::write(&beside, text).expect("a manifest");
        fs::rename(&beside, self.folder.path().join(file)).expect("a rename");
    }

    /// Removes a manifest file.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn delete(&self, file: &str) {
        fs::remove_file(self.folder.path().join(file)).expect("the manifest is there");
    }

    /// Sends bytes on a new connection to the HTTP listener and reads one answer.
    ///
    /// # Errors
    /// As [`Connection::reply`].
    pub fn raw(&self, bytes: &[u8]) -> io::Result<Reply> {
        let mut connection = Connection::open(self.http)?;
        connection.send(bytes)?;
        let method = String::from_utf8_lossy(bytes).split(' ').next().unwrap_or_default().to_owned();
        connection.reply(&method)
    }

    /// `GET path` with this Host.
    ///
    /// # Errors
    /// As [`Connection::reply`].
    pub fn get(&self, host: &str, path: &str) -> io::Result<Reply> {
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
    }

    /// Status of `GET path`, 0 if there is no answer.
    #[must_use]
    pub fn status(&self, host: &str, path: &str) -> u16 {
        self.get(host, path).map_or(0, |reply| reply.status)
    }

    /// A page of the health server.
    #[must_use]
    pub fn health(&self, path: &str) -> Option<Reply> {
        fetch(self.health, path)
    }

    /// A number of `/metrics`, by the name and labels that its line has.
    #[must_use]
    pub fn metric(&self, series: &str) -> Option<f64> {
        let page = self.health("/metrics")?.text();
        page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    /// A page of the admin server.
    #[must_use]
    pub fn admin(&self, path: &str) -> Option<Reply> {
        fetch(self.admin, path)
    }

    /// Everything that torana has printed.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join(".log")).unwrap_or_default()
    }

    /// The folder of manifests.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// [`program::memory`] of the process, in KiB.
    #[must_use]
    pub fn memory(&self) -> u64 {
        program::memory(self.pid())
    }

    /// Asks the process to end (SIGTERM).
    ///
    /// # Panics
    /// If `kill` cannot be run.
    pub fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Waits for the process to end; its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        eventually(|| self.exited());
        self.child.try_wait().ok().flatten().and_then(|status| status.code())
    }

    fn ready(&self) -> bool {
        self.health("/readyz").is_some_and(|reply| reply.status == 200)
    }

    fn exited(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.child.kill().is_ok();
        let _ = self.child.wait().is_ok();
    }
}

/// What a command of `torana` printed.
#[derive(Debug)]
pub struct Printed {
    /// Exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `torana` with these arguments to its end.
///
/// # Panics
/// If it cannot be started.
pub fn torana<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Printed {
    let output = Command::new(binary()).args(arguments).stdin(Stdio::null()).output().expect("torana starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Printed { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Polls until `true`, for as long as the harness is patient; gives whether it came true.
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() > PATIENCE {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn fetch(port: u16, path: &str) -> Option<Reply> {
    let mut connection = Connection::open(port).ok()?;
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
    connection.reply("GET").ok()
}
