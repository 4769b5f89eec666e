// SPDX-License-Identifier: Apache-2.0
//! Runs every `cases/<group>/<name>.yaml`: a gateway is started for each file, some at once, and every call is held against
//! what the file says. A new case is a new file. `TORANA_CASES=tls/` runs those whose path has this in it.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, fs, thread};

use crate::house::source::{files, root};

use super::calls::judge;
use super::case::Case;
use super::stage::Stage;

/// Gateways that run at once.
const AT_ONCE: usize = 4;
/// A log is soon on disk.
const SAID_WITHIN: Duration = Duration::from_secs(3);
/// There are not fewer files and calls than this: what is not found is not run.
const FEWEST: (usize, usize) = (180, 600);

/// Every file, by its path below `cases`.
fn all() -> Vec<(String, PathBuf)> {
    let folder = root().join("tests/blackbox/istio/cases");
    let name = |path: &Path| path.strip_prefix(&folder).unwrap_or(path).display().to_string();
    files(&folder).into_iter().map(|path| (name(&path), path)).collect()
}

/// What is wrong with a file, and how many calls it has.
fn run(text: &str) -> Result<(usize, Vec<String>), String> {
    let case = Case::read(text)?;
    let stage = Stage::set(&case)?;
    let mut wrong = Vec::new();
    for (call, number) in case.script.calls.iter().zip(1..) {
        wrong.extend(judge(&stage, call).iter().map(|what| format!("call {number}, {}: {what}", call.request)));
    }
    for part in &case.script.says {
        let is_said = || stage.world.log().contains(part);
        if !(0..SAID_WITHIN.as_millis() / 50).any(|_| is_said() || pause()) {
            wrong.push(format!("{part:?} is not said"));
        }
    }
    if !wrong.is_empty() {
        wrong.push(stage.world.log());
    }
    Ok((case.calls(), wrong))
}

fn pause() -> bool {
    thread::sleep(Duration::from_millis(50));
    false
}

/// The same, also where something panics.
fn outcome(path: &Path) -> (usize, Vec<String>) {
    let text = fs::read_to_string(path).unwrap_or_default();
    let caught = catch_unwind(|| run(&text)).unwrap_or_else(|_| Err("it panicked: see above".to_owned()));
    caught.unwrap_or_else(|why| (0, vec![why]))
}

#[test]
fn every_case_holds() {
    let wanted = env::var("TORANA_CASES").unwrap_or_default();
    let cases: Vec<_> = all().into_iter().filter(|(name, _)| name.contains(&wanted)).collect();
    let (next, calls, told) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((name, path)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (count, wrong) = outcome(path);
                    calls.fetch_add(count, Ordering::Relaxed);
                    if !wrong.is_empty() {
                        told.lock().unwrap().push(format!("{name}\n  {}", wrong.join("\n  ")));
                    }
                }
            });
        }
    });
    let (mut told, calls) = (told.into_inner().unwrap(), calls.into_inner());
    told.sort();
    assert!(told.is_empty(), "{} of {} cases do not hold:\n{}", told.len(), cases.len(), told.join("\n"));
    assert!(
        !wanted.is_empty() || (cases.len() >= FEWEST.0 && calls >= FEWEST.1),
        "{} cases, {calls} calls",
        cases.len()
    );
    println!("{} cases, {calls} calls", cases.len());
}

/// Every kind of expectation fails where it does not hold.
#[test]
fn what_is_not_so_is_told() {
    let manifests = "# A.b: c.
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: ${HTTP}, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: r, namespace: default}
spec:
  hosts: [a.example]
  gateways: [edge]
  http: [{route: [{destination: {host: one}}]}]
# Calls
services: [one]
tls: {two: two.example}
";
    let right = ["{backend: one, path: /x, host: a.example, seen: {x: null}, headers: {x-backend: one}, body: one}"];
    let wrong = [
        "404",
        "{status: 201, backend: one}",
        "{backend: two}",
        "{backend: three}",
        "{status: 200}",
        "{shares: {one: 1, two: 1}}",
        "{backend: one, tries: 2}",
        "{backend: one, path: /y}",
        "{backend: one, host: b.example}",
        "{backend: one, seen: {host: null}}",
        "{backend: one, seen: {x: something}}",
        "{backend: one, headers: {x-backend: two}}",
        "{backend: one, headers: {x-backend: null}}",
        "{backend: one, body: two}",
        "{backend: one, location: /}",
        "{backend: one, certificate: two.example}",
        "{backend: one, alpn: h2}",
        "{error: refused}",
        "{error: closed}",
        "{error: alert}",
    ];
    let rows = right.iter().chain(&wrong).map(|it| format!("- {{request: GET a.example/x, expect: {it}}}"));
    let rows = rows.collect::<Vec<_>>().join("\n");
    let (_, told) = run(&format!("{manifests}says: [nothing like this]\ncalls:\n{rows}\n")).unwrap();
    let about = |what: &str| told.iter().any(|line| line.starts_with(what));
    assert!(!about("call 1,"), "{told:?}");
    for number in 2..wrong.len() + 2 {
        assert!(about(&format!("call {number},")), "{}: {told:?}", wrong[number - 2]);
    }
    assert!(about("\"nothing like this\" is not said"));
    for text in [format!("{manifests}port: 1\ncalls: []\n"), manifests.replace("# A.b: c.", "")] {
        assert!(run(&text).is_err());
    }
}
