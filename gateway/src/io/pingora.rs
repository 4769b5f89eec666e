// SPDX-License-Identifier: Apache-2.0
//! What Pingora wants to know of a stream, so that a `Box<Io>` is one of its `Stream`s.

use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
};

use super::{Io, tls_version};

#[async_trait]
impl Shutdown for Io {
    async fn shutdown(&mut self) {
        // A peer that is gone needs no goodbye.
        tokio::io::AsyncWriteExt::shutdown(self).await.ok();
    }
}

impl UniqueID for Io {
    fn id(&self) -> i32 {
        self.number()
    }
}

impl Ssl for Io {
    // Built without a look into certificates: Pingora's own digest panics on some that rustls accepts.
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        let session = self.session()?;
        let cipher = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
        Some(Arc::new(SslDigest::new(cipher, tls_version(session), None, None, Vec::new())))
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        match self.session()?.alpn_protocol()? {
            b"h2" => Some(ALPN::H2),
            b"http/1.1" => Some(ALPN::H1),
            _ => None,
        }
    }
}

/// Never: the protocol is told apart before Pingora sees the stream.
#[async_trait]
impl Peek for Io {}

impl GetTimingDigest for Io {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        // Sessions expect one; nothing of Torana's reads it.
        vec![Some(TimingDigest::default())]
    }
}

impl GetProxyDigest for Io {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Io {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        let socket = self.socket()?;
        Some(Arc::new(SocketDigest::from_raw_fd(socket.as_raw_fd())))
    }
}
