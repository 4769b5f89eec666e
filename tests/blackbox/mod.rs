// SPDX-License-Identifier: Apache-2.0
//! What a user sees of a running `torana`: objects in, bytes out.

mod answers;

mod bodies;

mod drain;

mod edits;

mod http2;

mod pool;

mod timeouts;

mod upgrade;
