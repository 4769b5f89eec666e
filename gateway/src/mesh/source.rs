// SPDX-License-Identifier: Apache-2.0
//! Where an identity comes from. Obtains nothing.

use std::path::PathBuf;
use std::time::Duration;

use super::spiffe::SpiffeId;
use crate::dial;

/// Where the identity comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// An authority signs what we ask for, again and again.
    Authority(AuthorityConfig),
    /// Somebody else keeps them up to date.
    Files(FolderConfig),
}

impl Source {
    /// What the authority calls our cluster, if there is one.
    pub(crate) fn cluster(&self) -> Option<&str> {
        match self {
            Self::Authority(config) => Some(&config.cluster_id),
            Self::Files(_) => None,
        }
    }

    /// The namespace that the proxy takes itself to be in, if it says so.
    pub(crate) fn namespace(&self) -> Option<&str> {
        match self {
            Self::Authority(config) => config.identity.as_ref().map(|id| id.namespace.as_str()),
            Self::Files(_) => None,
        }
    }
}

/// A folder with `tls.crt`, `tls.key` and `ca.crt` (PEM; a Secret's volume).
#[derive(Debug, Clone)]
pub struct FolderConfig {
    /// Where it is.
    pub path: PathBuf,
    /// Further authorities of the mesh (PEM), read again whenever the folder is.
    pub more_roots: Vec<PathBuf>,
}

/// An authority that speaks `istio.v1.auth.IstioCertificateService`: istiod, or istio-csr of cert-manager.
#[derive(Debug, Clone)]
pub struct AuthorityConfig {
    /// Where it is, as `host:port`.
    pub endpoint: String,
    /// The name that its certificate must have; by default the host of `endpoint`.
    pub server_name: Option<String>,
    /// Certificates (PEM) of the mesh's authorities, one of which must vouch for the authority itself; read again for
    /// every request, and whenever they changed put in force.
    pub roots_files: Vec<PathBuf>,
    /// The token that says who we are; read again for every request.
    pub token_file: PathBuf,
    /// What the authority calls our cluster.
    pub cluster_id: String,
    /// How long a certificate shall be valid; authorities refuse what is longer than they like.
    pub lifetime: Duration,
    /// Whom we take ourselves for. It stands in the request, for istio-csr demands it (istiod looks at the token only),
    /// and a certificate for another workload is refused. `None`: whatever is signed is what we are.
    pub identity: Option<SpiffeId>,
}

impl AuthorityConfig {
    /// With istiod's defaults: the cluster `Kubernetes`, 24 hours.
    pub fn new(endpoint: impl Into<String>, roots_file: impl Into<PathBuf>, token_file: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: endpoint.into(),
            server_name: None,
            roots_files: vec![roots_file.into()],
            token_file: token_file.into(),
            cluster_id: "Kubernetes".to_owned(),
            lifetime: Duration::from_hours(24),
            identity: None,
        }
    }

    pub(super) fn server_name(&self) -> &str {
        self.server_name.as_deref().unwrap_or_else(|| dial::host(&self.endpoint))
    }
}
