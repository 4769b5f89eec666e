// SPDX-License-Identifier: Apache-2.0
//! One connection to the controller, over TLS 1.3. Knows no message.

use std::path::Path;

use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use super::{Lost, Remote};
use crate::dial::{self, Connection, Failure};

/// Connects to any of the controller's addresses.
pub(super) async fn connect(remote: &Remote) -> Result<Connection, Lost> {
    let tls = tls(&remote.feed_ca).await?;
    let name = ServerName::try_from(remote.server_name().to_owned()).map_err(Failure::of("--feed-name"))?;
    Ok(Connection::open(&remote.feed, name, tls).await?)
}

async fn tls(ca: &Path) -> Result<ClientConfig, Failure> {
    let pem = dial::contents(ca).await?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(Failure::of("--feed-ca"))?;
        roots.add(certificate).map_err(Failure::of("--feed-ca"))?;
    }
    dial::tls(roots, &[&TLS13])
}
