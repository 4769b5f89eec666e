// SPDX-License-Identifier: Apache-2.0
//! The shipped CRDs: they are read as they are, and nothing in them goes unchecked.

use super::*;

pub(super) fn visit(node: &super::super::node::Node, each: &mut impl FnMut(&super::super::node::Node)) {
    each(node);
    let lists = [&node.any_of, &node.one_of];
    let single = [&node.items, &node.additional_properties, &node.not];
    node.properties.values().for_each(|child| visit(child, each));
    single.into_iter().flatten().for_each(|child| visit(child, each));
    lists.into_iter().flatten().for_each(|child| visit(child, each));
}

#[test]
fn every_shipped_crd_is_read_and_is_of_v1_7_0() {
    for shipped in &SHIPPED {
        let crd: Value = serde_saphyr::from_str(shipped.text()).unwrap();
        assert_eq!(crd["spec"]["names"]["kind"], shipped.kind.as_str());
        assert_eq!(crd["spec"]["group"], shipped.kind.group());
        assert_eq!(crd["spec"]["scope"] == "Namespaced", shipped.kind.is_namespaced());
        assert!(shipped.schema().properties.contains_key("spec"), "{}", shipped.kind);
        if shipped.kind.group() == crate::kind::TORANA_GROUP {
            continue;
        }
        let notes = &crd["metadata"]["annotations"];
        assert_eq!(notes["gateway.networking.k8s.io/bundle-version"], "v1.7.0");
        assert_eq!(notes["gateway.networking.k8s.io/channel"], "standard");
    }
}

#[test]
fn every_kind_has_a_schema_but_those_of_the_core_and_of_istio() {
    for kind in Kind::ALL {
        let is_custom = [crate::kind::GATEWAY_GROUP, crate::kind::TORANA_GROUP].contains(&kind.group());
        assert_eq!(shipped::schema_of(kind).is_some(), is_custom, "{kind}");
    }
}

#[test]
fn served_versions_are_those_of_the_crds() {
    for shipped in &SHIPPED {
        let crd: Value = serde_saphyr::from_str(shipped.text()).unwrap();
        let versions = crd["spec"]["versions"].as_array().unwrap();
        let mut served: Vec<_> =
            versions.iter().filter(|it| it["served"] == true).map(|it| it["name"].as_str().unwrap()).collect();
        served.sort_unstable();
        assert_eq!(served, shipped.kind.versions(), "{}", shipped.kind);
    }
}

#[test]
fn no_crd_uses_a_keyword_that_is_not_checked() {
    const KNOWN: [&str; 26] = [
        "additionalProperties",
        "anyOf",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "not",
        "oneOf",
        "pattern",
        "properties",
        "required",
        "type",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        // How parts merge under server-side apply: nothing to check.
        "x-kubernetes-map-type",
        // What is left open is checked where it is used.
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    ];
    fn walk(schema: &Value, path: &str) {
        for (keyword, value) in schema.as_object().unwrap() {
            assert!(KNOWN.contains(&keyword.as_str()), "{path}: {keyword}");
            match keyword.as_str() {
                "properties" => {
                    value.as_object().unwrap().iter().for_each(|(name, it)| walk(it, &format!("{path}.{name}")));
                }
                "items" | "additionalProperties" | "not" => walk(value, path),
                "anyOf" | "oneOf" => value.as_array().unwrap().iter().for_each(|it| walk(it, path)),
                "x-kubernetes-validations" => value.as_array().unwrap().iter().for_each(|it| {
                    let keys: Vec<_> = it.as_object().unwrap().keys().collect();
                    assert_eq!(keys, ["message", "rule"], "{path}");
                }),
                _ => {}
            }
        }
    }
    for shipped in &SHIPPED {
        let crd: Value = serde_saphyr::from_str(shipped.text()).unwrap();
        for version in crd["spec"]["versions"].as_array().unwrap() {
            walk(&version["schema"]["openAPIV3Schema"], shipped.kind.as_str());
        }
    }
}

#[test]
fn cel_rules_that_cannot_be_checked_here_are_listed() {
    let (mut rules, mut transitions, mut broken) = (0, 0, Vec::new());
    for shipped in &SHIPPED {
        visit(shipped.schema(), &mut |node| {
            for rule in &node.rules {
                rules += 1;
                transitions += usize::from(rule.is_transition());
                broken.extend(rule.compile_error().map(|why| format!("{}: {} ({why})", shipped.kind, rule.message())));
            }
        });
    }
    assert_eq!(broken, Vec::<String>::new());
    // The one transition rule: GatewayClass.spec.controllerName is immutable.
    assert_eq!((rules, transitions), (183, 1));
}

#[test]
fn the_only_property_named_like_a_word_of_cel_is_namespace() {
    const RESERVED: [&str; 21] = [
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
        "let", "loop", "package", "return", "var", "void", "while", "__",
    ];
    for shipped in &SHIPPED {
        visit(shipped.schema(), &mut |node| {
            for name in node.properties.keys() {
                assert!(!RESERVED.contains(&name.as_str()) && !name.contains(['-', '.', '/']), "{name}");
            }
        });
    }
}

#[test]
fn every_pattern_compiles() {
    for shipped in &SHIPPED {
        visit(shipped.schema(), &mut |node| {
            if let Some(pattern) = &node.pattern {
                assert!(pattern.is_match("").is_some(), "{}", pattern.as_str());
            }
        });
    }
}

#[test]
fn the_schemas_are_of_the_kinds_they_are_filed_under() {
    let kinds: std::collections::BTreeSet<_> = SHIPPED.iter().map(|Shipped { kind, .. }| *kind).collect();
    assert_eq!(kinds.len(), SHIPPED.len());
}
