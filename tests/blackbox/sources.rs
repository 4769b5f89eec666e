// SPDX-License-Identifier: Apache-2.0
//! Where manifests come from: standard input, JSON lists, mounted ConfigMaps.

use std::fs;
use std::os::unix::fs::symlink;

use torana_tests::{Backend, Connection, World, eventually};

use super::manifests::{route, to};

fn manifests(backend: u16, rule: &str) -> String {
    [World::gateway(), &World::service("b", backend), &route("r", &format!("rules: [{{{rule}{}}}]", to("b")))].concat()
}

#[test]
fn manifests_come_by_standard_input() {
    let backend = Backend::named("ok");
    let world = World::piped(&manifests(backend.port, ""));
    assert_eq!(world.get("a", "/").unwrap().text(), "ok");
}

#[test]
fn json_and_lists_of_objects_are_read() {
    let backend = Backend::named("ok");
    let world = World::start("");
    let list = format!(
        r#"{{"apiVersion": "v1", "kind": "List", "items": [
          {{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {{"name": "edge"}},
            "spec": {{"gatewayClassName": "torana", "listeners": [{{"name": "http", "port": ${{HTTP}}, "protocol": "HTTP"}}]}}}},
          {{"apiVersion": "v1", "kind": "Service", "metadata": {{"name": "b"}}, "spec": {{"ports": [{{"port": 80}}]}}}},
          {{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {{"name": "b-1", "labels": {{"kubernetes.io/service-name": "b"}}}},
            "endpoints": [{{"addresses": ["127.0.0.1"]}}], "ports": [{{"port": {}}}]}}]}}
        {{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRouteList", "items": [
          {{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {{"name": "r"}},
            "spec": {{"parentRefs": [{{"name": "edge"}}], "rules": [{{"backendRefs": [{{"name": "b", "port": 80}}]}}]}}}}]}}"#,
        backend.port
    );
    world.apply("all.json", &list);
    assert!(eventually(|| world.status("a", "/") == 200), "{}", world.log());
    // The second of several values in one file.
    world.apply("all.json", &list.replace("\"r\"", "\"renamed\""));
    let renamed = || world.admin("/debug/config").is_some_and(|reply| reply.text().contains("renamed"));
    assert!(eventually(renamed));
    assert_eq!(world.status("a", "/"), 200);
}

#[test]
fn a_swapped_config_map_is_one_change() {
    let backend = Backend::named("ok");
    let world = World::start("");
    let mount = world.folder().join("mount");
    // As the kubelet lays it out: `web.yaml → ..data/web.yaml`, `..data → ..<time>`.
    let version = |number: u32| {
        let folder = mount.join(format!("..{number}"));
        fs::create_dir_all(&folder).unwrap();
        let header = format!(
            "filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: version, value: \"{number}\"}}]}}}}], "
        );
        let text = manifests(backend.port, &header).replace("${HTTP}", &world.http.to_string());
        // Gateway and backends in one file, the route in another: a swap must bring both at once.
        let (gateway, rest) = text.split_at(text.find("apiVersion: v1\n").unwrap());
        fs::write(folder.join("gateway.yaml"), gateway.replace("name: http", &format!("name: http-{number}"))).unwrap();
        let parent = format!("parentRefs: [{{name: edge, sectionName: http-{number}}}]");
        fs::write(folder.join("web.yaml"), rest.replace("parentRefs: [{name: edge}]", &parent)).unwrap();
        symlink(format!("..{number}"), mount.join("..data_tmp")).unwrap();
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    };
    version(0);
    for name in ["gateway.yaml", "web.yaml"] {
        symlink(format!("..data/{name}"), mount.join(name)).unwrap();
    }
    assert!(eventually(|| world.status("a", "/") == 200), "{}", world.log());
    let mut kept = Connection::open(world.http).unwrap();
    for number in 1..=10 {
        version(number);
        fs::remove_dir_all(mount.join(format!("..{}", number - 1))).unwrap();
        let mut answers = Vec::new();
        let arrived = eventually(|| {
            let reply = kept.get("a", "/").unwrap();
            answers.push(reply.status);
            reply.header("version") == Some(&number.to_string())
        });
        assert!(arrived, "version {number}");
        // A route without its listener, or a listener without its route, would be 404 in between.
        assert!(answers.iter().all(|status| *status == 200), "version {number}: {answers:?}");
    }
}
