// SPDX-License-Identifier: Apache-2.0
//! Each Gateway gets its proxies: [`desired`] says which objects that takes (pure), [`Provisioner`] sees to it that the
//! cluster has them, and repairs what others change. What belongs to somebody else is never touched.
//!
//! This module makes no Gateway API decision: parameters, labels and ports come judged from `translate`.

pub mod desired;

mod kinds;

mod observed;

mod apply;

mod provisioner;

pub use provisioner::{Provisioned, Provisioner, Provisions};
