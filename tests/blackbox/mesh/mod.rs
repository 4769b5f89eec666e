// SPDX-License-Identifier: Apache-2.0
//! Workloads of a mesh, without a mesh: behind servers that demand what sidecars and the ambient mesh demand. Real ones are
//! met in the test cluster.

mod ambient;

mod sidecar;

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use torana_tests::{Authority, Issued, World};

use super::manifests::object;

/// The SPIFFE id of an account of namespace `default`.
fn id(account: &str) -> String {
    format!("spiffe://cluster.local/ns/default/sa/{account}")
}

/// A Service `name` on port 80 with one pod on a port of an address, with these labels and annotations, as `account`.
fn workload(name: &str, (address, port): (&str, u16), (labels, annotations): (&str, &str), account: &str) -> String {
    let endpoint = "endpoints: [{addresses: [127.0.0.1], conditions: {ready: true}}]";
    let pod = format!(
        "endpoints: [{{addresses: [{address}], conditions: {{ready: true}}, targetRef: {{kind: Pod, name: {name}}}}}]"
    );
    let service = World::service(name, port);
    assert!(service.contains(endpoint));
    service.replace(endpoint, &pod)
        + &format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: default, labels: {{app: {name}, {labels}}}, \
             annotations: {{{annotations}}}}}\nspec: {{serviceAccountName: {account}}}\n---\n"
        )
}

/// A pod behind a sidecar.
fn behind_sidecar(name: &str, port: u16, account: &str) -> String {
    workload(name, ("127.0.0.1", port), ("security.istio.io/tlsMode: istio", ""), account)
}

/// A pod in the ambient mesh, at an address of its own.
fn ambient_pod(name: &str, at: (&str, u16), account: &str) -> String {
    workload(name, at, ("", "ambient.istio.io/redirection: enabled"), account)
}

/// What workloads of namespace `default` take.
fn peer_authentication(mode: &str) -> String {
    object("security.istio.io/v1beta1", "PeerAuthentication", "default", &format!("mtls: {{mode: {mode}}}"))
}

/// The folder of the proxy's own identity.
struct Identity {
    folder: TempDir,
}

impl Identity {
    /// With this certificate, believing who comes from `roots`.
    fn new(own: &Issued, roots: &[&Authority]) -> Self {
        let identity = Self { folder: TempDir::new().unwrap() };
        identity.put(own, roots);
        identity
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces all of it as the kubelet does: beside it, and the link last.
    fn put(&self, own: &Issued, roots: &[&Authority]) {
        let data = TempDir::new_in(self.path()).unwrap().keep();
        let roots: String = roots.iter().map(|authority| authority.root_pem()).collect();
        for (name, text) in [("tls.crt", &own.chain), ("tls.key", &own.key), ("ca.crt", &roots)] {
            fs::write(data.join(name), text).unwrap();
            let link = self.path().join(name);
            if fs::symlink_metadata(&link).is_err() {
                std::os::unix::fs::symlink(Path::new("..data").join(name), link).unwrap();
            }
        }
        let (next, current) = (self.path().join("..next"), self.path().join("..data"));
        std::os::unix::fs::symlink(data.file_name().unwrap(), &next).unwrap();
        fs::rename(next, current).unwrap();
    }

    /// A gateway with this identity, once it has it.
    fn world(&self, manifests: &str) -> World {
        self.world_with(manifests, &[])
    }

    /// The same with further arguments.
    fn world_with(&self, manifests: &str, more: &[&str]) -> World {
        let own = ["--mesh-identity-dir", self.path().to_str().unwrap()];
        World::start_with(manifests, &[&own[..], more].concat())
    }
}
