// SPDX-License-Identifier: Apache-2.0
//! A gateway that follows a controller: it serves what it was told for as long as nobody tells it otherwise.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use torana_controller::feed::{Ca, Standing};
use torana_gateway::app::{App, Config, LogFormat};
use torana_gateway::feed::{self, remote, remote::Remote};
use torana_ir::wire::{self, Upsert};
use torana_ir::{AcmeHost, AcmeHostKey, ResourceKey, Snapshot};
use torana_tests::ports;

use super::puppet::Script;
use super::{Controller, NAME, eventually, listener, listener_key, many, now, rule};

/// A gateway, its token and CA in a folder.
pub(super) struct Proxy {
    folder: TempDir,
    health: u16,
    app: App,
    remote: JoinHandle<()>,
}

impl Proxy {
    /// The pod `name` of the account `edge`.
    pub(super) fn start(name: &str, address: SocketAddr, ca: &str) -> Self {
        Self::start_in(TempDir::new().unwrap(), name, address, ca)
    }

    fn start_in(folder: TempDir, name: &str, address: SocketAddr, ca: &str) -> Self {
        let path = |file: &str| folder.path().join(file);
        std::fs::write(path("token"), format!("{name}@edge\n")).unwrap();
        std::fs::write(path("ca"), ca).unwrap();
        let health = ports::free();
        let config = Config {
            workers: 1,
            health: Some(([127, 0, 0, 1], health).into()),
            access_log: LogFormat::Off,
            ..Config::default()
        };
        let (publisher, feed) = feed::channel();
        let app = App::start(config, feed).unwrap();
        let remote = Remote {
            feed: address.to_string(),
            feed_ca: path("ca"),
            feed_token: path("token"),
            feed_name: Some(NAME.to_owned()),
            state_dir: Some(folder.path().to_owned()),
            pod_name: name.to_owned(),
        };
        let remote = tokio::spawn(async move {
            remote::run(remote, publisher).await;
        });
        Self { folder, health, app, remote }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn ready(&self) -> bool {
        get(self.health, "/readyz").await.is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// Its container dies; the volume stays.
    async fn die(self) -> TempDir {
        self.remote.abort();
        let Self { folder, remote, app, .. } = self;
        remote.await.ok();
        drop(app);
        folder
    }
}

async fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

/// Where `/NAME` is redirected to; nothing if it is not.
async fn redirected(port: u16, name: &str) -> Option<String> {
    let answer = get(port, &format!("/{name}")).await?;
    let host = answer.split("location: http://").nth(1)?.split(['/', ':', '\r']).next()?;
    Some(host.to_owned())
}

async fn goes_to(port: u16, name: &str, host: &str) {
    eventually(&format!("{name} → {host}"), || async { redirected(port, name).await.as_deref() == Some(host) }).await;
}

/// Asks on and on; any failure is one.
fn traffic(port: u16) -> (JoinHandle<usize>, tokio::sync::oneshot::Sender<()>) {
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let mut failures = 0;
        while stopped.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
            failures += usize::from(redirected(port, "r0").await.is_none());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        failures
    });
    (task, stop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_ready_when_it_has_its_program_and_follows_every_change() {
    let (controller, port) = (Controller::start().await, ports::free());
    let proxy = Proxy::start("p", controller.address, &controller.ca);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!proxy.ready().await, "there is no program yet");
    controller.publish(1, 1, many(port, 3, "one.example"));
    controller.in_force(&["p"]).await;
    assert!(proxy.ready().await);
    assert_eq!(redirected(port, "r2").await.as_deref(), Some("one.example"));
    controller.publish(1, 2, many(port, 2, "two.example"));
    controller.in_force(&["p"]).await;
    assert_eq!(redirected(port, "r1").await.as_deref(), Some("two.example"));
    assert_eq!(redirected(port, "r2").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_of_acme_is_answered_for_as_long_as_the_controller_says_so() {
    const PATH: &str = "/.well-known/acme-challenge/t";
    let (controller, port) = (Controller::start().await, ports::free());
    let _proxy = Proxy::start("p", controller.address, &controller.ca);
    let key = AcmeHostKey { gateway: listener_key().gateway, host: "localhost".to_owned() };
    let asked = |token: &str| {
        let answers = [(token.to_owned(), format!("{token}.thumb"))].into();
        let host = AcmeHost::new(key.clone(), answers, None, true).unwrap();
        let mut program = many(port, 1, "one.example");
        program.acme_hosts.insert(host.key.clone(), host.into());
        program
    };
    controller.publish(1, 1, asked("t"));
    controller.in_force(&["p"]).await;
    let answer = get(port, PATH).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nt.thumb"), "{answer}");
    controller.publish(1, 2, asked("another"));
    controller.in_force(&["p"]).await;
    let answer = get(port, PATH).await.unwrap();
    assert!(answer.ends_with("404 acme_unknown_token\n"), "{answer}");
    controller.publish(1, 3, many(port, 1, "one.example"));
    controller.in_force(&["p"]).await;
    assert!(get(port, PATH).await.unwrap().ends_with("404 no_route\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_is_rejected_and_in_force_when_it_is_free() {
    let (controller, port) = (Controller::start().await, ports::free());
    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let _proxy = Proxy::start("p", controller.address, &controller.ca);
    controller.publish(1, 1, many(port, 1, "one.example"));
    controller.in_force(&["p"]).await;
    let rejected = controller.programmed(&["p"]).rejected;
    assert!(rejected[&ResourceKey::Listener(listener_key())].starts_with("PortUnavailable"), "{rejected:?}");
    drop(taken);
    eventually("accepted", || async { controller.programmed(&["p"]).rejected.is_empty() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_dies_and_comes_back_is_not_noticed_by_clients() {
    let ca = Ca::new(now()).unwrap();
    let (mut controller, port) = (Controller::start_at(([127, 0, 0, 1], 0).into(), &ca).await, ports::free());
    let _proxy = Proxy::start("p", controller.address, &controller.ca);
    controller.publish(1, 1, many(port, 3, "r1.example"));
    controller.in_force(&["p"]).await;
    let (traffic, stop) = traffic(port);
    for epoch in 2..6 {
        let address = controller.stop().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        controller = Controller::start_at(address, &ca).await;
        // A new process counts from 1 again.
        controller.publish(epoch, 1, many(port, 3, &format!("r{epoch}.example")));
        controller.in_force(&["p"]).await;
        assert_eq!(redirected(port, "r0").await, Some(format!("r{epoch}.example")));
    }
    stop.send(()).unwrap();
    assert_eq!(traffic.await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_gateway_serves_what_was_kept_without_a_controller() {
    let (controller, port) = (Controller::start().await, ports::free());
    let ca = controller.ca.clone();
    let proxy = Proxy::start("p", controller.address, &ca);
    controller.publish(3, 1, many(port, 100, "kept.example"));
    controller.in_force(&["p"]).await;
    eventually("kept", || async { proxy.file("snapshot").exists() }).await;
    let address = controller.stop().await;
    let folder = proxy.die().await;
    eventually("gone", || async { get(port, "/").await.is_none() }).await;
    let proxy = Proxy::start_in(folder, "p", address, &ca);
    eventually("ready", || proxy.ready()).await;
    assert_eq!(redirected(port, "r99").await.as_deref(), Some("kept.example"));

    // The epoch was kept too.
    let folder = proxy.die().await;
    let file = folder.path().join("snapshot");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    eventually("gone", || async { get(port, "/").await.is_none() }).await;
    let proxy = Proxy::start_in(folder, "p", address, &ca);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!proxy.ready().await, "a damaged one is ignored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_epoch_is_refused_even_after_a_restart() {
    let ca = Ca::new(now()).unwrap();
    let (controller, port) = (Controller::start_at(([127, 0, 0, 1], 0).into(), &ca).await, ports::free());
    let proxy = Proxy::start("p", controller.address, &controller.ca);
    controller.publish(5, 9, many(port, 1, "five.example"));
    controller.in_force(&["p"]).await;
    eventually("kept", || async { proxy.file("snapshot").exists() }).await;
    let address = controller.stop().await;
    let controller = Controller::start_at(address, &ca).await;
    controller.publish(4, 10, many(port, 1, "four.example"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(redirected(port, "r0").await.as_deref(), Some("five.example"));
    assert_ne!(controller.programmed(&["p"]).standing, Standing::InForce);
    let folder = proxy.die().await;
    eventually("gone", || async { get(port, "/").await.is_none() }).await;
    let proxy = Proxy::start_in(folder, "p", address, &ca.bundle());
    eventually("ready", || proxy.ready()).await;
    // It is being offered the older epoch all the while.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(redirected(port, "r0").await.as_deref(), Some("five.example"));
    controller.publish(6, 11, many(port, 1, "six.example"));
    goes_to(port, "r0", "six.example").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_of_another_ca_programs_nobody_until_that_ca_is_in_the_file() {
    let (controller, port) = (Controller::start().await, ports::free());
    controller.publish(1, 1, many(port, 1, "one.example"));
    let proxy = Proxy::start("p", controller.address, &Ca::new(now()).unwrap().bundle());
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!proxy.ready().await);
    std::fs::write(proxy.file("ca"), &controller.ca).unwrap();
    eventually("ready", || proxy.ready()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_token_is_read_at_the_next_connect() {
    let ca = Ca::new(now()).unwrap();
    let (controller, port) = (Controller::start_at(([127, 0, 0, 1], 0).into(), &ca).await, ports::free());
    controller.issuer.revoked.lock().unwrap().insert("p@edge".to_owned());
    controller.publish(1, 1, many(port, 1, "one.example"));
    let proxy = Proxy::start("p", controller.address, &controller.ca);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!proxy.ready().await);
    std::fs::write(proxy.file("token"), "q@edge").unwrap();
    controller.in_force(&["q"]).await;
}

fn bad(key: &ResourceKey) -> Upsert {
    Upsert { key: wire::key_text(key), hash: vec![9; 16].into(), body: "{\"invented\":true}".into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_that_cannot_be_read_is_rejected_alone() {
    let (script, port) = (Script::start().await, ports::free());
    let proxy = Proxy::start("p", script.address, &script.ca);
    assert_eq!(script.hello().await.len(), 0);
    let good = [listener(port), rule("r0", "one.example"), rule("r1", "one.example")];
    let chunk = |upserts, generation| wire::Delta { epoch: 1, generation, upserts, removals: vec![], complete: true };
    let upserts = good.iter().map(wire::encode).chain([bad(&rule("new", "x").key())]).collect();
    script.send(chunk(upserts, 1)).await;
    let ack = script.ack().await;
    let named: Vec<&str> = ack.rejected.iter().map(|it| it.key.as_str()).collect();
    assert_eq!((ack.generation, named), (1, vec![wire::key_text(&rule("new", "x").key()).as_str()]));
    assert_eq!(redirected(port, "r1").await.as_deref(), Some("one.example"), "all others are in force");

    let unknown = Upsert { key: "{\"Invention\":\"x\"}".to_owned(), ..bad(&good[0].key()) };
    script.send(chunk(vec![bad(&good[1].key()), unknown, wire::encode(&rule("r1", "two.example"))], 2)).await;
    let ack = script.ack().await;
    assert_eq!((ack.generation, ack.rejected.len()), (2, 3), "{ack:?}");
    assert_eq!(redirected(port, "r0").await.as_deref(), Some("one.example"), "the last good form stays");
    assert_eq!(redirected(port, "r1").await.as_deref(), Some("two.example"));
    let counted = get(proxy.health, "/metrics").await.unwrap();
    assert!(counted.contains("torana_config_rejected_total{kind=\"Rule\",name=\"r0/0\""), "{counted}");

    script
        .send(chunk(vec![wire::encode(&rule("r0", "three.example")), wire::encode(&rule("new", "x.example"))], 3))
        .await;
    assert_eq!(script.ack().await.rejected.len(), 1, "only what nobody knows is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_tells_what_it_has_by_the_hashes_that_a_controller_finds() {
    let port = ports::free();
    let have = many(port, 5000, "one.example");
    let expected = Snapshot::default().diff(&have).upserts;
    let folder = {
        let controller = Controller::start().await;
        let proxy = Proxy::start("p", controller.address, &controller.ca);
        controller.publish(1, 1, have);
        controller.in_force(&["p"]).await;
        eventually("kept", || async { proxy.file("snapshot").exists() }).await;
        proxy.die().await
    };
    eventually("gone", || async { get(port, "/").await.is_none() }).await;
    let script = Script::start().await;
    let _proxy = Proxy::start_in(folder, "p", script.address, &script.ca);
    let known = script.hello().await;
    assert_eq!(known.len(), 5001);
    for resource in expected {
        let Upsert { key, hash, .. } = wire::encode(&resource);
        assert_eq!(known.get(&key).map(Vec::as_slice), Some(hash.as_ref()), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generation_is_in_force_with_its_last_chunk_and_not_before() {
    let (script, port) = (Script::start().await, ports::free());
    let proxy = Proxy::start("p", script.address, &script.ca);
    script.hello().await;
    let chunk = |resource, complete| {
        let upserts = vec![wire::encode(&resource)];
        wire::Delta { epoch: 1, generation: 1, upserts, removals: vec![], complete }
    };
    script.send(chunk(listener(port), false)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!proxy.ready().await);
    script.send(chunk(rule("r0", "one.example"), true)).await;
    assert_eq!(script.ack().await.rejected, vec![]);
    assert_eq!(redirected(port, "r0").await.as_deref(), Some("one.example"));
}
