// SPDX-License-Identifier: Apache-2.0
//! `GatewayClass.status.supportedFeatures`: what Torana really does, in the names of the conformance suite. A feature
//! enters the table with the change that makes its tests pass, never before.

/// Version of Gateway API whose CRDs Torana is made for: the `gateway.networking.k8s.io/bundle-version` of theirs.
pub const BUNDLE: &str = "v1.7";

/// Sorted, each once; the CRD admits 64.
pub const SUPPORTED: &[&str] = &[
    "BackendTLSPolicy",
    "BackendTLSPolicySANValidation",
    "GRPCRoute",
    "GRPCRouteNamedRouteRule",
    "GRPCRouteRequestHeaderModifier",
    "Gateway",
    "GatewayAddressEmpty",
    "GatewayBackendClientCertificate",
    "GatewayFrontendClientCertificateValidation",
    "GatewayFrontendClientCertificateValidationInsecureFallback",
    "GatewayHTTPListenerIsolation",
    "GatewayHTTPSListenerDetectMisdirectedRequests",
    "GatewayInfrastructure",
    "GatewayPort8080",
    "GatewayRouteHostnameIntersectionPrecedence",
    "GatewayStaticAddresses",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteBackendURLRewrite",
    "HTTPRouteCORS",
    "HTTPRouteDestinationPortMatching",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteRetryCodes",
    "HTTPRouteRetryConnectionError",
    "HTTPRouteSchemeRedirect",
    "ListenerSet",
    "ReferenceGrant",
    "TCPRoute",
    "TLSRoute",
    "TLSRouteModeMixed",
    "TLSRouteModeTerminate",
    "UDPRoute",
];

/// Whether CRDs of this bundle version (`v1.7.0`) are those that Torana is made for.
pub fn is_supported(bundle_version: &str) -> bool {
    bundle_version.strip_prefix(BUNDLE).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_sorted_and_named_once() {
        assert!(SUPPORTED.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(SUPPORTED.len() <= 64);
    }

    #[test]
    fn every_patch_release_of_the_bundle_is_supported_and_no_other() {
        for (version, expected) in
            [("v1.7.0", true), ("v1.7.3", true), ("v1.6.1", false), ("v1.70.0", false), ("v1.7", false), ("", false)]
        {
            assert_eq!(is_supported(version), expected, "{version}");
        }
    }
}
