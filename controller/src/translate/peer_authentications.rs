// SPDX-License-Identifier: Apache-2.0
//! What a workload takes: cleartext, mutual TLS, or both. Of several PeerAuthentications the one for the workload goes
//! before that for its namespace, and that before the one for the mesh; of several of one kind the oldest holds; a port
//! of its own, which only the first can name, before all. `UNSET` leaves it to the next wider one.
//!
//! Never looks at an endpoint.

use torana_crds::StringMap;
use torana_crds::istio::PeerAuthentication;
use torana_crds::istio::peer_authentication::MtlsMode;

use crate::report::{Entry, Severity};
use crate::store::Cluster;
use crate::translate::servers::verdict;

/// What the workload with these labels takes on one of its ports; never [`MtlsMode::Unset`].
pub(super) fn mode(cluster: &Cluster, (namespace, labels): (&str, &StringMap), port: u16) -> MtlsMode {
    let root = cluster.mesh().root_namespace();
    let is_for = |own: &StringMap| own.iter().all(|(key, value)| labels.get(key) == Some(value));
    let of_all = |policy: &&PeerAuthentication| policy.selects().is_none();
    let mesh = oldest(cluster.within::<PeerAuthentication>(root).filter(of_all));
    let is_root = namespace == root;
    let near = || cluster.within::<PeerAuthentication>(namespace).filter(|_| !is_root);
    let of_namespace = oldest(near().filter(of_all));
    let of_workload = oldest(near().filter(|policy| policy.selects().is_some_and(is_for)));
    let mut mode = MtlsMode::Permissive;
    for policy in [mesh, of_namespace, of_workload].into_iter().flatten() {
        mode = set(policy.spec.mtls.mode, mode);
    }
    let of_port = of_workload.and_then(|policy| policy.ports().find(|(number, _)| *number == port));
    of_port.map_or(mode, |(_, own)| set(own, mode))
}

fn set(own: MtlsMode, wider: MtlsMode) -> MtlsMode {
    if own == MtlsMode::Unset { wider } else { own }
}

/// Of one age the first by name.
fn oldest<'c>(policies: impl Iterator<Item = &'c PeerAuthentication>) -> Option<&'c PeerAuthentication> {
    policies.min_by_key(|policy| policy.meta.created.unwrap_or_default())
}

/// What there is to say of one by itself.
pub(super) fn entry(policy: &PeerAuthentication) -> Entry {
    let (mut remarks, _) = verdict(policy.problems());
    remarks.sort_by(|one, two| (Severity::cmp(&two.severity, &one.severity)).then_with(|| one.path.cmp(&two.path)));
    Entry { generation: policy.meta.generation, remarks, ..Entry::default() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::store::{Event, Settings};

    /// Namespace and name, day of January, and `spec`.
    type Written<'w> = (&'w str, u8, Value);

    fn in_force(policies: &[Written<'_>], namespace: &str, port: u16) -> MtlsMode {
        let mut cluster = Cluster::new(Settings::standalone(0));
        for (name, day, spec) in policies {
            let (namespace, name) = name.split_once('/').unwrap();
            let object = json!({"apiVersion": "security.istio.io/v1beta1", "kind": "PeerAuthentication",
                "metadata": {"namespace": namespace, "name": name,
                    "creationTimestamp": format!("2026-01-{day:02}T00:00:00Z")}, "spec": spec});
            let object = torana_crds::decode(object, "").content.object().unwrap();
            cluster.apply(Event::Applied(Arc::new(object)));
        }
        let labels = StringMap::from([("app".to_owned(), "a".to_owned()), ("v".to_owned(), "1".to_owned())]);
        mode(&cluster, (namespace, &labels), port)
    }

    fn all(mode: &str) -> Value {
        json!({"mtls": {"mode": mode}})
    }

    fn of(app: &str, mode: &str) -> Value {
        json!({"selector": {"matchLabels": {"app": app}}, "mtls": {"mode": mode}})
    }

    #[test]
    fn the_narrower_one_goes_first_and_of_one_kind_the_oldest() {
        use MtlsMode::{Disable, Permissive, Strict};
        let rows: &[(&[Written<'_>], MtlsMode)] = &[
            (&[], Permissive),
            (&[("istio-system/m", 1, all("STRICT"))], Strict),
            (&[("istio-system/m", 1, all("STRICT")), ("n/n", 1, all("DISABLE"))], Disable),
            (&[("n/n", 1, all("DISABLE")), ("n/w", 2, of("a", "STRICT"))], Strict),
            (&[("n/n", 1, all("DISABLE")), ("n/w", 2, of("b", "STRICT"))], Disable),
            // Another namespace's are not for it, nor are those of the root namespace that select.
            (&[("other/n", 1, all("STRICT"))], Permissive),
            (&[("istio-system/m", 1, of("a", "STRICT"))], Permissive),
            // An empty selector selects nothing, and is for all.
            (&[("n/n", 1, json!({"selector": {"matchLabels": {}}, "mtls": {"mode": "STRICT"}}))], Strict),
            // What is not set is what the next wider one says.
            (&[("istio-system/m", 1, all("STRICT")), ("n/n", 1, all("UNSET")), ("n/w", 1, of("a", "UNSET"))], Strict),
            (&[("istio-system/m", 1, all("STRICT")), ("n/n", 1, json!({}))], Strict),
            (&[("istio-system/m", 1, all("UNSET"))], Permissive),
            // The oldest, though it says nothing.
            (&[("n/z", 1, all("DISABLE")), ("n/a", 2, all("STRICT"))], Disable),
            (&[("n/z", 2, all("DISABLE")), ("n/a", 2, all("STRICT"))], Strict),
            (&[("n/y", 1, of("a", "DISABLE")), ("n/x", 2, of("a", "STRICT"))], Disable),
            (&[("n/y", 1, all("UNSET")), ("n/x", 2, all("STRICT"))], Permissive),
            (&[("istio-system/b", 1, all("DISABLE")), ("istio-system/a", 3, all("STRICT"))], Disable),
        ];
        for (policies, expected) in rows {
            assert_eq!(in_force(policies, "n", 80), *expected, "{policies:?}");
        }
    }

    #[test]
    fn a_port_has_its_own_only_where_the_workload_is_selected() {
        use MtlsMode::{Disable, Permissive, Strict};
        let ports = json!({"8080": {"mode": "DISABLE"}, "9090": {}, "9091": {"mode": "UNSET"}});
        let mut selecting = of("a", "STRICT");
        selecting["portLevelMtls"] = ports.clone();
        for (port, expected) in [(8080, Disable), (9090, Strict), (9091, Strict), (80, Strict)] {
            assert_eq!(in_force(&[("n/w", 1, selecting.clone())], "n", port), expected, "{port}");
        }
        let for_all = json!({"mtls": {"mode": "STRICT"}, "portLevelMtls": ports});
        assert_eq!(in_force(&[("n/n", 1, for_all)], "n", 8080), Strict);
        // The port of a younger one is not looked at.
        let older = ("n/a", 1, of("a", "PERMISSIVE"));
        assert_eq!(in_force(&[older, ("n/w", 2, selecting)], "n", 8080), Permissive);
    }

    #[test]
    fn in_the_root_namespace_the_one_for_the_mesh_is_the_one_for_the_namespace() {
        let policies = [("istio-system/m", 1, all("STRICT")), ("istio-system/w", 1, of("a", "DISABLE"))];
        assert_eq!(in_force(&policies, "istio-system", 80), MtlsMode::Strict);
    }
}
