// SPDX-License-Identifier: Apache-2.0
//! `/debug/config`, `/debug/explain`, `/debug/mesh`, `/log-level`. For the loopback address.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

use http::{Method, StatusCode};

use super::server::{Answer, Question, Service, json, not_allowed, not_found, text};
use super::{Explain, LogLevel};
use crate::feed::Program;
use crate::upstream::Standing;

/// Tells everything but private keys.
pub(crate) struct Debug {
    pub(crate) program: Program,
    pub(crate) explain: Option<Explain>,
    pub(crate) log_level: Option<Arc<dyn LogLevel>>,
    /// Who the proxy is in its mesh.
    pub(crate) standing: Standing,
}

impl Service for Debug {
    fn answer(&self, question: &Question) -> Answer {
        if !local(&question.host) {
            return text(StatusCode::FORBIDDEN, "ask by address or as localhost\n");
        }
        match (question.path.as_str(), &question.method) {
            ("/debug/config", &Method::GET) => self.config(),
            ("/debug/explain", &Method::GET) => self.explain(&question.query),
            ("/debug/mesh", &Method::GET) => self.mesh(),
            ("/debug/config" | "/debug/explain" | "/debug/mesh", _) => not_allowed("GET"),
            ("/log-level", method) => self.log_level(method, &question.body),
            _ => not_found(),
        }
    }
}

impl Debug {
    /// The snapshot in force. Keys serialise as fingerprints.
    fn config(&self) -> Answer {
        // Replaced object by object, so a panic elsewhere left it whole.
        let snapshot = self.program.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        let generation = *self.program.generation.borrow();
        let all = serde_json::json!({ "generation": generation, "snapshot": &*snapshot });
        match serde_json::to_vec_pretty(&all) {
            Ok(body) => json(StatusCode::OK, body),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    /// The identity in force; nothing that is secret.
    fn mesh(&self) -> Answer {
        match serde_json::to_vec_pretty(&self.standing.load().describe()) {
            Ok(body) => json(StatusCode::OK, body),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    fn explain(&self, query: &str) -> Answer {
        let Some(explain) = &self.explain else { return not_found() };
        let table = self.program.table.load_full();
        match explain(&table, query) {
            Ok(body) => json(StatusCode::OK, body),
            Err(why) => text(StatusCode::BAD_REQUEST, format!("{why}\n")),
        }
    }

    fn log_level(&self, method: &Method, body: &[u8]) -> Answer {
        let Some(log_level) = &self.log_level else { return not_found() };
        match *method {
            Method::GET => text(StatusCode::OK, format!("{}\n", log_level.level())),
            Method::PUT => match std::str::from_utf8(body).map_err(|error| error.to_string()) {
                Ok(level) => match log_level.set_level(level.trim()) {
                    Ok(()) => text(StatusCode::OK, format!("{}\n", log_level.level())),
                    Err(why) => text(StatusCode::BAD_REQUEST, format!("{why}\n")),
                },
                Err(why) => text(StatusCode::BAD_REQUEST, format!("{why}\n")),
            },
            _ => not_allowed("GET, PUT"),
        }
    }
}

/// Not a name that somebody's web page made point to this address.
fn local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok()
}
