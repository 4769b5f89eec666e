// SPDX-License-Identifier: Apache-2.0
//! The addresses of a backend. A resource of their own: they change most often and swap alone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::key::BackendKey;
use crate::locality::Locality;

/// The addresses of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Endpoints {
    /// From EndpointSlices, sorted by address.
    Static {
        /// Which backend.
        backend: BackendKey,
        /// May be empty: requests get 503.
        endpoints: Vec<Endpoint>,
    },
    /// A name that the proxy resolves and re-resolves by TTL (`externalName`); the last good answer is kept.
    Dns {
        /// Which backend.
        backend: BackendKey,
        /// DNS name, lower case.
        host: String,
        /// Port of every address.
        port: u16,
    },
}

impl Endpoints {
    /// The backend these belong to.
    pub fn backend(&self) -> &BackendKey {
        let (Self::Static { backend, .. } | Self::Dns { backend, .. }) = self;
        backend
    }
}

/// One address of a backend.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// `false`: terminating but serving; used only when no ready endpoint is left (EndpointSlice `serving`).
    pub ready: bool,
    /// Its share of what goes to the backend, to those of others (`WorkloadEntry.weight`).
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: NonZeroU32,
    /// Where it stands, if its backend asks for that ([`Backend::locality`](crate::Backend::locality)).
    #[serde(default, skip_serializing_if = "Locality::is_unknown")]
    pub locality: Locality,
    /// Those of its labels that its backend asks for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Endpoint {
    /// One that weighs as much as others, and stands anywhere.
    pub fn new(address: SocketAddr, ready: bool) -> Self {
        Self { address, ready, weight: one(), locality: Locality::default(), labels: BTreeMap::new() }
    }
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(weight: &NonZeroU32) -> bool {
    weight.get() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_nothing_is_not_written() {
        let mut endpoint = Endpoint::new(([10, 0, 0, 1], 80).into(), true);
        assert_eq!(serde_json::to_string(&endpoint).unwrap(), r#"{"address":"10.0.0.1:80","ready":true}"#);
        endpoint.weight = NonZeroU32::new(7).unwrap();
        endpoint.locality = Locality::new("r", "z", "");
        endpoint.labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let text = serde_json::to_string(&endpoint).unwrap();
        assert_eq!(serde_json::from_str::<Endpoint>(&text).unwrap(), endpoint);
        assert!(serde_json::from_str::<Endpoint>(&text.replace('7', "0")).is_err());
    }
}
