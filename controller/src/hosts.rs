// SPDX-License-Identifier: Apache-2.0
//! Names of services as Istio writes them: what a short name stands for, what of Kubernetes a name means, and which
//! names a pattern takes in. Never looks whether there is such a service.

use torana_crds::Kind;
use torana_crds::ObjectRef;

/// What every name of a Service of Kubernetes ends in.
const SUFFIX: &str = ".svc.cluster.local";

/// The whole name that `host`, written in an object of `namespace`, stands for: a name without a dot is that of a Service
/// of that namespace. In lower case; patterns and addresses stay as they are.
pub(crate) fn whole(host: &str, namespace: &str) -> String {
    let is_short = !host.contains(['.', '*', ':']) && !host.is_empty();
    let name = if is_short { format!("{host}.{namespace}{SUFFIX}") } else { host.to_owned() };
    name.to_ascii_lowercase()
}

/// The name of a Service.
pub(crate) fn of_service(namespace: &str, name: &str) -> String {
    format!("{name}.{namespace}{SUFFIX}")
}

/// The Service that a whole name means, if it is one of Kubernetes.
pub(crate) fn service(host: &str) -> Option<ObjectRef> {
    let (name, namespace) = host.strip_suffix(SUFFIX)?.split_once('.')?;
    let are_names = !name.is_empty() && !namespace.is_empty() && !namespace.contains('.');
    are_names.then(|| ObjectRef::new(Kind::Service, namespace, name))
}

/// Whether `pattern`, perhaps a name itself, takes in all that `host` does, which may be a pattern too
/// (`host.Name.SubsetOf`).
pub(crate) fn takes_in(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        None => pattern == host,
        // Of `*.a` and `*.b.a` the second is the narrower; `*` takes in all.
        Some(end) => host.strip_prefix('*').unwrap_or(host).ends_with(end) && host.len() >= pattern.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_of_the_namespace_of_the_rule() {
        for (host, expected) in [
            ("reviews", "reviews.web.svc.cluster.local"),
            ("Reviews", "reviews.web.svc.cluster.local"),
            ("reviews.prod", "reviews.prod"),
            ("a.example", "a.example"),
            ("*", "*"),
            ("*.example", "*.example"),
            ("::1", "::1"),
        ] {
            assert_eq!(whole(host, "web"), expected);
        }
    }

    #[test]
    fn only_whole_names_are_those_of_services() {
        let reference = ObjectRef::new(Kind::Service, "prod", "reviews");
        assert_eq!(service(&of_service("prod", "reviews")), Some(reference));
        for other in ["reviews.prod", "reviews.svc.cluster.local", "a.b.c.svc.cluster.local", ".svc.cluster.local"] {
            assert_eq!(service(other), None, "{other}");
        }
    }

    #[test]
    fn a_pattern_takes_in_names_and_narrower_patterns() {
        for (pattern, host, expected) in [
            ("a.com", "a.com", true),
            ("*.a.com", "x.a.com", true),
            ("*.a.com", "x.y.a.com", true),
            ("*.a.com", "a.com", false),
            ("*.a.com", "*.b.a.com", true),
            ("*.b.a.com", "*.a.com", false),
            ("*", "a.com", true),
            ("*", "*.a.com", true),
            ("*.a.com", "*", false),
            ("a.com", "*.a.com", false),
        ] {
            assert_eq!(takes_in(pattern, host), expected, "{pattern} {host}");
        }
    }
}
