// SPDX-License-Identifier: Apache-2.0
//! What the pod of a proxy needs to be somebody in a mesh: a token and roots to ask an authority with, or a Secret with the
//! certificate; and labels by which the mesh lets the pod's own traffic alone, which else would be encrypted twice.
//!
//! What is not there yet keeps no pod from starting: the proxy says that it has no identity, and reaches what needs none.

use serde_json::{Value, json};
use torana_crds::parameters::{GatewayParametersSpec, IdentitySource, MeshParameters};
use torana_ir::spiffe_id;

use crate::mesh::{NAMESPACE, REVISION, identity_source};
use crate::provision::desired::Install;
use crate::provision::desired::objects::Owned;

/// Whom tokens are for, as authorities of meshes expect it.
pub const AUDIENCE: &str = "istio-ca";
/// The Service that leads to Torana's own authority.
pub const SERVICE: &str = "torana-mesh-ca";
/// The ConfigMap with its roots, in every namespace that wants them …
pub const ROOTS: &str = "torana-mesh-ca-root";
/// … and the entry that they are in, as in Istio's.
pub const ROOTS_KEY: &str = "root-cert.pem";
/// Seconds that a token is good for, as for workloads of Istio; the kubelet renews it before.
const TOKEN_SECONDS: u32 = 43_200;
/// The entry of the proxies' own ConfigMap with further authorities of the mesh.
pub(super) const MORE_ROOTS: &str = "mesh-roots.crt";
/// Where istiod puts its roots, in every namespace.
const ISTIO_ROOTS: &str = "istio-ca-root-cert";
/// Labels of pods that the mesh does not take into its hands.
pub(super) const APART: [(&str, &str); 2] = [("sidecar.istio.io/inject", "false"), ("istio.io/dataplane-mode", "none")];

/// Where the identity of proxies with these parameters comes from, in a cluster where Istio of that revision is, if it is,
/// whose trust domain is this.
pub fn settled(
    mut parameters: GatewayParametersSpec,
    (istio, trust_domain): (Option<&str>, String),
) -> GatewayParametersSpec {
    let mesh = parameters.mesh.get_or_insert_default();
    let identity = identity_source(mesh.identity, istio.is_some());
    mesh.identity = Some(identity);
    if identity == IdentitySource::Istio && mesh.ca_address.is_none() {
        let revision = istio.filter(|revision| *revision != REVISION).map(|revision| format!("-{revision}"));
        mesh.ca_address = Some(format!("istiod{}.{NAMESPACE}.svc:15012", revision.unwrap_or_default()));
    }
    mesh.trust_domain.get_or_insert(trust_domain);
    if identity == IdentitySource::None {
        parameters.mesh = None;
    }
    parameters
}

/// What a pod needs for its identity.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// Flags of the proxy.
    pub(super) arguments: Vec<String>,
    /// Of the pod.
    pub(super) volumes: Vec<Value>,
    /// Of the container.
    pub(super) mounts: Vec<Value>,
}

/// Of proxies with these [settled] parameters.
pub(super) fn identity(owned: &Owned<'_>, parameters: &GatewayParametersSpec, install: &Install) -> Identity {
    let Some(mesh) = &parameters.mesh else { return Identity::default() };
    let mut identity = of_source(owned, mesh, install);
    if !install.mesh_roots.is_empty() && !identity.arguments.is_empty() {
        identity.arguments.push(format!("--mesh-roots=/run/torana/ca/{MORE_ROOTS}"));
    }
    identity
}

fn of_source(owned: &Owned<'_>, mesh: &MeshParameters, install: &Install) -> Identity {
    let (namespace, account) = owned.account();
    let domain = mesh.trust_domain.as_deref().unwrap_or("cluster.local");
    let id = spiffe_id(domain, namespace, account);
    match mesh.identity {
        Some(IdentitySource::Istio) => asked((mesh, &id), mesh.ca_address.as_deref().unwrap_or_default(), ISTIO_ROOTS),
        Some(IdentitySource::Torana) => {
            let own = || format!("{SERVICE}.{}.svc:15012", install.namespace);
            asked((mesh, &id), &mesh.ca_address.clone().unwrap_or_else(own), ROOTS)
        }
        Some(IdentitySource::Secret) => given(mesh),
        Some(IdentitySource::None) | None => Identity::default(),
    }
}

/// Whether proxies with these [settled] parameters have an identity, or want one.
pub(super) fn is_wanted(parameters: &GatewayParametersSpec) -> bool {
    parameters.mesh.is_some()
}

fn asked((mesh, id): (&MeshParameters, &str), authority: &str, roots: &str) -> Identity {
    let token = json!({"audience": AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": "token"});
    let mut arguments = vec![
        format!("--mesh-ca={authority}"),
        format!("--mesh-ca-roots=/run/torana/mesh/roots/{ROOTS_KEY}"),
        "--mesh-token=/run/torana/mesh/token/token".to_owned(),
        format!("--mesh-id={id}"),
    ];
    let roots = match &mesh.cluster_trust_bundle {
        None => json!({"name": "mesh-roots", "configMap": {"name": roots, "optional": true}}),
        Some(name) => {
            let bundle = json!({"name": name, "path": ROOTS_KEY, "optional": true});
            json!({"name": "mesh-roots", "projected": {"sources": [{"clusterTrustBundle": bundle}]}})
        }
    };
    arguments.extend(mesh.cluster_id.as_ref().map(|cluster| format!("--mesh-cluster-id={cluster}")));
    Identity {
        arguments,
        volumes: vec![json!({"name": "mesh-token", "projected": {"sources": [{"serviceAccountToken": token}]}}), roots],
        mounts: vec![
            json!({"name": "mesh-token", "mountPath": "/run/torana/mesh/token", "readOnly": true}),
            json!({"name": "mesh-roots", "mountPath": "/run/torana/mesh/roots", "readOnly": true}),
        ],
    }
}

fn given(mesh: &MeshParameters) -> Identity {
    let name = mesh.secret_name.clone().unwrap_or_default();
    Identity {
        arguments: vec!["--mesh-identity-dir=/run/torana/mesh/identity".to_owned()],
        volumes: vec![json!({"name": "mesh-identity", "secret": {"secretName": name, "optional": true}})],
        mounts: vec![json!({"name": "mesh-identity", "mountPath": "/run/torana/mesh/identity", "readOnly": true})],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(mesh: &Value) -> GatewayParametersSpec {
        serde_json::from_value(json!({"mesh": mesh})).unwrap()
    }

    #[test]
    fn where_istio_is_proxies_are_part_of_it_unless_they_are_told_otherwise() {
        let settled = |mesh: Value, istio: Option<&str>| {
            let mesh = settled(spec(&mesh), (istio, "cluster.local".to_owned())).mesh;
            mesh.map(|mesh| (mesh.identity.unwrap(), mesh.ca_address.unwrap_or_default()))
        };
        let istio = |address: &str| Some((IdentitySource::Istio, address.to_owned()));
        assert_eq!(settled(json!({}), None), None);
        assert_eq!(settled(json!({}), Some("default")), istio("istiod.istio-system.svc:15012"));
        assert_eq!(settled(json!({}), Some("canary")), istio("istiod-canary.istio-system.svc:15012"));
        assert_eq!(settled(json!({"identity": "None"}), Some("default")), None);
        assert_eq!(settled(json!({"identity": "Istio"}), None), istio("istiod.istio-system.svc:15012"));
        assert_eq!(settled(json!({"caAddress": "ca:1"}), Some("default")), istio("ca:1"));
        let torana = Some((IdentitySource::Torana, String::new()));
        assert_eq!(settled(json!({"identity": "Torana"}), Some("default")), torana);
    }
}
