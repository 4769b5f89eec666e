// SPDX-License-Identifier: Apache-2.0
//! Torana's control plane: what Kubernetes objects mean, as programs for proxies and as status for people.
//!
//! One noun per stage: [`store::Event`] → [`store::Cluster`] → [`translate::Translation`] (snapshots and a
//! [`report::Report`]) → what is published. Modules are declared lowest first; each uses only those above it. Never
//! names the data plane.

pub mod clock;

pub mod report;

mod cell;

mod hosts;

mod certificate;

pub mod issuance;

pub mod mesh;

pub mod store;

pub mod class;

pub mod translate;

pub mod api;

pub mod ca;

mod port;

pub mod provision;

pub mod source;

pub mod publish;

pub mod feed;

pub mod mesh_ca;

pub mod acme;

pub mod herald;

pub mod plane;

pub mod leader;

pub mod metrics;

pub mod status;

pub mod reconcile;

mod journal;

pub mod embedded;
