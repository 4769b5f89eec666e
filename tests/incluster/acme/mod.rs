// SPDX-License-Identifier: Apache-2.0
//! Certificates by ACME where two controllers and three proxies work together: one order for each certificate, an answer
//! at every proxy, and whoever leads next goes on where the last one was killed. The authority is Pebble, beside the
//! cluster; whatever it is asked goes through a relay of the test's own.

mod relay;

mod site;

mod replicas;

mod takeover;

mod on_demand;
