// SPDX-License-Identifier: Apache-2.0
//! What MeshConfig means for listeners, what there is to say of its ConfigMaps, and of objects that are for others because
//! of it. Never reads its text.

use torana_crds::ObjectRef;
use torana_crds::istio::MeshConfig;
use torana_crds::istio::mesh_config::NormalizationType;
use torana_ir::{PathMode, authorities};

use crate::mesh::at;
use crate::report::{Entry, Remark};
use crate::store::{Cluster, Elsewhere};
use crate::translate::istio::retries;
use crate::translate::traffic;

/// An authority that is none.
const INVALID: &str = "InvalidAuthority";

/// The form of paths, of every listener.
pub(super) fn path_mode(config: &MeshConfig) -> PathMode {
    match config.path_normalization.normalization {
        NormalizationType::None => PathMode::None,
        NormalizationType::Default | NormalizationType::Base => PathMode::Base,
        NormalizationType::MergeSlashes => PathMode::MergeSlashes,
        NormalizationType::DecodeAndMergeSlashes => PathMode::DecodeAndMergeSlashes,
    }
}

/// What there is to say of a ConfigMap of the mesh; `None` for any other object.
pub(super) fn entry(cluster: &Cluster, reference: &ObjectRef) -> Option<Entry> {
    let (config, said, generation) = cluster.mesh().said(reference, &cluster.settings().revision)?;
    let mut remarks = said.to_vec();
    if let Some(policy) = &config.default_http_retry_policy {
        retries::retry(Some(policy), &at("defaultHttpRetryPolicy"), &mut remarks);
    }
    let policy = &config.default_traffic_policy;
    let blocks = (None, policy.connection_pool.as_ref(), policy.outlier_detection.as_ref());
    traffic::of_blocks(blocks, &at("defaultTrafficPolicy"), &mut remarks);
    if cluster.settings().is_cluster() {
        remarks.extend(roots(config).1);
    } else if !config.ca_certificates.is_empty() {
        let message = "only the authorities that the process was given vouch for workloads";
        remarks.push(Remark::warning("UnsupportedField", &at("caCertificates"), message, "name them by --mesh-roots"));
    }
    Some(Entry { generation, remarks, ..Entry::default() })
}

/// Further authorities of workloads, as PEM, with what there is to say of those that are none. An authority of some trust
/// domains only counts if those of the mesh are among them: who is verified is not asked by which.
pub fn roots(config: &MeshConfig) -> (String, Vec<Remark>) {
    let (mut pem, mut remarks) = (String::new(), Vec::new());
    for (index, written) in config.ca_certificates.iter().enumerate() {
        let own = config.trust_domains().find(|own| !written.vouches_for(own));
        let (field, why, remedy) = match (&written.pem, own) {
            (None, _) => (".spiffeBundleUrl", "is not fetched".to_owned(), "write the certificates in pem"),
            (Some(_), Some(domain)) => {
                let why = format!("lack {domain}, and an authority vouches for all trust domains of the mesh or none");
                (".trustDomains", why, "name all of them, or leave the field out")
            }
            (Some(text), None) => match authorities(text.as_bytes()) {
                Ok(_) => {
                    pem.extend([text.trim_end(), "\n"]);
                    continue;
                }
                Err(why) => (".pem", why.to_string(), "write certificates of authorities"),
            },
        };
        let path = at(&format!("caCertificates[{index}]{field}"));
        remarks.push(Remark::error(INVALID, &path, format!("{why}: it vouches for nobody"), remedy));
    }
    (pem, remarks)
}

/// What there is to say of an object that is for others; `None` for any other object.
pub(super) fn elsewhere(cluster: &Cluster, reference: &ObjectRef) -> Option<Entry> {
    let object = cluster.aside(reference)?;
    let remark = match cluster.elsewhere(object)? {
        Elsewhere::Revision(revision) => {
            let ours = &cluster.settings().revision;
            let message =
                format!("it is for revision {revision:?} of Istio, and Torana is of {ours:?}: it has no effect");
            Remark::note("OtherRevision", "metadata.labels[\"istio.io/rev\"]", message, "")
        }
        Elsewhere::Namespace => {
            let message = "discoverySelectors of the mesh leave its namespace out, so it has no effect";
            Remark::note("NotDiscovered", "metadata.namespace", message, "")
        }
    };
    Some(Entry { generation: object.meta().generation, remarks: vec![remark], ..Entry::default() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn authority() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn only_what_vouches_for_every_trust_domain_of_the_mesh_is_an_authority() {
        let pem = authority();
        let config = json!({"trustDomain": "one", "trustDomainAliases": ["two@x"], "caCertificates": [
            {"pem": pem, "certSigners": ["a/b"]}, {"pem": pem, "trustDomains": ["two.x", "one"]},
            {"pem": pem, "trustDomains": ["one"]}, {"pem": "x"}, {"spiffeBundleUrl": "https://x"}]});
        let (pems, remarks) = roots(&serde_json::from_value(config).unwrap());
        assert_eq!(pems, pem.repeat(2));
        let told: Vec<_> = remarks.iter().map(|remark| remark.path.as_str()).collect();
        let fields = ["[2].trustDomains", "[3].pem", "[4].spiffeBundleUrl"];
        assert_eq!(told, fields.map(|field| format!("data.mesh.caCertificates{field}")));
    }
}
