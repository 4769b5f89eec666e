// SPDX-License-Identifier: Apache-2.0
//! The pod of a proxy: what it runs, with which rights, and how it starts and ends. Never more rights than it needs: no
//! root, no capability, nothing to write to but its memory.

use std::time::Duration;

use serde_json::{Map, Value, json};
use torana_crds::StringMap;
use torana_crds::parameters::{AccessLog, GatewayParametersSpec, LogFormat};

use crate::provision::desired::Install;
use crate::provision::desired::mesh::{self, Identity};
use crate::provision::desired::objects::Owned;
use crate::provision::desired::patch;
use crate::translate::whole_locality;

/// The container, as `podPatch` names it.
const CONTAINER: &str = "torana";
/// Whom the image runs as.
const USER: u32 = 65_532;
/// Health, as in `torana-gateway --health`.
const HEALTH_PORT: u16 = 15_021;
/// Who may read the proxy's token (`TokenRequest`).
pub const AUDIENCE: &str = "torana-feed";
/// Seconds that a token is good for; the kubelet renews it at four fifths of that.
const TOKEN_SECONDS: u32 = 3_600;
/// What the last snapshot may take of memory.
const STATE_SIZE: &str = "256Mi";
/// What a proxy gets after it has drained, to end.
const FAREWELL: Duration = Duration::from_secs(5);
const PRE_STOP: &str = "5s";
const DRAIN_DEADLINE: &str = "30s";
/// Variables with what Kubernetes says of where the pod stands. Labels of its node it puts on every pod
/// (`PodTopologyLabels`); where it does not, they are empty.
const PLACE: [(&str, &str); 4] = [
    ("TORANA_REGION", "metadata.labels['topology.kubernetes.io/region']"),
    ("TORANA_ZONE", "metadata.labels['topology.kubernetes.io/zone']"),
    ("TORANA_SUBZONE", "metadata.labels['topology.istio.io/subzone']"),
    ("TORANA_NODE", "spec.nodeName"),
];

/// The template of the pods.
pub(super) fn template(owned: &Owned<'_>, parameters: &GatewayParametersSpec, install: &Install) -> Value {
    let host = parameters.host_network == Some(true);
    let mut identity = mesh::identity(owned, parameters, install);
    let mut spec = json!({
        "automountServiceAccountToken": false,
        "containers": [container(owned, parameters, (install, &mut identity))],
        "enableServiceLinks": false,
        "securityContext": security(host),
        "serviceAccountName": owned.name,
        "terminationGracePeriodSeconds": grace(parameters),
        "topologySpreadConstraints": spread(owned, parameters),
        "volumes": volumes(&owned.ca_name(), identity.volumes),
    });
    if host {
        spec["hostNetwork"] = true.into();
        // Else the name of the feed would be asked of the node's own resolver.
        spec["dnsPolicy"] = "ClusterFirstWithHostNet".into();
    }
    let given = [
        ("nodeSelector", parameters.node_selector.as_ref().map(|it| json!(it))),
        ("tolerations", parameters.tolerations.as_ref().map(|it| json!(it))),
        ("affinity", parameters.affinity.as_ref().map(|it| json!(it))),
        ("priorityClassName", parameters.priority_class_name.as_ref().map(|it| json!(it))),
    ];
    for (field, value) in given {
        if let Some(value) = value {
            spec[field] = value;
        }
    }
    let metadata = metadata(owned, parameters);
    let mut template = Map::from_iter([("metadata".to_owned(), metadata), ("spec".to_owned(), spec)]);
    if let Some(pod_patch) = &parameters.pod_patch {
        patch::merge(&mut template, pod_patch);
        owned.select(&mut template);
    }
    template.into()
}

/// Whoever is somebody in a mesh is left alone by it.
fn metadata(owned: &Owned<'_>, parameters: &GatewayParametersSpec) -> Value {
    let mut metadata = owned.pod_metadata();
    if mesh::is_wanted(parameters) {
        for (label, value) in mesh::APART {
            // What users ask for stands.
            if metadata["labels"].get(label).is_none() {
                metadata["labels"][label] = value.into();
            }
        }
    }
    metadata
}

fn container(
    owned: &Owned<'_>,
    parameters: &GatewayParametersSpec,
    (install, identity): (&Install, &mut Identity),
) -> Value {
    let host = parameters.host_network == Some(true);
    let probe = |path: &str, period: u32, failures: u32| {
        json!({"httpGet": {"path": path, "port": HEALTH_PORT}, "periodSeconds": period, "timeoutSeconds": 3,
            "failureThreshold": failures})
    };
    let mut mounts = vec![
        json!({"name": "state", "mountPath": "/run/torana/state"}),
        json!({"name": "token", "mountPath": "/run/torana/token", "readOnly": true}),
        json!({"name": "ca", "mountPath": "/run/torana/ca", "readOnly": true}),
    ];
    mounts.append(&mut identity.mounts);
    let capabilities =
        if host { json!({"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}) } else { json!({"drop": ["ALL"]}) };
    json!({
        "name": CONTAINER,
        "image": parameters.image.as_ref().unwrap_or(&install.image),
        "command": ["/bin/torana-gateway"],
        "args": arguments(owned, parameters, (install, &mut identity.arguments)),
        "env": environment(&labels(owned, parameters)),
        "ports": [{"name": "health", "containerPort": HEALTH_PORT, "protocol": "TCP"}],
        "resources": resources(parameters),
        "livenessProbe": probe("/livez", 10, 3),
        "readinessProbe": probe("/readyz", 1, 3),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": capabilities,
            "privileged": false,
            "readOnlyRootFilesystem": true,
        },
        "volumeMounts": mounts,
    })
}

/// Where the proxy stands, and what others may have in common with it.
fn environment(labels: &StringMap) -> Vec<Value> {
    let told = |(name, path): (&str, &str)| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    // What a label of its own says goes before its node.
    let locality =
        whole_locality(labels).unwrap_or_else(|| "$(TORANA_REGION)/$(TORANA_ZONE)/$(TORANA_SUBZONE)".to_owned());
    let labels = labels.iter().map(|(key, value)| format!("{key}={value}"));
    let labels: Vec<_> = labels.chain(["kubernetes.io/hostname=$(TORANA_NODE)".to_owned()]).collect();
    let mut variables: Vec<Value> = PLACE.map(told).into();
    variables.push(json!({"name": "TORANA_LOCALITY", "value": locality}));
    variables.push(json!({"name": "TORANA_LABELS", "value": labels.join(",")}));
    variables
}

/// What the pods have at last.
fn labels(owned: &Owned<'_>, parameters: &GatewayParametersSpec) -> StringMap {
    let mut template = Map::from_iter([("metadata".to_owned(), metadata(owned, parameters))]);
    if let Some(metadata) = parameters.pod_patch.as_ref().and_then(|patch| patch.get("metadata")) {
        patch::merge(&mut template, &Map::from_iter([("metadata".to_owned(), metadata.clone())]));
        owned.select(&mut template);
    }
    let labels = template.get("metadata").and_then(|metadata| metadata["labels"].as_object());
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    labels.into_iter().flatten().filter_map(text).collect()
}

fn arguments(
    owned: &Owned<'_>,
    parameters: &GatewayParametersSpec,
    (install, of_mesh): (&Install, &mut Vec<String>),
) -> Vec<String> {
    let logging = parameters.logging.clone().unwrap_or_default();
    let [pre_stop, drain] = ending(parameters);
    let mut arguments = vec![
        format!("--feed={}", install.feed),
        "--feed-ca=/run/torana/ca/ca.crt".to_owned(),
        "--feed-token=/run/torana/token/token".to_owned(),
        format!("--feed-name={}", install.feed_name),
        "--state-dir=/run/torana/state".to_owned(),
        format!("--health=0.0.0.0:{HEALTH_PORT}"),
        "--admin=127.0.0.1:15000".to_owned(),
        format!("--access-log={}", access_log(logging.access_log)),
        format!("--log-level={}", logging.level.as_deref().unwrap_or("info")),
        format!("--log-format={}", if logging.format == Some(LogFormat::Text) { "text" } else { "json" }),
        format!("--pre-stop={pre_stop}"),
        format!("--drain-deadline={drain}"),
        format!("--workload={}", owned.name),
    ];
    arguments.extend(parameters.workers.map(|workers| format!("--workers={workers}")));
    arguments.append(of_mesh);
    arguments
}

fn access_log(format: Option<AccessLog>) -> &'static str {
    match format {
        Some(AccessLog::Off) => "off",
        Some(AccessLog::Text) => "text",
        Some(AccessLog::Json) | None => "json",
    }
}

/// How long a proxy still accepts, and how long requests in flight get after that, as they are written.
fn ending(parameters: &GatewayParametersSpec) -> [String; 2] {
    let shutdown = parameters.shutdown.clone().unwrap_or_default();
    let read = |text: Option<String>, default: &str| {
        text.filter(|text| torana_crds::parse_duration(text).is_some()).unwrap_or_else(|| default.to_owned())
    };
    [read(shutdown.pre_stop, PRE_STOP), read(shutdown.drain_deadline, DRAIN_DEADLINE)]
}

/// Seconds after which the kubelet kills.
fn grace(parameters: &GatewayParametersSpec) -> u64 {
    let times = ending(parameters);
    let sum: Duration = times.iter().filter_map(|text| torana_crds::parse_duration(text)).sum();
    (sum + FAREWELL).as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX)
}

/// Requests, but no limit of CPU time: that would stop a proxy in the middle of its work.
fn resources(parameters: &GatewayParametersSpec) -> Value {
    let given = parameters.resources.clone().unwrap_or_default();
    let mut resources = json!({"requests": {"cpu": "100m", "memory": "128Mi"}});
    if let Some(requests) = given.requests {
        resources["requests"] = json!(requests);
    }
    if let Some(limits) = given.limits {
        resources["limits"] = json!(limits);
    }
    resources
}

/// Low ports without a capability: by a sysctl of the pod's own network. The network of a node has none that a pod may
/// set, so there the port takes root and the one capability that is about ports.
fn security(host: bool) -> Value {
    let profile = json!({"type": "RuntimeDefault"});
    if host {
        return json!({"runAsNonRoot": false, "runAsUser": 0, "runAsGroup": 0, "fsGroup": USER, "seccompProfile": profile});
    }
    json!({
        "runAsNonRoot": true,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": profile,
        "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
    })
}

fn spread(owned: &Owned<'_>, parameters: &GatewayParametersSpec) -> Vec<Value> {
    let selector = json!({"matchLabels": owned.selector()});
    match &parameters.topology_spread_constraints {
        Some(given) => {
            let own = given.iter().cloned().map(|mut constraint| {
                constraint.entry("labelSelector").or_insert_with(|| selector.clone());
                constraint.into()
            });
            own.collect()
        }
        None => ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
            .map(|key| {
                json!({"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector})
            })
            .into(),
    }
}

fn volumes(ca: &str, more: Vec<Value>) -> Vec<Value> {
    let token = json!({"audience": AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": "token"});
    let own = [
        json!({"name": "state", "emptyDir": {"medium": "Memory", "sizeLimit": STATE_SIZE}}),
        json!({"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}}),
        json!({"name": "ca", "configMap": {"name": ca}}),
    ];
    own.into_iter().chain(more).collect()
}
