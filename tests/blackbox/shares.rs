// SPDX-License-Identifier: Apache-2.0
//! Who gets which share of the requests: weights, backends that do not work, mirrors.

use std::collections::BTreeMap;

use torana_tests::{Backend, Connection, World, eventually};

use super::manifests::{object, route, to};

/// The answers to `count` requests for `host` on one connection: how often which status with which body.
fn answers(world: &World, host: &str, count: usize) -> BTreeMap<(u16, String), usize> {
    let mut connection = Connection::open(world.http).unwrap();
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        let reply = connection.get(host, "/").unwrap();
        let text = if reply.status == 200 { reply.text() } else { String::new() };
        *answers.entry((reply.status, text)).or_default() += 1;
    }
    answers
}

/// Host and number of requests; how often which status and text answers.
type Row = (&'static str, usize, &'static [(u16, &'static str, usize)]);

fn split(name: &str, refs: &str) -> String {
    route(name, &format!("hostnames: [{name}.example.com], rules: [{{backendRefs: [{refs}]}}]"))
}

#[test]
fn weights_are_exact_in_every_round_and_broken_backends_take_their_share() {
    let backends = ["a", "b", "c"].map(Backend::named);
    let services: String =
        ["a", "b", "c"].iter().zip(&backends).map(|(name, backend)| World::service(name, backend.port)).collect();
    let resting = object("v1", "Service", "resting", "ports: [{port: 80}]");
    let manifests = [
        World::gateway().to_owned(),
        services,
        resting,
        split("thirds", "{name: a, port: 80}, {name: b, port: 80}, {name: c, port: 80}"),
        split(
            "uneven",
            "{name: a, port: 80, weight: 70}, {name: b, port: 80, weight: 25}, {name: c, port: 80, weight: 5}",
        ),
        split("canary", "{name: a, port: 80, weight: 999}, {name: b, port: 80, weight: 1}"),
        split("zero", "{name: a, port: 80, weight: 0}, {name: b, port: 80, weight: 3}, {name: c, port: 80, weight: 0}"),
        split("missing", "{name: a, port: 80, weight: 3}, {name: nobody, port: 80, weight: 1}"),
        split("forbidden", "{name: a, port: 80}, {name: b, port: 80, namespace: other}"),
        split("strange", "{name: a, port: 80}, {group: example.com, kind: Bucket, name: b, port: 80}"),
        split("resting", "{name: a, port: 80, weight: 4}, {name: resting, port: 80, weight: 1}"),
        split("nothing", "{name: a, port: 80, weight: 0}, {name: b, port: 80, weight: 0}"),
    ];
    let world = World::start(&manifests.concat());
    let rows: [Row; 9] = [
        ("thirds", 300, &[(200, "a", 100), (200, "b", 100), (200, "c", 100)]),
        ("uneven", 400, &[(200, "a", 280), (200, "b", 100), (200, "c", 20)]),
        ("canary", 2000, &[(200, "a", 1998), (200, "b", 2)]),
        ("zero", 100, &[(200, "b", 100)]),
        ("missing", 100, &[(200, "a", 75), (500, "", 25)]),
        ("forbidden", 100, &[(200, "a", 50), (500, "", 50)]),
        ("strange", 100, &[(200, "a", 50), (500, "", 50)]),
        ("resting", 100, &[(200, "a", 80), (503, "", 20)]),
        ("nothing", 10, &[(500, "", 10)]),
    ];
    for (host, count, expected) in rows {
        let expected = expected.iter().map(|(status, text, count)| ((*status, (*text).to_owned()), *count)).collect();
        assert_eq!(answers(&world, &format!("{host}.example.com"), count), expected, "{host}");
    }
}

#[test]
fn an_edited_weight_counts_at_once_and_a_round_survives_other_edits() {
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let world = World::start(&format!(
        "{}{}{}",
        World::gateway(),
        World::service("old", old.port),
        World::service("new", new.port)
    ));
    let weighted = |old: u32, new: u32, note: &str| {
        let filter = format!(
            "{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: note, value: {note}}}]}}}}"
        );
        let refs = format!("{{name: old, port: 80, weight: {old}}}, {{name: new, port: 80, weight: {new}}}");
        route("r", &format!("rules: [{{filters: [{filter}], backendRefs: [{refs}]}}]"))
    };
    let apply = |old, new, note: &str| {
        world.apply("route.yaml", &weighted(old, new, note));
        assert!(eventually(|| world.get("a", "/").is_ok_and(|reply| reply.header("note") == Some(note))), "{note}");
    };
    for (step, (before, after)) in [(100, 0), (90, 10), (50, 50), (0, 100)].into_iter().enumerate() {
        apply(before, after, &format!("step-{step}"));
        let answers = answers(&world, "a", 100);
        let share = |name: &str| answers.get(&(200, name.to_owned())).copied().unwrap_or(0);
        assert_eq!((share("old"), share("new")), (before as usize, after as usize));
    }
    apply(9, 1, "edit-0");
    drop([old.take(), new.take()]);
    for edit in 1..=20 {
        apply(9, 1, &format!("edit-{edit}"));
    }
    let (to_old, to_new) = (old.seen().len(), new.seen().len());
    assert!(to_old + to_new >= 20 && to_old.abs_diff(9 * to_new) <= 9, "{to_old} to {to_new}");
}

#[test]
fn each_mirror_gets_its_own_share() {
    const REQUESTS: u32 = 3000;
    let names = ["main", "all", "percent", "fraction", "none", "per-mille"];
    let backends = names.map(Backend::named);
    let services: String =
        names.iter().zip(&backends).map(|(name, backend)| World::service(name, backend.port)).collect();
    let mirror = |name: &str, share: &str| {
        format!("{{type: RequestMirror, requestMirror: {{backendRef: {{name: {name}, port: 80}}{share}}}}}")
    };
    let filters = [
        mirror("all", ""),
        mirror("percent", ", percent: 20"),
        mirror("fraction", ", fraction: {numerator: 1, denominator: 3}"),
        mirror("none", ", percent: 0"),
        mirror("per-mille", ", fraction: {numerator: 1, denominator: 1000}"),
    ];
    let rule = format!("rules: [{{filters: [{}], {}}}]", filters.join(", "), to("main"));
    let world = World::start(&format!("{}{services}{}", World::gateway(), route("r", &rule)));
    let got = answers(&world, "a", REQUESTS as usize);
    assert_eq!(got, BTreeMap::from([((200, "main".to_owned()), REQUESTS as usize)]), "mirrors answer nobody");
    let [main, all, percent, fraction, none, per_mille] = backends;
    let copies = |backend: &Backend| u32::try_from(backend.seen().len()).unwrap();
    assert!(eventually(|| copies(&all) == REQUESTS), "{} of {REQUESTS}", copies(&all));
    assert_eq!((copies(&main), copies(&none)), (REQUESTS, 0));
    // Five standard deviations: a fair die fails once in a million runs.
    for (backend, share) in [(&percent, 0.2), (&fraction, 1.0 / 3.0), (&per_mille, 0.001)] {
        let mean = f64::from(REQUESTS) * share;
        let off = (f64::from(copies(backend)) - mean).abs();
        assert!(off <= 5.0 * (mean * (1.0 - share)).sqrt(), "{} of {REQUESTS} at {share}", copies(backend));
    }
}
