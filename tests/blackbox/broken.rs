// SPDX-License-Identifier: Apache-2.0
//! Broken manifests beside good neighbours, in a running gateway: each is named, in the log and by `lint`, and breaks
//! only itself; when it is repaired, it works.
//!
//! The rows are [`broken`]: files of the repository, and what no repository can hold. Case E01.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tempfile::TempDir;
use torana_tests::broken::{Broken, Form, broken, testdata};
use torana_tests::{Backend, Connection, Credential, KeyForm, World, client, eventually, ports, torana};

use super::manifests::{gateway, route};

/// Between two requests of a neighbour's client.
const PACE: Duration = Duration::from_millis(10);

/// One line of `lint`: `file:line: severity: sentence [Reason]`.
#[derive(Debug, Clone)]
struct Line {
    /// `name:line`.
    place: String,
    severity: String,
    sentence: String,
}

/// What `lint` says about a row beside its neighbours.
fn linted(row: &Broken, neighbours: &[(&str, String)]) -> Line {
    let folder = TempDir::new().unwrap();
    for (name, text) in neighbours {
        fs::write(folder.path().join(name), text).unwrap();
    }
    row.put(folder.path(), str::to_owned);
    let run = |strict: &[&str]| torana([&["lint", "-f", folder.path().to_str().unwrap()], strict].concat());
    let printed = run(&[]);
    let prefix = format!("{}/", folder.path().display());
    let text = printed.stdout.replace(&prefix, "");
    let lines: Vec<Line> = text.lines().filter_map(|line| parse(line, &row.name)).collect();
    let is_error = lines.iter().any(|line| line.severity == "error");
    assert_eq!(printed.code, Some(i32::from(is_error)), "{}: an error is exit 1, a warning is not\n{text}", row.name);
    if !is_error {
        assert_eq!(run(&["--strict"]).code, Some(1), "{}: with --strict a warning is exit 1, too\n{text}", row.name);
    }
    let subject = if row.object == "-" { String::new() } else { format!("{}: ", row.object) };
    let mine = |line: &&Line| line.sentence.starts_with(&subject) && line.severity != "note";
    let whole = |line: &Line| text.lines().any(|one| one.contains(&row.expect) && one.contains(&line.sentence));
    let found = lines.iter().filter(mine).find(|line| whole(line));
    found.unwrap_or_else(|| panic!("{}: {} {}\n{text}", row.name, row.object, row.expect)).clone()
}

fn parse(line: &str, name: &str) -> Option<Line> {
    let (number, rest) = line.strip_prefix(name)?.strip_prefix(':')?.split_once(": ")?;
    let (severity, rest) = rest.split_once(": ")?;
    let (sentence, _) = rest.rsplit_once(" [")?;
    number.parse::<u32>().ok()?;
    Some(Line { place: format!("{name}:{number}"), severity: severity.to_owned(), sentence: sentence.to_owned() })
}

/// A client of a neighbour that asks without pause, and counts.
struct Neighbour {
    served: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Neighbour {
    fn start(open: impl Fn() -> std::io::Result<Connection> + Send + 'static) -> Self {
        let (served, failed, stop) = (Arc::default(), Arc::default(), Arc::default());
        let mut neighbour =
            Self { served: Arc::clone(&served), failed: Arc::clone(&failed), stop: Arc::clone(&stop), thread: None };
        neighbour.thread = Some(thread::spawn(move || {
            let mut kept = open();
            while !stop.load(Ordering::Relaxed) {
                // On a connection that is never closed, and on a new one.
                let good = ask(&mut kept) && ask(&mut open());
                let count = if good { &served } else { &failed };
                count.fetch_add(1, Ordering::Relaxed);
                thread::sleep(PACE);
            }
        }));
        neighbour
    }

    fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    fn failed(&self) -> usize {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join().is_ok();
        }
    }
}

fn ask(connection: &mut std::io::Result<Connection>) -> bool {
    let reply = connection.as_mut().ok().and_then(|connection| connection.get("good.example.com", "/").ok());
    reply.is_some_and(|reply| reply.status == 200)
}

/// The running gateway with its neighbours, and the ports that stand for those of the rows.
struct Yard {
    world: World,
    ports: Vec<(&'static str, u16)>,
    tls: Arc<ClientConfig>,
    neighbours: Vec<Neighbour>,
}

impl Yard {
    fn start(backend: u16, files: &[(&str, String)]) -> Self {
        // A line for each request of the neighbours would bury what is looked for.
        let world = World::start_with("", &["--access-log", "off"]);
        let ports = vec![
            ("15021", world.health),
            ("18443", world.https),
            ("8080", world.http),
            ("8081", ports::free()),
            ("8082", ports::free()),
            ("8443", ports::free()),
        ];
        let tls = client(&[], rustls::DEFAULT_VERSIONS);
        let mut yard = Self { world, ports, tls, neighbours: Vec::new() };
        for (name, text) in files {
            yard.world.apply(name, &yard.adapted(text).replace("- port: 9\n", &format!("- port: {backend}\n")));
        }
        let (http, https, tls) = (yard.world.http, yard.world.https, Arc::clone(&yard.tls));
        let plain = move || Connection::open(http);
        let secure = move || Connection::tls(https, "good.example.com", &tls);
        assert!(eventually(|| ask(&mut plain()) && ask(&mut secure())), "{}", yard.world.log());
        yard.neighbours = vec![Neighbour::start(plain), Neighbour::start(secure)];
        yard
    }

    /// A manifest with its ports as they are here.
    fn adapted(&self, text: &str) -> String {
        let port = |text: String, (from, to): &(&str, u16)| {
            text.replace(&format!("port: {from}"), &format!("port: {to}"))
                .replace(&format!("port {from}"), &format!("port {to}"))
        };
        self.ports.iter().fold(text.to_owned(), port)
    }

    fn port(&self, of: &str) -> u16 {
        self.ports.iter().find(|(from, _)| *from == of).unwrap().1
    }

    /// Whether what `repaired` says is served on all of its listeners.
    fn is_repaired(&self) -> bool {
        let get = |connection: std::io::Result<Connection>| connection?.get("x.example.com", "/");
        let tls = Connection::tls(self.port("8443"), "x.example.com", &self.tls);
        [Connection::open(self.world.http), Connection::open(self.port("8081")), tls]
            .into_iter()
            .all(|connection| get(connection).is_ok_and(|reply| reply.status == 200))
    }

    fn is_gone(&self) -> bool {
        let closed = |of| Connection::open(self.port(of)).is_err();
        self.world.status("x.example.com", "/") == 404 && closed("8081") && closed("8443")
    }

    /// One row from its appearance to its end; what is wrong with it.
    fn watch(&self, row: &Broken, line: &Line, repaired: &str) -> Option<String> {
        let start = self.world.log().len();
        let told = |part: &str| self.world.log()[start..].contains(part);
        row.put(self.world.folder(), |text| self.adapted(text));
        let health = format!("127.0.0.1:{}", self.world.health);
        let sentence = self.adapted(&line.sentence).replace("0.0.0.0:15021", &health);
        let sentence = sentence.replace("00-neighbour.yaml", &self.path("00-neighbour.yaml"));
        if !eventually(|| told(&sentence)) {
            return Some(format!("the log does not say: {sentence}"));
        }
        let place = format!("at={}", self.path(&line.place));
        if !self.world.log()[start..].lines().any(|one| one.contains(&sentence) && one.trim_end().ends_with(&place)) {
            return Some(format!("the log does not say where: {place}"));
        }
        // Broken for a while: each neighbour is served in the meantime.
        let before: Vec<usize> = self.neighbours.iter().map(Neighbour::served).collect();
        let busy = || self.neighbours.iter().zip(&before).all(|(it, before)| it.served() + it.failed() > before + 1);
        if !eventually(busy) {
            return Some("a neighbour gets no answers".to_owned());
        }
        self.world.apply(&row.name, &self.adapted(repaired));
        if !eventually(|| self.is_repaired()) {
            return Some("repaired, it does not work".to_owned());
        }
        self.world.delete(&row.name);
        if !eventually(|| self.is_gone() && told(&format!("resolved: {sentence}"))) {
            return Some("taken away, it is still there".to_owned());
        }
        let failed: Vec<usize> = self.neighbours.iter().map(Neighbour::failed).collect();
        failed.iter().any(|count| *count > 0).then(|| format!("neighbours failed: {failed:?}"))
    }

    /// Watches a row and clears away after it.
    fn judge(&self, row: &Broken, line: &Line, repaired: &str) -> Option<String> {
        let start = Instant::now();
        let wrong = self.watch(row, line, repaired)?;
        let _ = fs::remove_file(self.world.folder().join(&row.name)).is_ok();
        Some(format!("{}: {wrong} ({} ms)", row.name, start.elapsed().as_millis()))
    }

    fn path(&self, name: &str) -> String {
        self.world.folder().join(name).display().to_string()
    }
}

/// Everything that rows break, as it should be: a route, an HTTP and an HTTPS listener, a Service with an endpoint.
fn repaired(backend: u16) -> String {
    let listeners = [
        ("x", "{name: http, port: 8081, protocol: HTTP}"),
        ("tls", "{name: https, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}"),
    ];
    let gateways: String = listeners.map(|(name, listener)| gateway(name, &[listener])).concat();
    let spec = "parentRefs: [{name: edge}, {name: x}, {name: tls}], hostnames: [x.example.com], rules: [{backendRefs: \
                 [{name: x, port: 80}]}]";
    let certificate = fs::read_to_string(testdata().join("certificate.yaml")).unwrap();
    format!("{gateways}{}{}{certificate}", route("x", spec), World::service("x", backend))
}

/// What stands beside every row.
fn neighbours() -> Vec<(&'static str, String)> {
    let listener = "{name: https, port: 18443, protocol: HTTPS, tls: {certificateRefs: [{name: secure}]}}";
    let secret =
        Credential::new(&rcgen::PKCS_ECDSA_P256_SHA256, &["good.example.com"]).secret("secure", KeyForm::Pkcs8);
    let spec = "parentRefs: [{name: secure}], hostnames: [good.example.com], rules: [{backendRefs: [{name: good, \
                 port: 80}]}]";
    let secure = gateway("secure", &[listener]) + &secret + &route("secure", spec);
    let plain = fs::read_to_string(testdata().join("neighbour.yaml")).unwrap();
    vec![("00-neighbour.yaml", plain), ("01-secure.yaml", secure)]
}

#[test]
fn a_broken_manifest_is_named_and_breaks_only_itself() {
    let (rows, files, good) = (broken(), neighbours(), Backend::named("good"));
    assert!(rows.len() >= 95, "{}", rows.len());
    let yard = Yard::start(good.port, &files);
    let repaired = repaired(good.port);
    let failed: Vec<String> = thread::scope(|scope| {
        let (tell, lines) = sync_channel(4);
        let (rows, files) = (&rows, &files);
        // Ahead of the gateway: half of the time is that of `lint`.
        scope.spawn(move || rows.iter().map(|row| linted(row, files)).all(|line| tell.send(line).is_ok()));
        rows.iter().zip(lines).filter_map(|(row, line)| yard.judge(row, &line, &repaired)).collect()
    });
    assert!(failed.is_empty(), "{}\n{}", failed.join("\n"), yard.world.log());
    let served: Vec<usize> = yard.neighbours.iter().map(Neighbour::served).collect();
    let enough = served.iter().all(|count| *count > 3 * rows.len());
    assert!(enough, "neighbours were asked {served:?} times only, in {} rows", rows.len());
}

#[test]
fn what_was_good_stays_while_its_file_is_broken() {
    let good = Backend::named("good");
    let yard = Yard::start(good.port, &neighbours());
    let repaired = yard.adapted(&repaired(good.port));
    let cut = repaired[..repaired.find("hostnames:").unwrap() + 20].to_owned();
    let typed = repaired.replace("protocol: HTTP}", "protocol: [HTTP]}").replace("kind: HTTPRoute", "kind: HttpRoute");
    let large = format!("{repaired}{}", "# and so on\n".repeat(1 << 20));
    let forms = [
        ("cut off in mid-word", Form::Text(cut.into())),
        ("wrong types and kinds", Form::Text(typed.into())),
        ("empty", Form::Text(Vec::new())),
        ("no text", Form::Text(vec![0xff; 100])),
        ("too large", Form::Text(large.into())),
        ("a link to nowhere", Form::Link("nowhere")),
    ];
    for (what, form) in forms {
        yard.world.apply("x.yaml", &repaired);
        assert!(eventually(|| yard.is_repaired()), "before {what}");
        let start = yard.world.log().len();
        Broken::new("x.yaml", form, "").put(yard.world.folder(), str::to_owned);
        let told = || yard.world.log()[start..].contains("in use");
        assert!(eventually(told), "{what}: {}", yard.world.log());
        assert!(yard.is_repaired(), "{what}: {}", yard.world.log());
    }
    yard.world.apply("x.yaml", "# Meant: nothing is left.\n");
    assert!(eventually(|| yard.is_gone()), "{}", yard.world.log());
    assert!(yard.neighbours.iter().all(|it| it.served() > 0 && it.failed() == 0));
}
