// SPDX-License-Identifier: Apache-2.0
//! What can go wrong with a request, whose fault it is, what the client is told, and whether it may be tried again.
//!
//! Data only: the response is built in one place, `http::respond`.

mod token;

pub use token::TokenFault;

/// Who caused a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The client's bytes, or its absence.
    Client,
    /// The configuration: the user can repair it.
    Config,
    /// Torana's own limits.
    Gateway,
    /// The backend.
    Upstream,
}

impl Source {
    /// As the log writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Config => "config",
            Self::Gateway => "gateway",
            Self::Upstream => "upstream",
        }
    }
}

/// Which cap of a backend is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// Connections; of flows of UDP the places that Torana itself has.
    Connections,
    /// Requests that wait for a connection.
    Pending,
    /// Requests in flight.
    Requests,
}

impl Overflow {
    /// As metrics write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Pending => "pending",
            Self::Requests => "requests",
        }
    }
}

/// Why a request did not get a backend's whole answer. `reason()` is the value of logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    // === client ===
    /// The strict gate refused the request.
    Rejected(Reject),
    /// The head did not arrive in time.
    HeadTimeout,
    /// The body stopped arriving, or arrives too slowly.
    BodyTimeout,
    /// The client does not read the response, or reads it too slowly.
    ReadTimeout,
    /// The body is larger than what an authorization server is shown.
    BodyTooLarge,
    /// The authorization server said no.
    AuthDenied,
    /// A policy says no.
    PolicyDenied,
    /// The request has a token that is not believed.
    BadToken(TokenFault),
    /// The client closed or reset before the end.
    ClientGone,
    /// A question of ACME is asked by another method than GET and HEAD.
    ChallengeMethod,
    /// A question of ACME has a token that is not known; no route is asked in its place (RFC 8555 §8.3).
    UnknownToken,
    // === configuration ===
    /// No listener of this port serves the host.
    NoListener,
    /// No route matches.
    NoRoute,
    /// The host belongs to another listener than the one chosen by SNI (RFC 9110 §15.5.20).
    Misdirected,
    /// The rule or its backend reference is invalid.
    InvalidConfig,
    /// The same of a VirtualService: it leads to no service, or to none that there is.
    NoDestination,
    /// A policy that guards the listener is not evaluated, so nobody is let through.
    Guarded,
    /// The rule says that the request fails.
    Injected {
        /// The status that it gets.
        status: u16,
        /// The status of gRPC that it gets, whatever its client speaks.
        grpc: Option<u8>,
    },
    // === gateway ===
    /// A cap of the backend.
    Overload(Overflow),
    // === upstream ===
    /// The authorization server gave no clear answer, and this is the status for that.
    AuthFailed(u16),
    /// No endpoint is left to try.
    NoEndpoints,
    /// Connect refused, unreachable or too slow: nothing was sent.
    Connect,
    /// TLS to the backend failed, and why in one word (`unknown_issuer` …): nothing was sent.
    UpstreamTls(&'static str),
    /// The endpoint is a workload of a mesh, and the proxy has no identity to speak to it with, and why in one word
    /// (`absent` …): nothing was sent.
    NoIdentity(&'static str),
    /// The proxy before the endpoint opens no tunnel, and why in one word (`refused` …): nothing was sent.
    Tunnel(&'static str),
    /// The connection ended before a response; it may have been processed.
    UpstreamReset,
    /// What came is not a valid response.
    UpstreamProtocol,
    /// The response ended early: its head was already sent.
    UpstreamCut,
    /// The request's deadline passed.
    RequestTimeout,
    /// One try's deadline passed.
    BackendTimeout,
    /// No byte moved for the stream idle timeout.
    StreamIdle,
}

/// What the strict gate objected to: the value of `torana_requests_rejected_total{reason}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reject {
    /// Status of the answer: 400, 405, 408, 414, 417, 421, 431, 501, 505.
    pub status: u16,
    /// A short fixed word, `bad_content_length` …
    pub reason: &'static str,
}

impl Reject {
    /// What came is not HTTP: nothing that its sender would understand can be answered, the connection just ends.
    pub const NOT_HTTP: Self = Self::bad("not_http");

    /// A 400 for `reason`.
    pub const fn bad(reason: &'static str) -> Self {
        Self { status: 400, reason }
    }

    /// Another status.
    pub const fn with(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }
}

/// How a client is told of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manner {
    /// As statuses of gRPC.
    pub grpc: bool,
    /// With the statuses of Istio: a VirtualService took the request.
    pub istio: bool,
}

impl Fault {
    /// What the failure is where the rule is a VirtualService's: one that leads to no service there is.
    #[must_use]
    pub fn under(self, manner: Manner) -> Self {
        if manner.istio && self == Self::InvalidConfig { Self::NoDestination } else { self }
    }

    /// The status that the client gets in this manner. To Envoy what ends before it is answered is a service that is not
    /// there.
    pub fn told(self, manner: Manner) -> u16 {
        if manner.istio && self == Self::UpstreamReset { 503 } else { self.under(manner).status() }
    }

    /// The status that the client gets while no response head was sent.
    pub fn status(self) -> u16 {
        match self {
            Self::Rejected(reject) => reject.status,
            Self::BadToken(token) => token.status(),
            Self::HeadTimeout | Self::BodyTimeout | Self::ReadTimeout => 408,
            Self::ClientGone => 499,
            Self::BodyTooLarge => 413,
            Self::AuthDenied | Self::PolicyDenied | Self::Guarded => 403,
            Self::NoListener | Self::NoRoute | Self::UnknownToken => 404,
            Self::ChallengeMethod => 405,
            Self::Misdirected => 421,
            Self::InvalidConfig => 500,
            Self::Injected { status, .. } | Self::AuthFailed(status) => status,
            Self::NoDestination
            | Self::Overload(_)
            | Self::NoEndpoints
            | Self::Connect
            | Self::UpstreamTls(_)
            | Self::NoIdentity(_)
            | Self::Tunnel(_) => 503,
            Self::UpstreamReset | Self::UpstreamProtocol | Self::UpstreamCut => 502,
            Self::RequestTimeout | Self::BackendTimeout | Self::StreamIdle => 504,
        }
    }

    /// Whose fault it is.
    pub fn source(self) -> Source {
        match self {
            Self::Rejected(_)
            | Self::HeadTimeout
            | Self::BodyTimeout
            | Self::ReadTimeout
            | Self::BodyTooLarge
            | Self::AuthDenied
            | Self::PolicyDenied
            | Self::BadToken(_)
            | Self::ClientGone
            | Self::ChallengeMethod
            | Self::UnknownToken
            | Self::Misdirected => Source::Client,
            Self::NoListener
            | Self::NoRoute
            | Self::InvalidConfig
            | Self::NoDestination
            | Self::Guarded
            | Self::Injected { .. } => Source::Config,
            Self::Overload(_) | Self::NoIdentity(_) => Source::Gateway,
            _ => Source::Upstream,
        }
    }

    /// The word of logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Rejected(reject) => reject.reason,
            Self::HeadTimeout => "head_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::ReadTimeout => "read_timeout",
            Self::ClientGone => "client_gone",
            Self::BodyTooLarge => "body_too_large",
            Self::AuthFailed(_) => "auth_failed",
            Self::AuthDenied => "auth_denied",
            Self::PolicyDenied => "policy_denied",
            Self::BadToken(_) => "token_refused",
            Self::ChallengeMethod => "acme_bad_method",
            Self::UnknownToken => "acme_unknown_token",
            Self::NoListener => "no_listener",
            Self::NoRoute => "no_route",
            Self::Misdirected => "misdirected",
            Self::InvalidConfig => "invalid_config",
            Self::NoDestination => "no_destination",
            Self::Guarded => "policy_not_evaluated",
            Self::Injected { .. } => "fault_injected",
            Self::Overload(Overflow::Connections) => "overload",
            Self::Overload(Overflow::Pending) => "overload_pending",
            Self::Overload(Overflow::Requests) => "overload_requests",
            Self::NoEndpoints => "no_endpoints",
            Self::Connect => "connect_failed",
            Self::UpstreamTls(_) => "upstream_tls_failed",
            Self::NoIdentity(_) => "no_mesh_identity",
            Self::Tunnel(_) => "tunnel_failed",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamProtocol => "upstream_protocol_error",
            Self::UpstreamCut => "upstream_cut",
            Self::RequestTimeout => "request_timeout",
            Self::BackendTimeout => "backend_timeout",
            Self::StreamIdle => "stream_idle_timeout",
        }
    }

    /// What the word leaves open, in another word; empty if nothing.
    pub fn detail(self) -> &'static str {
        match self {
            Self::UpstreamTls(why) | Self::NoIdentity(why) | Self::Tunnel(why) => why,
            Self::BadToken(token) => token.word(),
            _ => "",
        }
    }

    /// Envoy's response flag, which operators know.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Rejected(_) => "DPE",
            Self::HeadTimeout | Self::BodyTimeout | Self::ReadTimeout | Self::ClientGone => "DC",
            Self::NoListener
            | Self::NoRoute
            | Self::Misdirected
            | Self::InvalidConfig
            | Self::ChallengeMethod
            | Self::UnknownToken => "NR",
            // Envoy has none for what its policies refuse.
            Self::PolicyDenied | Self::BadToken(_) => "-",
            Self::NoDestination => "NC",
            Self::Injected { .. } => "FI",
            Self::BodyTooLarge | Self::AuthDenied | Self::AuthFailed(_) | Self::Guarded => "UAEX",
            Self::Overload(_) => "UO",
            Self::NoEndpoints => "UH",
            Self::Connect | Self::UpstreamTls(_) | Self::NoIdentity(_) | Self::Tunnel(_) => "UF",
            Self::UpstreamReset | Self::UpstreamCut => "UC",
            Self::UpstreamProtocol => "UPE",
            Self::RequestTimeout | Self::BackendTimeout | Self::StreamIdle => "UT",
        }
    }

    /// Nothing reached a backend, so another try cannot deliver twice.
    pub fn unsent(self) -> bool {
        matches!(
            self,
            Self::Connect
                | Self::UpstreamTls(_)
                | Self::NoIdentity(_)
                | Self::Tunnel(_)
                | Self::NoEndpoints
                | Self::Overload(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_sent_is_503_and_a_broken_answer_is_502() {
        let overload = Fault::Overload(Overflow::Pending);
        for fault in [Fault::Connect, Fault::UpstreamTls("expired"), Fault::NoEndpoints, overload] {
            assert_eq!((fault.status(), fault.unsent()), (503, true));
        }
        for fault in [Fault::UpstreamReset, Fault::UpstreamProtocol, Fault::UpstreamCut] {
            assert_eq!((fault.status(), fault.unsent()), (502, false));
        }
    }

    #[test]
    fn what_does_not_resolve_or_ends_unanswered_is_503_for_a_virtual_service() {
        for (fault, of_gateway_api, of_istio) in [
            (Fault::InvalidConfig, 500, 503),
            (Fault::UpstreamReset, 502, 503),
            (Fault::UpstreamProtocol, 502, 502),
            (Fault::NoEndpoints, 503, 503),
            (Fault::BackendTimeout, 504, 504),
            (Fault::Injected { status: 418, grpc: None }, 418, 418),
        ] {
            let told = |istio| fault.told(Manner { istio, ..Manner::default() });
            assert_eq!((told(false), told(true)), (of_gateway_api, of_istio), "{fault:?}");
        }
    }
}
