// SPDX-License-Identifier: Apache-2.0
//! Ports that others call: TLS with HTTP/2 and nothing else, and who may come in. One connection never waits for
//! another. Never reads what a connection says.

mod admission;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::{ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::ca::Serving;

pub(crate) use admission::{Caps, Place, Stranger};

use admission::Admission;

/// After an accept that failed, for want of file descriptors.
const BREATH: Duration = Duration::from_millis(50);

/// The configuration that serves `serving` in these versions of TLS, with HTTP/2 only.
pub(crate) fn tls(
    serving: &Serving,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let damaged = |_| rustls::Error::General("the certificate of the port is damaged".to_owned());
    let chain = CertificateDer::pem_slice_iter(serving.chain_pem.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(damaged)?;
    let key = PrivateKeyDer::from_pem_slice(serving.key_pem.as_bytes()).map_err(damaged)?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_protocol_versions(versions)?.with_no_client_auth();
    let mut config = config.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// Has `serve` serve every connection that there is a place for, until `shutdown`; then all of them are cut.
pub(crate) async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: &TcpListener,
    caps: Caps,
    shutdown: impl Future<Output = ()>,
    serve: impl Fn(TcpStream, SocketAddr, (Place, Stranger)) -> F,
) {
    let admission = Admission::new(caps);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(places) = admission.enter(peer.ip()) else { continue };
                connections.spawn(serve(stream, peer, places));
            }
            Err(error) => {
                tracing::warn!(%error, "a port cannot accept");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    connections.shutdown().await;
}
