// SPDX-License-Identifier: Apache-2.0
//! The flags that say where the proxy's identity in a mesh comes from. Obtains nothing.

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgGroup;

use super::duration::duration;
use crate::mesh::{AuthorityConfig, FolderConfig, Source, SpiffeId};

/// Where the identity comes from; without any of these there is none.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(group(ArgGroup::new("mesh_source").args(["mesh_identity_dir", "mesh_ca"])))]
pub struct MeshIdentity {
    /// Folder with tls.crt, tls.key and ca.crt (PEM): the identity in the mesh, kept up to date by somebody else
    #[arg(long, value_name = "DIR", env = "TORANA_MESH_IDENTITY_DIR")]
    pub mesh_identity_dir: Option<PathBuf>,
    /// Authority of the mesh that signs the identity, such as istiod.istio-system.svc:15012
    #[arg(long, value_name = "HOST:PORT", requires = "mesh_ca_roots", requires = "mesh_token", env = "TORANA_MESH_CA")]
    pub mesh_ca: Option<String>,
    /// Name of that authority's certificate [default: its host]
    #[arg(long, value_name = "NAME", requires = "mesh_ca", env = "TORANA_MESH_CA_NAME")]
    pub mesh_ca_name: Option<String>,
    /// Certificates (PEM) of the mesh's authorities, read again whenever they change
    #[arg(long, value_name = "FILE", requires = "mesh_ca", env = "TORANA_MESH_CA_ROOTS")]
    pub mesh_ca_roots: Option<PathBuf>,
    /// Further authorities of the mesh (PEM), as --mesh-ca-roots or the folder's ca.crt; may be given again
    #[arg(long, value_name = "FILE", requires = "mesh_source", env = "TORANA_MESH_ROOTS", value_delimiter = ',')]
    pub mesh_roots: Vec<PathBuf>,
    /// Token that says to the authority who the proxy is, read again for every request
    #[arg(long, value_name = "FILE", requires = "mesh_ca", env = "TORANA_MESH_TOKEN")]
    pub mesh_token: Option<PathBuf>,
    /// What the authority calls the cluster [default: Kubernetes]
    #[arg(long, value_name = "ID", requires = "mesh_ca", env = "TORANA_MESH_CLUSTER_ID")]
    pub mesh_cluster_id: Option<String>,
    /// Who the proxy takes itself for, spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT: the certificate of another workload is refused
    #[arg(long, value_name = "SPIFFE-ID", requires = "mesh_ca", value_parser = SpiffeId::parse, env = "TORANA_MESH_ID")]
    pub mesh_id: Option<SpiffeId>,
    /// How long certificates shall be valid; an authority may refuse what is longer than it likes [default: 24h]
    #[arg(long, value_name = "DURATION", requires = "mesh_ca", value_parser = duration, env = "TORANA_MESH_LIFETIME")]
    pub mesh_lifetime: Option<Duration>,
}

impl MeshIdentity {
    /// What they say.
    pub fn source(&self) -> Option<Source> {
        if let Some(folder) = &self.mesh_identity_dir {
            let (path, more_roots) = (folder.clone(), self.mesh_roots.clone());
            return Some(Source::Files(FolderConfig { path, more_roots }));
        }
        let (authority, roots, token) =
            (self.mesh_ca.as_ref()?, self.mesh_ca_roots.as_ref()?, self.mesh_token.as_ref()?);
        let mut config = AuthorityConfig::new(authority, roots, token);
        config.roots_files.extend_from_slice(&self.mesh_roots);
        config.server_name.clone_from(&self.mesh_ca_name);
        config.identity.clone_from(&self.mesh_id);
        if let Some(cluster) = &self.mesh_cluster_id {
            config.cluster_id.clone_from(cluster);
        }
        config.lifetime = self.mesh_lifetime.unwrap_or(config.lifetime);
        Some(Source::Authority(config))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Arguments {
        #[command(flatten)]
        mesh: MeshIdentity,
    }

    fn source(arguments: &[&str]) -> Result<Option<Source>, clap::Error> {
        Arguments::try_parse_from([&["x"], arguments].concat()).map(|arguments| arguments.mesh.source())
    }

    #[test]
    fn an_identity_comes_from_one_place_and_whoever_names_an_authority_says_how_to_speak_to_it() {
        assert!(source(&[]).unwrap().is_none());
        let folder = source(&["--mesh-identity-dir", "/a"]).unwrap();
        assert!(matches!(folder, Some(Source::Files(folder)) if folder.path.to_str() == Some("/a")));
        let whole = ["--mesh-ca", "h:1", "--mesh-ca-roots", "/r", "--mesh-token", "/t", "--mesh-lifetime", "2m"];
        let Some(Source::Authority(config)) = source(&whole).unwrap() else { panic!("an authority was named") };
        assert_eq!((config.endpoint.as_str(), config.cluster_id.as_str()), ("h:1", "Kubernetes"));
        assert_eq!(config.lifetime, Duration::from_mins(2));
        let both = ["--mesh-identity-dir", "/a", "--mesh-ca", "h:1", "--mesh-ca-roots", "/r", "--mesh-token", "/t"];
        for bad in [&whole[..2], &whole[..4], &whole[2..], &both, &["--mesh-roots", "/r"]] {
            assert!(source(bad).is_err(), "{bad:?}");
        }
        let more = [&whole[..], &["--mesh-roots", "/a", "--mesh-roots", "/b"]].concat();
        assert!(matches!(source(&more), Ok(Some(Source::Authority(config))) if config.roots_files.len() == 3));
    }
}
