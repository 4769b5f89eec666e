// SPDX-License-Identifier: Apache-2.0
//! One raw object through the door: as an API server would check and complete it, then decoded; with all there is to
//! say about it. Never looks at other objects.

use serde_json::Value;
use torana_crds::schema::{self, Violation};
use torana_crds::{Content, Ignored, Kind, Object, ObjectRef};

use crate::report::Severity;

/// Where namespaced objects live that name no namespace, as with kubectl.
const NAMESPACE: &str = "default";

/// What became of one raw object.
pub(super) struct Admitted {
    /// Who it is, if kind and name could be read.
    pub(super) reference: Option<ObjectRef>,
    /// The object, if it may be used.
    pub(super) object: Option<Object>,
    /// What there is to say.
    pub(super) remarks: Vec<Remark>,
}

/// Something to say about one field of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remark {
    /// The field, or `""`.
    pub(super) path: String,
    /// An error means that the object is not used.
    pub(super) severity: Severity,
    /// In one word.
    pub(super) reason: &'static str,
    /// What is wrong.
    pub(super) what: String,
    /// What follows.
    pub(super) why: String,
    /// What to change.
    pub(super) remedy: String,
}

/// Checks, completes and decodes one raw object.
pub(super) fn admit(mut value: Value) -> Admitted {
    if !value.is_object() {
        let remark = error("", "not an object", "write apiVersion, kind and metadata");
        return Admitted { reference: None, object: None, remarks: vec![remark] };
    }
    let reference = torana_crds::reference(&value, NAMESPACE);
    let named = (!reference.kind.is_empty() && !reference.name.is_empty()).then(|| reference.clone());
    if reference.known_kind().is_none() && !reference.kind.is_empty() {
        return Admitted { reference: named, object: None, remarks: foreign(&reference).into_iter().collect() };
    }
    let mut remarks = check(&mut value);
    let refused = remarks.iter().any(|remark| remark.severity == Severity::Error);
    let decoded = torana_crds::decode(value, NAMESPACE);
    remarks.extend(decoded.unknown_paths.iter().map(|path| unknown(path)));
    remarks.extend(decoded.ignored.iter().map(ignored));
    let object = match decoded.content {
        Content::Object(object) if !refused => Some(*object),
        Content::Unreadable(unreadable) if !refused => {
            let remedy = if named.is_none() { "write apiVersion, kind and metadata.name" } else { "correct the field" };
            remarks.push(error(&unreadable.path, &unreadable.why, remedy));
            None
        }
        _ => None,
    };
    Admitted { reference: named, object, remarks }
}

/// What an API server with the shipped CRDs would say.
fn check(value: &mut Value) -> Vec<Remark> {
    schema::admit(value).into_iter().map(Remark::from).collect()
}

impl From<Violation> for Remark {
    fn from(violation: Violation) -> Self {
        let (severity, reason, why) = match violation.severity {
            schema::Severity::Note => (Severity::Note, "NotChecked", "an API server would check it"),
            schema::Severity::Warning => (Severity::Warning, "UnknownField", "it has no effect"),
            schema::Severity::Error => (Severity::Error, "Refused", "the object is not used"),
        };
        let (path, what, remedy) = (violation.path, violation.why, violation.remedy);
        Self { path, severity, reason, what, why: why.to_owned(), remedy }
    }
}

fn unknown(path: &str) -> Remark {
    Remark {
        path: path.to_owned(),
        severity: Severity::Warning,
        reason: "UnknownField",
        what: "unknown field".to_owned(),
        why: "it has no effect".to_owned(),
        remedy: "check its spelling and its place, or remove it".to_owned(),
    }
}

/// A field that is known and not obeyed.
fn ignored(ignored: &Ignored) -> Remark {
    let (what, remedy) = ignored.why.split_once(": ").unwrap_or((ignored.why, ""));
    Remark {
        path: ignored.path.clone(),
        severity: Severity::Warning,
        reason: "UnsupportedField",
        what: what.to_owned(),
        why: "the field has no effect".to_owned(),
        remedy: remedy.to_owned(),
    }
}

/// Objects of other software pass in silence; those that look like a slip, or like something for a gateway, do not.
fn foreign(reference: &ObjectRef) -> Option<Remark> {
    let (group, kind) = (&*reference.group, &*reference.kind);
    let alike = Kind::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(kind));
    let ours = [torana_crds::GATEWAY_GROUP, "gateway.networking.x-k8s.io", "torana.dev"].contains(&group);
    let istio = group.ends_with(".istio.io") && !group.starts_with("install.");
    match alike {
        Some(known) if ours || known.as_str() != kind || group.is_empty() => {
            let version = known.versions().first().copied().unwrap_or("v1");
            let api =
                if known.group().is_empty() { version.to_owned() } else { format!("{}/{version}", known.group()) };
            let what = format!("there is no kind {kind} in API group {group:?}");
            Some(error("kind", &what, &format!("write apiVersion: {api} and kind: {known}")))
        }
        // Mixer's, which Istio left behind long ago.
        _ if group == "monitoring.istio.io" => Some(Remark {
            path: "kind".to_owned(),
            severity: Severity::Warning,
            reason: "NotServed",
            what: format!("Istio has no kind {kind} of {group}"),
            why: "the object has no effect".to_owned(),
            remedy: "scrape /metrics of the health port; in a cluster a PodMonitor or ServiceMonitor does".to_owned(),
        }),
        _ if ours || istio || (group == "networking.k8s.io" && kind == "Ingress") => Some(Remark {
            path: "kind".to_owned(),
            severity: Severity::Warning,
            reason: "NotServed",
            what: format!("{kind} of {group} is not served by this version"),
            why: "the object has no effect".to_owned(),
            remedy: instead(kind).to_owned(),
        }),
        _ => None,
    }
}

/// What to use in place of a kind that is not served.
fn instead(kind: &str) -> &'static str {
    match kind {
        "Sidecar" => "nothing: a gateway sees all that is exported to it",
        _ => "use Gateway API kinds instead",
    }
}

fn error(path: &str, what: &str, remedy: &str) -> Remark {
    Remark {
        path: path.to_owned(),
        severity: Severity::Error,
        reason: "Refused",
        what: what.to_owned(),
        why: "the object is not used".to_owned(),
        remedy: remedy.to_owned(),
    }
}
