// SPDX-License-Identifier: Apache-2.0
//! What the proxy says of itself to who opens tunnels for it, for their telemetry (Istio's use of W3C Baggage). It proves
//! nothing: who it is, its certificate says.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderValue};
use torana_ir::Locality;

use crate::mesh::{Credential, SpiffeId};

/// Of all tunnels, whoever opens them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Introduction {
    /// What the authority of the mesh calls the cluster.
    pub(crate) cluster: Option<String>,
    /// What the proxies are called; by default as their account.
    pub(crate) workload: Option<String>,
    /// Where it stands.
    pub(crate) locality: Locality,
}

impl Introduction {
    /// The fields of a request for a tunnel, as whom the credential is of.
    pub(super) fn headers(&self, credential: &Credential) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-istio-source", HeaderValue::from_static("gateway"));
        if let Ok(baggage) = HeaderValue::from_str(&self.baggage(&credential.spiffe_id)) {
            headers.insert("baggage", baggage);
        }
        headers
    }

    fn baggage(&self, id: &str) -> String {
        let id = SpiffeId::parse(id).ok();
        let (namespace, account) = id.as_ref().map_or(("", ""), |id| (&id.namespace, &id.service_account));
        let workload = self.workload.as_deref().unwrap_or(account);
        let members = [
            ("k8s.cluster.name", self.cluster.as_deref().unwrap_or_default()),
            ("k8s.namespace.name", namespace),
            ("k8s.deployment.name", workload),
            ("service.name", workload),
            ("service.version", "latest"),
            ("cloud.region", self.locality.region()),
            ("cloud.availability_zone", self.locality.zone()),
        ];
        let mut text = String::new();
        for (key, value) in members.into_iter().filter(|(_, value)| !value.is_empty()) {
            let comma = if text.is_empty() { "" } else { "," };
            text.extend([comma, key, "="]);
            value.bytes().for_each(|byte| octet(&mut text, byte));
        }
        text
    }
}

/// A byte of a value, encoded if it could end it (W3C Baggage 3.3.1).
fn octet(text: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
        text.push(char::from(byte));
    } else {
        // Nothing is written to that could fail.
        write!(text, "%{byte:02X}").ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "spiffe://cluster.local/ns/edge/sa/gateway";

    #[test]
    fn what_is_known_is_said_and_nothing_else() {
        let about = Introduction {
            cluster: Some("Kubernetes".to_owned()),
            workload: Some("edge-torana".to_owned()),
            locality: "eu/eu-1/rack".to_owned().into(),
        };
        let known = "k8s.cluster.name=Kubernetes,k8s.namespace.name=edge,k8s.deployment.name=edge-torana,\
                     service.name=edge-torana,service.version=latest,cloud.region=eu,cloud.availability_zone=eu-1";
        assert_eq!(about.baggage(ID), known);
        let usual = "k8s.namespace.name=edge,k8s.deployment.name=gateway,service.name=gateway,service.version=latest";
        assert_eq!(Introduction::default().baggage(ID), usual);
    }

    #[test]
    fn a_value_is_one_value_whatever_it_is() {
        let about = Introduction { workload: Some("a,b=c;d\r\nä".to_owned()), ..Introduction::default() };
        let text = about.baggage(ID);
        assert!(text.contains("service.name=a%2Cb%3Dc%3Bd%0D%0A%C3%A4,service.version"), "{text}");
        assert!(HeaderValue::from_str(&text).is_ok());
    }
}
