// SPDX-License-Identifier: Apache-2.0
//! Who may attach: `allowedRoutes` of a listener and `allowedListeners` of a Gateway, resolved against the namespaces
//! that there are. Never looks at routes.

use std::collections::BTreeMap;

use torana_crds::core::Namespace;
use torana_crds::gateway::{FromNamespaces, ProtocolType, RouteGroupKind};
use torana_crds::{GATEWAY_GROUP, LabelSelector, StringMap};

use crate::store::Cluster;

/// Namespaces from which something may attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Namespaces {
    /// Every namespace.
    All,
    /// This one.
    Only(String),
    /// Those that a selector matches.
    Selected {
        /// The selector, for namespaces that exist without being written.
        selector: LabelSelector,
        /// The verdict on every Namespace object.
        known: BTreeMap<String, bool>,
    },
    /// None.
    None,
}

impl Namespaces {
    /// Resolves `from` of an object in namespace `home`; `Err` says what is wrong with it, and then nobody may attach.
    pub(super) fn resolve(
        cluster: &Cluster,
        home: &str,
        from: &FromNamespaces,
        selector: Option<&LabelSelector>,
    ) -> Result<Self, String> {
        match (from, selector) {
            (FromNamespaces::All, _) => Ok(Self::All),
            (FromNamespaces::Same, _) => Ok(Self::Only(home.to_owned())),
            (FromNamespaces::None, _) => Ok(Self::None),
            (FromNamespaces::Selector, None) => Err("from: Selector needs a selector".to_owned()),
            (FromNamespaces::Selector, Some(selector)) => match selector.invalid() {
                Some(why) => Err(why),
                None => Ok(Self::selected(cluster, selector)),
            },
            (FromNamespaces::Other(other), _) => Err(format!("from: {other:?} is not known")),
        }
    }

    fn selected(cluster: &Cluster, selector: &LabelSelector) -> Self {
        let namespaces = cluster.all::<Namespace>();
        let known = namespaces.map(|it| (it.meta.name.clone(), selector.matches(&it.meta.labels))).collect();
        Self::Selected { selector: selector.clone(), known }
    }

    /// Whether something in `namespace` may attach.
    pub(super) fn admit(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(home) => home == namespace,
            Self::Selected { selector, known } => known.get(namespace).copied().unwrap_or_else(|| {
                // Without a cluster a namespace exists by being named; the API server would give it this label.
                let label = ("kubernetes.io/metadata.name".to_owned(), namespace.to_owned());
                selector.matches(&StringMap::from([label]))
            }),
            Self::None => false,
        }
    }
}

/// Kinds of routes that fit a protocol, whatever the TLS mode; none, if the protocol is not known.
pub(super) fn kinds_of(protocol: &ProtocolType) -> Vec<RouteGroupKind> {
    let kinds: &[&str] = match protocol {
        ProtocolType::Http | ProtocolType::Https => &["HTTPRoute", "GRPCRoute"],
        ProtocolType::Tls => &["TLSRoute"],
        ProtocolType::Tcp => &["TCPRoute"],
        ProtocolType::Udp => &["UDPRoute"],
        ProtocolType::Other(_) => &[],
    };
    kinds.iter().map(|kind| RouteGroupKind { group: GATEWAY_GROUP.to_owned(), kind: (*kind).to_owned() }).collect()
}
