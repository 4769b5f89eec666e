// SPDX-License-Identifier: Apache-2.0
//! How each endpoint of a backend is spoken to as a workload of the mesh, and who it must prove to be. Where a rule or a
//! policy says how the backend is spoken to, that holds; else what the endpoint is decides: behind a sidecar, in the
//! ambient mesh, or outside. A pure function of the objects.
//!
//! Never decides whether the proxies have an identity: what is strict stays so without one.

use torana_crds::StringMap;
use torana_crds::core::Pod;
use torana_crds::istio::destination_rule::{ClientTls, ClientTlsMode};
use torana_crds::istio::peer_authentication::MtlsMode;
use torana_crds::istio::service_entry::Workload;
use torana_ir::{BackendKey, BackendTls, DnsName, MeshPeer, MeshTransport, PeerName, spiffe_id};

use crate::store::Cluster;
use crate::translate::originations::named;
use crate::translate::peer_authentications;

/// Labels of workloads, with the values that count.
const SIDECAR: (&str, &str) = ("security.istio.io/tlsMode", "istio");
const TUNNEL: (&str, &str) = ("networking.istio.io/tunnel", "http");
const WAYPOINT: (&str, &str) = ("gateway.istio.io/managed", "istio.io-mesh-controller");

/// What is known of one workload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'w> {
    namespace: &'w str,
    labels: &'w StringMap,
    /// `""`: nobody knows.
    account: &'w str,
    /// The ambient mesh takes its traffic.
    is_redirected: bool,
}

impl<'w> Known<'w> {
    /// A pod.
    pub(super) fn of_pod(pod: &'w Pod) -> Self {
        Self {
            namespace: &pod.meta.namespace,
            labels: &pod.meta.labels,
            account: &pod.spec.service_account_name,
            is_redirected: pod.is_redirected(),
        }
    }

    /// What a ServiceEntry or a WorkloadEntry of that namespace says.
    pub(super) fn of_workload(workload: &'w Workload, namespace: &'w str) -> Self {
        let account = workload.service_account.as_deref().unwrap_or_default();
        Self { namespace, labels: &workload.labels, account, is_redirected: false }
    }

    fn has_account(&self) -> bool {
        !self.account.is_empty()
    }

    fn has(&self, (name, value): (&str, &str)) -> bool {
        self.labels.get(name).is_some_and(|own| own == value)
    }
}

/// Whether workloads of a backend are spoken to as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// It is cleartext, or TLS that the mesh has nothing to do with.
    Never,
    /// As the endpoint is.
    AsItIs,
    /// TLS of its own, which a tunnel carries where there is one.
    Inside,
    /// Mutual TLS with all of them.
    Always,
}

/// How the workloads of one backend are spoken to.
#[derive(Debug)]
pub(super) struct MeshPeers<'c> {
    cluster: &'c Cluster,
    wanted: Wanted,
    /// Names that certificates may have besides the identity of the endpoint.
    names: Vec<PeerName>,
    /// What the backend is called by, if somebody wrote that.
    sni: Option<&'c str>,
}

impl<'c> MeshPeers<'c> {
    /// Where `rule` is what a DestinationRule says, `policy` what the backend is spoken to in by now, and `names` those that
    /// its ServiceEntry says its certificates have.
    pub(super) fn new(
        cluster: &'c Cluster,
        (rule, policy): (Option<&'c ClientTls>, &BackendTls),
        (is_external, names): (bool, &[String]),
    ) -> Self {
        let written = rule.map_or(&[][..], |tls| tls.subject_alt_names.as_slice());
        let names = if written.is_empty() { names } else { written };
        let wanted = match (rule.map(|tls| tls.mode), policy) {
            (Some(ClientTlsMode::IstioMutual), _) => Wanted::Always,
            (Some(ClientTlsMode::Disable), _) | (_, BackendTls::Refused(_)) => Wanted::Never,
            _ if is_external || !cluster.mesh().config().is_auto_mtls() => Wanted::Never,
            (_, BackendTls::Originate(_)) => Wanted::Inside,
            (_, BackendTls::Plain) => Wanted::AsItIs,
        };
        let of_mesh = matches!(wanted, Wanted::AsItIs | Wanted::Always);
        let sni = rule.filter(|_| wanted == Wanted::Always).and_then(|tls| tls.sni.as_deref());
        Self { cluster, wanted, names: names.iter().filter(|_| of_mesh).map(|name| named(name)).collect(), sni }
    }

    /// Whether it matters which workload an endpoint is.
    pub(super) fn asks(&self) -> bool {
        self.wanted != Wanted::Never
    }

    /// How an endpoint is spoken to of which this is known, if anything is; `port` is its own.
    pub(super) fn of(&self, known: Option<Known<'_>>, port: u16) -> Option<Box<MeshPeer>> {
        let tunnelled = known.filter(|known| known.has(WAYPOINT) || known.has(TUNNEL) || known.is_redirected);
        let sidecar = known.filter(|known| known.has(SIDECAR));
        let mode = |known: Known<'_>| peer_authentications::mode(self.cluster, (known.namespace, known.labels), port);
        let (transport, known, strict) = match self.wanted {
            Wanted::Never => return None,
            Wanted::Always => (MeshTransport::Mtls, known, true),
            Wanted::Inside => {
                let known = tunnelled.filter(|_| sidecar.is_none())?;
                (MeshTransport::Hbone, Some(known), mode(known) == MtlsMode::Strict)
            }
            Wanted::AsItIs => match (sidecar, tunnelled) {
                (Some(known), _) => match mode(known) {
                    MtlsMode::Disable => return None,
                    mode => (MeshTransport::Mtls, Some(known), mode == MtlsMode::Strict),
                },
                (None, Some(known)) => (MeshTransport::Hbone, Some(known), mode(known) == MtlsMode::Strict),
                (None, None) => return None,
            },
        };
        Some(Box::new(MeshPeer { transport, names: self.names_of(known), strict }))
    }

    /// Whether an endpoint for which [`MeshPeers::of`] gives nothing will refuse what is spoken to it.
    pub(super) fn is_refused(&self, known: Known<'_>, port: u16) -> bool {
        self.wanted == Wanted::AsItIs
            && peer_authentications::mode(self.cluster, (known.namespace, known.labels), port) == MtlsMode::Strict
    }

    /// The identity of that very workload, or a name that is written.
    fn names_of(&self, known: Option<Known<'_>>) -> Vec<PeerName> {
        let known = known.filter(Known::has_account);
        // Whose names are written is no secret, so that those are enough where nobody knows the account.
        let own = identities(self.cluster, known).filter(|_| known.is_some() || self.names.is_empty());
        own.chain(self.names.iter().cloned()).collect()
    }

    /// What workloads of a backend of this host are called by.
    pub(super) fn called(&self, key: &BackendKey, host: &str) -> Option<DnsName> {
        let subset = key.subset.as_deref().unwrap_or_default();
        let usual = || format!("outbound_.{}_.{subset}_.{host}", key.port);
        DnsName::new(&self.sni.map_or_else(usual, str::to_owned)).ok()
    }
}

/// How the waypoint is spoken to of which this is known, if anything is.
pub(super) fn of_waypoint(cluster: &Cluster, known: Option<Known<'_>>) -> MeshPeer {
    let names = identities(cluster, known.filter(Known::has_account)).collect();
    MeshPeer { transport: MeshTransport::Hbone, names, strict: true }
}

/// The identity of that very workload, in every trust domain that counts; of one that nobody knows, anybody's there.
fn identities<'c>(cluster: &'c Cluster, known: Option<Known<'c>>) -> impl Iterator<Item = PeerName> + use<'c> {
    cluster.mesh().config().trust_domains().map(move |domain| match known {
        Some(known) => PeerName::Uri(spiffe_id(domain, known.namespace, known.account)),
        None => PeerName::TrustDomain(domain),
    })
}
