// SPDX-License-Identifier: Apache-2.0
//! What all replicas and all later leaders must have in common, in Secrets: whoever comes first makes it. What it is
//! made of is others' to know.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use rustls::crypto::aws_lc_rs;
use torana_ir::SessionKey;

use crate::api::{FIELD_MANAGER, Failure, Pauses, within};

/// Of one call. Nothing goes on without it, so that a slow answer is better than none.
const DEADLINE: Duration = Duration::from_secs(15);
/// The entry of the session key.
const KEY: &str = "key";

/// What a Secret holds.
pub(super) type Data = BTreeMap<String, Vec<u8>>;

/// One Secret of Torana's own namespace.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    secrets: Api<Secret>,
    pub(super) name: String,
}

impl Shared {
    /// The Secret `name` in `namespace`.
    pub(super) fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { secrets: Api::namespaced(client, namespace), name: name.to_owned() }
    }

    /// What it holds; made by `make` if it is not there. Tries until `read` can make sense of it.
    pub(super) async fn value<T>(
        &self,
        make: impl Fn() -> Result<Data, String>,
        read: impl Fn(&Data) -> Result<T, String>,
    ) -> T {
        let mut pauses = Pauses::default();
        loop {
            let found = self.read_or_make(&make).await.and_then(|data| {
                read(&data).map_err(|error| format!("{error}; delete the Secret, and a new one is made"))
            });
            match found {
                Ok(value) => return value,
                Err(why) => tracing::warn!(secret = self.name, why, "what the replicas share is not there yet"),
            }
            tokio::time::sleep(pauses.next(None, fastrand::f64())).await;
        }
    }

    pub(super) async fn read_or_make(&self, make: impl Fn() -> Result<Data, String>) -> Result<Data, String> {
        if let Some((data, _)) = self.read().await? {
            return Ok(data);
        }
        let data = make()?;
        match within(DEADLINE, self.secrets.create(&params(), &self.secret(data.clone(), None))).await {
            Ok(_) => Ok(data),
            // Another replica was faster.
            Err(Failure::Conflict) => self.read().await?.map(|(data, _)| data).ok_or_else(|| "it was deleted".into()),
            Err(failure) => Err(failure.to_string()),
        }
    }

    /// What it holds now, and the version to replace.
    pub(super) async fn read(&self) -> Result<Option<(Data, String)>, String> {
        let secret = within(DEADLINE, self.secrets.get_opt(&self.name)).await.map_err(|failure| failure.to_string())?;
        Ok(secret.map(|secret| {
            let version = secret.resource_version().unwrap_or_default();
            let data = secret.data.unwrap_or_default();
            (data.into_iter().map(|(key, ByteString(value))| (key, value)).collect(), version)
        }))
    }

    /// Writes `data` over `version`.
    pub(super) async fn replace(&self, data: Data, version: String) -> Result<(), String> {
        let secret = self.secret(data, Some(version));
        let replaced = within(DEADLINE, self.secrets.replace(&self.name, &params(), &secret)).await;
        replaced.map(drop).map_err(|failure| failure.to_string())
    }

    fn secret(&self, data: Data, version: Option<String>) -> Secret {
        let data = data.into_iter().map(|(key, value)| (key, ByteString(value))).collect();
        let mut secret = Secret { type_: Some("Opaque".to_owned()), data: Some(data), ..Secret::default() };
        secret.metadata.name = Some(self.name.clone());
        secret.metadata.labels = Some(BTreeMap::from([("app.kubernetes.io/managed-by".into(), FIELD_MANAGER.into())]));
        secret.metadata.resource_version = version;
        secret
    }
}

fn params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// What sessions of clients are sealed with; the same for every leader, so that no session is lost with one.
pub async fn session_key(client: Client, namespace: &str, name: &str) -> SessionKey {
    let make = || {
        let mut key = [0; 32];
        let random = aws_lc_rs::default_provider().secure_random;
        random.fill(&mut key).map_err(|_| "the system has no random bytes".to_owned())?;
        Ok(Data::from([(KEY.to_owned(), key.to_vec())]))
    };
    let read = |data: &Data| {
        let key = data.get(KEY).and_then(|key| <[u8; 32]>::try_from(key.as_slice()).ok());
        key.map(SessionKey::new).ok_or_else(|| format!("its entry {KEY:?} has not 32 bytes"))
    };
    Shared::new(client, namespace, name).value(make, read).await
}
