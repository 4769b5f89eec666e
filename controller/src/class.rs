// SPDX-License-Identifier: Apache-2.0
//! The first question about everything: is it Torana's? What belongs to others costs nothing. Never reads more of a
//! GatewayClass than whose it is.

use torana_crds::gateway::GatewayClass;

use crate::store::Fleets;

/// `controllerName` of Torana's GatewayClasses, and of what it writes into status.
pub const CONTROLLER_NAME: &str = "torana.dev/gateway-controller";

/// The GatewayClass that exists without being written where there is no cluster.
pub const DEFAULT_CLASS: &str = "torana";

/// Whether Gateways of the class `name` are Torana's. `written` is the GatewayClass object of that name, if there is
/// one; it may give even the default name to somebody else. In a cluster a class that nobody wrote is nobody's.
pub fn is_ours(name: &str, written: Option<&GatewayClass>, fleets: Fleets) -> bool {
    let unwritten = fleets == Fleets::One && name == DEFAULT_CLASS;
    written.map_or(unwritten, |class| class.spec.controller_name == CONTROLLER_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(controller: &str) -> GatewayClass {
        let json = serde_json::json!({"metadata": {"name": "x"}, "spec": {"controllerName": controller}});
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_default_class_exists_without_being_written() {
        assert!(is_ours("torana", None, Fleets::One));
        assert!(!is_ours("istio", None, Fleets::One));
        assert!(!is_ours("torana", None, Fleets::Each));
    }

    #[test]
    fn a_written_class_belongs_to_the_controller_that_it_names() {
        assert!(is_ours("edge", Some(&class(CONTROLLER_NAME)), Fleets::Each));
        assert!(!is_ours("torana", Some(&class("example.com/other")), Fleets::One));
    }
}
