// SPDX-License-Identifier: Apache-2.0
//! The health checks of one TrafficPolicy by themselves: what endpoints would be asked, or why nothing can be. Where an
//! API server has checked the policy, most of what is refused here never comes.
//!
//! Never looks at what the policy is attached to.

use std::num::NonZeroU32;
use std::time::Duration;

use torana_crds::parameters::IntOrString;
use torana_crds::parse_duration;
use torana_crds::traffic_policy::{
    ActiveHealthCheck, GrpcHealthCheck, HealthCheckMethod, HealthCheckPolicy, HttpHealthCheck,
};
use torana_ir::{Authority, HealthCheck, HttpProbe, Percent, Probe, ProbeMethod, ProbeTarget, StatusRange};

use crate::report::Remark;
use crate::report::conditions::policy::INVALID;

/// Defaults, and the least that can be asked for.
const INTERVAL: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(100));
const TIMEOUT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(10));
/// As long as anybody waits.
const LONGEST: Duration = Duration::from_hours(24);
const UNHEALTHY: u32 = 3;
const HEALTHY: u32 = 1;

/// What is in force for endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checks {
    /// What they are asked.
    pub(super) check: HealthCheck,
    /// When that is ignored, for too few are left.
    pub(super) panic: Percent,
}

/// Judges the checks of a policy. `service` is the whole name of the Service, which is the host where none is said.
/// `None`: no checks are asked for.
pub(super) fn judge(policy: &HealthCheckPolicy, service: &str) -> Result<Option<Checks>, Remark> {
    let Some(active) = &policy.active else { return Ok(None) };
    let panic = policy.panic_threshold.map_or(Ok(Percent::HALF), Percent::new);
    let panic = panic.map_err(|why| invalid("panicThreshold", &why.to_string(), "write a percentage"))?;
    let check = HealthCheck {
        interval: duration(active.interval.as_deref(), INTERVAL, "active.interval")?,
        timeout: duration(active.timeout.as_deref(), TIMEOUT, "active.timeout")?,
        unhealthy: threshold(active.unhealthy_threshold, UNHEALTHY, "active.unhealthyThreshold")?,
        healthy: threshold(active.healthy_threshold, HEALTHY, "active.healthyThreshold")?,
        port: active.port,
        probe: probe(active, service)?,
    };
    if check.port == Some(0) {
        return Err(invalid("active.port", "0 is no port", "write another, or none"));
    }
    Ok(Some(Checks { check, panic }))
}

fn duration(written: Option<&str>, (usual, least): (Duration, Duration), path: &str) -> Result<Duration, Remark> {
    let Some(text) = written else { return Ok(usual) };
    let parsed = parse_duration(text).filter(|parsed| (least..=LONGEST).contains(parsed));
    parsed.ok_or_else(|| {
        let message = format!("{text:?} is not a duration of at least {least:?} and at most a day");
        invalid(path, &message, "write it like 500ms or 10s")
    })
}

fn threshold(written: Option<u32>, usual: u32, path: &str) -> Result<NonZeroU32, Remark> {
    NonZeroU32::new(written.unwrap_or(usual))
        .ok_or_else(|| invalid(path, "0 is no number of checks", "write 1 or more"))
}

fn probe(active: &ActiveHealthCheck, service: &str) -> Result<Probe, Remark> {
    match (&active.http, &active.tcp, &active.grpc) {
        (Some(http), None, None) => Ok(Probe::Http(request(http, service)?)),
        (None, Some(_), None) => Ok(Probe::Tcp),
        (None, None, Some(GrpcHealthCheck { service: asked })) => {
            Ok(Probe::Grpc { host: host(None, service)?, service: asked.clone().unwrap_or_default() })
        }
        (None, None, None) => Err(invalid("active", "none of http, tcp and grpc is given", "add one of them")),
        _ => Err(invalid("active", "only one of http, tcp and grpc can be given", "remove the others")),
    }
}

fn request(http: &HttpHealthCheck, service: &str) -> Result<HttpProbe, Remark> {
    let target = ProbeTarget::new(http.path.as_deref().unwrap_or("/"));
    let expected = http.expected_statuses.as_deref().unwrap_or_default().iter().enumerate().map(|(at, written)| {
        let path = format!("active.http.expectedStatuses[{at}]");
        range(written).ok_or_else(|| {
            invalid(
                &path,
                "is no status and no range of such",
                "write a number such as 204, or a range such as 200-299",
            )
        })
    });
    let expected: Vec<_> = expected.collect::<Result<_, _>>()?;
    Ok(HttpProbe {
        host: host(http.host.as_deref(), service)?,
        target: target.map_err(|why| invalid("active.http.path", &why.to_string(), "write a path such as /healthz"))?,
        method: match http.method {
            None | Some(HealthCheckMethod::Get) => ProbeMethod::Get,
            Some(HealthCheckMethod::Head) => ProbeMethod::Head,
        },
        expected: if expected.is_empty() { vec![StatusRange::OK] } else { expected },
    })
}

fn host(written: Option<&str>, service: &str) -> Result<Authority, Remark> {
    let host = Authority::new(written.unwrap_or(service));
    host.map_err(|why| invalid("active.http.host", &why.to_string(), "write a host name"))
}

/// `204`, `"204"` or `"200-299"`.
fn range(written: &IntOrString) -> Option<StatusRange> {
    let status = |text: &str| text.parse::<u16>().ok();
    let (first, last) = match written {
        IntOrString::Int(number) => {
            let status = u16::try_from(*number).ok()?;
            (status, status)
        }
        IntOrString::Text(text) => match text.split_once('-') {
            Some((first, last)) => (status(first)?, status(last)?),
            None => (status(text)?, status(text)?),
        },
    };
    let fits = (100..=599).contains(&first) && (first..=599).contains(&last);
    fits.then_some(StatusRange { first, last })
}

fn invalid(path: &str, message: &str, remedy: &str) -> Remark {
    let path = format!("spec.healthCheck.{path}");
    Remark::error(INVALID, &path, format!("{message}, so endpoints are not checked"), remedy)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn judged(active: &Value) -> Result<Option<Checks>, Remark> {
        judge(&serde_json::from_value(json!({"active": active})).unwrap(), "s.n.svc.cluster.local")
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let Checks { check, panic } = judged(&json!({"http": {}})).unwrap().unwrap();
        assert_eq!((check.interval.as_millis(), check.timeout.as_millis()), (5000, 1000));
        assert_eq!((check.unhealthy.get(), check.healthy.get(), check.port, panic.number()), (3, 1, None, 50));
        let Probe::Http(http) = check.probe else { panic!("{check:?}") };
        assert_eq!((http.host.as_str(), http.target.as_str()), ("s.n.svc.cluster.local", "/"));
        assert_eq!((http.method, http.expected), (ProbeMethod::Get, vec![StatusRange::OK]));
        assert_eq!(judge(&HealthCheckPolicy::default(), "s"), Ok(None));
    }

    #[test]
    fn statuses_are_numbers_or_ranges() {
        let statuses = json!({"http": {"expectedStatuses": [204, "301", "400-499"]}});
        let Probe::Http(http) = judged(&statuses).unwrap().unwrap().check.probe else { panic!() };
        let ranges: Vec<_> = http.expected.iter().map(|it| (it.first, it.last)).collect();
        assert_eq!(ranges, [(204, 204), (301, 301), (400, 499)]);
    }

    #[test]
    fn what_cannot_be_is_told_with_its_place() {
        let rows = [
            (json!({}), "active"),
            (json!({"http": {}, "tcp": {}}), "active"),
            (json!({"tcp": {}, "interval": "5"}), "active.interval"),
            (json!({"tcp": {}, "interval": "50ms"}), "active.interval"),
            (json!({"tcp": {}, "timeout": "25h"}), "active.timeout"),
            (json!({"tcp": {}, "healthyThreshold": 0}), "active.healthyThreshold"),
            (json!({"tcp": {}, "unhealthyThreshold": 0}), "active.unhealthyThreshold"),
            (json!({"tcp": {}, "port": 0}), "active.port"),
            (json!({"http": {"path": "healthz"}}), "active.http.path"),
            (json!({"http": {"path": "/a b"}}), "active.http.path"),
            (json!({"http": {"host": "a/b"}}), "active.http.host"),
            (json!({"http": {"expectedStatuses": [200, 99]}}), "active.http.expectedStatuses[1]"),
            (json!({"http": {"expectedStatuses": ["299-200"]}}), "active.http.expectedStatuses[0]"),
            (json!({"http": {"expectedStatuses": ["2xx"]}}), "active.http.expectedStatuses[0]"),
        ];
        for (active, path) in rows {
            let why = judged(&active).unwrap_err();
            assert_eq!((why.reason, why.path), (INVALID, format!("spec.healthCheck.{path}")), "{active}");
        }
        let threshold = HealthCheckPolicy { active: Some(<_>::default()), panic_threshold: Some(101) };
        assert_eq!(judge(&threshold, "s").unwrap_err().path, "spec.healthCheck.panicThreshold");
    }
}
