// SPDX-License-Identifier: Apache-2.0
//! Which version of a kind a cluster serves. Never lists an object.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use torana_crds::{GATEWAY_GROUP, ISTIO_GROUPS, Kind, TORANA_GROUP};

use crate::api::within;

/// Of one call.
const CALL: Duration = Duration::from_secs(5);

/// Kinds that look at pods: for subsets and for where endpoints stand, for workloads, and for what is spoken to them.
const LOOK_AT_PODS: [Kind; 3] = [Kind::DestinationRule, Kind::ServiceEntry, Kind::PeerAuthentication];

/// The resource of the best version that is served, if any is. Of pods nothing is asked before a kind is there that looks
/// at them.
pub(super) async fn resource(client: &Client, kind: Kind) -> Result<Option<ApiResource>, kube::Error> {
    if kind == Kind::Pod {
        let mut is_looked_at = false;
        for kind in LOOK_AT_PODS {
            is_looked_at = is_looked_at || best(client, kind).await?.is_some();
        }
        if !is_looked_at {
            return Ok(None);
        }
    }
    best(client, kind).await
}

async fn best(client: &Client, kind: Kind) -> Result<Option<ApiResource>, kube::Error> {
    for version in kind.versions() {
        let found = if kind.group().is_empty() {
            client.list_core_api_resources(version).await
        } else {
            client.list_api_group_resources(&format!("{}/{version}", kind.group())).await
        };
        let resources = match found {
            Ok(list) => list.resources,
            Err(kube::Error::Api(status)) if status.code == 404 => continue,
            Err(error) => return Err(error),
        };
        // Subresources have a name with a slash.
        let plain = |name: &str| !name.contains('/');
        if let Some(resource) = resources.iter().find(|it| it.kind == kind.as_str() && plain(&it.name)) {
            let name = GroupVersionKind::gvk(kind.group(), version, kind.as_str());
            return Ok(Some(ApiResource::from_gvk_with_plural(&name, &resource.name)));
        }
    }
    Ok(None)
}

/// Whether the definition of a kind is gone or on its way out: Kubernetes deletes its objects then. Whoever cannot tell
/// says no.
pub(super) async fn is_going(client: &Client, kind: Kind, resource: &ApiResource) -> bool {
    if ![GATEWAY_GROUP, TORANA_GROUP].contains(&kind.group()) && !ISTIO_GROUPS.contains(&kind.group()) {
        return false;
    }
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = format!("{}.{}", resource.plural, resource.group);
    match within(CALL, definitions.get_metadata_opt(&name)).await {
        Ok(definition) => definition.is_none_or(|it| it.metadata.deletion_timestamp.is_some()),
        Err(failure) => {
            tracing::warn!(kind = kind.as_str(), %failure, "whether the kind is being deleted is not known");
            false
        }
    }
}
