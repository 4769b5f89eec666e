// SPDX-License-Identifier: Apache-2.0
//! The frame that routes hang in: classes, Gateways, ListenerSets, certificates and authorities. Small, so it is made anew
//! whenever one of its objects changes; only what was read of certificates is kept. Routes see of it what they may attach to ([`Parents`]).
//!
//! Never looks at routes: numbers of attached routes are filled in by whoever counts them.

mod certify;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use torana_crds::gateway::{Gateway, GatewayClass, ListenerSet, ProtocolType, RouteGroupKind};
use torana_crds::istio::IstioGateway;
use torana_crds::istio::gateway::Server;
use torana_crds::parameters::GatewayParameters;
use torana_crds::{Kind, ObjectRef};
use torana_ir::{
    AccessPolicy, AcmeHost, AcmeHostKey, AuthProtocol, Certificate, CertificateKey, GatewayId, HostPattern, Listener,
    ListenerKey, PolicyKey, Protocol, Provider, ProviderKey, Tls, TokenPolicy, Transport, TrustBundle, TrustBundleKey,
};

use crate::class;
use crate::hosts;
use crate::issuance::{Offer, Wanted};
use crate::report::conditions::class as conditions;
use crate::report::{Entry, Remark};
use crate::store::{Cluster, Dirty};
use crate::translate::acme::Wishes;
use crate::translate::allowed::Namespaces;
use crate::translate::certificates::Certificates;
use crate::translate::client_validation::{self, Reading};
use crate::translate::conflicts::{self, Ports};
use crate::translate::credentials::{Credentials, Reading as CredentialReading};
use crate::translate::destination_rules::is_host;
use crate::translate::gateways::{GatewayDraft, is_ours};
use crate::translate::guards::{Guarding, Guards};
use crate::translate::listeners::ListenerDraft;
use crate::translate::providers::Providers;
use crate::translate::proxies::{Proxies, ingresses};
use crate::translate::scopes::Whose;
use crate::translate::servers::{ServerSlot, Servers};
use crate::translate::telemetry::Telemetries;
use crate::translate::trust::TrustStore;
use crate::translate::{entries, listener_sets, mesh_config, parameters, unevaluated};

/// Everything that is not about routes.
#[derive(Debug, Clone, Default)]
pub(super) struct Frame {
    /// Listeners that are served.
    pub(super) listeners: BTreeMap<ListenerKey, Listener>,
    /// What authorities of ACME are answered.
    pub(super) acme_hosts: BTreeMap<AcmeHostKey, AcmeHost>,
    /// Certificates that are wanted of them.
    pub(super) wanted: Arc<Vec<Wanted>>,
    /// Listeners whose certificates are obtained on demand.
    pub(super) offers: Arc<Vec<Offer>>,
    /// Who may do what on listeners.
    pub(super) policies: BTreeMap<PolicyKey, AccessPolicy>,
    /// Whose tokens are believed there.
    pub(super) tokens: BTreeMap<PolicyKey, TokenPolicy>,
    /// Who is asked or told, for these listeners.
    pub(super) providers: BTreeMap<ProviderKey, Provider>,
    /// Objects, there or not, that say where those are.
    places: BTreeSet<ObjectRef>,
    wishes: Wishes,
    /// Certificates that they serve, and that backends are shown.
    pub(super) certificates: BTreeMap<CertificateKey, Arc<Certificate>>,
    /// Authorities that their clients are verified by.
    pub(super) bundles: BTreeMap<TrustBundleKey, Arc<TrustBundle>>,
    /// What routes may attach to.
    pub(super) parents: Parents,
    /// Who serves, by the Gateway or ingress that their listeners are of.
    pub(super) proxies: BTreeMap<GatewayId, Arc<Proxies>>,
    /// What there is to say, before routes are counted.
    pub(super) drafts: BTreeMap<ObjectRef, Draft>,
    secrets: Certificates,
    credentials: Credentials,
    trust: TrustStore,
    /// ConfigMaps and Secrets of authorities, there or not.
    authorities: BTreeSet<ObjectRef>,
}

/// What routes may attach to, by the object that they name.
pub(super) type Parents = BTreeMap<ObjectRef, Parent>;

/// An object that a route may name as its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Parent {
    /// Ours, with these listeners.
    Ours(Vec<Slot>),
    /// A Gateway of Istio's that ours serve, with its servers.
    Servers(Vec<ServerSlot>),
    /// Somebody else's: nothing is said about it.
    Foreign,
}

/// A listener, as routes see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    /// Who it is.
    pub(super) key: ListenerKey,
    /// Its port.
    pub(super) port: u16,
    /// Hosts that belong to it; `None` if it has no proper hostname.
    pub(super) hostname: Option<HostPattern>,
    /// Kinds of routes that may attach.
    pub(super) kinds: Vec<RouteGroupKind>,
    /// Namespaces of routes that may attach.
    pub(super) namespaces: Namespaces,
    /// Whether it is served.
    pub(super) served: bool,
    /// Clients come over TLS.
    pub(super) over_tls: bool,
    /// TLS is passed on.
    pub(super) passes_on: bool,
    /// Who serves it.
    pub(super) proxies: Arc<Proxies>,
}

impl Slot {
    /// That of a listener.
    pub(super) fn new(draft: &ListenerDraft<'_>, served: bool, proxies: &Arc<Proxies>) -> Self {
        Self {
            key: draft.key.clone(),
            port: draft.spec.port,
            hostname: draft.hostname.clone(),
            kinds: draft.kinds.clone(),
            namespaces: draft.namespaces.clone(),
            served,
            over_tls: draft.terminates(),
            passes_on: draft.spec.protocol == ProtocolType::Tls && !draft.terminates(),
            proxies: Arc::clone(proxies),
        }
    }
}

/// Gateways whose listeners serve the VirtualServices that are bound to `mesh`, as one parent. No Gateway has no
/// namespace.
pub(super) fn mesh() -> ObjectRef {
    ObjectRef::new(Kind::IstioGateway, "", "mesh")
}

/// Annotation of such a Gateway.
const MESH: &str = "torana.dev/mesh-virtual-services";

/// An entry of the report that waits for the numbers of attached routes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Draft {
    /// All but the numbers.
    pub(super) entry: Entry,
    /// The key of each of its listeners.
    pub(super) keys: Vec<ListenerKey>,
}

impl Frame {
    /// Listeners that ask or tell a provider.
    pub(super) fn users(&self, provider: &ProviderKey) -> BTreeSet<ListenerKey> {
        let asks = |key: &PolicyKey| self.policies.get(key).and_then(AccessPolicy::provider) == Some(provider);
        let tells = |listener: &Listener| listener.tracing.as_ref().is_some_and(|it| it.collector == *provider);
        let users = self.listeners.values().filter(|it| tells(it) || it.policies.iter().any(asks));
        users.map(|listener| listener.key.clone()).collect()
    }

    /// Whether a change of this object asks for a new frame. Of ConfigMaps there are many, and few hold authorities.
    fn is_made_of(&self, object: &ObjectRef) -> bool {
        let always = matches!(
            object.known_kind(),
            Some(
                Kind::GatewayClass
                    | Kind::Gateway
                    | Kind::ListenerSet
                    | Kind::Secret
                    | Kind::Namespace
                    | Kind::ReferenceGrant
                    | Kind::GatewayParameters
                    | Kind::AcmeIssuer
                    | Kind::ClusterAcmeIssuer
                    | Kind::IstioGateway
                    | Kind::AuthorizationPolicy
                    | Kind::RequestAuthentication
                    | Kind::Telemetry
                    | Kind::EnvoyFilter
                    | Kind::WasmPlugin
                    | Kind::ProxyConfig
            )
        );
        always || self.authorities.contains(object) || self.places.contains(object)
    }

    /// Whether these changes ask for a new frame: of what it is made, or of routes for whose hosts certificates are wanted.
    pub(super) fn is_outdated(&self, cluster: &Cluster, dirty: &Dirty) -> bool {
        let is_route = |it: &ObjectRef| matches!(it.known_kind(), Some(Kind::HttpRoute | Kind::GrpcRoute));
        dirty.mesh
            || dirty.objects.iter().any(|object| self.is_made_of(object))
            || dirty
                .hosts
                .iter()
                .any(|host| self.places.iter().any(|it| is_host(it) && hosts::takes_in(host, &it.name)))
            || (dirty.objects.iter().any(is_route) && self.wishes.are_old(cluster))
    }

    /// Where proxies take credentials from.
    pub(super) fn namespaces<'f>(&'f self, cluster: &'f Cluster) -> BTreeSet<&'f str> {
        let ingress = cluster.settings().ingress.as_ref().map(|ingress| ingress.id.namespace.as_str());
        self.proxies.values().map(|proxies| proxies.namespace.as_str()).chain(ingress).collect()
    }

    /// Makes the frame; certificates that `before` read are not read again.
    pub(super) fn new(cluster: &Cluster, before: &Self) -> Self {
        let mut frame = Self::default();
        frame.classes(cluster);
        frame.parameters(cluster);
        let sets = listener_sets::by_gateway(cluster);
        let mut gateways = Vec::new();
        for gateway in cluster.all::<Gateway>() {
            let reference = ObjectRef::new(Kind::Gateway, &gateway.meta.namespace, &gateway.meta.name);
            let sets = sets.get(&reference).map(Vec::as_slice).unwrap_or_default();
            if is_ours(cluster, gateway) {
                gateways.push(GatewayDraft::new(cluster, gateway, sets));
            } else {
                let foreign =
                    sets.iter().map(|set| ObjectRef::new(Kind::ListenerSet, &set.meta.namespace, &set.meta.name));
                frame.parents.extend(foreign.chain([reference]).map(|it| (it, Parent::Foreign)));
            }
        }
        gateways.sort_by(|one, two| age(one).cmp(&age(two)));
        frame.settle(cluster, before, &mut gateways);
        frame.servers(cluster, before, &gateways);
        frame.policies(cluster, &gateways);
        frame.orphans(cluster);
        frame.normalise(cluster);
        frame.keep_certificates();
        frame.wishes.read(cluster, frame.secrets.usable());
        frame.acme_hosts = frame.wishes.hosts();
        frame.wanted = Arc::new(frame.wishes.wanted().cloned().collect());
        frame.offers = Arc::new(frame.wishes.offers().to_vec());
        frame
    }

    fn classes(&mut self, cluster: &Cluster) {
        let ours = cluster.all::<GatewayClass>().filter(|it| it.spec.controller_name == class::CONTROLLER_NAME);
        for class in ours {
            let mut entry = Entry { generation: class.meta.generation, ..Entry::default() };
            match parameters::of_class(cluster, class) {
                Ok(_) => entry.conditions.push(conditions::accepted()),
                Err(remark) => {
                    entry.conditions.push(conditions::invalid_parameters(remark.to_string()));
                    entry.remarks.push(remark);
                }
            }
            let reference = ObjectRef::new(Kind::GatewayClass, "", &class.meta.name);
            self.drafts.insert(reference, Draft { entry, keys: Vec::new() });
        }
    }

    /// What there is to say of parameters.
    fn parameters(&mut self, cluster: &Cluster) {
        for parameters in cluster.all::<GatewayParameters>() {
            let meta = &parameters.meta;
            let remarks = parameters::remarks(cluster, parameters);
            if !remarks.is_empty() {
                let entry = Entry { generation: meta.generation, remarks, ..Entry::default() };
                let reference = ObjectRef::new(Kind::GatewayParameters, &meta.namespace, &meta.name);
                self.drafts.insert(reference, Draft { entry, keys: Vec::new() });
            }
        }
    }

    /// Everything that needs more than one Gateway, oldest first.
    fn settle(&mut self, cluster: &Cluster, before: &Self, gateways: &mut [GatewayDraft<'_>]) {
        let mut ports = Ports::default();
        let settings = cluster.settings();
        for gateway in gateways.iter_mut() {
            conflicts::mark(&mut gateway.listeners);
        }
        self.wishes = Wishes::new(cluster, gateways);
        for gateway in gateways {
            self.verify_clients(cluster, before, gateway);
            if settings.is_cluster() {
                // Its proxies are its own, and so are their ports.
                ports = Ports::default();
            }
            if gateway.is_usable() {
                ports.claim(&gateway.id, &gateway.binds, &mut gateway.listeners, &settings.reserved);
            }
            for listener in gateway.listeners.iter_mut().filter(|listener| listener.terminates()) {
                self.resolve(cluster, before, listener);
            }
            gateway.client_certificate(cluster, &mut self.secrets, &before.secrets);
            self.serve(cluster, gateway);
            self.drafts.extend(entries::of(gateway));
        }
    }

    /// Certificates that are served or shown, and no others.
    fn keep_certificates(&mut self) {
        let used = self.listeners.values().filter_map(|listener| Some(&listener.protocol.tls()?.certificates));
        let shown = self.listeners.values().filter_map(|listener| listener.identity.as_ref());
        let used: BTreeSet<_> = used.flatten().chain(shown).collect();
        let usable = self.secrets.usable().chain(self.credentials.usable()).filter(|(key, _)| used.contains(key));
        self.certificates = usable.map(|(key, certificate)| (key.clone(), Arc::clone(certificate))).collect();
    }

    fn verify_clients(&mut self, cluster: &Cluster, before: &Self, gateway: &mut GatewayDraft<'_>) {
        let of = (gateway.gateway, &gateway.reference);
        for listener in gateway.listeners.iter_mut().filter(|listener| listener.is_https()) {
            let (store, asked) = (&mut self.trust, &mut self.authorities);
            client_validation::judge(&mut Reading { cluster, store, before: &before.trust, asked }, of, listener);
        }
    }

    /// Puts the listeners of a Gateway into the program and before the routes.
    fn serve(&mut self, cluster: &Cluster, gateway: &GatewayDraft<'_>) {
        let proxies = Arc::new(Proxies::of_gateway(cluster, gateway.gateway));
        self.proxies.insert(gateway.id.clone(), Arc::clone(&proxies));
        let takes_mesh = gateway.gateway.meta.annotations.get(MESH).is_some_and(|value| value == "true");
        self.parents.insert(gateway.reference.clone(), Parent::Ours(Vec::new()));
        let sets = gateway.sets.iter().map(|set| (set.reference.clone(), Parent::Ours(Vec::new())));
        self.parents.extend(sets);
        for draft in &gateway.listeners {
            let served = is_served(gateway, draft);
            let slot = Slot::new(draft, served, &proxies);
            if takes_mesh && let Parent::Ours(slots) = self.parents.entry(mesh()).or_insert(Parent::Ours(Vec::new())) {
                slots.push(slot.clone());
            }
            if let Some(Parent::Ours(slots)) = self.parents.get_mut(&draft.owner) {
                slots.push(slot);
            }
            if served {
                for key in draft.client.iter().flat_map(|client| &client.bundles) {
                    self.bundles.extend(self.trust.get(key).map(|bundle| (key.clone(), Arc::clone(bundle))));
                }
                self.listeners.insert(draft.key.clone(), proxies.clients.of(listener(gateway, draft)));
            }
        }
    }

    /// Gateways of Istio, on the ports that no listener of Gateway API has.
    fn servers(&mut self, cluster: &Cluster, before: &Self, gateways: &[GatewayDraft<'_>]) {
        let settings = cluster.settings();
        let mut fleets: Vec<_> =
            ingresses(cluster).iter().map(|it| Arc::new(Proxies::of_ingress(cluster, it))).collect();
        self.proxies.extend(fleets.iter().map(|proxies| (proxies.fleet.clone(), Arc::clone(proxies))));
        if settings.is_cluster() {
            let usable = gateways.iter().filter(|gateway| gateway.is_usable());
            fleets.extend(usable.map(|gateway| Arc::new(Proxies::of_gateway(cluster, gateway.gateway))));
        }
        let listeners = &self.listeners;
        let taken = |proxies: &Proxies, port: u16, address: Option<IpAddr>| {
            let reserved = settings.reserved.iter().find(|(socket, _)| {
                socket.port() == port && (socket.ip().is_unspecified() || address.is_none_or(|it| it == socket.ip()))
            });
            let theirs = listeners.values().find(|listener| {
                let is_here = !settings.is_cluster() || listener.key.gateway == proxies.fleet;
                is_here && listener.port == port && listener.protocol.transport() == Transport::Tcp
            });
            let reserved = reserved.map(|(socket, purpose)| format!("{purpose} ({socket})"));
            reserved.or_else(|| theirs.map(|listener| format!("listener {} of Gateway API", listener.key)))
        };
        let mut reading = CredentialReading {
            cluster,
            credentials: &mut self.credentials,
            before: &before.credentials,
            trust: (&mut self.trust, &before.trust),
            asked: &mut self.authorities,
            bundles: &mut self.bundles,
        };
        let mut terms = |proxies: &Proxies, server: &Server, at: &str, remarks: &mut Vec<Remark>| {
            reading.terms(proxies, server, at, remarks)
        };
        let servers = Servers::new(cluster.all::<IstioGateway>(), &fleets, &taken, &mut terms);
        self.listeners.extend(servers.listeners);
        // Of those that select none of ours, or are for others, nothing is said where they are named.
        let others = servers.entries.keys().filter(|gateway| !servers.slots.contains_key(gateway));
        let others = others.chain(cluster.all_aside(Kind::IstioGateway));
        self.parents.extend(others.map(|gateway| (gateway.clone(), Parent::Foreign)));
        self.parents.extend(servers.slots.into_iter().map(|(gateway, slots)| (gateway, Parent::Servers(slots))));
        let drafts = servers.entries.into_iter().map(|(gateway, entry)| (gateway, Draft { entry, keys: Vec::new() }));
        self.drafts.extend(drafts);
    }

    /// Has policies guard listeners and say what they tell.
    fn policies(&mut self, cluster: &Cluster, gateways: &[GatewayDraft<'_>]) {
        let mut providers = Providers::new(cluster);
        let ingresses = ingresses(cluster);
        let of_gateways = gateways.iter().map(|it| (Proxies::of_gateway(cluster, it.gateway), Some(it)));
        let of_ingresses = ingresses.iter().map(|it| (Proxies::of_ingress(cluster, it), None));
        let all: Vec<_> = of_ingresses.chain(of_gateways).collect();
        let all: Vec<_> = all.iter().map(|(proxies, gateway)| Served { proxies, gateway: *gateway }).collect();
        self.guard((cluster, &all), &mut providers);
        self.observe((cluster, &all), &mut providers);
        let asked = self.policies.values().filter_map(AccessPolicy::provider);
        let told = self.listeners.values().filter_map(|listener| Some(&listener.tracing.as_ref()?.collector));
        (self.providers, self.places) = providers.chosen(asked.chain(told).cloned().collect::<BTreeSet<_>>());
    }

    /// Says what listeners tell of what passes.
    fn observe(&mut self, (cluster, all): (&Cluster, &[Served<'_>]), providers: &mut Providers<'_>) {
        let telemetries = Telemetries::new(cluster, providers);
        for served in all {
            let sampling = served.gateway.and_then(|gateway| gateway.sampling);
            let told = telemetries.of(served.whose(), sampling, providers);
            for listener in self.listeners.values_mut().filter(|listener| listener.key.gateway == *served.fleet()) {
                (listener.log, listener.metrics) = (told.log.clone(), told.metrics.clone());
                listener.tracing = told.tracing.clone().filter(|_| listener.protocol.is_http());
            }
        }
        let all: Vec<_> = all.iter().map(Served::whose).collect();
        let entries = telemetries.entries(&all).into_iter().chain(unevaluated::entries(cluster, &all));
        self.drafts.extend(entries.map(|(policy, entry)| (policy, Draft { entry, keys: Vec::new() })));
    }

    /// Has policies guard listeners.
    fn guard(&mut self, (cluster, all): (&Cluster, &[Served<'_>]), providers: &mut Providers<'_>) {
        let guards = Guards::new(cluster, providers);
        for served in all {
            let Guarding { closed, closed_requests, policies, tokens } = guards.of(served.whose());
            let fleet = served.fleet();
            for listener in self.listeners.values_mut().filter(|listener| listener.key.gateway == *fleet) {
                (listener.closed, listener.policies) = (closed.clone(), policies.clone());
                if listener.protocol.is_http() {
                    listener.tokens.clone_from(&tokens);
                    listener.closed = closed.clone().or_else(|| closed_requests.clone());
                } else {
                    // As with Istio: who speaks HTTP is not asked about what is none.
                    listener.policies.retain(|key| !guards.policy(key).is_some_and(|it| asks_by_http(it, providers)));
                }
            }
        }
        self.policies = guards.policies(self.listeners.values().flat_map(|listener| &listener.policies).cloned());
        self.tokens = guards.tokens(self.listeners.values().flat_map(|listener| &listener.tokens).cloned());
        let all: Vec<_> = all.iter().map(Served::whose).collect();
        let entries = guards.entries(&all).into_iter();
        self.drafts.extend(entries.map(|(policy, entry)| (policy, Draft { entry, keys: Vec::new() })));
        self.tell_of_streams(&guards);
    }

    /// Nobody is asked about streams: what rules that would have them asked about take ends.
    fn tell_of_streams(&mut self, guards: &Guards<'_>) {
        for listener in self.listeners.values().filter(|listener| !listener.protocol.is_http()) {
            for key in
                listener.policies.iter().filter(|key| guards.policy(key).is_some_and(|it| it.provider().is_some()))
            {
                let message = format!(
                    "nobody is asked about streams, so those of {} that its rules take are closed",
                    listener.key
                );
                let remark =
                    Remark::warning("StreamsNotAsked", "spec.action", message, "narrow it to listeners of HTTP");
                let policy = ObjectRef::new(Kind::AuthorizationPolicy, &key.namespace, &key.name);
                self.drafts.entry(policy).or_default().entry.remarks.push(remark);
            }
        }
    }

    /// One form of paths holds for all, whichever API a listener is of.
    fn normalise(&mut self, cluster: &Cluster) {
        let mode = mesh_config::path_mode(cluster.mesh().config());
        for listener in self.listeners.values_mut().filter(|listener| listener.protocol.is_http()) {
            listener.path_mode = mode;
        }
    }

    fn orphans(&mut self, cluster: &Cluster) {
        for set in cluster.all::<ListenerSet>() {
            if let Some(remark) = listener_sets::orphan(cluster, set) {
                let reference = ObjectRef::new(Kind::ListenerSet, &set.meta.namespace, &set.meta.name);
                let entry = Entry { generation: set.meta.generation, remarks: vec![remark], ..Entry::default() };
                self.drafts.insert(reference.clone(), Draft { entry, keys: Vec::new() });
                // What is wrong is said there; routes that name it have nothing to correct.
                self.parents.insert(reference, Parent::Foreign);
            }
        }
    }
}

fn asks_by_http(policy: &AccessPolicy, providers: &mut Providers<'_>) -> bool {
    let auth = policy.provider().and_then(|provider| providers.authorizer(&provider.0).ok());
    auth.is_some_and(|auth| matches!(auth.protocol, AuthProtocol::Http { .. }))
}

/// Proxies whom policies may be for.
struct Served<'s> {
    proxies: &'s Proxies,
    gateway: Option<&'s GatewayDraft<'s>>,
}

impl<'s> Served<'s> {
    /// As policies see them.
    fn whose(&self) -> Whose<'s> {
        let of_api = |it: &'s GatewayDraft<'s>| (&it.reference, it.gateway.spec.gateway_class_name.as_str());
        (self.proxies, self.gateway.map(of_api))
    }

    /// Whose listeners they have.
    fn fleet(&self) -> &'s GatewayId {
        self.gateway.map_or(&self.proxies.fleet, |it| &it.id)
    }
}

/// Whether proxies get the listener.
pub(super) fn is_served(gateway: &GatewayDraft<'_>, listener: &ListenerDraft<'_>) -> bool {
    gateway.is_usable() && listener.is_accepted() && listener.unservable.is_none()
}

/// Older wins a port, then by name.
fn age<'a>(gateway: &'a GatewayDraft<'_>) -> (i64, &'a str, &'a str) {
    let meta = &gateway.gateway.meta;
    (meta.created.unwrap_or_default(), &meta.namespace, &meta.name)
}

fn listener(gateway: &GatewayDraft<'_>, draft: &ListenerDraft<'_>) -> Listener {
    Listener {
        addresses: gateway.binds.clone(),
        protocol: protocol(draft),
        hostname: draft.hostname.clone().unwrap_or(HostPattern::Any),
        identity: gateway.identity().cloned(),
        ..Listener::new(draft.key.clone(), draft.spec.port)
    }
}

fn protocol(draft: &ListenerDraft<'_>) -> Protocol {
    let placeholder = draft.pending.is_some();
    let tls = || Tls {
        client: draft.client.clone(),
        placeholder,
        on_demand: draft.on_demand,
        ..Tls::new(draft.certificates.clone())
    };
    match &draft.spec.protocol {
        ProtocolType::Https => Protocol::Https(tls()),
        ProtocolType::Tls if draft.terminates() => Protocol::TlsTerminate(tls()),
        ProtocolType::Tls => Protocol::TlsPassthrough,
        ProtocolType::Tcp => Protocol::Tcp,
        ProtocolType::Udp => Protocol::Udp,
        // Those of an unknown protocol are not served.
        ProtocolType::Http | ProtocolType::Other(_) => Protocol::Http,
    }
}
