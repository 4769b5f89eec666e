// SPDX-License-Identifier: Apache-2.0
//! What is made of a Telemetry, and its rules.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::istio::Telemetry;
use crate::istio::scalars::Decimal;
use crate::istio::telemetry::{
    CustomTag, IstioMetric, MetricMatch, Named, ProviderRef, TagOperation, TelemetrySpec, WorkloadMode,
};
use crate::kind::Kind::Telemetry as Policy;

const FULL: &str = "
    selector: {matchLabels: {app: edge}}
    tracing:
    - match: {mode: CLIENT}
      providers: [{name: otlp}]
      randomSamplingPercentage: 54.54
      disableSpanReporting: false
      customTags:
        a: {literal: {value: x}}
        b: {environment: {name: ZONE, defaultValue: none}}
        c: {header: {name: x-user}}
        d: {formatter: {value: '%PROTOCOL%'}}
        e: {}
      useRequestIdForTraceSampling: true
      enableIstioTags: null
    metrics:
    - providers: [{name: prometheus}]
      reportingInterval: 5s
      overrides:
      - match: {metric: REQUEST_SIZE, mode: SERVER}
        disabled: true
        tagOverrides: {a: {operation: REMOVE}, b: {value: request.host}}
      - match: {customMetric: mine}
      - match: {metric: ALL_METRICS}
      - {}
    accessLogging:
    - providers: [{name: envoy}]
      match: {mode: CLIENT_AND_SERVER}
      disabled: true
      filter: {expression: response.code >= 400}
    - {}
";

#[test]
fn a_telemetry_is_read_of_every_version() {
    for version in ["v1", "v1alpha1"] {
        let mut value = object(Policy, yaml(FULL));
        value["apiVersion"] = json!(format!("telemetry.istio.io/{version}"));
        let decoded = decode(value, "web");
        assert_eq!((decoded.unknown_paths, decoded.ignored), (vec![], vec![]), "{version}");
        let Some(Object::Telemetry(Telemetry { spec, .. })) = decoded.content.object() else { panic!("{version}") };
        let tracing = &spec.tracing[0];
        assert_eq!(tracing.selector.mode, WorkloadMode::Client);
        assert_eq!(tracing.providers, [ProviderRef { name: "otlp".into() }]);
        assert_eq!(tracing.random_sampling_percentage.map(Decimal::millionths), Some(54_540_000));
        assert_eq!((tracing.disable_span_reporting, tracing.enable_istio_tags), (Some(false), None));
        let named = |name: &str, default: &str| Named { name: name.to_owned(), default_value: default.to_owned() };
        let tags = [
            ("a", CustomTag::Literal("x".into())),
            ("b", CustomTag::Environment(named("ZONE", "none"))),
            ("c", CustomTag::Header(named("x-user", ""))),
            ("d", CustomTag::Formatter("%PROTOCOL%".into())),
            ("e", CustomTag::Nothing),
        ];
        let tags: BTreeMap<_, _> = tags.into_iter().map(|(name, tag)| (name.to_owned(), tag)).collect();
        assert_eq!(tracing.custom_tags, Some(tags));
        assert_eq!(spec.metrics[0].reporting_interval, Some(Duration::from_secs(5)));
        let overrides = &spec.metrics[0].overrides;
        let matches: Vec<_> = overrides.iter().map(|it| it.selector.metric.clone()).collect();
        let known = MetricMatch::Known(IstioMetric::RequestSize);
        assert_eq!(matches, [known, MetricMatch::Custom("mine".into()), MetricMatch::All, MetricMatch::All]);
        let operations: Vec<_> = overrides[0].tag_overrides.values().map(|it| it.operation).collect();
        assert_eq!(operations, [TagOperation::Remove, TagOperation::Upsert]);
        assert_eq!((overrides[0].disabled, overrides[1].disabled), (Some(true), None));
        let logging: Vec<_> = spec.access_logging.iter().map(|it| (it.disabled, it.filter.is_some())).collect();
        assert_eq!(logging, [(Some(true), true), (None, false)]);
    }
    assert_eq!(read::<Telemetry>("{tracing: null, metrics: null}").spec, TelemetrySpec::default());
    let told: Vec<_> = problems(Policy, FULL).into_iter().map(|it| it.path).collect();
    assert_eq!(told, ["spec.tracing[0].customTags.e"]);
}

#[test]
fn two_of_a_choice_and_words_of_no_list_are_not_read() {
    refused(&[
        (Policy, "tracing: [{match: {mode: client}}]", "spec.tracing[0].match.mode", "CLIENT_AND_SERVER"),
        (Policy, "tracing: [{randomSamplingPercentage: -1}]", "spec.tracing[0].randomSamplingPercentage", "0 or more"),
        (Policy, "tracing: [{customTags: {a: null}}]", "spec.tracing[0].customTags.a", "null"),
        (
            Policy,
            "tracing: [{customTags: {a: {literal: {value: b}, header: {name: c}}}}]",
            "spec.tracing[0].customTags.a",
            "more than one of literal",
        ),
        (
            Policy,
            "metrics: [{overrides: [{match: {metric: REQUEST_COUNT, customMetric: a}}]}]",
            "spec.metrics[0].overrides[0].match",
            "keep one",
        ),
        (
            Policy,
            "metrics: [{overrides: [{match: {metric: requests_total}}]}]",
            "spec.metrics[0].overrides[0].match.metric",
            "REQUEST_COUNT",
        ),
        (Policy, "metrics: [{reportingInterval: soon}]", "spec.metrics[0].reportingInterval", "soon"),
        (Policy, "accessLogging: [null]", "spec.accessLogging[0]", "null"),
        (Policy, "accessLogging: {providers: []}", "spec.accessLogging", "map"),
    ]);
}

#[test]
fn what_istio_refuses_of_a_telemetry_is_told() {
    let both = "has more than one of selector, targetRef and targetRefs";
    judged(
        Policy,
        &[
            ("{}", &[]),
            ("{selector: {matchLabels: {a: b}}, targetRef: {kind: Service, name: a}}", &[&format!("! spec: {both}")]),
            ("tracing: [{}, {}]", &["? spec.tracing: has several entries, which Istio does not support"]),
            (
                "tracing: [{providers: [{name: a}, {}]}]",
                &[
                    "! spec.tracing[0].providers[1].name: is missing",
                    "? spec.tracing[0].providers: has several entries, and only the first is told",
                ],
            ),
            (
                "tracing: [{randomSamplingPercentage: 100.01}]",
                &["! spec.tracing[0].randomSamplingPercentage: is more than 100"],
            ),
            ("tracing: [{randomSamplingPercentage: 100}]", &[]),
            (
                "tracing: [{customTags: {a: {literal: {}}, b: {header: {name: ''}}, c: {environment: {}}}}]",
                &[
                    "! spec.tracing[0].customTags.a.literal.value: is missing",
                    "! spec.tracing[0].customTags.b.header.name: is missing",
                    "! spec.tracing[0].customTags.c.environment.name: is missing",
                ],
            ),
            ("metrics: [{providers: [{name: ''}]}]", &["! spec.metrics[0].providers[0].name: is missing"]),
            (
                "metrics: [{overrides: [{match: {customMetric: ''}}]}]",
                &["! spec.metrics[0].overrides[0].match.customMetric: is missing"],
            ),
            (
                "metrics: [{overrides: [{tagOverrides: {a: {}, b: {operation: REMOVE, value: x}}}]}]",
                &[
                    "! spec.metrics[0].overrides[0].tagOverrides.a.value: is missing, and the operation is UPSERT",
                    "! spec.metrics[0].overrides[0].tagOverrides.b.value: is given, and the operation is REMOVE",
                ],
            ),
            (
                "metrics: [{reportingInterval: 0s}]",
                &["! spec.metrics[0].reportingInterval: is not a whole number of milliseconds, at least 1ms"],
            ),
            ("accessLogging: [{providers: [{}]}]", &["! spec.accessLogging[0].providers[0].name: is missing"]),
        ],
    );
}
