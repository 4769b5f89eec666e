// SPDX-License-Identifier: Apache-2.0
//! What is made of specs, and which cannot be read.

use std::time::Duration;

use super::*;
use crate::istio::connection_pool::OutlierDetection;
use crate::istio::destination_rule::{ClientTlsMode, TunnelProtocol};
use crate::istio::fault::{Abort, AbortStatus, GrpcStatus};
use crate::istio::http_policy::{DerivePort, RedirectPort, RedirectScheme, RetryReason, UnmatchedPreflights};
use crate::istio::load_balancer::{Balancing, HashKey, HashTable, SimpleLb};
use crate::istio::matching::{MatchKey, StringMatch};
use crate::istio::names::{Destination, Export, HostScope, Protocol};
use crate::istio::scalars::{Decimal, Percent, Subnet};
use crate::istio::server_tls::{CertificateFiles, ServerCertificates, ServerTlsMode, TlsVersion};
use crate::istio::service_entry::{Locality, Location, Resolution, WorkloadAddress};
use crate::istio::{DestinationRule, IstioGateway, ServiceEntry, VirtualService, WorkloadEntry};
use crate::kind::ISTIO_GROUP;
use crate::kind::Kind::{
    DestinationRule as Rule, IstioGateway as Gateway, ServiceEntry as Entry, VirtualService as Service,
};

#[test]
fn every_version_has_one_schema() {
    let kinds = Kind::ALL.into_iter().filter(|kind| kind.group() == ISTIO_GROUP);
    for kind in kinds.filter(|kind| !Kind::UNEVALUATED.contains(kind)) {
        for version in ["v1", "v1beta1", "v1alpha3"] {
            let mut value = object(kind, yaml("{hosts: [a.example], host: a.example}"));
            value["apiVersion"] = json!(format!("networking.istio.io/{version}"));
            assert!(matches!(decode(value, "web").content, Content::Object(_)), "{kind} {version}");
        }
        let mut value = object(kind, json!({}));
        value["apiVersion"] = json!("networking.istio.io/v2");
        let Content::Unreadable(told) = decode(value, "web").content else { panic!("{kind}") };
        assert_eq!(told.why, format!("version \"v2\" of {kind} is not served: use v1 or v1beta1 or v1alpha3"));
    }
}

#[test]
fn a_gateway_is_read() {
    let gateway: IstioGateway = read(
        "
        selector: {istio: ingressgateway}
        servers:
        - name: web
          port: {number: 443, name: https, protocol: https}
          hosts: [./a.example, '*.b.example', team/*]
          bind: 10.0.0.1
          tls: {mode: MUTUAL, credentialName: web-cert, minProtocolVersion: TLSV1_3, verifyCertificateHash: [ab]}
        - port: {number: 80, name: http, protocol: HTTP}
          hosts: ['*']
          tls: {httpsRedirect: true}
        ",
    );
    assert_eq!(gateway.spec.selector["istio"], "ingressgateway");
    let [https, http] = gateway.spec.servers.as_slice() else { panic!("two servers") };
    assert_eq!((https.port.number, &https.port.protocol), (443, &Protocol::Https));
    let scopes: Vec<_> = https.hosts.iter().map(|host| (&host.scope, host.dns_name.as_str())).collect();
    let team = HostScope::Namespace("team".into());
    assert_eq!(scopes, [(&HostScope::Own, "a.example"), (&HostScope::Any, "*.b.example"), (&team, "*")]);
    let tls = https.tls.as_ref().unwrap();
    assert_eq!((tls.mode, tls.min_version), (ServerTlsMode::Mutual, TlsVersion::V1_3));
    assert_eq!(tls.certificates, ServerCertificates::Credentials(vec!["web-cert".into()]));
    let redirect = http.tls.as_ref().unwrap();
    assert!(redirect.https_redirect && redirect.mode == ServerTlsMode::Passthrough);
    assert_eq!(read::<IstioGateway>("{}").spec.servers, []);
}

#[test]
fn one_source_of_certificates_is_taken() {
    let file = |text: &str| Some(text.to_owned());
    let pair =
        |certificate, key| CertificateFiles { server_certificate: certificate, private_key: key, ..Default::default() };
    for (tls, expected) in [
        ("{}", ServerCertificates::None),
        ("{credentialName: ''}", ServerCertificates::None),
        ("{credentialNames: [a, b]}", ServerCertificates::Credentials(vec!["a".into(), "b".into()])),
        ("{serverCertificate: /c, privateKey: /k}", ServerCertificates::Files(vec![pair(file("/c"), file("/k"))])),
        ("{serverCertificate: /c}", ServerCertificates::Files(vec![pair(file("/c"), None)])),
        ("{serverCertificate: /c, credentialName: a}", ServerCertificates::Credentials(vec!["a".into()])),
        ("{tlsCertificates: [{privateKey: /k}]}", ServerCertificates::Files(vec![pair(None, file("/k"))])),
    ] {
        let port = "{number: 443, name: a, protocol: HTTPS}";
        let gateway: IstioGateway = read(&format!("servers: [{{port: {port}, hosts: ['*'], tls: {tls}}}]"));
        assert_eq!(gateway.spec.servers[0].tls.as_ref().unwrap().certificates, expected, "{tls}");
    }
}

#[test]
fn a_virtual_service_is_read() {
    let service: VirtualService = read(
        r"
        hosts: [shop.example]
        gateways: [infra/edge, mesh]
        exportTo: [., team, '*', '~']
        http:
        - name: beta
          match:
          - uri: {prefix: /v1}
            ignoreUriCase: true
            method: {exact: GET}
            headers: {X-User: {regex: 'a.*'}, '@request.auth.claims.group': {exact: beta}, x-any: {}, x-star: {regex: '*'}}
            withoutHeaders: {x-bot: {}}
            queryParams: {debug: {regex: '*'}}
            port: 443
            sourceLabels: {app: edge}
            gateways: [infra/edge]
          rewrite: {uriRegexRewrite: {match: '^/v1/(.*)', rewrite: '/\1'}}
          route:
          - destination: {host: app, subset: v1, port: {number: 80}}
            weight: 90
            headers: {request: {set: {x-a: b}, remove: [x-c]}}
          - destination: {host: app.other.svc.cluster.local}
            weight: 10
          timeout: 1.5s
          retries: {attempts: 3, perTryTimeout: 500ms, retryOn: '5xx,503,reset'}
          fault: {delay: {fixedDelay: 2s, percentage: {value: 0.1}}, abort: {grpcStatus: UNAVAILABLE}}
          mirror: {host: shadow}
          mirrorPercentage: {value: 12.5}
          corsPolicy: {allowOrigins: [{exact: 'https://a'}], maxAge: 24h, allowCredentials: false}
          headers: {response: {add: {x-b: c}}}
        ",
    );
    let spec = &service.spec;
    assert!(spec.is_for_mesh() && !spec.is_delegate());
    assert_eq!(spec.export_to, [Export::Own, Export::Namespace("team".into()), Export::All, Export::Nobody]);
    let rule = &spec.http[0];
    let part = &rule.matches[0];
    assert_eq!(part.uri, Some(StringMatch::Prefix("/v1".into())));
    assert!(part.ignore_uri_case);
    let headers: Vec<_> = part.headers.iter().map(|it| (it.key.clone(), it.value.clone())).collect();
    assert_eq!(
        headers,
        [
            (MatchKey::Claim(vec!["group".into()]), StringMatch::Exact("beta".into())),
            (MatchKey::Header("x-user".into()), StringMatch::Regex("a.*".into())),
            (MatchKey::Header("x-any".into()), StringMatch::Any),
            (MatchKey::Header("x-star".into()), StringMatch::Any),
        ]
    );
    assert_eq!((part.query["debug"].clone(), part.port), (StringMatch::Any, Some(443)));
    assert_eq!(
        rule.route[0].destination,
        Destination { host: "app".into(), subset: Some("v1".into()), port: Some(80) }
    );
    assert_eq!((rule.route[0].weight, rule.timeout), (90, Some(Duration::from_millis(1_500))));
    let retries = rule.retries.as_ref().unwrap();
    let on = retries.retry_on.as_ref().unwrap();
    assert_eq!(on.reasons, [RetryReason::ServerError, RetryReason::Reset]);
    assert_eq!((on.codes.as_slice(), on.unknown.len(), retries.attempts), (&[503][..], 0, 3));
    let fault = rule.fault.as_ref().unwrap();
    assert_eq!(fault.delay.as_ref().unwrap().percentage.per_million(), 1_000);
    let unavailable =
        Abort { status: Some(AbortStatus::Grpc(GrpcStatus::Unavailable)), percentage: Percent::default() };
    assert_eq!(fault.abort, Some(unavailable));
    assert_eq!(GrpcStatus::Unavailable.code(), 14);
    let shadows: Vec<_> = rule.shadows().map(|(to, share)| (to.host.as_str(), share.per_million())).collect();
    assert_eq!(shadows, [("shadow", 125_000)]);
    let cors = rule.cors_policy.as_ref().unwrap();
    assert_eq!((cors.max_age, cors.allow_credentials), (Some(Duration::from_hours(24)), Some(false)));
    assert_eq!(cors.unmatched_preflights, UnmatchedPreflights::Forward);
}

#[test]
fn copies_go_to_the_shares_that_are_said() {
    for (rule, expected) in [
        ("{}", &[][..]),
        ("{mirror: {host: a}}", &[1_000_000]),
        ("{mirror: {host: a}, mirrorPercent: 5}", &[50_000]),
        ("{mirror: {host: a}, mirror_percent: 5}", &[50_000]),
        ("{mirror: {host: a}, mirrorPercent: 5, mirrorPercentage: {value: 0}}", &[0]),
        (
            "{mirrors: [{destination: {host: a}}, {destination: {host: b}, percentage: {value: 1}}]}",
            &[1_000_000, 10_000],
        ),
    ] {
        let service: VirtualService = read(&format!("http: [{rule}]"));
        let shares: Vec<_> = service.spec.http[0].shadows().map(|(_, share)| share.per_million()).collect();
        assert_eq!(shares, expected, "{rule}");
    }
}

#[test]
fn redirects_and_answers_are_read() {
    let service: VirtualService = read(
        "
        http:
        - redirect: {uri: /a, scheme: https, derivePort: FROM_REQUEST_PORT}
        - redirect: {authority: b, port: 8443, redirectCode: 308, scheme: ''}
        - directResponse: {status: 503, body: {string: down}}
        - directResponse: {status: 200, body: {bytes: AAE=}}
        - directResponse: {status: 204}
        - delegate: {name: other}
        ",
    );
    let [first, second, text, bytes, empty, delegate] = service.spec.http.as_slice() else { panic!("six rules") };
    let first = first.redirect.as_ref().unwrap();
    assert_eq!((first.code, first.scheme), (301, Some(RedirectScheme::Https)));
    assert_eq!(first.port, RedirectPort::Derived(DerivePort::Request));
    let second = second.redirect.as_ref().unwrap();
    assert_eq!((second.code, second.scheme, second.port), (308, None, RedirectPort::Number(8_443)));
    let body = |rule: &crate::istio::http::HttpRule| rule.direct_response.clone().unwrap().body;
    assert_eq!((body(text), body(bytes), body(empty)), (b"down".to_vec(), vec![0, 1], Vec::new()));
    assert_eq!(delegate.delegate.as_ref().unwrap().namespace, None);
}

#[test]
fn streams_are_read() {
    let service: VirtualService = read(
        "
        hosts: [a.example]
        tls: [{match: [{sniHosts: [a.example], destinationSubnets: [10.0.0.0/8], port: 0}], route: [{destination: {host: a}}]}]
        tcp: [{match: [{port: 5432, sourceNamespace: team}], route: [{destination: {host: a}, weight: 5}]}]
        ",
    );
    let part = &service.spec.tls[0].matches[0];
    assert_eq!((part.port, part.destination_subnets[0]), (None, Subnet::parse("10.0.0.0/8").unwrap()));
    let part = &service.spec.tcp[0].matches[0];
    assert_eq!((part.port, part.source_namespace.as_deref()), (Some(5_432), Some("team")));
    assert!(service.spec.is_for_mesh());
}

#[test]
fn a_destination_rule_is_read() {
    let rule: DestinationRule = read(
        "
        host: app
        trafficPolicy:
          loadBalancer: {consistentHash: {httpCookie: {name: c, ttl: 0s}, maglev: {tableSize: 65537}}}
          connectionPool:
            tcp: {maxConnections: 0, connectTimeout: 30ms, idleTimeout: 0s}
            http: {http1MaxPendingRequests: 7, h2UpgradePolicy: UPGRADE}
          outlierDetection: {consecutive5xxErrors: 0, maxEjectionPercent: 50}
          tls: {mode: ISTIO_MUTUAL}
          portLevelSettings: [{port: {number: 8080}, loadBalancer: {simple: LEAST_CONN}}]
          retryBudget: {percent: 33.5}
        subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 60s}}}}]
        workloadSelector: {matchLabels: {app: edge}}
        ",
    );
    let policy = rule.spec.traffic_policy.as_ref().unwrap();
    let Balancing::ConsistentHash(hash) = &policy.load_balancer.as_ref().unwrap().balancing else { panic!("no hash") };
    let Some(HashKey::Cookie(cookie)) = &hash.key else { panic!("no cookie") };
    assert_eq!((cookie.ttl, hash.table), (Some(Duration::ZERO), HashTable::Maglev(65_537)));
    let pool = policy.connection_pool.as_ref().unwrap();
    assert_eq!(pool.tcp.as_ref().unwrap().max_connections, None);
    assert_eq!(pool.tcp.as_ref().unwrap().idle_timeout, Some(Duration::ZERO));
    assert_eq!(pool.http.as_ref().unwrap().http1_max_pending_requests, Some(7));
    let outliers = OutlierDetection { consecutive_5xx_errors: 0, max_ejection_percent: Some(50), ..Default::default() };
    assert_eq!(policy.outlier_detection, Some(outliers));
    assert_eq!(policy.tls.as_ref().unwrap().mode, ClientTlsMode::IstioMutual);
    assert_eq!(policy.port_level[0].port, 8_080);
    assert_eq!(
        policy.port_level[0].load_balancer.as_ref().unwrap().balancing,
        Balancing::Simple(SimpleLb::LeastRequest)
    );
    let budget = policy.retry_budget.as_ref().unwrap();
    assert_eq!((budget.percent.millionths(), budget.min_retry_concurrency), (33_500_000, 3));
    let warmup = rule.spec.subsets[0].traffic_policy.as_ref().unwrap().load_balancer.as_ref().unwrap().warmup.as_ref();
    assert_eq!(warmup.unwrap().minimum_percent, Decimal::whole(10));
    assert_eq!(rule.spec.workload_selector.as_ref().unwrap().match_labels["app"], "edge");
}

#[test]
fn what_a_hash_is_of_has_defaults() {
    for (hash, key, table) in [
        ("{}", None, HashTable::RingHash(1_024)),
        ("{useSourceIp: false}", None, HashTable::RingHash(1_024)),
        ("{useSourceIp: true, ringHash: {}}", Some(HashKey::SourceIp), HashTable::RingHash(1_024)),
        (
            "{httpHeaderName: x, ringHash: {minimumRingSize: 9}}",
            Some(HashKey::Header("x".into())),
            HashTable::RingHash(9),
        ),
        ("{httpQueryParameterName: q, maglev: {}}", Some(HashKey::QueryParameter("q".into())), HashTable::Maglev(0)),
    ] {
        let rule: DestinationRule =
            read(&format!("{{host: a, trafficPolicy: {{loadBalancer: {{consistentHash: {hash}}}}}}}"));
        let balancing = rule.spec.traffic_policy.unwrap().load_balancer.unwrap().balancing;
        let Balancing::ConsistentHash(found) = balancing else { panic!("{hash}") };
        assert_eq!((found.key, found.table), (key, table), "{hash}");
    }
}

#[test]
fn entries_are_read() {
    let entry: ServiceEntry = read(
        "
        hosts: [api.example]
        ports: [{number: 443, name: tls, protocol: TLS, targetPort: 8443}, {number: 80, name: http}]
        resolution: DNS
        location: MESH_INTERNAL
        endpoints: [{address: a.example, ports: {tls: 9443}, locality: r/z, weight: 3}]
        ",
    );
    assert_eq!((entry.spec.resolution, entry.spec.location), (Resolution::Dns, Location::MeshInternal));
    assert_eq!((entry.spec.ports[0].target_port, &entry.spec.ports[1].protocol), (Some(8_443), &Protocol::Unspecified));
    let endpoint = &entry.spec.endpoints[0];
    assert_eq!((endpoint.address.clone(), endpoint.ports["tls"]), (WorkloadAddress::Name("a.example".into()), 9_443));
    let locality = Locality { region: "r".into(), zone: "z".into(), subzone: String::new() };
    assert_eq!((&endpoint.locality, endpoint.weight), (&locality, Some(3)));
    for (address, expected) in [
        ("10.0.0.1", WorkloadAddress::Ip("10.0.0.1".parse().unwrap())),
        ("unix:///run/a", WorkloadAddress::Unix("/run/a".into())),
        ("", WorkloadAddress::Unset),
    ] {
        assert_eq!(read::<WorkloadEntry>(&format!("address: '{address}'")).spec.address, expected);
    }
}

#[test]
fn a_tunnel_and_a_proxy_header_have_defaults() {
    let rule: DestinationRule =
        read("{host: a, trafficPolicy: {tunnel: {targetHost: b, targetPort: 443, protocol: ''}, proxyProtocol: {}}}");
    let policy = rule.spec.traffic_policy.unwrap();
    assert_eq!(policy.tunnel.unwrap().protocol, TunnelProtocol::Connect);
    assert_eq!(policy.proxy_protocol.unwrap().version.as_str(), "V1");
}

#[test]
fn null_in_a_field_is_absence() {
    let service: VirtualService = read("{hosts: null, http: [{match: null, timeout: null, route: null}]}");
    assert_eq!(service, read("http: [{}]"));
}

#[test]
fn a_word_that_is_not_known_is_told_with_those_that_are() {
    refused(&[
        (
            Rule,
            "{host: a, trafficPolicy: {tls: {mode: STRICT}}}",
            "spec.trafficPolicy.tls.mode",
            "\"STRICT\" is not known here: use DISABLE, SIMPLE, MUTUAL, ISTIO_MUTUAL",
        ),
        (Entry, "{hosts: [a], resolution: dns}", "spec.resolution", "\"dns\" is not known here: use NONE"),
        (Service, "http: [{redirect: {scheme: ftp}}]", "spec.http[0].redirect.scheme", "use http, https"),
        (
            Service,
            "http: [{fault: {abort: {grpcStatus: X}}}]",
            "spec.http[0].fault.abort.grpcStatus",
            "\"X\" is not known",
        ),
    ]);
}

#[test]
fn two_of_one_choice_are_too_many() {
    refused(&[
        (
            Service,
            "http: [{match: [{uri: {exact: a, prefix: b}}]}]",
            "spec.http[0].match[0].uri",
            "has both exact and prefix: keep one of them",
        ),
        (
            Service,
            "http: [{match: [{headers: {x: {exact: a, regex: b}}}]}]",
            "spec.http[0].match[0].headers.x",
            "both exact and regex",
        ),
        (
            Service,
            "http: [{redirect: {port: 1, derivePort: FROM_REQUEST_PORT}}]",
            "spec.http[0].redirect",
            "both port and derivePort",
        ),
        (
            Service,
            "http: [{directResponse: {status: 200, body: {string: a, bytes: AAE=}}}]",
            "spec.http[0].directResponse.body",
            "both string and bytes",
        ),
        (
            Service,
            "http: [{fault: {abort: {httpStatus: 500, grpcStatus: OK}}}]",
            "spec.http[0].fault.abort",
            "both httpStatus and grpcStatus",
        ),
        (
            Rule,
            "{host: a, trafficPolicy: {loadBalancer: {simple: RANDOM, consistentHash: {}}}}",
            "spec.trafficPolicy.loadBalancer",
            "both simple and consistentHash",
        ),
        (
            Rule,
            "{host: a, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, httpHeaderName: a}}}}",
            "spec.trafficPolicy.loadBalancer.consistentHash",
            "both httpHeaderName and useSourceIp",
        ),
        (
            Gateway,
            "servers: [{port: {number: 1, name: a, protocol: TLS}, hosts: [a], tls: {credentialName: a, credentialNames: [b]}}]",
            "spec.servers[0].tls",
            "both credentialName and credentialNames",
        ),
    ]);
}

#[test]
fn values_that_are_none_are_told_at_their_place() {
    refused(&[
        (Service, "http: [{timeout: 1d}]", "spec.http[0].timeout", "\"1d\" is not a duration"),
        (Service, "http: [{timeout: -1s}]", "spec.http[0].timeout", "is not a duration"),
        (
            Service,
            "http: [{route: [{destination: {host: a, port: {number: 0}}}]}]",
            "spec.http[0].route[0].destination.port.number",
            "0 is no port",
        ),
        (
            Service,
            "http: [{route: [{destination: {host: a, port: {}}}]}]",
            "spec.http[0].route[0].destination.port",
            "missing field `number`",
        ),
        (
            Service,
            "http: [{route: [{destination: {host: a}, weight: -1}]}]",
            "spec.http[0].route[0].weight",
            "expected u32",
        ),
        (Service, "http: [{route: [{weight: 1}]}]", "spec.http[0].route[0]", "missing field `destination`"),
        (
            Service,
            "http: [{mirrorPercentage: {value: 101}}]",
            "spec.http[0].mirrorPercentage.value",
            "101 is no percentage",
        ),
        (
            Service,
            "tcp: [{match: [{destinationSubnets: [a]}]}]",
            "spec.tcp[0].match[0].destinationSubnets[0]",
            "\"a\" is neither",
        ),
        (
            Service,
            "http: [{directResponse: {status: 200, body: {bytes: '*'}}}]",
            "spec.http[0].directResponse.body",
            "bytes is not base64",
        ),
        (
            Gateway,
            "servers: [{port: {number: 65536, name: a, protocol: TLS}, hosts: []}]",
            "spec.servers[0].port.number",
            "65536 is no port",
        ),
        (Gateway, "servers: [{port: {number: 1, name: a, protocol: TLS}}]", "spec.servers[0]", "missing field `hosts`"),
        (Rule, "{}", "spec", "missing field `host`"),
        (
            Rule,
            "{host: a, trafficPolicy: {connectionPool: {tcp: {maxConnections: -1}}}}",
            "spec.trafficPolicy.connectionPool.tcp.maxConnections",
            "expected u32",
        ),
        (
            Rule,
            "{host: a, trafficPolicy: {loadBalancer: {warmup: {}}}}",
            "spec.trafficPolicy.loadBalancer.warmup",
            "missing field `duration`",
        ),
        (Entry, "{hosts: [a], endpoints: [{ports: {http: 0}}]}", "spec.endpoints[0].ports.http", "0 is no port"),
    ]);
}

#[test]
fn nothing_is_guessed_of_wrong_shapes() {
    refused(&[
        (Service, "http: [{match: [{headers: {x: null}}]}]", "spec.http[0].match[0].headers.x", "null"),
        (Service, "http: [{match: [{uri: /a}]}]", "spec.http[0].match[0].uri", "invalid type: string"),
        (Service, "http: [{match: [[a]]}]", "spec.http[0].match[0]", "expected a map"),
        (Service, "http: [null]", "spec.http[0]", "null"),
        (Service, "http: [{match: {uri: {exact: a}}}]", "spec.http[0].match", "expected a sequence"),
        (Service, "[]", "spec", "expected a map"),
        (Service, "hosts: [null]", "spec.hosts[0]", "null"),
    ]);
}

#[test]
fn fields_that_are_not_obeyed_are_told_with_what_to_write_instead() {
    let spec = yaml(
        "
        hosts: [a.example]
        http:
        - {}
        - {corsPolicy: {allowOrigin: ['*']}, fault: {delay: {percent: 5, exponentialDelay: 1s}, abort: {http2Error: X}}, what: 1}
        tcp: [{match: [{sourceSubnet: 10.0.0.0/8}]}]
        ",
    );
    let decoded = decode(object(Kind::VirtualService, spec), "web");
    let paths: Vec<_> = decoded.ignored.iter().map(|it| it.path.as_str()).collect();
    let expected = [
        "spec.http[1].corsPolicy.allowOrigin",
        "spec.http[1].fault.abort.http2Error",
        "spec.http[1].fault.delay.exponentialDelay",
        "spec.http[1].fault.delay.percent",
        "spec.tcp[0].match[0].sourceSubnet",
    ];
    assert_eq!(paths, expected);
    assert_eq!(decoded.ignored[0].why, "it is deprecated: write allowOrigins with exact");
    assert_eq!(decoded.unknown_paths, ["spec.http[1].what"]);
    let spec = yaml("{host: a, subsets: [{name: b, trafficPolicy: {outlierDetection: {consecutiveErrors: 1}}}]}");
    let decoded = decode(object(Kind::DestinationRule, spec), "web");
    assert_eq!(decoded.ignored[0].path, "spec.subsets[0].trafficPolicy.outlierDetection.consecutiveErrors");
}

#[test]
fn an_object_nested_too_deeply_is_unreadable() {
    let deep = (0..200).fold(json!(1), |inner, _| json!({"x": inner}));
    let Content::Unreadable(told) = decode(object(Kind::VirtualService, deep), "web").content else { panic!("read") };
    assert_eq!(told.why, "nested too deeply");
}

#[test]
fn metadata_is_read_as_of_any_kind() {
    let mut value = object(Kind::VirtualService, json!({}));
    value["metadata"]["annotations"] = json!({"a": "b", "c": null});
    value["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    value["status"] = json!({"conditions": 5});
    let decoded = decode(value, "mine");
    assert_eq!(decoded.unknown_paths, Vec::<String>::new());
    let object = decoded.content.object().unwrap();
    assert_eq!((object.meta().namespace.as_str(), object.meta().annotations.len()), ("mine", 1));
    assert_eq!(object.reference().to_string(), "VirtualService mine/it");
}
