// SPDX-License-Identifier: Apache-2.0
//! HTTP/1: a strict codec of our own.
//!
//! The codec is pure, bytes in and bytes out; [`down`] and [`up`] drive it over sockets, [`conn`] over a whole connection.
//! * [`request::parse`]: bytes → a head that passed the gate; [`response::parse`]: a backend's bytes → a response head
//!   and how its body ends; [`chunk::Decoder`]: the chunked coding in whatever pieces it comes; [`write`]: heads, chunk
//!   framing and trailers into a buffer.

mod date;

pub(crate) mod request;

pub(crate) mod response;

pub(crate) mod write;

pub(crate) mod chunk;

pub(crate) mod out;

pub(crate) mod incoming;

pub(crate) mod down;

pub(crate) mod up;

pub(crate) mod conn;

#[cfg(test)]
mod differential;
