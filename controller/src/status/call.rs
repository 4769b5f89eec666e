// SPDX-License-Identifier: Apache-2.0
//! The calls that status and Events need, each with its deadline. Never tries twice.

use std::time::Duration;

use kube::Client;
use kube::api::{GetParams, Patch as Body, PatchParams, PostParams};
use kube::core::Request;
use serde::de::DeserializeOwned;
use serde_json::Value;
use torana_crds::{Kind, ObjectRef};

use crate::api::{FIELD_MANAGER, Failure, within};
use crate::status::patches::Patch;

/// So long a call may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The object as it is now.
pub(super) async fn read(client: &Client, object: &ObjectRef, version: &str) -> Result<Value, Failure> {
    let request = at(object, version)?.get(&object.name, &GetParams::default());
    send(client, request).await
}

/// Writes a status; answers with the object as it is then.
pub(super) async fn write(client: &Client, patch: &Patch) -> Result<Value, Failure> {
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let path = at(&patch.object, &patch.api_version)?;
    send(client, path.patch_subresource("status", &patch.object.name, &params, &Body::Merge(patch.body()))).await
}

/// Creates an Event in `namespace`.
pub(super) async fn create_event(client: &Client, namespace: &str, event: &Value) -> Result<Value, Failure> {
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    send(client, events(namespace).create(&params, event.to_string().into_bytes())).await
}

/// The Event of that name.
pub(super) async fn read_event(client: &Client, namespace: &str, name: &str) -> Result<Value, Failure> {
    send(client, events(namespace).get(name, &GetParams::default())).await
}

/// Changes an Event.
pub(super) async fn patch_event(client: &Client, namespace: &str, name: &str, body: &Value) -> Result<Value, Failure> {
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    send(client, events(namespace).patch(name, &params, &Body::Merge(body))).await
}

async fn send<T: DeserializeOwned>(
    client: &Client,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<T, Failure> {
    let request = request.map_err(|error| Failure::Refused(error.to_string()))?;
    within(LIMIT, client.request(request)).await
}

fn events(namespace: &str) -> Request {
    Request::new(format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"))
}

fn at(object: &ObjectRef, version: &str) -> Result<Request, Failure> {
    let kind = object.known_kind().and_then(plural);
    let (group, namespace) = (&object.group, &object.namespace);
    let plural = kind.ok_or_else(|| Failure::Refused(format!("{object} has no status of ours")))?;
    Ok(Request::new(if namespace.is_empty() {
        format!("/apis/{group}/{version}/{plural}")
    } else {
        format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}")
    }))
}

fn plural(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::GatewayClass => "gatewayclasses",
        Kind::Gateway | Kind::IstioGateway => "gateways",
        Kind::ListenerSet => "listenersets",
        Kind::HttpRoute => "httproutes",
        Kind::GrpcRoute => "grpcroutes",
        Kind::TlsRoute => "tlsroutes",
        Kind::TcpRoute => "tcproutes",
        Kind::UdpRoute => "udproutes",
        Kind::BackendTlsPolicy => "backendtlspolicies",
        Kind::TrafficPolicy => "trafficpolicies",
        Kind::AcmeIssuer => "acmeissuers",
        Kind::ClusterAcmeIssuer => "clusteracmeissuers",
        Kind::VirtualService => "virtualservices",
        Kind::AuthorizationPolicy => "authorizationpolicies",
        Kind::RequestAuthentication => "requestauthentications",
        Kind::Telemetry => "telemetries",
        Kind::EnvoyFilter => "envoyfilters",
        Kind::WasmPlugin => "wasmplugins",
        Kind::ProxyConfig => "proxyconfigs",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use torana_crds::GATEWAY_GROUP;

    use super::*;
    use crate::status::stored::KINDS;

    #[test]
    fn every_kind_with_a_status_has_a_path_of_its_shipped_crd() {
        for kind in KINDS {
            let object = ObjectRef::new(kind, "ns", "x");
            let path = at(&object, "v1").unwrap().url_path;
            let namespace = if kind.is_namespaced() { "namespaces/ns/" } else { "" };
            let plural = plural(kind).unwrap();
            assert_eq!(path, format!("/apis/{}/v1/{namespace}{plural}", kind.group()));
            if kind.group() != GATEWAY_GROUP {
                continue;
            }
            let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
            let crd = format!("../deploy/crds/gateway-api/gateway.networking.k8s.io_{plural}.yaml");
            assert!(std::path::Path::new(&package).join(crd).exists(), "{plural}");
        }
        assert!(at(&ObjectRef::new(Kind::Service, "ns", "x"), "v1").is_err());
    }
}
