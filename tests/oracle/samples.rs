// SPDX-License-Identifier: Apache-2.0
//! What Istio gives its users to begin with: every sample of its APIs is read, and lint has nothing to say of it that is
//! not explained here. `TORANA_ISTIO_SAMPLES` is where they are, as `samples.sh` prints it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// Samples that belong together: an app, and how it is reached. In files there are no pods, hence no endpoints.
const TOGETHER: [[&str; 2]; 5] = [
    ["bookinfo/platform/kube/bookinfo.yaml", "bookinfo/networking/bookinfo-gateway.yaml"],
    ["helloworld/helloworld.yaml", "helloworld/helloworld-gateway.yaml"],
    ["httpbin/httpbin.yaml", "httpbin/httpbin-gateway.yaml"],
    ["tcp-echo/tcp-echo-services.yaml", "tcp-echo/tcp-echo-all-v1.yaml"],
    ["websockets/app.yaml", "websockets/route.yaml"],
];

/// What is said of others, by kind of object and reason, and why it is right.
const EXPLAINED: [(&str, &str, &str); 6] = [
    ("addons/kiali.yaml", "", "a chart's output, of no kind of Istio's"),
    (
        "bookinfo/networking/certmanager-gateway.yaml",
        "VirtualService BackendNotFound",
        "an app that is installed apart",
    ),
    ("bookinfo/policy/productpage_envoy_ratelimit.yaml", "EnvoyFilter NotServed", "there is no Envoy"),
    (
        "open-telemetry/loki/telemetry.yaml",
        "Telemetry InvalidProvider",
        "its provider is what the mesh was installed with",
    ),
    ("open-telemetry/tracing/telemetry.yaml", "Telemetry InvalidProvider", "the same"),
    ("tcp-echo/tcp-echo-20-v2.yaml", "VirtualService NoMatchingParent", "its Gateway is in another file"),
];

/// Manifests with an object of Istio's APIs, by their names below `folder`. Templates are none.
fn samples(folder: &Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "yaml") {
                let text = fs::read_to_string(&entry).unwrap();
                let name = entry.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                if text.contains("istio.io/v1") && !text.contains("{{") {
                    found.push(name);
                }
            }
        }
    }
    found.sort();
    found
}

/// Kind and reason of all that is said of these files, but notes, each once.
fn said(folder: &Path, files: &[&str]) -> Vec<String> {
    let arguments = files.iter().flat_map(|file| [PathBuf::from("-f"), folder.join(file)]);
    let program = torana_tests::program::binary();
    let output = Command::new(program).args(["lint", "-o", "json"]).args(arguments).output().unwrap();
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{files:?}: {error}: {}", String::from_utf8_lossy(&output.stderr)));
    let told = findings.iter().filter(|finding| finding["severity"] != "note").map(|finding| {
        let kind = finding["object"].as_str().unwrap().split(' ').next().unwrap();
        format!("{kind} {}", finding["reason"].as_str().unwrap())
    });
    let mut told: Vec<_> = told.collect();
    told.dedup();
    told
}

#[test]
fn every_sample_of_istio_is_read_and_what_is_said_of_it_is_explained() {
    let Some(folder) = env::var_os("TORANA_ISTIO_SAMPLES").map(PathBuf::from) else {
        println!("skipped: TORANA_ISTIO_SAMPLES is not set");
        return;
    };
    let explained: BTreeMap<_, _> = EXPLAINED.iter().map(|(file, said, _)| (*file, *said)).collect();
    let all = samples(&folder);
    assert!(all.len() >= 30, "only {}: {all:?}", all.len());
    let alone = all.iter().filter(|file| !TOGETHER.iter().any(|pair| pair.contains(&file.as_str())));
    let mut wrong = Vec::new();
    for file in alone {
        let (said, expected) = (said(&folder, &[file]), explained.get(file.as_str()).copied().unwrap_or_default());
        if said.join(", ") != expected {
            wrong.push(format!("{file}: {said:?}, not {expected:?}"));
        }
    }
    for pair in &TOGETHER {
        let said = said(&folder, pair);
        if said != ["Service NoEndpoints"] {
            wrong.push(format!("{pair:?}: {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
