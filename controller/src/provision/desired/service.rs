// SPDX-License-Identifier: Apache-2.0
//! The Service before the proxies: its ports are those of the listeners, exactly. Never asks for an address that the
//! Gateway does not name.

use serde_json::{Value, json};
use torana_crds::parameters::{GatewayParametersSpec, IngressPort, ServiceType};
use torana_ir::Transport;

use crate::provision::desired::objects::Owned;

/// A port of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// Its number at the proxies.
    pub target: u16,
    /// What is listened for on it.
    pub transport: Transport,
}

impl Port {
    /// A port that is the same at the proxies.
    pub const fn of_listener(number: u16, transport: Transport) -> Self {
        Self { number, target: number, transport }
    }
}

impl From<IngressPort> for Port {
    fn from(port: IngressPort) -> Self {
        Self { number: port.port, target: port.target(), transport: Transport::Tcp }
    }
}

/// The Service; `ports` are sorted, each one once, and not empty.
pub(super) fn service(
    owned: &Owned<'_>,
    address: Option<&str>,
    parameters: &GatewayParametersSpec,
    ports: impl Iterator<Item = Port>,
) -> Value {
    let given = parameters.service.clone().unwrap_or_default();
    let service_type = service_type(parameters);
    let ports = ports.map(|Port { number, target, transport }| {
        let (name, protocol) = (format!("{transport}-{number}"), transport.as_str().to_uppercase());
        json!({"name": name, "port": number, "protocol": protocol, "targetPort": target})
    });
    let mut spec = json!({"type": service_type, "selector": owned.selector(), "ports": ports.collect::<Vec<_>>()});
    let is_balanced = service_type == ServiceType::LoadBalancer;
    let balanced = |value: Option<Value>| value.filter(|_| is_balanced);
    let policy = given.external_traffic_policy.filter(|_| service_type != ServiceType::ClusterIP);
    let fields = [
        ("externalTrafficPolicy", policy.map(|it| json!(it))),
        ("loadBalancerClass", balanced(given.load_balancer_class.map(Value::from))),
        ("loadBalancerSourceRanges", balanced(given.load_balancer_source_ranges.map(Value::from))),
        ("loadBalancerIP", balanced(address.map(Value::from))),
        ("ipFamilies", given.ip_families.map(|it| json!(it))),
        ("ipFamilyPolicy", given.ip_family_policy.map(|it| json!(it))),
    ];
    for (field, value) in fields {
        if let Some(value) = value {
            spec[field] = value;
        }
    }
    let mut service = owned.object("v1", "Service", &owned.name, ("spec", spec));
    let annotations = given.annotations.unwrap_or_default();
    owned.annotate(&mut service, annotations);
    service
}

/// On the network of nodes the proxies are reached there, so no load balancer is waited for.
pub(super) fn service_type(parameters: &GatewayParametersSpec) -> ServiceType {
    let given = parameters.service.as_ref().and_then(|service| service.service_type);
    given.unwrap_or(match parameters.host_network {
        Some(true) => ServiceType::ClusterIP,
        _ => ServiceType::LoadBalancer,
    })
}
