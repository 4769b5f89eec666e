// SPDX-License-Identifier: Apache-2.0
//! Whether an object may refer to one in another namespace (ReferenceGrant). Never looks at whether the target exists:
//! a reference that is not permitted must not tell what is there.

use torana_crds::ObjectRef;
use torana_crds::policy::ReferenceGrant;

use crate::store::Cluster;

/// Inside a namespace always; across, if a grant in the target's namespace says so.
pub(super) fn permitted(cluster: &Cluster, from: &ObjectRef, to: &ObjectRef) -> bool {
    from.namespace == to.namespace
        || cluster.within::<ReferenceGrant>(&to.namespace).any(|grant| grant.permits(from, to))
}

/// What to do about a reference that is not permitted.
pub(super) fn remedy(from: &ObjectRef, to: &ObjectRef) -> String {
    let (kind, home) = (&from.kind, &from.namespace);
    let (target, namespace) = (&to.kind, &to.namespace);
    format!("add a ReferenceGrant in namespace {namespace} from {kind} in namespace {home} to {target} {}", to.name)
}
