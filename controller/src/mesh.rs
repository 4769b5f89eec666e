// SPDX-License-Identifier: Apache-2.0
//! What holds for the whole mesh: the MeshConfig of Istio's ConfigMaps, read once when one of them changes. A text that
//! cannot be used leaves what its ConfigMap said before in force.
//!
//! As with istiod, `istio-user` comes first, and `istio`, or `istio-REVISION`, is laid over it, field by field. Never
//! decides what a setting means for an object.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use torana_crds::core::ConfigMap;
use torana_crds::istio::MeshConfig;
use torana_crds::istio::mesh_config::unheeded;
use torana_crds::parameters::IdentitySource;
use torana_crds::{Kind, ObjectRef, Severity, Unreadable, Violation, parse_mesh_config, read_mesh_config};

use crate::report::Remark;

/// Where Istio lives, and its ConfigMaps with it.
pub const NAMESPACE: &str = "istio-system";

/// The revision of whoever has none.
pub const REVISION: &str = "default";

/// Name of the ConfigMap; one of a revision has that behind it.
const NAME: &str = "istio";

/// The entry of the ConfigMap.
pub const KEY: &str = "mesh";

/// Whether a ConfigMap of that name may be one of a mesh, of whatever revision.
pub fn is_of_some_mesh(namespace: &str, name: &str) -> bool {
    namespace == NAMESPACE && name.strip_prefix(NAME).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// One of the ConfigMaps; a later one is laid over the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// `istio-user`.
    User,
    /// That of the revision.
    Own,
}

impl Part {
    fn of(reference: &ObjectRef, revision: &str) -> Option<Self> {
        if reference.known_kind() != Some(Kind::ConfigMap) || reference.namespace != NAMESPACE {
            return None;
        }
        let rest = reference.name.strip_prefix(NAME)?;
        let is_own = if revision == REVISION { rest.is_empty() } else { rest.strip_prefix('-') == Some(revision) };
        if is_own { Some(Self::Own) } else { (rest == "-user").then_some(Self::User) }
    }
}

/// What one ConfigMap says.
#[derive(Debug, Clone, Default)]
struct Said {
    /// Its fields, as of when they could be used last; `null` if they never could.
    value: Value,
    /// The same, read.
    config: MeshConfig,
    /// What there is to say about the text of now.
    remarks: Vec<Remark>,
    /// Of the ConfigMap.
    generation: i64,
}

/// Where the identity of proxies comes from of which this is `written`: from Istio where one is, unless that says otherwise.
pub fn identity_source(written: Option<IdentitySource>, is_istio_there: bool) -> IdentitySource {
    written.unwrap_or(if is_istio_there { IdentitySource::Istio } else { IdentitySource::None })
}

/// What all of them say together.
#[derive(Debug, Clone, Default)]
pub struct Mesh {
    parts: BTreeMap<Part, Said>,
    config: MeshConfig,
}

impl Mesh {
    /// What is in force.
    pub fn config(&self) -> &MeshConfig {
        &self.config
    }

    /// Whether somebody has settings for it: an Istio of this revision is there.
    pub fn is_there(&self) -> bool {
        self.parts.contains_key(&Part::Own)
    }

    /// Where Istio's rules for the whole mesh are.
    pub fn root_namespace(&self) -> &str {
        self.config.root_namespace.as_deref().unwrap_or(NAMESPACE)
    }

    /// What a ConfigMap of the mesh says by itself, and what there is to say about it; `None` for any other object.
    pub fn said(&self, reference: &ObjectRef, revision: &str) -> Option<(&MeshConfig, &[Remark], i64)> {
        let said = self.parts.get(&Part::of(reference, revision)?)?;
        Some((&said.config, &said.remarks, said.generation))
    }

    /// Takes note of a ConfigMap, or that it is gone. Returns whether something else is in force now.
    pub(crate) fn take(&mut self, reference: &ObjectRef, revision: &str, map: Option<&ConfigMap>) -> bool {
        let Some(part) = Part::of(reference, revision) else { return false };
        let before = self.parts.remove(&part);
        if let Some(map) = map {
            self.parts.insert(part, said(map, before));
        }
        let mut fields = Map::new();
        for (name, value) in self.parts.values().filter_map(|said| said.value.as_object()).flatten() {
            fields.insert(name.clone(), value.clone());
        }
        // Each can be read, and so can any choice of their fields.
        let config = read_mesh_config(&Value::Object(fields)).map(|(config, _)| config).unwrap_or_default();
        let is_news = config != self.config;
        self.config = config;
        is_news
    }
}

fn said(map: &ConfigMap, before: Option<Said>) -> Said {
    let generation = map.meta.generation;
    let text = map.data.get(KEY).map(String::as_str).unwrap_or_default();
    match read(text) {
        Ok((value, config, mut remarks)) => {
            remarks.extend(unheeded(&value).map(|field| {
                let message = format!("is not supported, so {}", field.follows);
                let say = if field.is_grave { Remark::warning } else { Remark::note };
                say("UnsupportedField", &at(field.path), message, String::new())
            }));
            Said { value, config, remarks, generation }
        }
        Err(refusals) => {
            let is_kept = before.as_ref().is_some_and(|before| !before.value.is_null());
            let follows = if is_kept { "what it said before stays in force" } else { "none of it is in force" };
            let remarks = refusals.into_iter().map(|why| {
                let message = format!("{}, so {follows}", why.why);
                Remark::error("InvalidMeshConfig", &at(&why.path), message, "correct it")
            });
            Said { remarks: remarks.collect(), generation, ..before.unwrap_or_default() }
        }
    }
}

type Readable = (Value, MeshConfig, Vec<Remark>);

/// What a text says, or all that makes it unusable.
fn read(text: &str) -> Result<Readable, Vec<Unreadable>> {
    let value = parse_mesh_config(text).map_err(|why| vec![why])?;
    let (config, unknown) = read_mesh_config(&value).map_err(|why| vec![why])?;
    let problems = config.problems().into_iter().filter(|problem| problem.severity == Severity::Error);
    let refusals: Vec<_> = problems.map(|Violation { path, why, .. }| Unreadable { path, why }).collect();
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let unknown = unknown.iter().map(|path| {
        let remedy = "check its spelling and its place, or remove it";
        Remark::warning("UnknownField", &at(path), "is not known here, so it has no effect", remedy)
    });
    Ok((value, config, unknown.collect()))
}

/// Where a field stands in the ConfigMap.
pub(crate) fn at(path: &str) -> String {
    let dot = if path.is_empty() { "" } else { "." };
    format!("data.{KEY}{dot}{path}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use torana_crds::Spoken;

    use super::*;

    fn map(name: &str, mesh: &str) -> ConfigMap {
        let metadata = json!({"namespace": NAMESPACE, "name": name, "generation": 1});
        let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: mesh}});
        let object = torana_crds::decode(value, "").content.object().unwrap();
        ConfigMap::of(&object).unwrap().clone()
    }

    fn reference(name: &str) -> ObjectRef {
        ObjectRef::new(Kind::ConfigMap, NAMESPACE, name)
    }

    /// Takes each of `maps`, and tells the root namespace and `connectTimeout` in seconds that are in force then.
    fn in_force(revision: &str, maps: &[(&str, &str)]) -> (String, Option<u64>) {
        let mut mesh = Mesh::default();
        for (name, text) in maps {
            mesh.take(&reference(name), revision, Some(&map(name, text)));
        }
        (mesh.root_namespace().to_owned(), mesh.config().connect_timeout.map(|it| it.as_secs()))
    }

    #[test]
    fn the_config_map_of_the_revision_is_laid_over_that_of_the_user() {
        let own = ("istio", "rootNamespace: own");
        let user = ("istio-user", "rootNamespace: user\nconnectTimeout: 3s");
        let canary = ("istio-canary", "connectTimeout: 4s");
        for (revision, maps, expected) in [
            ("default", vec![], (NAMESPACE, None)),
            ("default", vec![user], ("user", Some(3))),
            ("default", vec![own, user], ("own", Some(3))),
            ("default", vec![user, own], ("own", Some(3))),
            ("default", vec![canary], (NAMESPACE, None)),
            ("canary", vec![canary, own], (NAMESPACE, Some(4))),
            ("canary", vec![user, canary], ("user", Some(4))),
            ("default", vec![("istio-", "rootNamespace: x"), ("istiod", "rootNamespace: y")], (NAMESPACE, None)),
        ] {
            assert_eq!(in_force(revision, &maps), (expected.0.to_owned(), expected.1), "{revision} {maps:?}");
        }
    }

    #[test]
    fn a_text_that_cannot_be_used_leaves_the_last_good_one_in_force() {
        let good = ("istio", "connectTimeout: 3s");
        for bad in [
            "connectTimeout: [",
            "- a list",
            "just words",
            "connectTimeout: soon",
            "connectTimeout: 2h",
            "{connectTimeout: 9s, pathNormalization: {normalization: SOME}}",
            "{connectTimeout: 9s, discoverySelectors: [{matchExpressions: [{key: a, operator: In}]}]}",
            "{connectTimeout: 9s, defaultTrafficPolicy: {connectionPool: {}}}",
        ] {
            assert_eq!(in_force("default", &[good, ("istio", bad)]).1, Some(3), "{bad}");
            assert_eq!(in_force("default", &[("istio", bad)]).1, None, "{bad}");
            let mut mesh = Mesh::default();
            mesh.take(&reference("istio"), "default", Some(&map("istio", bad)));
            let (_, remarks, _) = mesh.said(&reference("istio"), "default").unwrap();
            assert!(
                remarks[0].path.starts_with("data.mesh") && remarks[0].reason == "InvalidMeshConfig",
                "{remarks:?}"
            );
            mesh.take(&reference("istio"), "default", Some(&map("istio", "- another")));
            let (_, remarks, _) = mesh.said(&reference("istio"), "default").unwrap();
            assert!(remarks[0].message.ends_with("none of it is in force"), "{remarks:?}");
        }
        let mut mesh = Mesh::default();
        assert!(mesh.take(&reference("istio"), "default", Some(&map("istio", "connectTimeout: 3s"))));
        assert!(!mesh.take(&reference("istio"), "default", Some(&map("istio", "connectTimeout: ["))));
        assert!(mesh.take(&reference("istio"), "default", None));
        assert_eq!(*mesh.config(), MeshConfig::default());
    }

    #[test]
    fn what_is_not_obeyed_or_not_known_is_said_and_the_rest_is_other_peoples() {
        let text = "
            trustDomain: cluster.local
            enablePrometheusMerge: true
            defaultConfig: {discoveryAddress: x, proxyHeaders: {server: {disabled: true}}}
            accessLogFile: /dev/stdout
            pathNormalisation: {normalization: NONE}
            pathNormalization: {normalization: NONE, strict: true}
            zoneAwareLbSetting: {enabled: true}
        ";
        let mut mesh = Mesh::default();
        mesh.take(&reference("istio"), "default", Some(&map("istio", text)));
        let (_, remarks, generation) = mesh.said(&reference("istio"), "default").unwrap();
        let said: Vec<_> = remarks.iter().map(|it| format!("{:?} {}", it.severity, it.path)).collect();
        let expected = [
            "Warning data.mesh.pathNormalisation",
            "Warning data.mesh.pathNormalization.strict",
            "Warning data.mesh.zoneAwareLbSetting",
            "Note data.mesh.accessLogFile",
            "Warning data.mesh.defaultConfig.proxyHeaders",
        ];
        assert_eq!((said, generation), (expected.map(str::to_owned).to_vec(), 1));
        assert!(mesh.said(&reference("other"), "default").is_none());
    }
}
