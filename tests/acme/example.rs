// SPDX-License-Identifier: Apache-2.0
//! `deploy/examples/acme`, as it lies there, with the commands of its README: Pebble with its own configuration, at its
//! own ports.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use torana_tests::{Connection, Process, eventually};

use super::pebble::{newer, trusting};
use crate::documents::{bash, commands_of};
use crate::house::source::root;

const README: &str = "deploy/examples/acme/README.md";
/// Ports that it names: of Pebble and its name server, of the backend, and of Torana, which has its usual one for health.
const PORTS: [u16; 9] = [14_000, 15_000, 8053, 8055, 9001, 5001, 5002, 15_001, 15_021];
/// Words of a line of `torana certs` that are always the same: host, issuer (two), challenge and state.
const COLUMNS: usize = 5;

/// The first words of each line.
fn beginnings(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().take(COLUMNS).collect()).collect()
}

#[test]
fn the_example_has_a_certificate_by_each_challenge_after_the_commands_of_its_readme() {
    let is_taken = |port: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_err();
    if newer().is_none() {
        return;
    }
    if let Some(port) = PORTS.into_iter().find(is_taken) {
        println!("SKIPPED: the example needs port {port}, where something listens");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let commands = commands_of(README);
    let [mut pebble, mut torana, mut ask] = [0, 1, 2].map(|at| bash(&commands[at]));
    for command in [&mut pebble, &mut torana, &mut ask] {
        command.env("TMPDIR", folder.path());
    }
    let _pebble = Process::group(&mut pebble, &folder.path().join("pebble.log"), 14_000);
    let log = folder.path().join("torana.log");
    let _torana = Process::group(&mut torana, &log, 5001);
    let mut answer = None;
    let is_answered = eventually(|| {
        let output = ask.output().unwrap();
        let is_well = output.status.success();
        answer = Some(output);
        is_well
    });
    let said = String::from_utf8_lossy(&answer.as_ref().unwrap().stdout).into_owned();
    let log = fs::read_to_string(log).unwrap();
    assert!(is_answered, "{said}\n{}\n{log}", String::from_utf8_lossy(&answer.unwrap().stderr));
    let client = trusting(&fs::read(folder.path().join("pebble.pem")).unwrap());
    for host in ["http-01.torana.example", "tls-alpn-01.torana.example", "other.dns-01.torana.example"] {
        let reply = Connection::tls(5001, host, &client).and_then(|mut connection| connection.get(host, "/"));
        assert_eq!(reply.unwrap().status, 200, "{host}\n{log}");
    }
    let readme = fs::read_to_string(root().join(README)).unwrap();
    let shown = readme.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("what one sees");
    let (shown, seen) = (beginnings(shown), beginnings(&said));
    assert_eq!(shown.len(), 4, "{shown:?}");
    assert!(shown.iter().all(|line| seen.contains(line)), "{said}");
}
