// SPDX-License-Identifier: Apache-2.0
//! What Torana needs for certificates by ACME, against the real thing: a name server that takes dynamic updates.

mod knot;

mod pebble;

mod dns;

mod certificates;
