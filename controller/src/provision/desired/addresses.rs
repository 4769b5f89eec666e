// SPDX-License-Identifier: Apache-2.0
//! Where a Gateway is reached: what its Service or its nodes give, against what it asks for. Never waits for anything.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;
use torana_crds::gateway::{GatewayAddress, GatewayAddressType};

use crate::report::Remark;
use crate::report::conditions::gateway::ADDRESS_NOT_USABLE;

/// Most addresses of a status (`GatewayStatus.addresses`).
const LIMIT: usize = 16;

/// One of `status.addresses`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// Type IPAddress.
    Ip(IpAddr),
    /// Type Hostname.
    Hostname(String),
}

impl Address {
    /// `AddressType`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Ip(_) => "IPAddress",
            Self::Hostname(_) => "Hostname",
        }
    }

    /// As `status.addresses` has it.
    pub fn value(&self) -> String {
        match self {
            Self::Ip(address) => address.to_string(),
            Self::Hostname(name) => name.clone(),
        }
    }
}

/// Where a Gateway is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addresses {
    /// For `status.addresses`. Empty: none is given yet (AddressNotAssigned).
    pub assigned: Vec<Address>,
    /// Why a Gateway that asks for an address is not programmed (AddressNotUsable): it is not, or not yet, given.
    pub unusable: Option<Remark>,
}

/// Where the traffic of a Gateway arrives.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exposure<'a> {
    /// The Service of the Gateway, as it is in the cluster.
    pub service: Option<&'a Value>,
    /// Whether the proxies use the network of their nodes.
    pub host_network: bool,
    /// Addresses of the nodes that Ready proxies run on (`status.hostIPs` of their pods).
    pub nodes: &'a [IpAddr],
}

/// Where a Gateway is reached, and whether that is where it asks to be (`spec.addresses`).
pub fn addresses(asked: &[GatewayAddress], exposure: &Exposure<'_>) -> Addresses {
    let mut assigned = given(exposure);
    assigned.truncate(LIMIT);
    let wanted = asked.iter().enumerate();
    let mut wanted = wanted.filter(|(_, address)| address.address_type == GatewayAddressType::IPAddress);
    let unusable = wanted.find_map(|(index, address)| {
        let path = format!("spec.addresses[{index}].value");
        if address.value.is_empty() {
            // Any will do, if it is of that type; before there is one nobody can say.
            let other = !assigned.is_empty() && !assigned.iter().any(|it| matches!(it, Address::Ip(_)));
            let message = "the load balancer gives host names, no IP address";
            return other.then(|| Remark::error(ADDRESS_NOT_USABLE, &path, message, "remove the address"));
        }
        let is_given = address.value.parse().is_ok_and(|wanted| assigned.contains(&Address::Ip(wanted)));
        let message = format!("{} is not, or not yet, given by the load balancer", address.value);
        let remedy = "ask for one address, of those that it has";
        (!is_given).then(|| Remark::error(ADDRESS_NOT_USABLE, &path, message, remedy))
    });
    Addresses { assigned, unusable }
}

fn given(exposure: &Exposure<'_>) -> Vec<Address> {
    let Some(service) = exposure.service else { return Vec::new() };
    let nodes = || exposure.nodes.iter().copied().collect::<BTreeSet<_>>().into_iter().map(Address::Ip).collect();
    match service["spec"]["type"].as_str() {
        Some("LoadBalancer") => balanced(service),
        Some("NodePort") => nodes(),
        _ if exposure.host_network => nodes(),
        _ => {
            let inside = service["spec"]["clusterIPs"].as_array().into_iter().flatten();
            inside.filter_map(|address| address.as_str()?.parse().ok().map(Address::Ip)).collect()
        }
    }
}

fn balanced(service: &Value) -> Vec<Address> {
    let ingress = service["status"]["loadBalancer"]["ingress"].as_array().into_iter().flatten();
    let each = ingress.filter_map(|ingress| {
        let address = ingress["ip"].as_str().and_then(|ip| ip.parse().ok()).map(Address::Ip);
        address.or_else(|| ingress["hostname"].as_str().map(|name| Address::Hostname(name.to_owned())))
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn balancer(ingress: &Value) -> Value {
        json!({"spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"]}, "status": {"loadBalancer": {"ingress": ingress}}})
    }

    /// Values, and the message if the Gateway cannot be programmed.
    fn found(wanted: &Value, service: Option<&Value>, host_network: bool) -> (Vec<String>, Option<String>) {
        let nodes = ["192.0.2.2".parse().unwrap(), "192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        let wanted: Vec<GatewayAddress> = serde_json::from_value(wanted.clone()).unwrap();
        let found = addresses(&wanted, &Exposure { service, host_network, nodes: &nodes });
        (found.assigned.iter().map(Address::value).collect(), found.unusable.map(|remark| remark.to_string()))
    }

    #[test]
    fn addresses_are_where_the_type_of_the_service_puts_them() {
        let of = |kind: &str| json!({"spec": {"type": kind, "clusterIPs": ["10.0.0.1", "fd00::1"]}});
        let none = json!([]);
        let both = balancer(&json!([{"ip": "198.51.100.1"}, {"hostname": "lb.example.com"}]));
        for (service, host_network, expected) in [
            (Some(&both), false, vec!["198.51.100.1", "lb.example.com"]),
            (Some(&balancer(&none)), false, vec![]),
            (Some(&of("ClusterIP")), false, vec!["10.0.0.1", "fd00::1"]),
            (Some(&of("ClusterIP")), true, vec!["192.0.2.1", "192.0.2.2"]),
            (Some(&of("NodePort")), false, vec!["192.0.2.1", "192.0.2.2"]),
            (None, true, vec![]),
        ] {
            assert_eq!(found(&none, service, host_network), (expected.iter().map(ToString::to_string).collect(), None));
        }
    }

    #[test]
    fn an_address_that_is_asked_for_must_be_given() {
        let service = balancer(&json!([{"ip": "2001:db8::1"}]));
        let (usable, unusable) =
            (json!({"type": "IPAddress", "value": "2001:DB8:0::1"}), json!({"value": "192.0.2.9"}));
        assert_eq!(found(&json!([usable]), Some(&service), false).1, None);
        let (assigned, why) = found(&json!([usable, unusable]), Some(&service), false);
        assert_eq!(assigned, ["2001:db8::1"]);
        assert!(why.is_some_and(|why| why.starts_with("spec.addresses[1].value: 192.0.2.9 is not, or not yet, given")));
        assert!(found(&json!([usable]), None, false).1.is_some());
    }

    #[test]
    fn an_address_without_value_may_be_any_of_its_type() {
        let any = json!([{"type": "IPAddress"}]);
        let named = balancer(&json!([{"hostname": "lb.example.com"}]));
        assert_eq!(found(&any, Some(&balancer(&json!([{"ip": "192.0.2.1"}]))), false).1, None);
        assert_eq!(found(&any, Some(&balancer(&json!([]))), false).1, None);
        assert!(found(&any, Some(&named), false).1.is_some());
    }

    #[test]
    fn a_status_has_room_for_sixteen() {
        let many: Vec<_> = (0..20).map(|n| json!({"ip": format!("192.0.2.{n}")})).collect();
        assert_eq!(found(&json!([]), Some(&balancer(&many.into())), false).0.len(), 16);
    }
}
