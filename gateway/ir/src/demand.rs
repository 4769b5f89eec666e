// SPDX-License-Identifier: Apache-2.0
//! What clients ask proxies for that only the control plane can have: certificates that are obtained on demand.

use crate::host::Hostname;
use crate::key::ListenerKey;

/// A client asked a listener for a name of which it has no certificate, and may get one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Demand {
    /// The listener.
    pub listener: ListenerKey,
    /// The name.
    pub host: Hostname,
}

impl Demand {
    /// The demand for `name`, if that is a name that authorities sign: of two labels at least, and no address.
    pub fn new(listener: ListenerKey, name: &str) -> Option<Self> {
        let (_, last) = name.rsplit_once('.')?;
        // No top-level domain is a number (RFC 3696 §2).
        let is_name = last.bytes().any(|byte| byte.is_ascii_alphabetic()) && !name.contains('_');
        let host = Hostname::new(name).filter(|_| is_name)?;
        Some(Self { listener, host })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GatewayId;

    #[test]
    fn names_are_demanded_and_nothing_else() {
        let gateway = GatewayId { namespace: "n".to_owned(), name: "edge".to_owned() };
        let listener = ListenerKey { gateway, set: None, name: "https".to_owned() };
        let demanded = |name: &str| Demand::new(listener.clone(), name).map(|it| it.host.to_string());
        for (name, host) in [
            ("shop.example", Some("shop.example")),
            ("A.Shop.Example", Some("a.shop.example")),
            ("localhost", None),
            ("192.0.2.1", None),
            ("*.shop.example", None),
            ("_acme.shop.example", None),
            ("shop..example", None),
            (".example", None),
            ("shop.example.", None),
            ("", None),
        ] {
            assert_eq!(demanded(name).as_deref(), host, "{name:?}");
        }
        assert_eq!(demanded(&format!("{}.example", "a.".repeat(130))), None);
    }
}
