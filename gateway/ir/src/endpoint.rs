// SPDX-License-Identifier: Apache-2.0
//! The addresses of a backend. A resource of their own: they change most often and swap alone.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::exact::exact;
use crate::key::BackendKey;
use crate::locality::Locality;
use crate::mesh::MeshPeer;

/// The addresses of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Endpoints {
    /// From EndpointSlices, sorted by address.
    Static {
        /// Which backend.
        backend: BackendKey,
        /// May be empty: requests get 503.
        #[serde(deserialize_with = "exact")]
        endpoints: Vec<Endpoint>,
    },
    /// Names that the proxy resolves and re-resolves by TTL (`externalName`), each by itself; the last good answer is
    /// kept.
    Dns {
        /// Which backend.
        backend: BackendKey,
        /// The first name. A proxy of before there could be several knows no other.
        #[serde(flatten)]
        first: NamedEndpoint,
        /// The other names.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        others: Vec<NamedEndpoint>,
        /// Endpoints that are addresses already, sorted by them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        addresses: Vec<Endpoint>,
    },
}

impl Endpoints {
    /// No endpoints: requests get 503.
    pub fn none(backend: BackendKey) -> Self {
        Self::Static { backend, endpoints: Vec::new() }
    }

    /// All addresses of one name.
    pub fn of_name(backend: BackendKey, host: &str, port: u16) -> Self {
        Self::Dns { backend, first: NamedEndpoint::new(host, port), others: Vec::new(), addresses: Vec::new() }
    }

    /// Without those of the proxy's own machine, whose ports are not meant for its clients.
    #[must_use]
    pub fn without_loopback(mut self) -> Self {
        let (Self::Static { endpoints: addresses, .. } | Self::Dns { addresses, .. }) = &mut self;
        addresses.retain(|endpoint| !endpoint.address.ip().to_canonical().is_loopback());
        if let Self::Dns { first, others, .. } = &mut self {
            others.iter_mut().chain([first]).for_each(|name| name.no_loopback = true);
        }
        self
    }

    /// What is to be resolved.
    pub fn names(&self) -> impl Iterator<Item = &NamedEndpoint> {
        let (first, others) = match self {
            Self::Static { .. } => (None, &[][..]),
            Self::Dns { first, others, .. } => (Some(first), others.as_slice()),
        };
        first.into_iter().chain(others)
    }

    /// What needs no resolving.
    pub fn addresses(&self) -> &[Endpoint] {
        let (Self::Static { endpoints: addresses, .. } | Self::Dns { addresses, .. }) = self;
        addresses
    }

    /// The backend these belong to.
    pub fn backend(&self) -> &BackendKey {
        let (Self::Static { backend, .. } | Self::Dns { backend, .. }) = self;
        backend
    }
}

/// A name of a backend: each of its addresses is an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NamedEndpoint {
    /// DNS name, lower case.
    pub host: String,
    /// Port of every address.
    pub port: u16,
    /// Of an answer one address is used, the first (`LOGICAL_DNS`).
    #[serde(default, skip_serializing_if = "is_not")]
    pub only_first: bool,
    /// Loopback addresses are left out: they would be the proxy's own.
    #[serde(default, skip_serializing_if = "is_not")]
    pub no_loopback: bool,
    /// [`Endpoint::weight`] of every address.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: NonZeroU32,
    /// [`Endpoint::locality`] of every address.
    #[serde(default, skip_serializing_if = "Locality::is_unknown")]
    pub locality: Locality,
    /// [`Endpoint::labels`] of every address.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// [`Endpoint::mesh`] of every address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<Box<MeshPeer>>,
}

impl NamedEndpoint {
    /// One whose addresses weigh as much as others, and stand anywhere.
    pub fn new(host: &str, port: u16) -> Self {
        let (locality, labels) = (Locality::default(), BTreeMap::new());
        let (only_first, no_loopback) = (false, false);
        Self { host: host.to_owned(), port, only_first, no_loopback, weight: one(), locality, labels, mesh: None }
    }

    /// The endpoint at one of its addresses.
    pub fn at(&self, address: IpAddr) -> Endpoint {
        Endpoint {
            weight: self.weight,
            locality: self.locality.clone(),
            labels: self.labels.clone(),
            mesh: self.mesh.clone(),
            ..Endpoint::new(SocketAddr::new(address, self.port), true)
        }
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
    /// How it is spoken to as a workload of a mesh; `None`: it is none, and spoken to as its backend is. Where that asks for
    /// TLS of its own, too, it goes inside: only a tunnel carries that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<Box<MeshPeer>>,
}

impl Endpoint {
    /// One that weighs as much as others, and stands anywhere.
    pub fn new(address: SocketAddr, ready: bool) -> Self {
        Self { address, ready, weight: one(), locality: Locality::default(), labels: BTreeMap::new(), mesh: None }
    }
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(weight: &NonZeroU32) -> bool {
    weight.get() == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_not(it: &bool) -> bool {
    !*it
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::MeshTransport;
    use crate::origination::PeerName;

    #[test]
    fn a_name_alone_is_written_as_it_was_before_there_could_be_several() {
        let one = Endpoints::of_name(BackendKey::tcp("n", "b", 80), "a.com", 81);
        let text = r#"{"Dns":{"backend":{"namespace":"n","name":"b","port":80},"host":"a.com","port":81}}"#;
        assert_eq!(serde_json::to_string(&one).unwrap(), text);
        assert_eq!(serde_json::from_str::<Endpoints>(text).unwrap(), one);
        let later = text.replace("\"port\":81", "\"port\":81,\"later\":[1]");
        assert_eq!(serde_json::from_str::<Endpoints>(&later).unwrap(), one);
    }

    #[test]
    fn names_and_addresses_are_read_as_they_were_written() {
        let name = NamedEndpoint {
            only_first: true,
            weight: NonZeroU32::new(7).unwrap(),
            locality: Locality::new("r", "z", ""),
            labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            ..NamedEndpoint::new("a.com", 81)
        };
        let endpoint = name.at([10, 0, 0, 1].into());
        assert_eq!((endpoint.address.to_string(), endpoint.weight.get()), ("10.0.0.1:81".to_owned(), 7));
        assert_eq!((endpoint.locality.zone(), endpoint.labels["a"].as_str(), endpoint.ready), ("z", "b", true));
        let others = vec![NamedEndpoint::new("b.com", 82), name.clone()];
        let backend = BackendKey::tcp("n", "b", 80);
        let several = Endpoints::Dns { backend, first: name, others, addresses: vec![endpoint] };
        let text = serde_json::to_string(&several).unwrap();
        assert_eq!(serde_json::from_str::<Endpoints>(&text).unwrap(), several);
        assert_eq!(several.names().map(|it| &*it.host).collect::<Vec<_>>(), ["a.com", "b.com", "a.com"]);
    }

    #[test]
    fn what_says_nothing_is_not_written() {
        let mut endpoint = Endpoint::new(([10, 0, 0, 1], 80).into(), true);
        assert_eq!(serde_json::to_string(&endpoint).unwrap(), r#"{"address":"10.0.0.1:80","ready":true}"#);
        endpoint.weight = NonZeroU32::new(7).unwrap();
        endpoint.locality = Locality::new("r", "z", "");
        endpoint.labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let names = vec![PeerName::Uri("spiffe://d/ns/n/sa/s".to_owned()), PeerName::TrustDomain("d".to_owned())];
        endpoint.mesh = Some(Box::new(MeshPeer { transport: MeshTransport::Hbone, names, strict: true }));
        let text = serde_json::to_string(&endpoint).unwrap();
        assert_eq!(serde_json::from_str::<Endpoint>(&text).unwrap(), endpoint);
        assert!(serde_json::from_str::<Endpoint>(&text.replace('7', "0")).is_err());
    }
}
