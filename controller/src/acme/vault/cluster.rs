// SPDX-License-Identifier: Apache-2.0
//! Secrets of a cluster.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ListParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use torana_ir::CertificateKey;

use super::{Found, Kept, Vault, VaultError};
use crate::api::{FIELD_MANAGER, Failure, within};
use crate::issuance::LABEL;

/// Of one call.
const DEADLINE: Duration = Duration::from_secs(15);
/// Names Torana as who writes a Secret.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Secrets of a cluster.
#[derive(Clone)]
pub struct ClusterVault(Client);

impl fmt::Debug for ClusterVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterVault")
    }
}

impl ClusterVault {
    /// Those that `client` may read and write.
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    fn secrets(&self, name: &CertificateKey) -> Api<Secret> {
        Api::namespaced(self.0.clone(), &name.namespace)
    }
}

impl From<Failure> for VaultError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Conflict | Failure::Absent => Self::Changed,
            Failure::Refused(why) => Self::Refused(why),
            Failure::Unavailable(why) | Failure::Busy(_, why) => Self::Unavailable(why),
        }
    }
}

fn kept(secret: Secret) -> Kept {
    let data = secret.data.unwrap_or_default().into_iter().map(|(key, ByteString(value))| (key, value));
    Kept {
        secret_type: secret.type_.unwrap_or_default(),
        labels: secret.metadata.labels.unwrap_or_default(),
        annotations: secret.metadata.annotations.unwrap_or_default(),
        data: data.collect(),
    }
}

#[async_trait]
impl Vault for ClusterVault {
    async fn read(&self, name: &CertificateKey) -> Result<Option<Found>, VaultError> {
        let found = within(DEADLINE, self.secrets(name).get_opt(&name.name)).await?;
        Ok(found.map(|secret| Found { version: secret.resource_version().unwrap_or_default(), kept: kept(secret) }))
    }

    async fn list(&self, value: &str) -> Result<Vec<(CertificateKey, Kept)>, VaultError> {
        let params = ListParams::default().labels(&format!("{LABEL}={value}"));
        let found = within(DEADLINE, Api::<Secret>::all(self.0.clone()).list(&params)).await?;
        let named = found.items.into_iter().map(|secret| {
            let namespace = secret.namespace().unwrap_or_default();
            (CertificateKey { namespace, name: secret.name_any() }, kept(secret))
        });
        Ok(named.collect())
    }

    async fn write(&self, name: &CertificateKey, kept: &Kept, version: Option<&str>) -> Result<String, VaultError> {
        let data = kept.data.iter().map(|(key, value)| (key.clone(), ByteString(value.clone()))).collect();
        let mut secret = Secret { type_: Some(kept.secret_type.clone()), data: Some(data), ..Secret::default() };
        let mut labels = kept.labels.clone();
        labels.insert(MANAGED_BY.to_owned(), FIELD_MANAGER.to_owned());
        secret.metadata.name = Some(name.name.clone());
        secret.metadata.labels = Some(labels);
        secret.metadata.annotations = Some(kept.annotations.clone());
        secret.metadata.resource_version = version.map(str::to_owned);
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let secrets = self.secrets(name);
        let written = match version {
            Some(_) => within(DEADLINE, secrets.replace(&name.name, &params, &secret)).await,
            None => within(DEADLINE, secrets.create(&params, &secret)).await,
        };
        Ok(written?.resource_version().unwrap_or_default())
    }

    async fn remove(&self, name: &CertificateKey, version: &str) -> Result<(), VaultError> {
        let preconditions = Preconditions { resource_version: Some(version.to_owned()), uid: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match within(DEADLINE, self.secrets(name).delete(&name.name, &params)).await {
            Ok(_) | Err(Failure::Absent) => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }
}
