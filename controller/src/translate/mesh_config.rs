// SPDX-License-Identifier: Apache-2.0
//! What MeshConfig means for listeners, what there is to say of its ConfigMaps, and of objects that are for others because
//! of it. Never reads its text.

use torana_crds::ObjectRef;
use torana_crds::istio::MeshConfig;
use torana_crds::istio::mesh_config::NormalizationType;
use torana_ir::PathMode;

use crate::mesh::at;
use crate::report::{Entry, Remark};
use crate::store::{Cluster, Elsewhere};
use crate::translate::istio::retries;
use crate::translate::traffic;

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
    Some(Entry { generation, remarks, ..Entry::default() })
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
