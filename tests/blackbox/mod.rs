// SPDX-License-Identifier: Apache-2.0
//! What a user sees of a running `torana`: objects in, bytes out.

mod manifests;

mod answers;

mod authorization;

mod backend_tls;

mod balance;

mod behind;

mod bodies;

mod broken;

mod certificates;

mod client_certificates;

mod clients;

mod connections;

mod cors;

mod destination_tls;

mod drain;

mod edits;

mod flat;

mod grpc;

mod health_checks;

mod http2;

mod istio;

mod listeners;

mod localities;

mod log;

mod mesh;

mod mesh_config;

mod names;

mod places;

pub(crate) mod policy;

mod pool;

mod redirects;

mod references;

mod retries;

mod rewrites;

mod scale;

mod scrapes;

mod sessions;

mod shares;

mod sources;

mod storm;

mod streams;

mod telemetry;

mod timeouts;

mod upgrade;
