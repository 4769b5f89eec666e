// SPDX-License-Identifier: Apache-2.0
//! What Pingora wants to know of a watched connection: the same as of one that is not.

use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
};

use crate::http::h2::reader::Reader;

#[async_trait]
impl Shutdown for Reader {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut self.io).await;
    }
}

impl UniqueID for Reader {
    fn id(&self) -> i32 {
        self.io.id()
    }
}

impl Ssl for Reader {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.io.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.io.selected_alpn_proto()
    }
}

#[async_trait]
impl Peek for Reader {}

impl GetTimingDigest for Reader {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.io.get_timing_digest()
    }
}

impl GetProxyDigest for Reader {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.io.get_proxy_digest()
    }
}

impl GetSocketDigest for Reader {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.io.get_socket_digest()
    }
}
