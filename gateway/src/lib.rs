// SPDX-License-Identifier: Apache-2.0
//! Torana's data plane. It is programmed by Snapshots (`torana-ir`) and knows no Kubernetes.
//!
//! Modules are declared lowest first; a module imports only what is declared above it.

pub mod fault;

mod address;

pub mod head;

pub mod client;

mod grpc;

pub(crate) mod dial;

pub(crate) mod gate;

pub mod answer;

pub mod route;

pub mod access;

pub mod token;

pub mod filter;

pub mod tls;

pub mod mesh;

pub(crate) mod connections;

pub mod balance;

pub mod session;

pub(crate) mod guard;

pub mod observe;

pub(crate) mod trace;

mod frames;

pub mod io;

pub mod hbone;

pub mod table;

pub(crate) mod demands;

pub(crate) mod upstream;

pub mod http;

pub(crate) mod stream;

pub(crate) mod listen;

pub mod feed;

pub(crate) mod checks;

pub(crate) mod export;

pub mod admin;

pub mod logging;

pub mod app;

pub mod process;

pub mod command;

#[cfg(test)]
mod samples;
