// SPDX-License-Identifier: Apache-2.0
//! Fields of Istio's API that are known and not obeyed, each with what to do instead. Whatever stands here is told of
//! an object that has it, never taken for a slip of the pen.

use crate::kind::Kind;

/// A field: its path without the numbers of items, and why it is not obeyed.
type Field = (&'static str, &'static str);

const GATEWAY: [Field; 2] = [
    ("spec.servers[].defaultEndpoint", "it has no effect in a Gateway: remove it"),
    ("spec.servers[].port.targetPort", "it has no effect in a Gateway: the Service of the gateway maps ports"),
];

const VIRTUAL_SERVICE: [Field; 5] = [
    ("spec.http[].corsPolicy.allowOrigin", "it is deprecated: write allowOrigins with exact"),
    ("spec.http[].fault.abort.http2Error", "Istio never implemented it: write httpStatus or grpcStatus"),
    ("spec.http[].fault.delay.exponentialDelay", "Istio never implemented it: write fixedDelay"),
    ("spec.http[].fault.delay.percent", "it is deprecated: write percentage.value"),
    ("spec.tcp[].match[].sourceSubnet", "Istio never implemented it: remove it"),
];

/// Within a policy.
const POLICY: [Field; 3] = [
    ("loadBalancer.consistentHash.minimumRingSize", "it is deprecated: write ringHash.minimumRingSize"),
    ("loadBalancer.warmupDurationSecs", "it is deprecated: write warmup.duration"),
    ("outlierDetection.consecutiveErrors", "it is deprecated: write consecutive5xxErrors or consecutiveGatewayErrors"),
];

/// Where a DestinationRule has policies; a longer one is looked for first.
const POLICIES: [&str; 4] = [
    "spec.subsets[].trafficPolicy.portLevelSettings[].",
    "spec.subsets[].trafficPolicy.",
    "spec.trafficPolicy.portLevelSettings[].",
    "spec.trafficPolicy.",
];

/// Why the field at `path` of an object has no effect, if it is one of these.
pub(crate) fn why(kind: Kind, path: &str) -> Option<&'static str> {
    let (fields, place): (&[Field], _) = match kind {
        Kind::IstioGateway => (&GATEWAY, without_numbers(path)),
        Kind::VirtualService => (&VIRTUAL_SERVICE, without_numbers(path)),
        Kind::DestinationRule => {
            let place = without_numbers(path);
            let inside = POLICIES.iter().find_map(|policy| place.strip_prefix(policy))?;
            (&POLICY, inside.to_owned())
        }
        _ => return None,
    };
    fields.iter().find(|(field, _)| *field == place).map(|(_, why)| *why)
}

/// `spec.http[12].name` as `spec.http[].name`.
fn without_numbers(path: &str) -> String {
    let mut place = String::with_capacity(path.len());
    let mut parts = path.split('[');
    place.push_str(parts.next().unwrap_or_default());
    for part in parts {
        place.push('[');
        place.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    place
}

#[cfg(test)]
pub(super) fn all() -> Vec<(Kind, String)> {
    let of =
        |kind: Kind, fields: &[Field]| fields.iter().map(|(field, _)| (kind, (*field).to_owned())).collect::<Vec<_>>();
    let policies = POLICIES.iter().flat_map(|policy| POLICY.iter().map(move |(field, _)| format!("{policy}{field}")));
    let mut all = of(Kind::IstioGateway, &GATEWAY);
    all.extend(of(Kind::VirtualService, &VIRTUAL_SERVICE));
    all.extend(policies.map(|path| (Kind::DestinationRule, path)));
    all
}
