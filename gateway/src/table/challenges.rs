// SPDX-License-Identifier: Apache-2.0
//! Whose questions of ACME are answered, and how: by HTTP-01 (RFC 8555 §8.3), before anything else is made of a request,
//! and by TLS-ALPN-01 (RFC 8737). An authority may ask any proxy of a fleet, by any of its sockets.

use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use rustls::ServerConfig;
use torana_ir::{AcmeHost, AcmeHostKey, SharedMap};

use crate::fault::Fault;
use crate::head::Head;
use crate::tls::challenge;

/// What follows is a token.
const PATH: &str = "/.well-known/acme-challenge/";

/// Every host that is asked about.
#[derive(Debug, Default)]
pub struct Challenges {
    /// What they were made of.
    of: SharedMap<AcmeHostKey, Arc<AcmeHost>>,
    hosts: HashMap<String, Host, RandomState>,
}

/// One host. Gateways of one process may share it: each has its own questions asked, and all are answered.
#[derive(Debug, Default)]
struct Host {
    /// Key authorizations by token.
    answers: HashMap<String, Bytes, RandomState>,
    reserves_path: bool,
    proof: Option<Proof>,
}

/// What a handshake proves: the key authorization, and what it is proven with. Of several Gateways that of the first.
#[derive(Debug, Clone)]
struct Proof {
    authorization: String,
    config: Arc<ServerConfig>,
}

impl Challenges {
    /// Those of a snapshot: `previous` itself if they are the same.
    pub(super) fn compile(of: &SharedMap<AcmeHostKey, Arc<AcmeHost>>, previous: &Arc<Self>) -> Arc<Self> {
        if previous.of == *of {
            return Arc::clone(previous);
        }
        let mut hosts: HashMap<String, Host, RandomState> = HashMap::default();
        for spec in of.values() {
            let name = &spec.key.host;
            let host = hosts.entry_ref(name.as_str()).or_default();
            let bytes = |text: &String| Bytes::copy_from_slice(text.as_bytes());
            host.answers.extend(spec.answers.iter().map(|(token, text)| (token.clone(), bytes(text))));
            host.reserves_path |= spec.reserves_path;
            if let (None, Some(authorization)) = (&host.proof, &spec.tls_alpn) {
                let before = previous.hosts.get(name).and_then(|host| host.proof.as_ref());
                host.proof = Proof::carried(name, authorization, before);
            }
        }
        Arc::new(Self { of: of.clone(), hosts })
    }

    /// Whether nobody is asked about.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// What a request is told that asks about a host; `None` if it is a request as any.
    pub(super) fn told(&self, head: &Head) -> Option<Result<Bytes, Fault>> {
        if self.hosts.is_empty() {
            return None;
        }
        let token = head.path().strip_prefix(PATH)?;
        let host = self.hosts.get(head.host())?;
        match host.answers.get(token) {
            Some(answer) if matches!(head.method(), "GET" | "HEAD") => Some(Ok(answer.clone())),
            Some(_) => Some(Err(Fault::ChallengeMethod)),
            None => host.reserves_path.then_some(Err(Fault::UnknownToken)),
        }
    }

    /// What answers a handshake that offers nothing but the protocol of ACME, for this server name (lower case).
    pub fn handshake(&self, name: &str) -> Option<Arc<ServerConfig>> {
        let proof = self.hosts.get(name)?.proof.as_ref()?;
        Some(Arc::clone(&proof.config))
    }
}

impl Proof {
    /// The one of before if it proves the same. A certificate that cannot be made is not shown: then the handshake is one
    /// as any.
    fn carried(host: &str, authorization: &str, before: Option<&Self>) -> Option<Self> {
        if let Some(before) = before.filter(|before| before.authorization == authorization) {
            return Some(before.clone());
        }
        match challenge(host, authorization) {
            Ok(config) => Some(Self { authorization: authorization.to_owned(), config }),
            Err(error) => {
                tracing::warn!(host, %error, "no certificate for a question of ACME");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
