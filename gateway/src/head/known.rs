// SPDX-License-Identifier: Apache-2.0
//! Field names that the data plane itself acts on, told apart without hashing.

/// A field name with a meaning of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Everything else.
    Other,
    /// `host`
    Host,
    /// `content-length`
    ContentLength,
    /// `transfer-encoding`
    TransferEncoding,
    /// `connection`
    Connection,
    /// `keep-alive`
    KeepAlive,
    /// `proxy-connection`
    ProxyConnection,
    /// `upgrade`
    Upgrade,
    /// `te`
    Te,
    /// `trailer`
    Trailer,
    /// `expect`
    Expect,
    /// `date`
    Date,
    /// `cookie`
    Cookie,
    /// `http2-settings`
    Http2Settings,
    /// `x-forwarded-for`, `-proto`, `-host`, `-port`, `forwarded`, `x-real-ip`: written anew by the edge.
    Forwarding,
    /// `x-request-id`
    RequestId,
}

impl Known {
    /// Looks at a lower-case name.
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"te" => Self::Te,
            b"host" => Self::Host,
            b"date" => Self::Date,
            b"cookie" => Self::Cookie,
            b"expect" => Self::Expect,
            b"upgrade" => Self::Upgrade,
            b"trailer" => Self::Trailer,
            b"connection" => Self::Connection,
            b"keep-alive" => Self::KeepAlive,
            b"x-request-id" => Self::RequestId,
            b"content-length" => Self::ContentLength,
            b"http2-settings" => Self::Http2Settings,
            b"proxy-connection" => Self::ProxyConnection,
            b"transfer-encoding" => Self::TransferEncoding,
            b"x-forwarded-for" | b"x-forwarded-proto" | b"x-forwarded-host" | b"x-forwarded-port" | b"forwarded"
            | b"x-real-ip" => Self::Forwarding,
            _ => Self::Other,
        }
    }

    /// Belongs to one connection and is never passed on (RFC 9110 §7.6.1).
    pub fn hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::TransferEncoding
                | Self::Upgrade
                | Self::Te
                | Self::Trailer
                | Self::Http2Settings
        )
    }
}
