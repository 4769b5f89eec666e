// SPDX-License-Identifier: Apache-2.0
//! What the anchors share: sockets, the client's TLS and one exchange over a fresh connection.
//! Never measures anything: the driver reads the proxy's clock, not ours.

pub mod sockets;

pub mod tls;

pub mod exchange;
