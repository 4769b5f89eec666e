// SPDX-License-Identifier: Apache-2.0
//! The CustomResourceDefinitions of `torana.dev`, from the types. `crdgen` writes them into `deploy/crds/torana.dev`;
//! a test says whether what lies there is still what follows from the types. Never touches a file.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::issuer::AcmeIssuerSpec;
use crate::kind::Kind;
use crate::parameters::GatewayParametersSpec;
use crate::traffic_policy::TrafficPolicySpec;

/// Every definition: the name of its file, and its YAML.
pub fn definitions() -> Vec<(String, String)> {
    let all = [
        parameters(),
        traffic_policy(),
        issuer(Kind::AcmeIssuer, ["acmeissuers", "acmeissuer", "acmeiss"]),
        issuer(Kind::ClusterAcmeIssuer, ["clusteracmeissuers", "clusteracmeissuer", "cacmeiss"]),
    ];
    all.into_iter().map(|crd| (file(&crd), yaml(&crd))).collect()
}

fn parameters() -> Value {
    let columns = json!([
        {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]);
    definition::<GatewayParametersSpec>(Kind::GatewayParameters, ("gatewayparameters", "gwp"), &columns)
}

/// A direct policy (GEP-2648), as its label says to tools.
fn traffic_policy() -> Value {
    let columns = json!([
        {"name": "Targets", "type": "string", "jsonPath": ".spec.targetRefs[*].name"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]);
    let mut crd = definition::<TrafficPolicySpec>(Kind::TrafficPolicy, ("trafficpolicies", "tp"), &columns);
    crd["metadata"]["labels"]["gateway.networking.k8s.io/policy"] = "Direct".into();
    crd["spec"]["names"]["singular"] = "trafficpolicy".into();
    with_status(&mut crd, &policy_status());
    crd
}

/// AcmeIssuer or ClusterAcmeIssuer, by its plural, singular and short name: what one must say of namespaces, the other must
/// not.
fn issuer(kind: Kind, [plural, singular, short]: [&str; 3]) -> Value {
    let columns = json!([
        {"name": "Directory", "type": "string", "jsonPath": ".spec.directory"},
        {"name": "Accepted", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].status"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]);
    let mut crd = definition::<AcmeIssuerSpec>(kind, (plural, short), &columns);
    crd["spec"]["names"]["singular"] = singular.into();
    let status = json!({
        "description": "What became of it.",
        "type": "object",
        "properties": {"conditions": conditions()},
    });
    with_status(&mut crd, &status);
    for version in crd["spec"]["versions"].as_array_mut().into_iter().flatten() {
        settle_namespaces(&mut version["schema"]["openAPIV3Schema"]["properties"]["spec"], kind.is_namespaced());
    }
    crd
}

/// Who is of a namespace looks into no other and has no say in others; who is not must name one.
fn settle_namespaces(schema: &mut Value, is_namespaced: bool) {
    let Value::Object(fields) = schema else { return };
    fields.get_mut("items").into_iter().for_each(|items| settle_namespaces(items, is_namespaced));
    for (name, field) in fields.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        let rule = match &**name {
            "secretRef" | "headersSecretRef" if is_namespaced => json!([{
                "message": "an AcmeIssuer reads Secrets of its own namespace only: remove namespace",
                "rule": "!has(self.__namespace__)",
            }]),
            "limits" if is_namespaced => json!([{
                "message": "allowedHosts is for a ClusterAcmeIssuer: an AcmeIssuer is for its own namespace only",
                "rule": "!has(self.allowedHosts)",
            }]),
            "secretRef" | "headersSecretRef" => {
                field["required"] = json!(["name", "namespace"]);
                continue;
            }
            _ => {
                settle_namespaces(field, is_namespaced);
                continue;
            }
        };
        field["x-kubernetes-validations"] = rule;
    }
}

/// Makes `status` a subresource, and `spec` required.
fn with_status(crd: &mut Value, status: &Value) {
    for version in crd["spec"]["versions"].as_array_mut().into_iter().flatten() {
        version["subresources"] = json!({"status": {}});
        version["schema"]["openAPIV3Schema"]["required"] = json!(["spec"]);
        version["schema"]["openAPIV3Schema"]["properties"]["status"] = status.clone();
    }
}

fn text(most: u32) -> Value {
    json!({"type": "string", "maxLength": most})
}

/// A list of `Condition` of Kubernetes, one of a type.
fn conditions() -> Value {
    let condition = json!({
        "type": "object",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "message": text(32_768),
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            "reason": text(1024),
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "type": text(316),
        },
    });
    json!({"type": "array", "items": condition, "maxItems": 8,
        "x-kubernetes-list-map-keys": ["type"], "x-kubernetes-list-type": "map"})
}

/// `PolicyStatus` of Gateway API.
fn policy_status() -> Value {
    let mut some = conditions();
    some["minItems"] = 1.into();
    let reference = json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "group": text(253),
            "kind": text(63),
            "name": text(253),
            "namespace": text(63),
            "port": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65_535},
            "sectionName": text(253),
        },
    });
    let ancestor = json!({
        "type": "object",
        "required": ["ancestorRef", "conditions", "controllerName"],
        "properties": {
            "ancestorRef": reference,
            "conditions": some,
            "controllerName": text(253),
        },
    });
    json!({
        "description": "What became of it, at each Gateway whose routes lead to what it is for.",
        "type": "object",
        "properties": {"ancestors": {"type": "array", "items": ancestor, "maxItems": 16,
            "x-kubernetes-list-type": "atomic"}},
    })
}

/// `{plural}` and short name, and what `kubectl get` shows.
fn definition<T: JsonSchema>(kind: Kind, (plural, short): (&str, &str), columns: &Value) -> Value {
    let mut spec = structural::<T>();
    let description = spec.as_object_mut().and_then(|spec| spec.remove("description"));
    let schema = json!({
        "description": description,
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
        },
    });
    let versions = kind.versions().iter().map(|version| {
        json!({"name": version, "served": true, "storage": true, "additionalPrinterColumns": columns,
            "schema": {"openAPIV3Schema": schema}})
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "annotations": {"torana.dev/written-by": "crdgen"},
            "labels": {"app.kubernetes.io/part-of": "torana"},
            "name": format!("{plural}.{}", kind.group()),
        },
        "spec": {
            "group": kind.group(),
            "names": {"categories": ["torana"], "kind": kind.as_str(), "listKind": format!("{kind}List"),
                "plural": plural, "shortNames": [short], "singular": plural},
            "scope": if kind.is_namespaced() { "Namespaced" } else { "Cluster" },
            "versions": versions.collect::<Vec<_>>(),
        },
    })
}

fn file(crd: &Value) -> String {
    let name = crd["metadata"]["name"].as_str().unwrap_or_default();
    let (plural, group) = name.split_once('.').unwrap_or((name, ""));
    format!("{group}_{plural}.yaml")
}

fn yaml(crd: &Value) -> String {
    // A value of JSON is always YAML.
    let text = serde_saphyr::to_string(crd).unwrap_or_default();
    format!(
        "# SPDX-License-Identifier: Apache-2.0\n# Written by crdgen from the types in crds/src: do not edit.\n{text}"
    )
}

/// The schema of a type as Kubernetes wants it (`apiextensions.k8s.io/v1`, "structural schema"): nothing by reference,
/// one type a value, absence instead of `null`.
fn structural<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let schema: Schema = settings.into_generator().into_root_schema_for::<T>();
    let mut schema = Value::from(schema);
    straighten(&mut schema);
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("title");
    }
    schema
}

fn straighten(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    without_null(fields);
    choices(fields);
    // Those of Kubernetes are int32, int64 and some of texts; bounds are said by minimum and maximum.
    if fields.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
        fields.remove("format");
    }
    if let Some(description) = fields.get("description").and_then(Value::as_str) {
        fields.insert("description".to_owned(), joined(description).into());
    }
    for keyword in ["items", "additionalProperties"] {
        fields.get_mut(keyword).into_iter().for_each(straighten);
    }
    if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(straighten);
    }
}

/// `T | null` is a `T` that may be absent.
fn without_null(fields: &mut Map<String, Value>) {
    let null = json!({"type": "null"});
    if let Some(Value::Array(mut any)) = fields.remove("anyOf") {
        any.retain(|one| *one != null);
        if let [Value::Object(one)] = any.as_mut_slice() {
            for (keyword, value) in std::mem::take(one) {
                // What is said of the field says more than what is said of its type.
                fields.entry(keyword).or_insert(value);
            }
        }
    }
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            fields.insert("type".to_owned(), one);
        }
    }
    if fields.get("default").is_some_and(Value::is_null) {
        fields.remove("default");
    }
    if let Some(Value::Array(values)) = fields.get_mut("enum") {
        values.retain(|one| !one.is_null());
    }
}

/// Constants with a description each are an enum of texts.
fn choices(fields: &mut Map<String, Value>) {
    let Some(Value::Array(alternatives)) = fields.remove("oneOf") else { return };
    let constants: Option<Vec<_>> = alternatives.iter().map(|one| one.get("const").cloned()).collect();
    if let Some(constants) = constants {
        fields.insert("type".to_owned(), "string".into());
        fields.insert("enum".to_owned(), constants.into());
    }
}

/// Lines of a paragraph as one.
fn joined(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.split('\n').collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::{env, fs};

    use super::*;

    /// Asked of cargo when the test runs: two checkouts that share a target folder may share this very binary.
    fn folder() -> PathBuf {
        let package = env::var_os("CARGO_MANIFEST_DIR").expect("run this with cargo test");
        Path::new(&package).join("../deploy/crds/torana.dev")
    }

    #[test]
    fn what_is_committed_is_what_crdgen_writes() {
        for (file, text) in definitions() {
            let committed = fs::read_to_string(folder().join(&file)).unwrap_or_default();
            assert!(committed == text, "{file} is not what crdgen writes: ./dev goldens");
        }
        let committed = fs::read_dir(folder()).unwrap().count();
        assert_eq!(committed, definitions().len(), "a file without a type");
    }

    fn visit(schema: &Value, path: &str, each: &mut impl FnMut(&str, &Value)) {
        each(path, schema);
        for (name, child) in schema["properties"].as_object().into_iter().flatten() {
            visit(child, &format!("{path}.{name}"), each);
        }
        for keyword in ["items", "additionalProperties"] {
            schema.get(keyword).into_iter().for_each(|child| visit(child, &format!("{path}[]"), each));
        }
    }

    /// How many nodes there are, after a look at each.
    fn inspected(schema: &Value, has_defaults: bool) -> usize {
        let mut seen = 0;
        visit(schema, "spec", &mut |path, node| {
            seen += 1;
            let fields = node.as_object().unwrap();
            for keyword in ["$ref", "$defs", "anyOf", "oneOf", "allOf", "title", "const", "nullable"] {
                assert!(!fields.contains_key(keyword), "{path}: {keyword}");
            }
            assert!(has_defaults || !fields.contains_key("default"), "{path} has a default");
            assert!(node["type"].is_string() || node["x-kubernetes-int-or-string"] == true, "{path}: {node}");
            assert!(path.ends_with("[]") || node["description"].is_string(), "{path} is not described");
            if node["type"] == "array" {
                assert!(node["maxItems"].is_u64(), "{path} has no end");
            }
            assert!(
                fields.get("additionalProperties").is_none() || node["maxProperties"].is_u64(),
                "{path} has no end"
            );
        });
        seen
    }

    #[test]
    fn the_policy_is_structural_too_and_says_where_its_status_is() {
        let schema = structural::<TrafficPolicySpec>();
        assert!(inspected(&schema, false) > 20, "{schema}");
        assert_eq!(schema["required"], json!(["targetRefs"]));
        let active = &schema["properties"]["healthCheck"]["properties"]["active"]["properties"];
        assert_eq!(active["http"]["properties"]["method"]["enum"], json!(["GET", "HEAD"]));
        assert_eq!(active["tcp"]["type"], "object");
        assert_eq!(active["port"]["maximum"], 65_535);
        let version = &traffic_policy()["spec"]["versions"][0];
        assert_eq!(version["subresources"], json!({"status": {}}));
        assert_eq!(version["schema"]["openAPIV3Schema"]["properties"]["status"]["type"], "object");
    }

    #[test]
    fn an_issuer_has_defaults_and_says_of_namespaces_what_its_scope_asks_for() {
        let schema = structural::<AcmeIssuerSpec>();
        assert!(inspected(&schema, true) > 40, "{schema}");
        assert_eq!(schema["required"], json!(["directory"]));
        let properties = &schema["properties"];
        assert_eq!(properties["keyType"]["default"], "P256");
        assert_eq!(properties["keyType"]["enum"], json!(["P256", "P384", "RSA2048", "RSA4096"]));
        assert_eq!(properties["selfCheck"]["default"], "Required");
        assert_eq!(
            properties["externalAccountBinding"]["properties"]["secretRef"]["properties"]["key"]["default"],
            "hmac"
        );
        let dns01 = &properties["challenges"]["items"]["properties"]["dns01"]["properties"];
        assert_eq!(dns01["propagation"]["default"], "2m");
        assert_eq!(
            dns01["rfc2136"]["properties"]["tsig"]["properties"]["secretRef"]["properties"]["key"]["default"],
            "secret"
        );
        let (mut own, mut of_all) = (schema.clone(), schema);
        settle_namespaces(&mut own, true);
        settle_namespaces(&mut of_all, false);
        let (mut refs, mut others) = (0, 0);
        visit(&own, "spec", &mut |path, node| {
            let is_ref = path.ends_with("ecretRef");
            refs += usize::from(is_ref);
            let ruled = node["x-kubernetes-validations"][0]["rule"].as_str().unwrap_or_default();
            assert_eq!(ruled.contains("__namespace__"), is_ref, "{path}");
        });
        visit(&of_all, "spec", &mut |path, node| {
            others += usize::from(path.ends_with("ecretRef") && node["required"] == json!(["name", "namespace"]));
        });
        assert_eq!((refs, others), (4, 4));
    }

    #[test]
    fn schemas_are_structural_and_every_field_is_described() {
        let schema = structural::<GatewayParametersSpec>();
        let seen = inspected(&schema, false);
        assert!(seen > 30, "{seen}");
        assert_eq!(schema["properties"]["mode"]["enum"], json!(["Deployment", "DaemonSet"]));
        assert_eq!(schema["properties"]["replicas"]["maximum"], 1000);
        assert_eq!(schema["properties"]["autoscaling"]["required"], json!(["maxReplicas"]));
        assert!(schema.get("required").is_none());
    }
}
