// SPDX-License-Identifier: Apache-2.0
//! Codes of Istio's own analyzer (`istioctl analyze`) for findings that mean the same, so that people find what they
//! know. Never judges.

use torana_crds::{ISTIO_GROUPS, Kind, ObjectRef};

/// The code of a finding about an object of Istio, if Istio has one.
pub(super) fn code(object: &ObjectRef, reason: &str) -> Option<&'static str> {
    if !ISTIO_GROUPS.contains(&object.group.as_ref()) {
        return None;
    }
    let code = match (object.known_kind(), reason) {
        // Schema, and fields that are not known.
        (_, "UnknownField" | "Unreadable" | "Invalid") => "IST0106",
        // What is referred to is not there.
        (Some(Kind::VirtualService), "BackendNotFound" | "NoMatchingParent") => "IST0101",
        // No server of the Gateway has the host.
        (Some(Kind::VirtualService), "NoMatchingListenerHostname") => "IST0132",
        (Some(Kind::IstioGateway), "SelectorMatchesNoWorkload") => "IST0127",
        (Some(Kind::IstioGateway), "PortConflict" | "HostConflict") => "IST0145",
        (Some(Kind::IstioGateway), "InvalidCredential") => "IST0161",
        (Some(Kind::IstioGateway), "GatewayPortNotDefinedOnService") => "IST0162",
        _ => return None,
    };
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_of_istio_have_codes_of_istio() {
        let of = |kind| code(&ObjectRef::new(kind, "n", "x"), "BackendNotFound");
        assert_eq!(of(Kind::VirtualService), Some("IST0101"));
        assert_eq!(of(Kind::HttpRoute), None);
        assert_eq!(code(&ObjectRef::new(Kind::IstioGateway, "n", "x"), "PortConflict"), Some("IST0145"));
        assert_eq!(code(&ObjectRef::new(Kind::Gateway, "n", "x"), "PortConflict"), None);
    }
}
