// SPDX-License-Identifier: Apache-2.0
//! `old.apply(old.diff(new)) == new` on random snapshots of every kind of resource. Keys come from a handful, so that
//! two snapshots share some, and values from a handful too, so that a shared key is now the same, now changed.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU8, NonZeroU32};
use std::sync::LazyLock;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;
use crate::{
    AUTH_PATIENCE, Abort, AbortWith, AccessAction, AccessRule, Action, Attachment, AuthProtocol, Authority, BackendTls,
    Caps, CipherSuite, ClaimField, ClientValidation, ClientValidationMode, Collector, CollectorProtocol, CommonLabel,
    Condition, CookieName, CookiePath, Cors, Delay, DirectResponse, DnsName, Endpoint, Expression, ExternalAuth,
    FieldMatch, FieldPart, Filter, GatewayId, HashOn, HeaderEdit, HeaderName, HeaderValue, HealthCheck, HostPattern,
    HttpProbe, Invalid, IstioMetric, KeyPlace, KeySet, KeySource, KeyUrl, LabelValue, Limits, LineMatch, LinePart,
    LoadBalance, Locality, LocalityPattern, LocalityPolicy, LocalityShares, LogPolicy, MadeField, MessageField, Method,
    MetricChange, MetricPolicy, Mirror, NamePattern, NamedEndpoint, OnError, Order, OriginPattern, Origination,
    OutlierDetection, PathMatch, PathMode, PathRewrite, PeerName, Percent, Probe, ProbeMethod, ProbeTarget, Protocol,
    Provider, ProviderKey, Purpose, Redirect, RedirectPort, Regex, RegexRewrite, RegionFailover, Retry, RetryCap,
    Rewrite, RouteId, RouteKind, RouteMatch, Session, SessionCarrier, SessionKey, Share, StatusRange, StreamBackend,
    SubjectTest, TableSize, Tag, TagValue, Target, Terms, TextMatch, TextTest, Timeouts, Tls, TlsVersion, TokenPlace,
    TokenRule, Tracing, Transport, Trust, TrustSource, Unanswered, UpstreamProtocol, Variable, WarmUp, WeightedBackend,
};

/// Most resources of one kind in a snapshot.
const MOST: usize = 5;

// === keys ===

fn name() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "c"]).prop_map(str::to_owned)
}

fn listener_key() -> impl Strategy<Value = ListenerKey> {
    (any::<bool>(), name()).prop_map(|(of_a_set, name)| {
        let gateway = GatewayId { namespace: "default".to_owned(), name: "edge".to_owned() };
        ListenerKey { gateway, set: of_a_set.then(|| ("default".to_owned(), "set".to_owned())), name }
    })
}

fn certificate_key() -> impl Strategy<Value = CertificateKey> {
    (select(vec!["x", "y"]), name())
        .prop_map(|(namespace, name)| CertificateKey { namespace: namespace.to_owned(), name })
}

fn bundle_key() -> impl Strategy<Value = TrustBundleKey> {
    (select(vec![TrustSource::ConfigMap, TrustSource::Secret]), name()).prop_map(|(source, name)| TrustBundleKey {
        source,
        namespace: "default".to_owned(),
        name,
    })
}

fn key_of(kinds: Vec<RouteKind>) -> impl Strategy<Value = RuleKey> {
    (select(kinds), 0u16..3).prop_map(|(kind, index)| {
        let route = RouteId { kind, namespace: "default".to_owned(), name: "web".to_owned() };
        RuleKey { route, index }
    })
}

fn rule_key() -> impl Strategy<Value = RuleKey> {
    key_of(vec![RouteKind::HttpRoute, RouteKind::GrpcRoute])
}

fn stream_key() -> impl Strategy<Value = RuleKey> {
    key_of(vec![RouteKind::TlsRoute, RouteKind::TcpRoute, RouteKind::UdpRoute])
}

fn backend_key() -> impl Strategy<Value = BackendKey> {
    (name(), select(vec![(80, Transport::Tcp), (53, Transport::Udp), (53, Transport::Tcp)])).prop_map(
        |(name, (port, transport))| BackendKey { namespace: "default".to_owned(), name, port, transport, subset: None },
    )
}

fn acme_host_key() -> impl Strategy<Value = AcmeHostKey> {
    (name(), select(vec!["a.example", "b.example"])).prop_map(|(name, host)| AcmeHostKey {
        gateway: GatewayId { namespace: "default".to_owned(), name },
        host: host.to_owned(),
    })
}

fn policy_key() -> impl Strategy<Value = PolicyKey> {
    (name(), name()).prop_map(|(namespace, name)| PolicyKey { namespace, name })
}

// === values ===

fn host() -> impl Strategy<Value = HostPattern> {
    select(vec!["", "*.a.example", "a.example"]).prop_map(|text| HostPattern::parse(text).unwrap())
}

fn listener(key: ListenerKey) -> impl Strategy<Value = Listener> {
    let modes = vec![
        ClientValidationMode::AllowValidOnly,
        ClientValidationMode::AllowInsecureFallback,
        ClientValidationMode::AllowValidOrNone,
    ];
    let client = (select(modes), vec(bundle_key(), 0..2), any::<bool>())
        .prop_map(|(mode, bundles, forwarded)| ClientValidation { mode, bundles, forwarded });
    let versions = select(vec![TlsVersion::V1_2, TlsVersion::V1_3]);
    let tls = (vec(certificate_key(), 0..2), versions, option::of(client), any::<bool>()).prop_map(
        |(certificates, min_version, client, placeholder)| {
            let suites = client.as_ref().map(|_| vec![CipherSuite::EcdsaAes128]);
            let max_version = Some(TlsVersion::V1_3);
            Tls { min_version, max_version, suites, client, placeholder, ..Tls::new(certificates) }
        },
    );
    let ended = (tls, any::<bool>())
        .prop_map(|(tls, http)| if http { Protocol::Https(tls) } else { Protocol::TlsTerminate(tls) });
    let plain = select(vec![Protocol::Http, Protocol::Tcp, Protocol::Udp, Protocol::TlsPassthrough]);
    let protocol = prop_oneof![plain, ended];
    let limits = prop_oneof![
        Just(Limits::default()),
        Just(Limits { streams: 7, ..Limits::default() }),
        Just(Limits { trusted_hops: 2, ..Limits::default() }),
    ];
    let modes = vec![PathMode::None, PathMode::Base, PathMode::MergeSlashes, PathMode::DecodeAndMergeSlashes];
    let limits = (limits, select(modes));
    let invalid = Invalid { reason: "PolicyNotEvaluated".into(), message: "a policy guards it".to_owned() };
    let shown = (
        option::of(certificate_key()),
        option::of(Just(invalid)),
        any::<bool>(),
        vec(policy_key(), 0..3),
        vec(policy_key(), 0..3),
        option::of(tracing()),
        (option::of(log_policy()), option::of(metric_policy())),
    );
    (vec(any::<std::net::IpAddr>(), 0..2), select(vec![80, 443]), protocol, host(), limits, shown).prop_map(
        move |(
            addresses,
            port,
            protocol,
            hostname,
            (limits, path_mode),
            (identity, closed, proxy_protocol, policies, tokens, tracing, (log, metrics)),
        )| {
            Listener {
                key: key.clone(),
                addresses,
                port,
                protocol,
                hostname,
                path_mode,
                limits,
                identity,
                proxy_protocol,
                closed,
                policies,
                tokens,
                tracing,
                log,
                metrics,
                server: None,
            }
        },
    )
}

fn tracing() -> impl Strategy<Value = Tracing> {
    let default = || option::of(name());
    let value = prop_oneof![
        name().prop_map(TagValue::Literal),
        (name(), default()).prop_map(|(name, default)| TagValue::Environment { name, default }),
        (name(), default())
            .prop_map(|(name, default)| TagValue::Header { name: HeaderName::new(&name).unwrap(), default }),
    ];
    let tag = (name(), value).prop_map(|(name, value)| Tag { name, value });
    (provider_key(), share(), vec(tag, 0..2), any::<bool>()).prop_map(
        |(collector, sampling, tags, disable_reporting)| Tracing { collector, sampling, tags, disable_reporting },
    )
}

fn log_policy() -> impl Strategy<Value = LogPolicy> {
    let expression = select(vec!["response.code >= 400", "connection.mtls", "not.known"]);
    let expressions = vec(expression.prop_map(|source| Expression::from(source.to_owned())), 0..3);
    prop_oneof![Just(LogPolicy::Off), expressions.prop_map(LogPolicy::If)]
}

fn metric_policy() -> impl Strategy<Value = MetricPolicy> {
    let value = prop_oneof![
        Just(LabelValue::Removed),
        name().prop_map(LabelValue::Text),
        Just(LabelValue::SameAs("response_code".to_owned())),
    ];
    let labels = btree_map(name(), value, 0..3).prop_map(MetricChange::Labels);
    let change = prop_oneof![Just(MetricChange::Off), labels];
    btree_map(select(IstioMetric::ALL.to_vec()), change, 0..3).prop_map(MetricPolicy)
}

/// Making a key pair costs more than the rest of a case.
static PAIRS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let made =
        ["a.example", "b.example"].map(|name| rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap());
    made.iter().map(|made| (made.cert.pem(), made.signing_key.serialize_pem())).collect()
});

fn certificate(key: CertificateKey) -> impl Strategy<Value = Certificate> {
    select(&PAIRS[..])
        .prop_map(move |(chain, pem)| Certificate::from_pem(key.clone(), chain.as_bytes(), pem.as_bytes()).unwrap())
}

fn bundle(key: TrustBundleKey) -> impl Strategy<Value = TrustBundle> {
    select(&PAIRS[..]).prop_map(move |(pem, _)| TrustBundle::from_pem(key.clone(), pem.as_bytes()).unwrap())
}

fn text() -> impl Strategy<Value = TextMatch> {
    prop_oneof![
        Just(TextMatch::Exact("x".to_owned())),
        Just(TextMatch::Prefix("x".to_owned())),
        Just(TextMatch::Present),
        select(vec!["x+", "y"]).prop_map(|source| TextMatch::Regex(Regex::new(source).unwrap())),
    ]
}

fn route_match() -> impl Strategy<Value = RouteMatch> {
    let path = prop_oneof![
        Just(PathMatch::Exact("/a".to_owned())),
        Just(PathMatch::Prefix(String::new())),
        any::<bool>().prop_map(|any_case| PathMatch::Text { text: "/t".to_owned(), any_case }),
        Just(PathMatch::ExactAnyCase("/a".to_owned())),
        select(vec!["/a+", "/b"]).prop_map(|source| PathMatch::Regex(Regex::new(source).unwrap())),
    ];
    let method = option::of(Just(Method::new("GET").unwrap()));
    let field = || (text(), any::<bool>());
    let header = |(value, inverted)| FieldMatch { name: HeaderName::new("x-a").unwrap(), value, inverted };
    let parameter = |(value, inverted)| FieldMatch { name: "q".to_owned(), value, inverted };
    let part = select(vec![LinePart::Method, LinePart::Scheme, LinePart::Authority, LinePart::Path]);
    let line = (part, field()).prop_map(|(part, (value, inverted))| LineMatch { part, value, inverted });
    let claim = |(value, inverted)| FieldMatch { name: vec!["a".to_owned(), "b".to_owned()], value, inverted };
    let claims = vec(field().prop_map(claim), 0..2);
    let fields = (vec(field().prop_map(header), 0..2), vec(field().prop_map(parameter), 0..2), vec(line, 0..2), claims);
    (path, method, fields).prop_map(|(path, method, (headers, query, line, claims))| RouteMatch {
        path,
        method,
        headers,
        query,
        line,
        claims,
    })
}

fn target() -> impl Strategy<Value = Target> {
    let invalid = Invalid { reason: "BackendNotFound".into(), message: "there is no such Service".to_owned() };
    prop_oneof![backend_key().prop_map(Target::Backend), Just(Target::Invalid(invalid))]
}

fn made() -> MadeField {
    let name = HeaderName::new("x-a").unwrap();
    let field =
        Variable::Field { field: MessageField::Named(name.clone()), or: Some(MessageField::Path), longest: Some(3) };
    let value =
        [Variable::ClientSocket, field].map(FieldPart::Variable).into_iter().chain([FieldPart::Text(" ".into())]);
    MadeField { name, appends: true, value: value.collect() }
}

fn header() -> impl Strategy<Value = (HeaderName, HeaderValue)> {
    Just((HeaderName::new("x-a").unwrap(), HeaderValue::new("1").unwrap()))
}

fn external_auth() -> impl Strategy<Value = ExternalAuth> {
    let names = || vec(header().prop_map(|(name, _)| name), 0..2);
    let patterns = || vec(select(vec!["x-*", "*-a", "x-a"]).prop_map(|it| NamePattern::new(it).unwrap()), 0..2);
    let http = (patterns(), option::of(patterns()), vec(header(), 0..2), patterns(), option::of(patterns()));
    let prefix = PathRewrite::Prefix("/check".to_owned());
    let http = http.prop_map(move |(headers, copied, added, shown, refused)| AuthProtocol::Http {
        prefix: prefix.clone(),
        headers,
        copied,
        added,
        shown,
        refused,
    });
    let protocol = prop_oneof![option::of(names()).prop_map(|headers| AuthProtocol::Grpc { headers }), http];
    let on_error = prop_oneof![Just(OnError::Allow), select(vec![403, 503]).prop_map(OnError::Refuse)];
    let timeout = select(vec![AUTH_PATIENCE, Duration::from_mins(10)]);
    (target(), protocol, 0u32..3, vec(any::<bool>(), 3), (timeout, on_error)).prop_map(
        |(target, protocol, body, flags, (timeout, on_error))| ExternalAuth {
            target,
            protocol,
            body,
            takes_part: flags[0],
            as_bytes: flags[1],
            timeout,
            on_error,
            routes_anew: flags[2],
        },
    )
}

fn filter() -> impl Strategy<Value = Filter> {
    let pair = || (HeaderName::new("x-a").unwrap(), HeaderValue::new("1").unwrap());
    let edit = prop_oneof![
        Just(HeaderEdit { set: vec![pair()], ..HeaderEdit::default() }),
        Just(HeaderEdit { made: vec![made()], ..HeaderEdit::default() }),
        Just(HeaderEdit { add: vec![pair()], remove: vec![pair().0], ..HeaderEdit::default() }),
    ];
    let path = || option::of(select(rewrites()));
    let redirect = (path(), select(vec![301, 302])).prop_map(|(path, status)| {
        let (host, port) = (Authority::new("a.example:8080").ok(), RedirectPort::Kept);
        Filter::Redirect(Redirect { scheme: Some("https"), host, path, query: None, port, status })
    });
    prop_oneof![
        edit.clone().prop_map(Filter::RequestHeaders),
        external_auth().prop_map(Filter::ExternalAuth),
        edit.prop_map(Filter::ResponseHeaders),
        redirect,
        path().prop_map(|path| Filter::Rewrite(Rewrite { host: None, path })),
        (target(), 0u32..3)
            .prop_map(|(target, numerator)| Mirror { target, numerator, denominator: 100, shadow: numerator == 1 })
            .prop_map(Filter::Mirror),
        select(vec![200, 404]).prop_map(|status| Filter::Respond(DirectResponse { status, body: b"no".to_vec() })),
        share().prop_map(|share| Filter::Delay(Delay { time: Duration::from_secs(1), share })),
        (share(), select(vec![AbortWith::Http(503), AbortWith::Grpc(14)]))
            .prop_map(|(share, with)| Filter::Abort(Abort { with, share })),
        any::<bool>().prop_map(|allow_credentials| {
            let allow_origins = vec![
                OriginPattern::Exact("https://a.example".to_owned()),
                OriginPattern::Prefix("https://".to_owned()),
                OriginPattern::Regex(Regex::new("https?://a").unwrap()),
            ];
            Filter::Cors(Cors { allow_origins, allow_credentials, ..Cors::default() })
        }),
    ]
}

fn share() -> impl Strategy<Value = Share> {
    (0..=1_000_000u32).prop_map(|millionths| Share::new(millionths).unwrap())
}

fn rewrites() -> Vec<PathRewrite> {
    vec![
        PathRewrite::Full("/x".to_owned()),
        PathRewrite::Prefix("/y".to_owned()),
        PathRewrite::Text("z".to_owned()),
        PathRewrite::Regex(RegexRewrite::new("/(a)", r"/\1\1").unwrap()),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let backend = (target(), 0u32..3, vec(filter(), 0..2)).prop_map(|(target, weight, filters)| WeightedBackend {
        target,
        weight,
        filters,
    });
    let invalid = Invalid { reason: "UnsupportedValue".into(), message: "no such filter".to_owned() };
    prop_oneof![vec(backend, 0..3).prop_map(Action::Forward), Just(Action::Invalid(invalid))]
}

fn rule(key: RuleKey) -> impl Strategy<Value = Rule> {
    let attachment =
        (listener_key(), vec(host(), 1..3)).prop_map(|(listener, hostnames)| Attachment { listener, hostnames });
    let timeouts = select(vec![None, Some(Duration::from_secs(1))])
        .prop_map(|request| Timeouts { request, backend_request: None });
    let parts = (vec(attachment, 0..2), vec(route_match(), 1..3), vec(filter(), 0..2), action(), timeouts);
    let retry = (0..2u32, option::of(Just(Duration::from_millis(50)))).prop_map(|(attempts, backoff)| Retry {
        codes: [503].into(),
        grpc: [14].into(),
        header: HeaderName::new("x-envoy-ratelimited").ok(),
        unanswered: attempts == 1,
        backoff,
        ..Retry::new(attempts)
    });
    let order =
        select(vec![Order::Specific, Order::Written { rank: 0, server: 0 }, Order::Written { rank: 3, server: 1 }]);
    let carrier = prop_oneof![
        name().prop_map(|name| SessionCarrier::Header(HeaderName::new(&name).unwrap())),
        (name(), any::<bool>()).prop_map(|(name, permanent)| SessionCarrier::Cookie {
            name: CookieName::new(&name).unwrap(),
            path: CookiePath::new("/").unwrap(),
            permanent,
        }),
    ];
    let session = (carrier, option::of(Just(Duration::from_mins(5))), any::<[u8; 32]>())
        .prop_map(|(carrier, lifetime, key)| Session { carrier, lifetime, key: SessionKey::new(key) });
    let order = (order, option::of(share()));
    (option::of(name()), 0i64..2, parts, option::of(retry), option::of(session), order).prop_map(
        move |(name, created, (attachments, matches, filters, action, timeouts), retry, session, (order, sampling))| {
            Rule {
                key: key.clone(),
                name,
                created,
                attachments,
                matches,
                filters,
                action,
                timeouts,
                retry,
                session,
                order,
                sampling,
            }
        },
    )
}

fn stream(key: RuleKey) -> impl Strategy<Value = StreamRule> {
    let attachment =
        (listener_key(), vec(host(), 1..3)).prop_map(|(listener, hostnames)| Attachment { listener, hostnames });
    let backend = (target(), 0u32..3).prop_map(|(target, weight)| StreamBackend { target, weight });
    (option::of(name()), 0u8..2, 0i64..2, vec(attachment, 0..2), vec(backend, 0..3)).prop_map(
        move |(name, rank, created, attachments, backends)| StreamRule {
            key: key.clone(),
            name,
            rank,
            created,
            attachments,
            backends,
        },
    )
}

fn backend_tls() -> impl Strategy<Value = BackendTls> {
    let trust =
        prop_oneof![Just(Trust::System), Just(Trust::Unchecked), vec(bundle_key(), 0..2).prop_map(Trust::Bundles)];
    let host = || DnsName::new("a.example").unwrap();
    let peers = vec![
        PeerName::Dns(host()),
        PeerName::Wildcard(host()),
        PeerName::Uri("spiffe://a/b".to_owned()),
        PeerName::TrustDomain("cluster.local".to_owned()),
        PeerName::Sent,
    ];
    let identity = option::of(certificate_key());
    let originate = (trust, vec(select(peers), 1..3), any::<bool>(), identity).prop_map(
        move |(trust, names, follows_host, identity)| {
            BackendTls::Originate(Origination { server_name: host(), follows_host, identity, trust, names })
        },
    );
    let invalid = Invalid { reason: "NoValidCACertificate".into(), message: "there is no such ConfigMap".to_owned() };
    prop_oneof![Just(BackendTls::Plain), originate, Just(BackendTls::Refused(invalid))]
}

fn backend(key: BackendKey) -> impl Strategy<Value = Backend> {
    let protocol = select(vec![UpstreamProtocol::Http1, UpstreamProtocol::H2c]);
    let warm_up = option::of((1u64..9).prop_map(|seconds| WarmUp::over(Duration::from_secs(seconds))));
    let health = (option::of(outliers()), option::of(health_check()));
    let policy = (balance(), health, caps());
    let told = (protocol, backend_tls(), policy, warm_up, option::of(locality_policy()));
    told.prop_map(move |(protocol, tls, (balance, (outliers, check), caps), warm_up, locality)| {
        let panic = outliers.as_ref().map_or(Percent::NONE, |outliers| outliers.most);
        Backend { protocol, tls, balance, caps, warm_up, outliers, panic, locality, check, ..Backend::new(key.clone()) }
    })
}

fn health_check() -> impl Strategy<Value = HealthCheck> {
    let host = || Authority::new("a.example").unwrap();
    let http = HttpProbe {
        host: host(),
        target: ProbeTarget::new("/healthz").unwrap(),
        method: ProbeMethod::Head,
        expected: vec![StatusRange::OK],
    };
    let probes = vec![Probe::Http(http), Probe::Tcp, Probe::Grpc { host: host(), service: "a.B".to_owned() }];
    (1u64..9, 1u32..4, option::of(any::<u16>()), select(probes)).prop_map(|(seconds, row, port, probe)| HealthCheck {
        interval: Duration::from_secs(seconds),
        timeout: Duration::from_millis(seconds),
        unhealthy: NonZeroU32::MIN.saturating_add(row),
        healthy: NonZeroU32::MIN,
        port,
        probe,
    })
}

fn locality_policy() -> impl Strategy<Value = LocalityPolicy> {
    let label = (name(), option::of(name())).prop_map(|(key, value)| CommonLabel { key, value });
    let region = (name(), name()).prop_map(|(from, to)| RegionFailover { from, to });
    let nearest = (vec(label, 0..3), vec(region, 0..2));
    let share = (name().prop_map(LocalityPattern), 1u32..100);
    let shares =
        (name().prop_map(LocalityPattern), vec(share, 1..3)).prop_map(|(from, to)| LocalityShares { from, to });
    prop_oneof![
        nearest.prop_map(|(labels, failover)| LocalityPolicy::Nearest { labels, failover }),
        vec(shares, 1..3).prop_map(LocalityPolicy::Shares),
    ]
}

fn balance() -> impl Strategy<Value = LoadBalance> {
    let cookie = |ttl: Option<u64>| HashOn::Cookie {
        name: CookieName::new("c").unwrap(),
        path: ttl.map(|_| CookiePath::new("/").unwrap()),
        ttl: ttl.map(Duration::from_secs),
    };
    let on = prop_oneof![
        name().prop_map(|name| HashOn::Header(HeaderName::new(&name).unwrap())),
        option::of(0u64..3).prop_map(cookie),
        Just(HashOn::SourceIp),
        name().prop_map(HashOn::Query),
    ];
    let ring = (on.clone(), any::<u32>()).prop_map(|(on, least)| LoadBalance::RingHash { on, least });
    prop_oneof![
        select(vec![LoadBalance::LeastRequest, LoadBalance::RoundRobin, LoadBalance::Random]),
        any::<NonZeroU8>().prop_map(LoadBalance::LeastOf),
        ring,
        on.prop_map(|on| LoadBalance::Maglev { on, table: TableSize::DEFAULT }),
    ]
}

fn outliers() -> impl Strategy<Value = OutlierDetection> {
    let count = || option::of(any::<NonZeroU32>());
    let unanswered = prop_oneof![Just(Unanswered::AsAnswer), count().prop_map(Unanswered::Apart)];
    let most = (0u8..=100).prop_map(|percent| Percent::new(percent).unwrap());
    (count(), count(), unanswered, any::<bool>(), most).prop_map(
        |(consecutive_5xx, consecutive_gateway, unanswered, timeouts, most)| OutlierDetection {
            consecutive_5xx,
            consecutive_gateway,
            unanswered,
            timeouts,
            most,
            ..OutlierDetection::of_istio()
        },
    )
}

fn caps() -> impl Strategy<Value = Caps> {
    let share = (0u8..=100, any::<u32>())
        .prop_map(|(percent, least)| RetryCap::Share { percent: Percent::new(percent).unwrap(), least });
    let retries = prop_oneof![share, any::<u32>().prop_map(RetryCap::Most)];
    let cap = || option::of(any::<u32>());
    (cap(), cap(), option::of(any::<NonZeroU32>()), retries).prop_map(
        |(pending, requests, requests_per_connection, retries)| Caps {
            pending,
            requests,
            requests_per_connection,
            retries,
        },
    )
}

fn endpoints(backend: BackendKey) -> impl Strategy<Value = Endpoints> {
    let stands = (option::of(name()), option::of((name(), name())));
    let endpoint =
        (1u8..4, any::<bool>(), any::<NonZeroU32>(), stands).prop_map(|(host, ready, weight, (zone, label))| {
            let locality = zone.map(|zone| Locality::new("r", &zone, "")).unwrap_or_default();
            let labels = label.into_iter().collect();
            Endpoint { weight, locality, labels, ..Endpoint::new(([10, 0, 0, host], 8080).into(), ready) }
        });
    let endpoint = endpoint.boxed();
    let named = backend.clone();
    let dns_name = || {
        let (many, weight) = (any::<bool>(), any::<NonZeroU32>());
        (name(), many, weight).prop_map(|(host, only_first, weight)| NamedEndpoint {
            only_first,
            weight,
            ..NamedEndpoint::new(&host, 80)
        })
    };
    let beside = (vec(dns_name(), 0..3), vec(endpoint.clone(), 0..3));
    prop_oneof![
        vec(endpoint, 0..3).prop_map(move |endpoints| Endpoints::Static { backend: backend.clone(), endpoints }),
        (dns_name(), beside).prop_map(move |(first, (others, addresses))| {
            Endpoints::Dns { backend: named.clone(), first, others, addresses }
        }),
    ]
}

fn acme_host(key: AcmeHostKey) -> impl Strategy<Value = AcmeHost> {
    let answer = name().prop_map(|token| (token.clone(), format!("{token}.thumb")));
    let proof = option::of(name().prop_map(|token| format!("{token}.thumb")));
    (vec(answer, 0..3), proof, any::<bool>()).prop_map(move |(answers, proof, reserves)| {
        AcmeHost::new(key.clone(), answers.into_iter().collect(), proof, reserves).unwrap()
    })
}

fn text_test() -> impl Strategy<Value = TextTest> {
    let of = |make: fn(String) -> TextTest| name().prop_map(make);
    let regex = Just(TextTest::Regex(Regex::new("a.*").unwrap()));
    prop_oneof![Just(TextTest::Present), of(TextTest::Exact), of(TextTest::Prefix), of(TextTest::Suffix), regex]
}

fn terms<T: Clone + std::fmt::Debug>(of: impl Strategy<Value = T> + Clone) -> impl Strategy<Value = Terms<T>> + Clone {
    (vec(of.clone(), 0..3), vec(of, 0..2)).prop_map(|(any, none)| Terms { any, none })
}

fn condition() -> impl Strategy<Value = Condition> {
    let network = select(vec!["10.0.0.0/8", "fd00::/64", "192.0.2.1/32"]).prop_map(|text| text.parse().unwrap());
    let subject = (text_test(), text_test()).prop_map(|(issuer, subject)| SubjectTest { issuer, subject });
    let texts = || terms(text_test().boxed());
    prop_oneof![
        terms(network.boxed()).prop_map(Condition::Client),
        terms(any::<u16>().boxed()).prop_map(Condition::Port),
        texts().prop_map(Condition::Identity),
        texts().prop_map(Condition::Path),
        texts().prop_map(|terms| Condition::Field(HeaderName::new("x-a").unwrap(), terms)),
        terms(subject.boxed()).prop_map(Condition::Subject),
        texts().prop_map(|terms| Condition::Claim(vec!["a".to_owned(), "b".to_owned()], terms)),
    ]
}

fn access_policy(key: PolicyKey) -> impl Strategy<Value = AccessPolicy> {
    let conditions = || vec(condition(), 0..2);
    let rule = (any::<u16>(), vec(conditions(), 0..2), vec(conditions(), 0..2), conditions());
    let rule = rule.prop_map(|(place, from, to, when)| AccessRule { place, from, to, when });
    let asks = AccessAction::Ask(ProviderKey("a".to_owned()));
    let action = select(vec![AccessAction::Audit, AccessAction::Deny, AccessAction::Allow, asks]);
    (action, any::<bool>(), vec(rule, 0..2)).prop_map(move |(action, dry_run, rules)| AccessPolicy {
        key: key.clone(),
        action,
        dry_run,
        rules,
    })
}

fn provider_key() -> impl Strategy<Value = ProviderKey> {
    name().prop_map(ProviderKey)
}

fn provider(key: ProviderKey) -> impl Strategy<Value = Provider> {
    let protocols = vec![CollectorProtocol::Grpc, CollectorProtocol::Http { path: "/v1/traces".to_owned() }];
    let collector = (target(), select(protocols), vec(header(), 0..2)).prop_map(|(target, protocol, headers)| {
        Collector { target, protocol, authority: "collector".to_owned(), headers, timeout: Duration::from_secs(1) }
    });
    let purpose = prop_oneof![external_auth().prop_map(Purpose::Authorizer), collector.prop_map(Purpose::Collector)];
    purpose.prop_map(move |purpose| Provider { key: key.clone(), purpose })
}

fn key_source() -> impl Strategy<Value = KeySource> {
    let place = (any::<bool>(), any::<u32>()).prop_map(|(is_discovery, timeout_ms)| {
        KeySource::There(KeyPlace { url: KeyUrl::new("https://a.example/keys").unwrap(), is_discovery, timeout_ms })
    });
    prop_oneof![
        place,
        Just(KeySource::Nowhere),
        Just(KeySource::Here(KeySet::new(r#"{"keys": [{"kty": "oct"}]}"#).unwrap()))
    ]
}

fn token_policy(key: PolicyKey) -> impl Strategy<Value = TokenPolicy> {
    let field = || HeaderName::new("x-a").unwrap();
    let places = vec![
        TokenPlace::Field(field(), "Bearer ".into()),
        TokenPlace::Parameter("a".into()),
        TokenPlace::Cookie("b".into()),
    ];
    let claims = vec(vec(name(), 1..3).prop_map(move |claim| ClaimField { field: field(), claim }), 0..2);
    let told = (any::<bool>(), option::of(Just(field())), claims, vec(name(), 0..2));
    let rule = (option::of(name()), vec(name(), 0..2), key_source(), vec(select(places), 0..3), told).prop_map(
        |(issuer, audiences, keys, places, (forward, payload_to, claims_to, spaced))| TokenRule {
            issuer,
            audiences,
            keys,
            places,
            forward,
            payload_to,
            claims_to,
            spaced,
        },
    );
    vec(rule, 0..2).prop_map(move |rules| TokenPolicy { key: key.clone(), rules })
}

// === snapshots ===

type Keyed<K, V> = SharedMap<K, Arc<V>>;

/// Up to [`MOST`] values by their keys.
fn keyed<K, V, S>(key: impl Strategy<Value = K>, value: fn(K) -> S) -> impl Strategy<Value = Keyed<K, V>>
where
    K: Ord + Clone + std::fmt::Debug + 'static,
    V: std::fmt::Debug + 'static,
    S: Strategy<Value = V> + 'static,
{
    let entry = key.prop_flat_map(move |key| value(key.clone()).prop_map(move |value| (key.clone(), Arc::new(value))));
    vec(entry, 0..=MOST).prop_map(|entries| entries.into_iter().collect())
}

pub(crate) fn snapshot() -> impl Strategy<Value = Snapshot> {
    (
        keyed(listener_key(), listener),
        keyed(certificate_key(), certificate),
        keyed(bundle_key(), bundle),
        keyed(rule_key(), rule),
        keyed(stream_key(), stream),
        keyed(backend_key(), backend),
        keyed(backend_key(), endpoints),
        keyed(acme_host_key(), acme_host),
        keyed(policy_key(), access_policy),
        (keyed(policy_key(), token_policy), keyed(provider_key(), provider)),
    )
        .prop_map(
            |(listeners, certificates, bundles, rules, streams, backends, endpoints, acme_hosts, policies, others)| {
                let (tokens, providers) = others;
                Snapshot {
                    listeners,
                    certificates,
                    bundles,
                    rules,
                    streams,
                    backends,
                    endpoints,
                    acme_hosts,
                    policies,
                    tokens,
                    providers,
                }
            },
        )
}

fn keep<K: Ord + Clone, V>(old: &Keyed<K, V>, new: &mut Keyed<K, V>, kept: &mut impl Iterator<Item = bool>) {
    for (key, value) in old.iter().filter(|_| kept.next() == Some(true)) {
        new.insert(key.clone(), Arc::clone(value));
    }
}

/// Two snapshots; the second has some objects of the first untouched, as a retranslation leaves them.
fn pair() -> impl Strategy<Value = (Snapshot, Snapshot)> {
    (snapshot(), snapshot(), vec(any::<bool>(), 11 * MOST)).prop_map(|(old, mut new, kept)| {
        let mut kept = kept.into_iter();
        keep(&old.listeners, &mut new.listeners, &mut kept);
        keep(&old.certificates, &mut new.certificates, &mut kept);
        keep(&old.bundles, &mut new.bundles, &mut kept);
        keep(&old.rules, &mut new.rules, &mut kept);
        keep(&old.streams, &mut new.streams, &mut kept);
        keep(&old.backends, &mut new.backends, &mut kept);
        keep(&old.endpoints, &mut new.endpoints, &mut kept);
        keep(&old.acme_hosts, &mut new.acme_hosts, &mut kept);
        keep(&old.policies, &mut new.policies, &mut kept);
        keep(&old.tokens, &mut new.tokens, &mut kept);
        keep(&old.providers, &mut new.providers, &mut kept);
        (old, new)
    })
}

fn copies<K: Ord + Clone, V: Clone>(map: &Keyed<K, V>) -> Keyed<K, V> {
    map.iter().map(|(key, value)| (key.clone(), Arc::new(V::clone(value)))).collect()
}

/// The same, and no value shared.
fn copy(of: &Snapshot) -> Snapshot {
    Snapshot {
        listeners: copies(&of.listeners),
        certificates: copies(&of.certificates),
        bundles: copies(&of.bundles),
        rules: copies(&of.rules),
        streams: copies(&of.streams),
        backends: copies(&of.backends),
        endpoints: copies(&of.endpoints),
        acme_hosts: copies(&of.acme_hosts),
        policies: copies(&of.policies),
        tokens: copies(&of.tokens),
        providers: copies(&of.providers),
    }
}

pub(crate) fn resources(of: &Snapshot) -> Vec<Resource> {
    Snapshot::default().diff(of).upserts
}

fn keys(resources: &[Resource]) -> BTreeSet<ResourceKey> {
    resources.iter().map(Resource::key).collect()
}

proptest! {
    #[test]
    fn a_snapshot_with_its_difference_applied_is_the_other((old, new) in pair()) {
        let mut applied = old.clone();
        applied.apply(old.diff(&new));
        prop_assert_eq!(&applied, &new);
        prop_assert!(applied.diff(&new).is_empty());
    }

    #[test]
    fn equal_snapshots_do_not_differ_though_they_share_nothing(old in snapshot()) {
        prop_assert_eq!(old.diff(&copy(&old)), Delta::default());
        prop_assert_eq!(old.diff(&old), Delta::default());
    }

    #[test]
    fn a_delta_that_comes_twice_changes_nothing_more((old, new) in pair()) {
        let delta = old.diff(&new);
        let mut applied = old;
        applied.apply(delta.clone());
        applied.apply(delta);
        prop_assert_eq!(applied, new);
    }

    #[test]
    fn a_delta_names_what_changed_and_nothing_else((old, new) in pair()) {
        let delta = old.diff(&new);
        let (before, after) = (resources(&old), resources(&new));
        for upsert in &delta.upserts {
            prop_assert!(after.contains(upsert) && !before.contains(upsert), "{:?}", upsert);
        }
        let gone: BTreeSet<_> = keys(&before).difference(&keys(&after)).cloned().collect();
        prop_assert_eq!(delta.removals.len(), gone.len());
        prop_assert_eq!(delta.removals.iter().cloned().collect::<BTreeSet<_>>(), gone);
    }
}

/// How often each kind of resource was met in each way: new, changed, gone, untouched.
fn tally((old, new): &(Snapshot, Snapshot), seen: &mut BTreeMap<(&'static str, &'static str), usize>) {
    let kind = |key: &ResourceKey| match key {
        ResourceKey::Listener(_) => "listener",
        ResourceKey::Certificate(_) => "certificate",
        ResourceKey::TrustBundle(_) => "bundle",
        ResourceKey::Rule(_) => "rule",
        ResourceKey::Stream(_) => "stream",
        ResourceKey::Backend(_) => "backend",
        ResourceKey::Endpoints(_) => "endpoints",
        ResourceKey::AcmeHost(_) => "acme host",
        ResourceKey::Policy(_) => "policy",
        ResourceKey::Tokens(_) => "tokens",
        ResourceKey::Provider(_) => "provider",
    };
    let (before, after) = (resources(old), resources(new));
    let (old_keys, new_keys) = (keys(&before), keys(&after));
    let mut see = |key: &ResourceKey, way| *seen.entry((kind(key), way)).or_default() += 1;
    for resource in &after {
        let key = resource.key();
        let way = match old_keys.contains(&key) {
            false => "new",
            true if before.contains(resource) => "untouched",
            true => "changed",
        };
        see(&key, way);
    }
    old_keys.difference(&new_keys).for_each(|key| see(key, "gone"));
}

/// Without this the properties above might hold of nothing.
#[test]
fn the_random_pairs_have_every_kind_of_change_of_every_kind_of_resource() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeMap::new();
    for _ in 0..128 {
        tally(&pair().new_tree(&mut runner).unwrap().current(), &mut seen);
    }
    assert_eq!(seen.len(), 11 * 4, "{seen:?}");
    assert!(seen.values().all(|times| *times >= 10), "{seen:?}");
}
