// SPDX-License-Identifier: Apache-2.0
//! What Torana needs for certificates by ACME, against the real thing: authorities, and a name server that takes dynamic
//! updates.

mod knot;

pub(crate) mod pebble;

mod site;

mod dns;

mod certificates;

mod renewal;

mod example;

mod on_demand;
