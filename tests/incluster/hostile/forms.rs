// SPDX-License-Identifier: Apache-2.0
//! E01, E09: the definition of a kind is changed to one that lets everything in. What cannot be read is told of and changes
//! nothing; everything else goes on.

use std::process::Command;

use serde_json::{Value, json};

use super::{GOOD, Neighbour, OF_ROUTE, events, kubectl, must_say, route, status, until};

const DEFINITION: &str = "httproutes.gateway.networking.k8s.io";

/// A definition with another schema, until this is gone.
struct Open(Vec<Value>);

impl Open {
    fn everything() -> Self {
        let definition: Value = serde_json::from_str(&kubectl(&["get", "crd", DEFINITION, "-o", "json"])).unwrap();
        let versions = definition["spec"]["versions"].as_array().unwrap();
        let open = Self(versions.iter().map(|it| it["schema"]["openAPIV3Schema"].clone()).collect());
        Self::put(&vec![json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}); open.0.len()]);
        open
    }

    fn put(schemas: &[Value]) {
        let replace = |(at, schema)| json!({"op": "replace", "path": format!("/spec/versions/{at}/schema/openAPIV3Schema"), "value": schema});
        let patch: Vec<Value> = schemas.iter().enumerate().map(replace).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), json!(patch).to_string()).unwrap();
        kubectl(&["patch", "crd", DEFINITION, "--type=json", "--patch-file", file.path().to_str().unwrap()]);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        Self::put(&self.0);
    }
}

/// Deeper than a reader of JSON goes.
fn deep() -> Value {
    (0..200).fold(json!({}), |inner, _| json!({"a": inner}))
}

#[test]
fn one_object_that_is_nested_deeply_blinds_nobody_for_others_of_its_kind() {
    let Some(lab) = super::super::lab() else { return };
    let neighbour = Neighbour::settle(&lab, 1, "", "");
    // No schema says how deep a patch of pods may be.
    let parameters = |name: &str, patch: &Value| {
        json!({"apiVersion": "torana.dev/v1alpha1", "kind": "GatewayParameters", "metadata": {"name": name},
            "spec": {"replicas": 1, "workers": 1, "podPatch": patch}})
    };
    lab.apply(&parameters("deep", &json!({"spec": deep()})).to_string());
    let note = json!({"metadata": {"annotations": {"example.com/after": "deep"}}});
    lab.kubectl(&[
        "patch",
        "gatewayparameters",
        "edge",
        "--type=merge",
        "-p",
        &json!({"spec": {"podPatch": note}}).to_string(),
    ]);
    until("later parameters count", || {
        let template = &lab.get("deployment", "edge-torana")["spec"]["template"];
        template["metadata"]["annotations"]["example.com/after"] == "deep"
    });
    neighbour.must_be_unharmed();
}

#[test]
fn what_cannot_be_read_is_told_of_and_keeps_its_last_good_form_and_others_apply() {
    let Some(lab) = super::super::lab() else { return };
    let neighbour = Neighbour::settle(&lab, 1, "", &route("edited", "edge", "edited.example"));
    let open = Open::everything();
    let spec = |rules: &Value| json!({"parentRefs": [{"name": "edge"}], "hostnames": ["new.example"], "rules": rules});
    let object = |name: &str, spec: &Value| {
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": name}, "spec": spec}).to_string()
    };
    until("another schema is in force", || {
        let mut create = Command::new("kubectl");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), object("new", &spec(&json!(5)))).unwrap();
        create.args(["-n", &lab.namespace, "create", "-f", file.path().to_str().unwrap()]);
        create.output().unwrap().status.success()
    });
    // Wrong types, an unknown value, unknown fields, deep nesting.
    let edited = json!({"parentRefs": [{"name": "edge"}], "hostnames": ["edited.example"], "rules": "many"});
    lab.apply(&object("edited", &edited));
    lab.apply(&object(
        "glob",
        &spec(&json!([{"matches": [{"path": {"type": "Glob", "value": "/*"}}], "unknown": {"a": 1}}])),
    ));
    lab.apply(&object("deep", &spec(&deep())));
    lab.apply(&route("later", "edge", "later.example"));
    must_say(
        &lab,
        ("httproute", "edited"),
        OF_ROUTE,
        ("Accepted", "False", "UnsupportedValue"),
        &["spec.rules", "its last good form is used", "correct the field"],
    );
    must_say(
        &lab,
        ("httproute", "glob"),
        OF_ROUTE,
        ("Accepted", "False", "UnsupportedValue"),
        &["spec.rules[0].matches[0].path", "\"Glob\"", "use Exact, PathPrefix or RegularExpression"],
    );
    until("an Event tells of what was never good", || {
        // A watch that began under the schema before is shown what that one knows, until the API server ends it.
        let touched = format!("touched={}", fastrand::u32(..));
        lab.kubectl(&["annotate", "httproute", "deep", &touched, "--overwrite"]);
        [("new", "spec.rules"), ("deep", "nested too deeply")].into_iter().all(|(name, why)| {
            let told = events(&lab, "HTTPRoute", name);
            [why, "it is not used", "correct the field"].iter().all(|part| told.contains(part))
        })
    });
    until("a good route is in force", || status(&neighbour.address, "later.example") == Some(200));
    for (host, answer) in [(GOOD, 200), ("edited.example", 200), ("new.example", 404)] {
        assert_eq!(status(&neighbour.address, host), Some(answer), "{host}");
    }
    for name in ["edited", "glob", "new", "deep"] {
        lab.kubectl(&["delete", "httproute", name]);
    }
    until("what is deleted is gone, though it could not be read", || {
        status(&neighbour.address, "edited.example") == Some(404)
    });
    drop(open);
    neighbour.must_be_unharmed();
}
