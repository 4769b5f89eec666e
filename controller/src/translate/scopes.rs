// SPDX-License-Identifier: Apache-2.0
//! Whom policies of Istio are for: proxies by where they run and by the labels of their pods, or a Gateway of Gateway API by
//! its name or its class. Never looks at what a policy says.

use torana_crds::istio::security::Scope;
use torana_crds::{GATEWAY_GROUP, ObjectRef};

use crate::translate::proxies::Proxies;

/// A Gateway of Gateway API, and its class.
pub(super) type OfApi<'g> = Option<(&'g ObjectRef, &'g str)>;

/// Proxies, and the Gateway of Gateway API that they are of, if they are of one.
pub(super) type Whose<'g> = (&'g Proxies, OfApi<'g>);

/// A policy's own namespace, and whether that is where policies for the whole mesh are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Home<'h> {
    pub(super) namespace: &'h str,
    pub(super) is_root: bool,
}

impl<'h> Home<'h> {
    /// Of a policy of that namespace.
    pub(super) fn new(namespace: &'h str, root: &str) -> Self {
        Self { namespace, is_root: namespace == root }
    }

    /// Whether it is that of proxies.
    pub(super) fn is_of(self, proxies: &Proxies) -> bool {
        self.namespace == proxies.namespace
    }

    /// Whether a policy that cannot be read may be for these.
    pub(super) fn may_be_for(self, (proxies, gateway): Whose<'_>) -> bool {
        let of_gateway = gateway.is_some_and(|(it, _)| it.namespace == self.namespace);
        self.is_root || of_gateway || self.is_of(proxies)
    }

    /// Whether a security policy is for these: one of the root namespace is for the whole mesh, gateways included.
    pub(super) fn guards(self, scope: &Scope<'_>, (proxies, gateway): Whose<'_>) -> bool {
        if has_targets(scope) {
            return self.targets(scope, gateway);
        }
        let is_near = self.is_root || self.is_of(proxies);
        is_near && scope.selector.is_none_or(|selector| proxies.have(&selector.match_labels))
    }

    /// Whether one of its targets is the Gateway: by name one of its own namespace, by class only from the root namespace.
    pub(super) fn targets(self, scope: &Scope<'_>, gateway: OfApi<'_>) -> bool {
        scope.targets().any(|target| {
            let Some((gateway, class)) = gateway.filter(|_| target.group == GATEWAY_GROUP) else { return false };
            match target.kind.as_str() {
                "Gateway" => gateway.name == target.name && gateway.namespace == self.namespace,
                "GatewayClass" => self.is_root && class == target.name,
                _ => false,
            }
        })
    }
}

/// Whether a policy is for objects that it names.
pub(super) fn has_targets(scope: &Scope<'_>) -> bool {
    scope.targets().next().is_some()
}
