// SPDX-License-Identifier: Apache-2.0
//! Certificates that listeners want of ACME: who signs, for which names, how each can be shown to be ours, and what stands
//! in their place meanwhile. Where somebody else provides (cert-manager, a Secret that was there before) Torana only
//! reads. How far an order is, a Secret of Torana's own namespace says; here it becomes what proxies answer, and words.
//!
//! Never orders anything.

mod from_routes;

mod issuer;

mod on_demand;

mod terms;

mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use torana_crds::Kind;
use torana_crds::core::Secret;
use torana_crds::gateway::ProtocolType;
use torana_ir::{AcmeHost, AcmeHostKey, Certificate, CertificateKey, GatewayId, HostPattern, ListenerKey};

use crate::issuance::{
    ChallengeType, Current, DIRECTORY, Issuer, LABEL, Offer, Order, Solvable, State, Wanted, home_of,
};
use crate::report::Remark;
use crate::store::Cluster;
use crate::translate::frame::Parents;
use crate::translate::gateways::GatewayDraft;
use crate::translate::listeners::ListenerDraft;

pub(super) use from_routes::reference;
use terms::Terms;
pub(super) use words::{awaited, pending, trouble};

/// Where authorities ask by HTTP, and where by TLS.
const HTTP_PORT: u16 = 80;
const TLS_PORT: u16 = 443;

/// All that listeners want.
#[derive(Debug, Clone, Default)]
pub(super) struct Wishes {
    by_secret: BTreeMap<CertificateKey, Wanted>,
    /// Listeners that want what attached routes have, and what these have.
    asking: Parents,
    hosts: from_routes::Hosts,
    /// The Secrets of those, and of names that clients asked for.
    by_listener: BTreeMap<ListenerKey, Vec<CertificateKey>>,
    /// Listeners whose certificates are obtained on demand.
    offers: Vec<Offer>,
}

/// Ports of a fleet, by which authorities can ask.
#[derive(Debug, Clone, Copy, Default)]
struct Ports {
    plain: bool,
    plain_usual: bool,
    tls_usual: bool,
}

impl Ports {
    fn of<'a>(gateways: impl Iterator<Item = &'a GatewayDraft<'a>>) -> Self {
        let mut ports = Self::default();
        for listener in gateways.flat_map(|gateway| &gateway.listeners).filter(|it| it.refused.is_none()) {
            let plain = listener.spec.protocol == ProtocolType::Http;
            ports.plain |= plain;
            ports.plain_usual |= plain && listener.spec.port == HTTP_PORT;
            ports.tls_usual |= listener.terminates() && listener.spec.port == TLS_PORT;
        }
        ports
    }

    /// How authorities are convinced where nobody says how.
    fn automatic(self) -> ChallengeType {
        if self.plain_usual || (self.plain && !self.tls_usual) {
            ChallengeType::Http01
        } else {
            ChallengeType::TlsAlpn01
        }
    }
}

impl Wishes {
    /// What the listeners of `gateways`, oldest first, want. What is not to be had is said at the listener.
    pub(super) fn new(cluster: &Cluster, gateways: &mut [GatewayDraft<'_>]) -> Self {
        let asking = from_routes::asking(cluster, gateways);
        let hosts = from_routes::hosts(cluster, &asking);
        let mut wishes = Self { asking, hosts, ..Self::default() };
        let together = Ports::of(gateways.iter());
        for gateway in gateways {
            // One process serves all Gateways where there is no cluster.
            let own = Ports::of(std::iter::once(&*gateway));
            let ports = if cluster.settings().is_cluster() { own } else { together };
            let id = gateway.id.clone();
            let mut terms = BTreeMap::new();
            for listener in gateway.listeners.iter_mut().filter(|it| it.terminates()) {
                let terms = terms.entry(listener.owner.clone());
                let terms = terms.or_insert_with_key(|owner| terms::of(cluster, gateway.gateway, owner));
                if let Some(terms) = terms {
                    wishes.add(cluster, terms, (&id, ports), listener);
                }
            }
        }
        wishes
    }

    /// Whether attached routes have other hosts than they had.
    pub(super) fn are_old(&self, cluster: &Cluster) -> bool {
        !self.asking.is_empty() && from_routes::hosts(cluster, &self.asking) != self.hosts
    }

    /// What listeners want, for whoever orders it.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Wanted> {
        self.by_secret.values()
    }

    /// The wish for a Secret.
    pub(super) fn of(&self, secret: &CertificateKey) -> Option<&Wanted> {
        self.by_secret.get(secret)
    }

    /// Listeners whose certificates are obtained on demand.
    pub(super) fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// The Secrets for the hosts of attached routes and for names that clients asked for, if the listener has such.
    pub(super) fn of_hosts(&self, listener: &ListenerKey) -> Option<&[CertificateKey]> {
        self.by_listener.get(listener).map(Vec::as_slice)
    }

    /// What the Secrets hold; known only when they were read.
    pub(super) fn read<'c>(
        &mut self,
        cluster: &Cluster,
        certificates: impl Iterator<Item = (&'c CertificateKey, &'c Arc<Certificate>)>,
    ) {
        for (key, certificate) in certificates {
            if let Some(wanted) = self.by_secret.get_mut(key)
                && let Some(secret) = cluster.find::<Secret>(&key.namespace, &key.name)
            {
                let directory = secret.meta.annotations.get(DIRECTORY).map(String::as_str);
                wanted.current = Some(Current::new(certificate, directory));
            }
        }
    }

    /// What proxies answer. Of a host that is to be asked by HTTP the path is reserved, whether it is asked now or not.
    pub(super) fn hosts(&self) -> BTreeMap<AcmeHostKey, AcmeHost> {
        let mut hosts = BTreeMap::new();
        for wanted in self.by_secret.values() {
            let exact = wanted.hosts.iter().filter(|(host, _)| !host.starts_with('*'));
            for (host, solvable) in exact {
                for gateway in &wanted.gateways {
                    let key = AcmeHostKey { gateway: gateway.clone(), host: host.clone() };
                    // Tokens that the IR refuses an authority has no business with: it is told nothing.
                    if let Ok(made) = answered(key.clone(), solvable, wanted.state.order.as_ref())
                        && (made.reserves_path || made.tls_alpn.is_some() || !made.answers.is_empty())
                    {
                        hosts.entry(key).or_insert(made);
                    }
                }
            }
        }
        hosts
    }

    fn add(&mut self, cluster: &Cluster, terms: &Terms, at: (&GatewayId, Ports), listener: &mut ListenerDraft<'_>) {
        let Some(secret) = secret_of(listener) else { return };
        let of_routes = self.hosts.get(&listener.key).cloned();
        listener.on_demand = terms.is_on_demand && on_demand::is_possible(listener);
        let is_of_hosts = of_routes.is_some() || listener.on_demand;
        if !is_of_hosts && stands_already(cluster, &secret) {
            return;
        }
        let issuer = match &terms.issuer {
            Ok(issuer) => issuer,
            Err(remark) => return listener.remarks.push(remark.clone()),
        };
        if is_of_hosts {
            let (mut hosts, remark) = from_routes::granted(of_routes.unwrap_or_default(), &listener.path);
            listener.remarks.extend(remark);
            let offer = if listener.on_demand { on_demand::offer(cluster, issuer, &secret, listener) } else { None };
            listener.on_demand = offer.is_some();
            if let Some((offer, agreed)) = offer {
                hosts.extend(agreed);
                self.offers.push(offer);
            }
            return self.wish_each(cluster, (issuer, &secret, &hosts), at, listener);
        }
        match &listener.hostname {
            Some(HostPattern::Any) => {
                let path = format!("{}.hostname", listener.path);
                let message = "a listener for every host gets no certificate by ACME, for nobody knows of which names";
                let remedy = "write a hostname, or the annotation torana.dev/acme-from-routes: \"true\", or \
                              torana.dev/acme-on-demand: \"true\"";
                listener.remarks.push(Remark::warning("AcmeNotPossible", &path, message, remedy));
            }
            Some(pattern) => self.wish(cluster, (issuer, secret, &pattern.to_string()), at, listener),
            None => {}
        }
    }

    /// `listener` wants a certificate of each of `hosts`, in a Secret that is called after `named`.
    fn wish_each(
        &mut self,
        cluster: &Cluster,
        (issuer, named, hosts): (&Issuer, &CertificateKey, &BTreeSet<String>),
        at: (&GatewayId, Ports),
        listener: &mut ListenerDraft<'_>,
    ) {
        let mut secrets = Vec::new();
        for host in hosts {
            let secret = from_routes::secret_for(host, named);
            secrets.push(secret.clone());
            if !stands_already(cluster, &secret) {
                self.wish(cluster, (issuer, secret, host), at, listener);
            }
        }
        self.by_listener.insert(listener.key.clone(), secrets);
    }

    /// `listener` wants a certificate of `host` in `secret`.
    fn wish(
        &mut self,
        cluster: &Cluster,
        (issuer, secret, host): (&Issuer, CertificateKey, &str),
        (gateway, ports): (&GatewayId, Ports),
        listener: &mut ListenerDraft<'_>,
    ) {
        let solvable = issuer::solvable(issuer, &secret.namespace, host, ports);
        if let Some(remark) = self.too_many(issuer, &secret, &listener.path) {
            return listener.remarks.push(remark);
        }
        if let Some(wanted) = self.by_secret.get(&secret)
            && wanted.issuer.directory != issuer.directory
        {
            let path = format!("{}.tls.certificateRefs[0]", listener.path);
            let message = format!(
                "Secret {secret} is wanted of {} already, and cannot be of {}",
                wanted.issuer.name, issuer.name
            );
            return listener.remarks.push(Remark::error("AcmeConflict", &path, message, "name another Secret"));
        }
        let wanted = self.by_secret.entry(secret.clone()).or_insert_with(|| Wanted {
            state: state(cluster, &secret),
            secret,
            issuer: issuer.clone(),
            hosts: BTreeMap::new(),
            gateways: BTreeSet::new(),
            owners: BTreeSet::new(),
            current: None,
        });
        wanted.hosts.insert(host.to_owned(), solvable);
        wanted.gateways.insert(gateway.clone());
        wanted.owners.insert(listener.owner.clone());
    }
}

impl Wishes {
    /// One tenant must not use up what the authority grants to all.
    fn too_many(&self, issuer: &Issuer, secret: &CertificateKey, path: &str) -> Option<Remark> {
        let is_like = |wanted: &&Wanted| {
            wanted.secret.namespace == secret.namespace && wanted.issuer.name == issuer.name && wanted.secret != *secret
        };
        let most = issuer.most.filter(|most| self.by_secret.values().filter(is_like).count() >= *most)?;
        if self.by_secret.contains_key(secret) {
            return None;
        }
        let message = format!("{} signs at most {most} certificates for namespace {}", issuer.name, secret.namespace);
        let remedy = "let listeners share a Secret, or raise its spec.limits.certificatesPerNamespace";
        Some(Remark::error("AcmeLimit", &format!("{path}.tls.certificateRefs[0]"), message, remedy))
    }
}

/// The Secret that a listener's certificate would be in: the first that it refers to, of its own namespace.
pub(super) fn secret_of(listener: &ListenerDraft<'_>) -> Option<CertificateKey> {
    let reference = listener.spec.tls.as_ref()?.certificate_refs.first()?;
    let to = reference.target(&listener.owner.namespace);
    let is_own = to.known_kind() == Some(Kind::Secret) && to.namespace == listener.owner.namespace;
    (is_own && listener.is_accepted())
        .then(|| CertificateKey { namespace: to.namespace.clone(), name: to.name.clone() })
}

/// Whether somebody else made the Secret, who then renews it.
fn stands_already(cluster: &Cluster, secret: &CertificateKey) -> bool {
    let found = cluster.find::<Secret>(&secret.namespace, &secret.name);
    found.is_some_and(|found| !found.meta.labels.contains_key(LABEL))
}

/// Whether there is no certificate because it is on its way.
pub(super) fn is_awaited(cluster: &Cluster, wanted: &Wanted) -> bool {
    cluster.find::<Secret>(&wanted.secret.namespace, &wanted.secret.name).is_none()
}

/// How far it is. What cannot be read its owner begins anew.
fn state(cluster: &Cluster, secret: &CertificateKey) -> State {
    let home = cluster.find::<Secret>(&cluster.settings().acme.home, &home_of(secret));
    home.and_then(|home| State::of_secret(home)?.ok()).unwrap_or_else(|| State::new(secret))
}

fn answered(
    key: AcmeHostKey,
    solvable: &Solvable,
    order: Option<&Order>,
) -> Result<AcmeHost, torana_ir::AcmeHostError> {
    let of_host = order.into_iter().flat_map(|order| &order.challenges).filter(|it| it.host == key.host);
    let (mut answers, mut tls_alpn) = (BTreeMap::new(), None);
    for challenge in of_host {
        match challenge.kind {
            ChallengeType::Http01 => {
                answers.insert(challenge.token.clone(), challenge.key_authorization.clone());
            }
            ChallengeType::TlsAlpn01 => tls_alpn = Some(challenge.key_authorization.clone()),
            ChallengeType::Dns01 => {}
        }
    }
    let reserves_path = *solvable == Solvable::By(ChallengeType::Http01);
    AcmeHost::new(key, answers, tls_alpn, reserves_path)
}
