// SPDX-License-Identifier: Apache-2.0
//! Addresses of a backend, a pure function of the Service port and its EndpointSlices. They change most often of all,
//! so this knows neither routes nor listeners.
//!
//! An endpoint that is not ready gets nothing, unless it is terminating and still serving: then it is the last resort.
//! Loopback addresses are as good as any: a standalone gateway may stand beside its backends.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use torana_crds::core::{AddressType, EndpointSlice, ServicePort, SliceEndpoint};
use torana_crds::{Kind, ObjectRef};
use torana_ir::Endpoint;

use crate::report::Remark;

/// Endpoints, with what there is to say.
type Found<R> = (Vec<Endpoint>, Vec<R>);

/// A remark about a slice.
type Said = (ObjectRef, Remark);

/// What is asked about an endpoint of a slice.
pub(super) struct Wanted<'w> {
    /// Whether it is one of those.
    pub(super) keep: &'w dyn Fn(&SliceEndpoint) -> bool,
    /// Says where it stands, and how it is spoken to.
    pub(super) describe: &'w dyn Fn(&SliceEndpoint, &mut Endpoint),
}

/// Endpoints of `port` that are `wanted`, sorted, each once, with what there is to say about the slices.
pub(super) fn endpoints<'s>(
    port: &ServicePort,
    slices: impl Iterator<Item = &'s EndpointSlice>,
    wanted: &Wanted<'_>,
) -> Found<Said> {
    let mut found: BTreeMap<SocketAddr, Endpoint> = BTreeMap::new();
    let mut remarks = Vec::new();
    for slice in slices {
        let (endpoints, notes) = of_slice(port, slice, wanted);
        for endpoint in endpoints {
            let ready = endpoint.ready;
            found.entry(endpoint.address).or_insert(endpoint).ready |= ready;
        }
        let reference = ObjectRef::new(Kind::EndpointSlice, &slice.meta.namespace, &slice.meta.name);
        remarks.extend(notes.into_iter().map(|remark| (reference.clone(), remark)));
    }
    (found.into_values().collect(), remarks)
}

fn of_slice(port: &ServicePort, slice: &EndpointSlice, wanted: &Wanted<'_>) -> Found<Remark> {
    let mut remarks = Vec::new();
    if let AddressType::Fqdn | AddressType::Other(_) = slice.address_type {
        let message = "only addresses of type IPv4 and IPv6 are used";
        let remedy = "use a Service of type ExternalName for names";
        remarks.push(Remark::warning("UnsupportedValue", "addressType", message, remedy));
        return (Vec::new(), remarks);
    }
    let Some(number) = number(port, slice) else {
        let name = &port.name;
        let protocol = port.protocol.as_str();
        let message = format!("has no {protocol} port named {name:?}, as port {} of its Service is", port.port);
        remarks.push(Remark::warning("NoEndpoints", "ports", message, "give the port that name"));
        return (Vec::new(), remarks);
    };
    let mut endpoints = Vec::with_capacity(slice.endpoints.len());
    for (index, endpoint) in slice.endpoints.iter().enumerate() {
        let Some(ready) = readiness(endpoint).filter(|_| (wanted.keep)(endpoint)) else { continue };
        // All addresses of an endpoint mean the same: consumers use the first (`Endpoint.addresses`).
        let Some(text) = endpoint.addresses.first() else { continue };
        if let Some(ip) = address(&slice.address_type, text) {
            let mut found = Endpoint::new(SocketAddr::new(ip, number), ready);
            (wanted.describe)(endpoint, &mut found);
            endpoints.push(found);
            continue;
        }
        let path = format!("endpoints[{index}].addresses[0]");
        let message = format!("{text:?} is not an address that can be connected to, and is not used");
        remarks.push(Remark::error("UnsupportedValue", &path, message, "write an address of the addressType"));
    }
    (endpoints, remarks)
}

/// The slice's port of the same name and protocol carries the resolved number.
fn number(port: &ServicePort, slice: &EndpointSlice) -> Option<u16> {
    let same = slice.ports.iter().find(|it| it.name == port.name && it.protocol == port.protocol)?;
    same.port.filter(|number| *number > 0)
}

/// `None`: gets nothing.
fn readiness(endpoint: &SliceEndpoint) -> Option<bool> {
    let conditions = endpoint.conditions;
    if conditions.is_ready() && !conditions.is_terminating() {
        return Some(true);
    }
    (conditions.is_terminating() && conditions.is_serving()).then_some(false)
}

fn address(address_type: &AddressType, text: &str) -> Option<IpAddr> {
    let ip = match address_type {
        AddressType::IPv4 => IpAddr::V4(text.parse::<Ipv4Addr>().ok()?),
        AddressType::IPv6 => IpAddr::V6(text.parse::<Ipv6Addr>().ok()?),
        AddressType::Fqdn | AddressType::Other(_) => return None,
    };
    (!ip.is_unspecified() && !ip.is_multicast()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn slice(value: &Value) -> EndpointSlice {
        let mut slice = json!({"metadata": {"namespace": "default", "name": "s"}, "addressType": "IPv4",
            "ports": [{"port": 8080}]});
        for (key, field) in value.as_object().unwrap() {
            slice[key] = field.clone();
        }
        serde_json::from_value(slice).unwrap()
    }

    fn port(name: &str) -> ServicePort {
        serde_json::from_value(json!({"name": name, "port": 80})).unwrap()
    }

    const ALL: Wanted<'_> = Wanted { keep: &|_| true, describe: &|_, _| {} };

    fn shown(port: &ServicePort, slices: &[EndpointSlice]) -> Vec<(String, bool)> {
        let (endpoints, _) = endpoints(port, slices.iter(), &ALL);
        endpoints.iter().map(|endpoint| (endpoint.address.to_string(), endpoint.ready)).collect()
    }

    #[test]
    fn endpoints_are_sorted_and_each_is_there_once() {
        let one = slice(&json!({"endpoints": [{"addresses": ["10.0.0.2"]}, {"addresses": ["10.0.0.1"]}]}));
        let two = slice(&json!({"endpoints": [{"addresses": ["10.0.0.2"]}]}));
        let expected = [("10.0.0.1:8080".to_owned(), true), ("10.0.0.2:8080".to_owned(), true)];
        assert_eq!(shown(&port(""), &[one, two]), expected);
    }

    #[test]
    fn conditions_decide_who_gets_requests() {
        for (conditions, expected) in [
            (json!({}), Some(true)),
            (json!({"ready": true}), Some(true)),
            (json!({"ready": false}), None),
            (json!({"ready": false, "serving": true, "terminating": true}), Some(false)),
            (json!({"ready": false, "serving": false, "terminating": true}), None),
            (json!({"ready": false, "serving": true}), None),
            // publishNotReadyAddresses: ready though terminating; still only the last resort.
            (json!({"ready": true, "serving": true, "terminating": true}), Some(false)),
        ] {
            let slice = slice(&json!({"endpoints": [{"addresses": ["::1"], "conditions": conditions}],
                "addressType": "IPv6"}));
            let found = shown(&port(""), &[slice]);
            assert_eq!(found.first().map(|(_, ready)| *ready), expected, "{conditions}");
        }
    }

    #[test]
    fn ports_are_found_by_name() {
        let slice = slice(&json!({"endpoints": [{"addresses": ["127.0.0.1"]}],
            "ports": [{"name": "metrics", "port": 9}, {"name": "web", "port": 8080}]}));
        assert_eq!(shown(&port("web"), std::slice::from_ref(&slice)), [("127.0.0.1:8080".to_owned(), true)]);
        let (none, remarks) = endpoints(&port("other"), [&slice].into_iter(), &ALL);
        assert!(none.is_empty());
        assert_eq!(remarks[0].1.path, "ports");
    }

    #[test]
    fn what_is_no_address_is_named_and_not_used() {
        let slice = slice(&json!({"endpoints": [{"addresses": ["localhost"]}, {"addresses": ["0.0.0.0"]},
            {"addresses": ["::1"]}, {"addresses": []}, {"addresses": ["10.0.0.1", "x"]}]}));
        let (found, remarks) = endpoints(&port(""), [&slice].into_iter(), &ALL);
        assert_eq!(found.len(), 1);
        let paths: Vec<_> = remarks.iter().map(|(_, remark)| remark.path.as_str()).collect();
        let expected = ["endpoints[0].addresses[0]", "endpoints[1].addresses[0]", "endpoints[2].addresses[0]"];
        assert_eq!(paths, expected);
    }
}
