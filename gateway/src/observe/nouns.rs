// SPDX-License-Identifier: Apache-2.0
//! The names of things as metrics and log lines write them: the user's own.

use torana_ir::{ListenerKey, RuleKey};

/// Methods that have a label of their own. A client may send any token; all others are `OTHER`.
const METHODS: [&str; 9] = ["GET", "POST", "PUT", "HEAD", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];

/// Which listener and which rule took a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nouns {
    /// `namespace/name` of the Gateway; empty if no listener took the request.
    pub gateway: String,
    /// The listener's name; `namespace.set/name` if a ListenerSet brought it.
    pub listener: String,
    /// The route; `None` if no route matched.
    pub route: Option<RouteNouns>,
}

/// Which rule of which route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteNouns {
    /// `HTTPRoute` or `GRPCRoute`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The rule's name, or its index from 0.
    pub rule: String,
}

impl Nouns {
    /// Of a listener alone.
    pub fn listener(key: &ListenerKey) -> Self {
        let listener = match &key.set {
            None => key.name.clone(),
            Some((namespace, set)) => format!("{namespace}.{set}/{}", key.name),
        };
        Self { gateway: key.gateway.to_string(), listener, route: None }
    }

    /// Of a rule on a listener.
    pub fn rule(listener: &ListenerKey, rule: &RuleKey, rule_name: Option<&str>) -> Self {
        let route = RouteNouns {
            kind: rule.route.kind.as_str(),
            namespace: rule.route.namespace.clone(),
            name: rule.route.name.clone(),
            rule: rule_name.map_or_else(|| rule.index.to_string(), str::to_owned),
        };
        Self { route: Some(route), ..Self::listener(listener) }
    }

    /// Values of gateway, listener, route_kind, route_name and route_namespace.
    pub(super) fn route_labels(&self) -> [&str; 5] {
        let route = self.route.as_ref();
        let [kind, name, namespace] = route.map_or([""; 3], |route| [route.kind, &route.name, &route.namespace]);
        [&self.gateway, &self.listener, kind, name, namespace]
    }

    /// The value of rule.
    pub(super) fn rule_label(&self) -> &str {
        self.route.as_ref().map_or("", |route| &route.rule)
    }
}

/// A method as metrics call it: one of a fixed list, `OTHER` for the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodLabel(u8);

impl MethodLabel {
    /// The label of a method that a client used.
    pub fn of(method: &str) -> Self {
        Self(METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len()) as u8)
    }

    /// As metrics write it.
    pub fn as_str(self) -> &'static str {
        METHODS.get(usize::from(self.0)).copied().unwrap_or("OTHER")
    }

    pub(super) fn index(self) -> u8 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use torana_ir::{GatewayId, RouteId, RouteKind};

    use super::*;

    #[test]
    fn names_are_those_of_the_user() {
        let gateway = GatewayId { namespace: "infra".into(), name: "edge".into() };
        let mut listener = ListenerKey { gateway, set: None, name: "web".into() };
        let route = RouteId { kind: RouteKind::HttpRoute, namespace: "shop".into(), name: "cart".into() };
        let rule = RuleKey { route, index: 2 };
        assert_eq!(
            Nouns::rule(&listener, &rule, None).route_labels(),
            ["infra/edge", "web", "HTTPRoute", "cart", "shop"]
        );
        assert_eq!(Nouns::rule(&listener, &rule, None).rule_label(), "2");
        assert_eq!(Nouns::rule(&listener, &rule, Some("pay")).rule_label(), "pay");
        listener.set = Some(("shop".into(), "more".into()));
        assert_eq!(Nouns::listener(&listener).listener, "shop.more/web");
    }

    #[test]
    fn a_method_of_the_client_cannot_make_a_label() {
        assert_eq!(MethodLabel::of("PATCH").as_str(), "PATCH");
        assert_eq!(MethodLabel::of("get").as_str(), "OTHER");
        assert_eq!(MethodLabel::of("X-1234").as_str(), "OTHER");
    }
}
