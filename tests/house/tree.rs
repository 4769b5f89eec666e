// SPDX-License-Identifier: Apache-2.0
//! Who depends on whom, as cargo sees it.

use std::process::Command;

use super::source::root;

/// Names of every package that `package` is built with, itself included.
fn tree(package: &str) -> Vec<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}", "--package", package])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut names: Vec<String> = text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

fn assert_without(package: &str, forbidden: &[&str]) {
    let names = tree(package);
    assert!(names.iter().any(|name| name == package), "{package} is in its own tree");
    let found: Vec<&String> =
        names.iter().filter(|name| forbidden.iter().any(|forbidden| name.starts_with(forbidden))).collect();
    assert!(found.is_empty(), "{package} is built with {found:?}");
}

#[test]
fn the_controller_is_built_without_pingora_and_without_the_gateway() {
    assert_without("torana-controller", &["pingora", "torana-gateway"]);
}

#[test]
fn the_gateway_knows_no_kubernetes() {
    assert_without("torana-gateway", &["kube", "k8s-openapi", "torana-crds", "torana-controller"]);
}

#[test]
fn types_have_neither_client_nor_runtime() {
    assert_without("torana-crds", &["kube", "tokio", "torana-gateway", "torana-controller"]);
    assert_without("torana-ir", &["kube", "tokio", "pingora", "torana-crds"]);
}

#[test]
fn a_forbidden_package_would_be_seen() {
    assert!(tree("torana-gateway").iter().any(|name| name.starts_with("pingora")));
}
