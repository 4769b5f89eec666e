// SPDX-License-Identifier: Apache-2.0
//! `torana lint` and the API server agree on every broken manifest: what one refuses because of its form, the other does,
//! too. Where only one of them does, a row says why.

use kube::Client;
use serde_json::Value;
use tempfile::TempDir;
use torana_tests::broken::{Broken, Form, broken};
use torana_tests::torana;

use super::with_lab;

/// What `lint` says of the form of an object or a file; everything else it says of what objects mean together.
const FORM: [&str; 3] = ["Refused", "UnknownField", "Unreadable"];

/// Which of the two refuses a manifest, or names the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Neither refuses it, or both do, and both name the field.
    Same,
    OnlyServer,
    /// Both refuse it; the field that `lint` names is not in what the API server says.
    OnlyLintNames,
    OnlyLint,
}

/// All that they do not agree on, and why. Nothing is [`Verdict::OnlyLint`]'s: who lints refuses nothing that an API
/// server takes.
const DIFFERENCES: [(&str, Verdict, &str); 8] = [
    ("08-no-kind.yaml", Verdict::OnlyLintNames, "where it is sent to says what it is; kubectl would not know where"),
    ("11-version-not-served.yaml", Verdict::OnlyLintNames, "there is no such place: 404"),
    ("13-kind-of-other-software.yaml", Verdict::OnlyServer, "its definition is missing there; lint warns: NotServed"),
    ("48-secret-without-key.yaml", Verdict::OnlyServer, "core kinds have no schema here; lint tells by the listener"),
    ("49-secret-not-base64.yaml", Verdict::OnlyLintNames, "the API server counts bytes instead"),
    (
        "66-external-name-without-name.yaml",
        Verdict::OnlyServer,
        "core kinds have no schema here; lint tells by the route",
    ),
    ("67-address-that-is-none.yaml", Verdict::OnlyServer, "core kinds have no schema here; lint tells by the Service"),
    ("88-annotation-that-is-no-text.yaml", Verdict::OnlyLintNames, "the API server names a field of its program"),
];

/// The fields that `lint` finds fault with in the form of a manifest, beside nothing else; `""` is all of it.
fn linted(broken: &Broken) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    broken.put(folder.path(), str::to_owned);
    let printed = torana(["lint", "-o", "json", "-f", folder.path().to_str().unwrap()]);
    let findings: Vec<Value> = serde_json::from_str(&printed.stdout).unwrap();
    let of_form = |finding: &&Value| FORM.contains(&finding["reason"].as_str().unwrap());
    findings.iter().filter(of_form).map(|finding| finding["path"].as_str().unwrap().to_owned()).collect()
}

/// The objects of a manifest, as a client sends them one by one: parts of a stream, items of a list.
fn objects(text: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(text) else { return vec![text.to_vec()] };
    let parts = text.split("\n---\n").flat_map(|part| match part.split_once("\nkind: List\nitems:\n- ") {
        Some((_, items)) => items.split("\n- ").map(|item| item.replace("\n  ", "\n")).collect(),
        None => vec![part.to_owned()],
    });
    parts.map(String::into_bytes).collect()
}

/// Where an object is created: a client looks that up, so an unknown kind has no place. What says no kind goes where it
/// would have to say another.
fn place(object: &[u8], namespace: &str) -> String {
    let text = String::from_utf8_lossy(object);
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let (api, kind) = (field("apiVersion:").unwrap_or("v1"), field("kind:").unwrap_or("Service"));
    let root = if api.contains('/') { "apis" } else { "api" };
    let within = if ["Namespace", "ClusterAcmeIssuer"].contains(&kind) {
        String::new()
    } else {
        format!("namespaces/{namespace}/")
    };
    let kind = kind.to_lowercase();
    let kinds = kind.strip_suffix("cy").map_or_else(|| format!("{kind}s"), |stem| format!("{stem}cies"));
    format!("/{root}/{api}/{within}{kinds}?dryRun=All&fieldValidation=Strict")
}

/// What the API server holds against an object, if it would not take it.
async fn refused(client: &Client, object: Vec<u8>, namespace: &str) -> Option<String> {
    let place = place(&object, namespace);
    // Every object goes to the namespace of this test; to whom it refers is not asked here.
    let here = format!("namespace: {namespace}");
    let here = |text: &str| text.replace("namespace: default", &here).replace("namespace: other", &here);
    let body = std::str::from_utf8(&object).map(here).map_or_else(|_| object.clone(), String::into_bytes);
    let request = http::Request::post(place).header("content-type", "application/yaml").body(body).unwrap();
    match client.request::<Value>(request).await {
        Ok(_) => None,
        Err(kube::Error::Api(status)) => Some(status.message),
        Err(error) => panic!("the API server did not answer: {error}"),
    }
}

fn verdict(fields: &[String], told: &[String]) -> Verdict {
    match (fields.is_empty(), told.is_empty()) {
        (true, true) => Verdict::Same,
        (true, false) => Verdict::OnlyServer,
        (false, true) => Verdict::OnlyLint,
        _ if fields.iter().all(|field| told.iter().any(|text| text.contains(field))) => Verdict::Same,
        _ => Verdict::OnlyLintNames,
    }
}

#[test]
fn lint_and_the_api_server_refuse_the_same_manifests_for_the_same_fields() {
    with_lab(|lab| async move {
        let manifests = broken();
        let gone = DIFFERENCES.iter().filter(|(name, ..)| !manifests.iter().any(|manifest| manifest.name == *name));
        let mut wrong: Vec<_> = gone.map(|(name, ..)| format!("there is no {name}")).collect();
        let mut both = 0;
        for manifest in manifests {
            // Links lead nowhere: there is nothing to send.
            let Form::Text(bytes) = &manifest.form else { continue };
            let (fields, mut told) = (linted(&manifest), Vec::new());
            for object in objects(bytes) {
                told.extend(refused(&lab.client, object, &lab.namespace).await);
            }
            both += usize::from(!fields.is_empty() && !told.is_empty());
            let row = DIFFERENCES.iter().find(|(name, ..)| *name == manifest.name);
            let expected = row.map_or(Verdict::Same, |(_, verdict, _)| *verdict);
            let seen = verdict(&fields, &told);
            if seen != expected {
                wrong.push(format!("{}: {seen:?}, not {expected:?}: lint {fields:?}, server {told:?}", manifest.name));
            }
        }
        println!("{both} manifests are refused by both");
        assert!(wrong.is_empty() && both > 50, "{both}\n{}", wrong.join("\n"));
    });
}
