// SPDX-License-Identifier: Apache-2.0
//! The whole translation: goldens (objects, and the program and status that follow), and the property that translating
//! what changed equals translating everything, in whatever order it came.

pub(crate) mod golden;

mod fields;

mod world;

mod incremental;

mod order;

mod foreign;

mod loopback;

mod ingress;

mod speed;
