// SPDX-License-Identifier: Apache-2.0
//! The addresses of a backend. A resource of their own: they change most often and swap alone.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::key::BackendKey;

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
}

impl Endpoint {
    /// One that weighs as much as others.
    pub fn new(address: SocketAddr, ready: bool) -> Self {
        Self { address, ready, weight: one() }
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
    fn a_weight_is_written_only_where_it_says_something() {
        let mut endpoint = Endpoint::new(([10, 0, 0, 1], 80).into(), true);
        assert_eq!(serde_json::to_string(&endpoint).unwrap(), r#"{"address":"10.0.0.1:80","ready":true}"#);
        endpoint.weight = NonZeroU32::new(7).unwrap();
        let text = serde_json::to_string(&endpoint).unwrap();
        assert_eq!(serde_json::from_str::<Endpoint>(&text).unwrap(), endpoint);
        assert!(serde_json::from_str::<Endpoint>(&text.replace('7', "0")).is_err());
    }
}
