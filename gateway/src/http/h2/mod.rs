// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 on both sides, carried by Pingora's handshakes.
//!
//! Downstream the streams are used as `h2`'s two halves: Pingora's session serves reads and writes through one
//! `&mut`, so an upload would wait for a blocked download. Upstream, streams come from Pingora's `ConnectionRef`.

mod ledger;

mod reader;

mod stream;

pub(crate) mod conn;

pub(crate) mod down;

pub(crate) mod map;

pub(crate) mod up;
