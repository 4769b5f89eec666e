// SPDX-License-Identifier: Apache-2.0
//! Folders of manifests as users edit them, and what follows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use proptest::prelude::*;
use torana_crds::Object;

use crate::report::Severity;
use crate::source::Files;
use crate::store::Event;

/// A folder and what was read of it.
struct World {
    root: tempfile::TempDir,
    files: Files,
}

impl World {
    fn new(texts: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in texts {
            fs::write(root.path().join(name), text).unwrap();
        }
        let files = Files::open(&[root.path().to_owned()]);
        Self { root, files }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes a file and returns what changed, as `+name` and `-name`.
    fn write(&mut self, name: &str, text: &str) -> Vec<String> {
        fs::write(self.path(name), text).unwrap();
        self.look(&[name])
    }

    fn look(&mut self, named: &[&str]) -> Vec<String> {
        let named: BTreeSet<_> = named.iter().map(|name| self.path(name)).collect();
        self.files.refresh(&named).iter().map(event).collect()
    }

    fn objects(&self) -> Vec<String> {
        self.files.objects().iter().map(event).collect()
    }

    /// Findings with the folder cut off.
    fn findings(&self) -> Vec<String> {
        let root = format!("{}/", self.root.path().display());
        self.files.findings().iter().map(|finding| finding.to_string().replace(&root, "")).collect()
    }
}

fn event(event: &Event) -> String {
    match event {
        Event::Applied(object) => format!("+{}", object.meta().name),
        Event::Removed(reference) => format!("-{}", reference.name),
        Event::Unreadable(reference, _) => format!("?{}", reference.name),
    }
}

fn namespace(name: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n")
}

fn service(name: &str, port: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  ports:\n  - port: {port}\n")
}

fn documents(texts: &[String]) -> String {
    texts.join("---\n")
}

#[test]
fn every_object_of_a_folder_is_read_in_the_order_of_names() {
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "c"}}]}"#;
    let world = World::new(&[("1.yaml", &documents(&[namespace("b"), namespace("a")])), ("2.json", list)]);
    assert_eq!(world.objects(), ["+a", "+b", "+c"]);
    assert!(world.findings().is_empty(), "{:?}", world.findings());
}

#[test]
fn only_what_changed_is_told() {
    let mut world = World::new(&[("a.yaml", &documents(&[service("a", "80"), service("b", "80")]))]);
    assert!(world.look(&["a.yaml"]).is_empty(), "nothing");
    assert_eq!(world.write("a.yaml", &documents(&[service("a", "80"), service("b", "81")])), ["+b"]);
    assert_eq!(world.write("a.yaml", &documents(&["# moved down\n".into(), service("b", "81")])), ["-a"]);
    assert_eq!(world.write("b.yaml", &service("a", "80")), ["+a"]);
    fs::remove_file(world.path("a.yaml")).unwrap();
    assert_eq!(world.look(&[]), ["-b"]);
}

#[test]
fn an_object_that_moves_between_files_does_not_flicker() {
    let mut world = World::new(&[("a.yaml", &service("x", "80"))]);
    fs::rename(world.path("a.yaml"), world.path("b.yaml")).unwrap();
    assert!(world.look(&[]).is_empty());
    assert_eq!(world.objects(), ["+x"]);
}

#[test]
fn a_broken_document_takes_no_neighbour_along_and_keeps_its_object() {
    let mut world = World::new(&[("a.yaml", &documents(&[service("a", "80"), service("b", "80")]))]);
    let broken = documents(&[service("a", "[80"), service("b", "81"), service("c", "80")]);
    assert_eq!(world.write("a.yaml", &broken), ["+b", "+c"]);
    assert_eq!(world.objects(), ["+a", "+b", "+c"]);
    let findings = world.findings();
    assert_eq!(findings.len(), 1);
    assert!(findings[0].starts_with("a.yaml:7: error: not readable: "), "{findings:?}");
    assert!(findings[0].contains("the one object that was here before stays in use"), "{findings:?}");
    assert_eq!(world.write("a.yaml", &service("c", "80")), ["-a", "-b"]);
    assert!(world.findings().is_empty());
}

#[test]
fn an_object_of_a_wrong_type_keeps_its_last_good_form() {
    let mut world = World::new(&[("a.yaml", &service("a", "80"))]);
    assert!(world.write("a.yaml", &service("a", "many")).is_empty());
    let findings = world.findings();
    assert!(findings[0].starts_with("a.yaml:7: error: Service default/a: spec.ports[0].port: "), "{findings:?}");
    assert!(findings[0].contains("; its last good form stays in use; "), "{findings:?}");
    assert_eq!(world.write("a.yaml", &service("b", "80")), ["-a", "+b"], "renamed: the old name is gone");
}

#[test]
fn an_object_whose_kind_is_misspelt_keeps_its_last_good_form() {
    let mut world = World::new(&[("a.yaml", &service("a", "80"))]);
    assert!(world.write("a.yaml", &service("a", "80").replace("Service", "service")).is_empty());
    let findings = world.findings();
    assert!(findings[0].contains("there is no kind service"), "{findings:?}");
    let other = service("a", "80").replace("apiVersion: v1", "apiVersion: serving.knative.dev/v1");
    assert_eq!(world.write("a.yaml", &other), ["-a"], "an object of other software is none of ours");
}

#[test]
fn an_object_that_was_never_good_is_absent() {
    let world = World::new(&[("a.yaml", &documents(&[service("a", "many"), service("b", "80")]))]);
    assert_eq!(world.objects(), ["+b"]);
}

#[test]
fn an_emptied_or_unreadable_file_keeps_its_objects() {
    let mut world = World::new(&[("a.yaml", &service("a", "80"))]);
    assert!(world.write("a.yaml", "").is_empty());
    assert_eq!(world.findings().len(), 1);
    assert!(world.write("a.yaml", "").is_empty(), "still");
    fs::write(world.path("a.yaml"), b"\xff").unwrap();
    assert!(world.look(&["a.yaml"]).is_empty());
    assert!(world.findings()[0].contains("not UTF-8"), "{:?}", world.findings());
    assert_eq!(world.write("a.yaml", "# meant\n"), ["-a"]);
}

#[test]
fn a_folder_that_vanishes_keeps_its_objects() {
    let mut world = World::new(&[("a.yaml", &service("a", "80"))]);
    let away = world.root.path().with_extension("away");
    fs::rename(world.root.path(), &away).unwrap();
    assert!(world.look(&[]).is_empty());
    assert_eq!(world.files.findings()[0].severity, Severity::Error);
    fs::rename(&away, world.root.path()).unwrap();
    assert!(world.look(&[]).is_empty());
    assert!(world.findings().is_empty());
}

#[test]
fn of_two_definitions_the_first_file_wins_and_the_second_is_named() {
    let mut world = World::new(&[("a.yaml", &service("x", "80")), ("b.yaml", &documents(&[service("x", "81")]))]);
    let findings = world.findings();
    assert!(findings[0].starts_with("b.yaml:1: error: Service default/x: defined twice: also at "), "{findings:?}");
    assert!(findings[0].contains("a.yaml:1"), "{findings:?}");
    fs::remove_file(world.path("a.yaml")).unwrap();
    assert_eq!(world.look(&[]), ["+x"], "the second takes its place, without a gap");
    assert!(world.findings().is_empty());
}

#[test]
fn a_good_definition_is_better_than_a_kept_one() {
    let mut world = World::new(&[("a.yaml", &service("x", "80"))]);
    world.write("a.yaml", "kind: [");
    assert_eq!(world.write("b.yaml", &service("x", "81")), ["+x"]);
}

#[test]
fn a_swapped_mount_is_one_generation() {
    let mut world = World::new(&[]);
    for (version, port) in [("..1", "80"), ("..2", "81")] {
        fs::create_dir(world.path(version)).unwrap();
        fs::write(world.path(version).join("a.yaml"), service("a", port)).unwrap();
        fs::write(world.path(version).join("b.yaml"), service("b", port)).unwrap();
    }
    symlink("..1", world.path("..data")).unwrap();
    symlink("..data/a.yaml", world.path("a.yaml")).unwrap();
    symlink("..data/b.yaml", world.path("b.yaml")).unwrap();
    assert_eq!(world.look(&[]), ["+a", "+b"]);
    symlink("..2", world.path("..data_tmp")).unwrap();
    fs::rename(world.path("..data_tmp"), world.path("..data")).unwrap();
    fs::remove_dir_all(world.path("..1")).unwrap();
    assert_eq!(world.look(&[]), ["+a", "+b"]);
}

#[test]
fn what_no_gateway_needs_passes_in_silence_and_slips_do_not() {
    let other = |api: &str, kind: &str| format!("apiVersion: {api}\nkind: {kind}\nmetadata:\n  name: x\n");
    let rows = [
        (other("apps/v1", "Deployment"), None),
        (other("serving.knative.dev/v1", "Service"), None),
        (
            other("gateway.networking.k8s.io/v1", "HttpRoute"),
            Some("write apiVersion: gateway.networking.k8s.io/v1 and kind: HTTPRoute"),
        ),
        (other("v1", "HTTPRoute"), Some("there is no kind HTTPRoute in API group \"\"")),
        (other("networking.istio.io/v1", "Sidecar"), Some("nothing: a gateway sees all that is exported to it")),
        (
            other("monitoring.istio.io/v1beta1", "Prometheus"),
            Some("Istio has no kind Prometheus of monitoring.istio.io"),
        ),
        (
            other("networking.istio.io/v9", "DestinationRule") + "spec: 5\n",
            Some("apiVersion: networking.istio.io/v9 of DestinationRule is not served"),
        ),
        (other("networking.istio.io/v1", "virtualservice"), Some("there is no kind virtualservice")),
        (other("networking.k8s.io/v1", "Ingress"), Some("use Gateway API kinds")),
        ("- a\n".to_owned(), Some("not an object")),
        ("metadata: {name: x}\n".to_owned(), Some("apiVersion and kind are required")),
        (other("v1", "Service").replace("name: x", "labels: {}"), Some("a name is required")),
    ];
    for (text, expected) in rows {
        let findings = World::new(&[("a.yaml", &text)]).findings();
        match expected {
            None => assert!(findings.is_empty(), "{text}{findings:?}"),
            Some(part) => assert!(findings.len() == 1 && findings[0].contains(part), "{text}{findings:?}"),
        }
    }
}

#[test]
fn an_unknown_field_is_a_warning_with_its_line_and_the_object_is_used() {
    let text = documents(&[namespace("space"), service("a", "80").replace("- port", "- potr: 1\n    port")]);
    let world = World::new(&[("a.yaml", &text)]);
    assert_eq!(world.objects(), ["+space", "+a"]);
    let findings = world.findings();
    assert!(
        findings[0].starts_with("a.yaml:12: warning: Service default/a: spec.ports[0].potr: unknown field"),
        "{findings:?}"
    );
}

#[test]
fn the_place_of_a_field_is_found_also_in_a_list() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: a}\n- \
        apiVersion: v1\n  kind: Service\n  metadata:\n    name: b\n  spec:\n    ports:\n    - port: 80\n";
    let world = World::new(&[("a.yaml", &documents(&[namespace("space"), list.to_owned()]))]);
    let reference = torana_crds::ObjectRef::new(torana_crds::Kind::Service, "default", "b");
    let line = |path: &str| world.files.place(&reference, path).unwrap().line;
    assert_eq!((line(""), line("spec.ports[0].port"), line("metadata.labels")), (12, 18, 14));
    let absent = torana_crds::ObjectRef::new(torana_crds::Kind::Service, "default", "c");
    assert_eq!(world.files.place(&absent, ""), None);
}

#[test]
fn what_happens_beside_the_given_paths_is_of_no_concern() {
    let world = World::new(&[("a.yaml", "")]);
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("x.yaml"), namespace("x")).unwrap();
    symlink(outside.path().join("x.yaml"), world.path("link.yaml")).unwrap();
    let files = Files::open(&[world.root.path().to_owned()]);
    let target = outside.path().canonicalize().unwrap().join("x.yaml");
    for (path, concerns) in [
        (world.path("a.yaml"), true),
        (world.path("sub/b.yaml"), true),
        (world.root.path().to_owned(), true),
        (world.root.path().parent().unwrap().to_owned(), true),
        (world.root.path().with_file_name("other.yaml"), false),
        (target.clone(), true),
        (target.with_file_name("y.yaml"), false),
    ] {
        assert_eq!(files.concerns(&path), concerns, "{}", path.display());
    }
}

#[test]
fn a_linked_file_is_read_again_when_its_target_is_named() {
    let mut world = World::new(&[]);
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().canonicalize().unwrap().join("x.yaml");
    fs::write(&target, service("x", "80")).unwrap();
    symlink(&target, world.path("link.yaml")).unwrap();
    assert_eq!(world.look(&[]), ["+x"]);
    fs::write(&target, service("x", "81")).unwrap();
    let events = world.files.refresh(&BTreeSet::from([target]));
    assert_eq!(events.iter().map(event).collect::<Vec<_>>(), ["+x"]);
}

// === against a naive model ===

/// One document of a file.
#[derive(Debug, Clone)]
enum Written {
    /// A Service of this name and port.
    Good(&'static str, u16),
    /// A Service that cannot be used.
    Bad(&'static str),
    /// Not even the name can be read.
    Broken,
}

impl Written {
    fn text(&self) -> String {
        match self {
            Self::Good(name, port) => service(name, &port.to_string()),
            Self::Bad(name) => service(name, "many"),
            Self::Broken => "kind: [\n".to_owned(),
        }
    }
}

fn written() -> impl Strategy<Value = Written> {
    let name = || proptest::sample::select(vec!["a", "b", "c"]);
    prop_oneof![
        6 => (name(), 80u16..83).prop_map(|(name, port)| Written::Good(name, port)),
        1 => name().prop_map(Written::Bad),
        1 => Just(Written::Broken),
    ]
}

/// What a file says: ports by name, and whether that is what was last good.
type Says = BTreeMap<&'static str, (u16, bool)>;

/// The first good form counts; what is bad, or may be what cannot be named, keeps its last good form.
fn naive(before: &Says, documents: &[Written]) -> Says {
    let mut says = Says::new();
    for document in documents {
        if let Written::Good(name, port) = document {
            says.entry(name).or_insert((*port, false));
        }
    }
    let nameless = documents.iter().any(|document| matches!(document, Written::Broken));
    for (name, (port, _)) in before {
        let is_bad = documents.iter().any(|document| matches!(document, Written::Bad(bad) if bad == name));
        if nameless || is_bad {
            says.entry(name).or_insert((*port, true));
        }
    }
    says
}

/// The first file that has a good form wins, else the first that kept one.
fn winners(files: &BTreeMap<&str, Says>) -> BTreeMap<String, u16> {
    let all = files.values().flat_map(|says| says.iter().map(|(name, (port, kept))| (*kept, *name, *port)));
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(kept, ..)| *kept);
    let mut winners = BTreeMap::new();
    for (_, name, port) in all {
        winners.entry(name.to_owned()).or_insert(port);
    }
    winners
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_saved_the_objects_are_those_of_a_naive_model(
        saves in proptest::collection::vec(
            (proptest::sample::select(vec!["1.yaml", "2.yaml"]), proptest::collection::vec(written(), 0..6)), 1..10,
        ),
    ) {
        let mut world = World::new(&[]);
        let mut model: BTreeMap<&str, Says> = BTreeMap::new();
        for (file, saved) in saves {
            let before = model.remove(file).unwrap_or_default();
            model.insert(file, naive(&before, &saved));
            let texts: Vec<String> = saved.iter().map(Written::text).collect();
            world.write(file, &format!("# {file}\n---\n{}", documents(&texts)));
            let objects = world.files.objects().into_iter().map(|event| match event {
                Event::Applied(object) => match &*object {
                    Object::Service(service) => (service.meta.name.clone(), service.spec.ports[0].port),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            });
            prop_assert_eq!(objects.collect::<BTreeMap<_, _>>(), winners(&model));
            // What is told is what a first reading would tell, but for what follows from it.
            let told = |files: &Files| files.findings().into_iter().map(|it| (it.place, it.path, it.what)).collect::<Vec<_>>();
            prop_assert_eq!(told(&world.files), told(&Files::open(&[world.root.path().to_owned()])));
        }
    }
}
