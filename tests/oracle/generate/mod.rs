// SPDX-License-Identifier: Apache-2.0
//! Random configurations of Istio and calls to a gateway that has them. Names, hosts, paths and ports come from small
//! sets, so that objects meet, overlap and contradict each other; some are wrong by themselves. The same seed and
//! number give the same scenario.

mod dice;

mod words;

mod services;

mod destination_rules;

mod gateways;

mod matches;

mod routes;

mod streams;

mod virtual_services;

mod calls;

use std::collections::BTreeMap;

use serde_json::Value;

use self::dice::Dice;
use self::words::{LABELS, NAMESPACES};
use super::scenario::{Pod, Scenario};

/// Calls to each configuration.
const CALLS: usize = 20;

/// The scenario of that number.
pub(super) fn scenario(seed: u64, number: u64) -> Scenario {
    let mut dice = Dice::new(seed, number);
    let dice = &mut dice;
    let mut istio = gateways::some(dice);
    let present: Vec<(String, String)> = istio.iter().map(place).collect();
    istio.extend(virtual_services::some(dice, &present));
    istio.extend(destination_rules::some(dice));
    istio.extend(services::entries(dice));
    dice.shuffle(&mut istio);
    let kubernetes = services::kubernetes(dice);
    let calls = calls::some(dice, &istio, CALLS);
    let namespace = if dice.chance(60) { NAMESPACES[0] } else { dice.pick(&NAMESPACES[1..]) };
    let labels: BTreeMap<String, String> =
        LABELS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Scenario { istio, kubernetes, pod: Pod { namespace: namespace.to_owned(), labels }, calls }
}

/// Namespace and name.
fn place(object: &Value) -> (String, String) {
    let of = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (of("namespace"), of("name"))
}
