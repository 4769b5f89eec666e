// SPDX-License-Identifier: Apache-2.0
//! The command line. `run` is the one place where both planes meet in one process; every other command is small.
//!
//! Modules are declared lowest first; a module imports only what is declared above it. Adding a command is adding a
//! module with its `Args` here and one variant and one arm in [`command`].

pub mod output;

pub mod sources;

pub mod servers;

mod acme;

pub mod certs;

mod version;

pub mod echo;

pub mod lint;

pub mod explain;

mod greeting;

pub mod run;

mod health;

mod mesh_ca;

pub mod controller;

pub mod command;
