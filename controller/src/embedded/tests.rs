// SPDX-License-Identifier: Apache-2.0
//! Saving a file re-programs: soon, as a whole, and only what changed.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use torana_ir::{Resource, Snapshot};

use super::*;
use crate::store::Settings;

struct World {
    root: tempfile::TempDir,
    heard: Receiver<(Instant, Publication)>,
    snapshot: Snapshot,
    generation: u64,
    embedded: Embedded,
}

impl World {
    fn new(texts: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in texts {
            fs::write(root.path().join(name), text).unwrap();
        }
        let (sender, heard) = channel();
        let plane = Plane::open(&[root.path().to_owned()], Settings::standalone(0));
        let embedded = Embedded::start(plane, move |it| drop(sender.send((Instant::now(), it)))).unwrap();
        let mut world = Self { root, heard, snapshot: Snapshot::default(), generation: 0, embedded };
        world.next();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Waits for one generation and applies it.
    fn next(&mut self) -> Instant {
        let (at, publication) = self.heard.recv_timeout(Duration::from_secs(10)).expect("a generation");
        self.generation += 1;
        assert_eq!(publication.generation, self.generation);
        self.snapshot.apply(publication.delta);
        at
    }

    fn is_quiet(&self) -> bool {
        self.heard.recv_timeout(Duration::from_millis(200)).is_err()
    }
}

fn manifests(port: u16, backend: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: edge\nspec:\n  gatewayClassName: \
         torana\n  listeners:\n  - {{name: http, port: {port}, protocol: HTTP}}\n---\n\
         apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: web\nspec:\n  parentRefs: \
         [{{name: edge}}]\n  rules:\n  - backendRefs: [{{name: {backend}, port: 80}}]\n---\n\
         apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  ports: [{{port: 80}}]\n"
    )
}

#[test]
fn the_first_generation_is_everything() {
    let world = World::new(&[("a.yaml", &manifests(8080, "a"))]);
    assert_eq!((world.snapshot.listeners.len(), world.snapshot.rules.len()), (1, 1));
    assert!(world.is_quiet());
}

#[test]
fn a_saved_file_is_published_within_a_tenth_of_a_second() {
    let mut world = World::new(&[("a.yaml", &manifests(8080, "a"))]);
    let mut fastest = Duration::MAX;
    for port in 8081..8086 {
        let text = manifests(port, "a");
        let saved = Instant::now();
        fs::write(world.path("a.yaml"), text).unwrap();
        fastest = fastest.min(world.next() - saved);
        let listener = world.snapshot.listeners.values().next().unwrap();
        assert_eq!(listener.port, port);
    }
    // The best of five: the machine may be busy with other tests.
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
}

#[test]
fn files_that_change_together_are_one_generation() {
    let mut world = World::new(&[("a.yaml", &manifests(8080, "a"))]);
    let service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: b\nspec:\n  ports: [{port: 80}]\n";
    let staged = world.root.path().join(".staged");
    fs::write(&staged, manifests(8081, "b")).unwrap();
    fs::write(world.path("b.yaml"), service).unwrap();
    fs::rename(&staged, world.path("a.yaml")).unwrap();
    world.next();
    assert!(world.is_quiet(), "one generation");
    assert!(world.snapshot.backends.keys().any(|key| key.name == "b"));
    assert_eq!(world.snapshot.listeners.values().next().unwrap().port, 8081);
}

#[test]
fn a_broken_file_changes_nothing() {
    let mut world = World::new(&[("a.yaml", &manifests(8080, "a"))]);
    fs::write(world.path("a.yaml"), "kind: [").unwrap();
    assert!(world.is_quiet());
    fs::write(world.path("a.yaml"), manifests(8081, "a")).unwrap();
    world.next();
    assert_eq!(world.snapshot.listeners.values().next().unwrap().port, 8081);
}

#[test]
fn a_folder_that_appears_is_read_and_watched() {
    let mut world = World::new(&[]);
    fs::create_dir(world.path("sub")).unwrap();
    fs::write(world.path("sub/a.yaml"), manifests(8080, "a")).unwrap();
    world.next();
    fs::write(world.path("sub/a.yaml"), manifests(8081, "a")).unwrap();
    world.next();
    assert_eq!(world.snapshot.listeners.values().next().unwrap().port, 8081);
    fs::remove_dir_all(world.path("sub")).unwrap();
    while !world.snapshot.listeners.is_empty() {
        world.next();
    }
}

#[test]
fn an_answer_with_a_rejection_is_a_finding_until_the_next_answer() {
    let world = World::new(&[("a.yaml", &manifests(8080, "a"))]);
    let key = world.snapshot.listeners.keys().next().unwrap().clone();
    let rejection = crate::publish::Rejection {
        key: torana_ir::ResourceKey::Listener(key),
        reason: "0.0.0.0:8080: address already in use".to_owned(),
    };
    let eventually = |wanted: bool| {
        let is_told = |finding: &crate::source::Finding| finding.reason == "NotProgrammed";
        let end = Instant::now() + Duration::from_secs(10);
        while world.embedded.view().plane().findings().iter().any(is_told) != wanted {
            assert!(Instant::now() < end, "{wanted}");
            thread::sleep(Duration::from_millis(5));
        }
    };
    world.embedded.answers().ack(Ack { generation: 1, rejected: vec![rejection] });
    eventually(true);
    world.embedded.answers().ack(Ack { generation: 1, rejected: Vec::new() });
    eventually(false);
}

#[test]
fn only_what_changed_is_published() {
    let world = World::new(&[("a.yaml", &manifests(8080, "a")), ("b.yaml", &manifests(8080, "a").replace("web", "x"))]);
    fs::write(world.path("a.yaml"), manifests(8080, "nobody")).unwrap();
    let (_, publication) = world.heard.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(matches!(&publication.delta.upserts[..], [Resource::Rule(rule)] if rule.key.route.name == "web"));
    assert!(publication.delta.removals.is_empty());
}
