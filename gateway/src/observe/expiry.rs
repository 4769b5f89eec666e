// SPDX-License-Identifier: Apache-2.0
//! When the certificates that are served end, by listener and host. Reads no clock.

use std::collections::BTreeMap;

use torana_ir::{Certificate, HostPattern, Listener, Snapshot};

use super::nouns::Nouns;

/// Hosts of one listener; a certificate may name thousands.
const MOST_HOSTS: usize = 100;

/// Seconds since 1970 by gateway, host and listener. Of several certificates for a host the first to end counts.
pub(super) fn expiries(snapshot: &Snapshot) -> BTreeMap<[String; 3], i64> {
    let mut ends = BTreeMap::new();
    for listener in snapshot.listeners.values() {
        let Some(tls) = listener.protocol.tls() else { continue };
        let nouns = Nouns::listener(&listener.key);
        for certificate in tls.certificates.iter().filter_map(|key| snapshot.certificates.get(key)) {
            for host in hosts(listener, certificate) {
                let end = ends.entry([nouns.gateway.clone(), host, nouns.listener.clone()]).or_insert(i64::MAX);
                *end = certificate.not_after.min(*end);
            }
        }
    }
    ends
}

/// Names of the certificate under which the listener is reached; the listener's own if there is none, for it is served
/// all the same.
fn hosts(listener: &Listener, certificate: &Certificate) -> Vec<String> {
    let patterns = certificate.names.iter().filter_map(|name| HostPattern::parse(name));
    let reached = patterns.filter_map(|name| name.intersection(&listener.hostname));
    let hosts: Vec<String> = reached.take(MOST_HOSTS).map(|host| host.to_string()).collect();
    if hosts.is_empty() { vec![listener.hostname.to_string()] } else { hosts }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use torana_ir::{Protocol, Tls};

    use super::*;
    use crate::samples::{self, listener_key};

    /// A certificate for `names` that ends at `not_after`.
    fn certificate(name: &str, names: &[&str], not_after: i64) -> Arc<Certificate> {
        let mut certificate = samples::certificate(name, names);
        certificate.not_after = not_after;
        Arc::new(certificate)
    }

    fn snapshot(hostname: &str, certificates: &[Arc<Certificate>]) -> Snapshot {
        let keys = certificates.iter().map(|certificate| certificate.key.clone()).collect();
        let listener = Listener {
            protocol: Protocol::Https(Tls::new(keys)),
            hostname: HostPattern::parse(hostname).unwrap(),
            ..Listener::new(listener_key("web"), 443)
        };
        let mut snapshot = Snapshot::default();
        snapshot.listeners.insert(listener.key.clone(), Arc::new(listener));
        snapshot.certificates.extend(certificates.iter().map(|it| (it.key.clone(), Arc::clone(it))));
        snapshot
    }

    #[test]
    fn a_listener_has_the_names_of_its_certificates_under_which_it_is_reached() {
        let rows: [(&str, &[&str], &[&str]); 4] = [
            ("", &["a.com", "*.b.com"], &["a.com", "*.b.com"]),
            ("*.b.com", &["a.com", "*.b.com", "x.b.com"], &["*.b.com", "x.b.com"]),
            ("x.b.com", &["*.b.com", "a.com"], &["x.b.com"]),
            ("c.com", &["a.com"], &["c.com"]),
        ];
        for (hostname, names, hosts) in rows {
            let found = expiries(&snapshot(hostname, &[certificate("one", names, 7)]));
            let mut wanted: Vec<_> = hosts.iter().map(|host| ["n/g", host, "web"].map(str::to_owned)).collect();
            wanted.sort();
            assert_eq!(found.keys().cloned().collect::<Vec<_>>(), wanted, "{hostname:?} {names:?}");
            assert!(found.values().all(|end| *end == 7));
        }
    }

    #[test]
    fn of_two_certificates_for_a_host_the_first_to_end_counts() {
        let both = [certificate("rsa", &["a.com"], 9), certificate("ecdsa", &["a.com"], 8)];
        assert_eq!(expiries(&snapshot("", &both)).into_values().collect::<Vec<_>>(), [8]);
    }

    #[test]
    fn a_certificate_with_very_many_names_does_not_flood() {
        let names: Vec<String> = (0..150).map(|at| format!("h{at}.a.com")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(expiries(&snapshot("", &[certificate("one", &names, 7)])).len(), MOST_HOSTS);
    }
}
