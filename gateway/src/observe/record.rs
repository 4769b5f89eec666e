// SPDX-License-Identifier: Apache-2.0
//! What the access log keeps of one request or stream until it is written.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use torana_ir::Backend;

use super::nouns::Nouns;
use crate::access::{Judgement, Verdict};
use crate::balance::Peer;
use crate::fault::Fault;

/// Longest text that a line carries; the rest is cut. Bounds what a full queue holds.
const MOST_TEXT: usize = 2 << 10;

/// Texts of a request that only the log keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// The method.
    Method,
    /// `host[:port]`.
    Authority,
    /// Path and query after normalisation, before rewriting.
    Path,
    /// `User-Agent`.
    UserAgent,
    /// `X-Request-Id`.
    RequestId,
    /// The trace id of `traceparent`.
    TraceId,
    /// The server name of the handshake.
    Sni,
    /// The rule of a policy that ended it.
    Policy,
    /// The rule of a policy that wants it told.
    Audit,
    /// What policies would have made of it that only tell so.
    DryRun,
}

/// Number of [`Text`]s.
const TEXTS: usize = 10;

/// One request, or one stream that was passed on. Texts are copied into one buffer; all else is shared or plain.
#[derive(Debug, Clone)]
pub struct AccessRecord {
    /// When its first byte came.
    pub start: SystemTime,
    /// Until the last byte of the response.
    pub duration: Duration,
    /// Of that, what was spent in Torana itself.
    pub overhead: Duration,
    /// `HTTP/1.1` …; `tcp`, `tls` or `udp` of a stream.
    pub protocol: &'static str,
    /// The status that was sent; 0 of a stream.
    pub status: u16,
    /// What a backend of gRPC said of a call, 0 to 16.
    pub grpc_status: Option<u8>,
    /// Why the client did not get a backend's whole answer.
    pub fault: Option<Fault>,
    /// What Torana itself answered that no rule asked for, though nothing went wrong.
    pub answer: Option<&'static str>,
    /// Bytes of the request's body, or of the client.
    pub bytes_received: u64,
    /// Bytes of the response's body, or of the backend.
    pub bytes_sent: u64,
    /// The client: the peer, or whom proxies before this one name that are believed.
    pub client: std::net::IpAddr,
    /// The other end of the socket.
    pub peer: SocketAddr,
    /// Listener and rule.
    pub nouns: Option<Arc<Nouns>>,
    /// The backend that was chosen.
    pub backend: Option<Arc<Backend>>,
    /// The endpoint that was tried last.
    pub endpoint: Option<SocketAddr>,
    /// Tries.
    pub attempts: u32,
    /// Why there was no other though the rule asks for one.
    pub not_retried: Option<&'static str>,
    /// `TLSv1.3` …
    pub tls_version: Option<&'static str>,
    /// How the backend was spoken to: `plain`, `tls`, or as a workload of a mesh by `mtls` or `hbone`.
    pub upstream_transport: Option<&'static str>,
    /// Who it had to be, as such a workload.
    pub upstream_peer: Option<Arc<Peer>>,
    texts: String,
    spans: [(u32, u32); TEXTS],
}

impl AccessRecord {
    /// A record of a request that came at `start` from `peer`; everything else is empty or zero.
    pub fn new(start: SystemTime, peer: SocketAddr, protocol: &'static str) -> Self {
        Self {
            start,
            duration: Duration::ZERO,
            overhead: Duration::ZERO,
            protocol,
            status: 0,
            fault: None,
            answer: None,
            bytes_received: 0,
            bytes_sent: 0,
            grpc_status: None,
            client: peer.ip(),
            peer,
            nouns: None,
            backend: None,
            endpoint: None,
            attempts: 0,
            not_retried: None,
            tls_version: None,
            upstream_transport: None,
            upstream_peer: None,
            texts: String::new(),
            spans: [(0, 0); TEXTS],
        }
    }

    /// Makes room for texts of this many bytes in all.
    pub fn reserve(&mut self, bytes: usize) {
        self.texts.reserve(bytes);
    }

    /// Keeps a text; what is not UTF-8 is replaced, what is too long is cut.
    pub fn set(&mut self, text: Text, value: &[u8]) {
        let value = &value[..value.len().min(MOST_TEXT)];
        let start = self.texts.len();
        match std::str::from_utf8(value) {
            Ok(value) => self.texts.push_str(value),
            Err(_) => self.texts.push_str(&String::from_utf8_lossy(value)),
        }
        self.spans[text as usize] = (start as u32, self.texts.len() as u32);
    }

    /// What policies say of it.
    pub fn judged(&mut self, judgement: &Judgement) {
        if let Verdict::Denied(why) = &judgement.verdict {
            self.set(Text::Policy, why.to_string().as_bytes());
        }
        if let Some(label) = &judgement.audited {
            self.set(Text::Audit, label.as_bytes());
        }
        if let Some(would) = &judgement.would {
            self.set(Text::DryRun, would.to_string().as_bytes());
        }
    }

    /// A text that was kept; empty if there was none.
    pub fn text(&self, text: Text) -> &str {
        let (start, end) = self.spans[text as usize];
        &self.texts[start as usize..end as usize]
    }
}
