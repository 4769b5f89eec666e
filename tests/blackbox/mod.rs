// SPDX-License-Identifier: Apache-2.0
//! What a user sees of a running `torana`: objects in, bytes out.

mod answers;

mod bodies;

mod clients;

mod drain;

mod edits;

mod flat;

mod http2;

mod pool;

mod storm;

mod timeouts;

mod upgrade;
