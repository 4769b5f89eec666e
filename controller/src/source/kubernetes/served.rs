// SPDX-License-Identifier: Apache-2.0
//! Which version of a kind a cluster serves. Never lists an object.

use kube::Client;
use kube::api::{ApiResource, GroupVersionKind};
use torana_crds::Kind;

/// The resource of the best version that is served, if any is.
pub(super) async fn resource(client: &Client, kind: Kind) -> Result<Option<ApiResource>, kube::Error> {
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
