// SPDX-License-Identifier: Apache-2.0
//! Who spans come from, as far as the process knows it.

use super::messages;

/// What it is called where nobody says otherwise.
const NAME: &str = "torana-gateway";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Who spans come from: names and what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource(Vec<(&'static str, String)>);

impl Resource {
    /// This process, which takes itself to be in that namespace; `variable` looks into the environment.
    pub(crate) fn of(namespace: Option<String>, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let namespace = set("POD_NAMESPACE").or(namespace);
        let host = set("HOSTNAME");
        // In a pod the host has the name of the pod.
        let pod = set("POD_NAME").or_else(|| set("KUBERNETES_SERVICE_HOST").and(host.clone()));
        let all = [
            ("service.name", set("OTEL_SERVICE_NAME").or_else(|| Some(NAME.to_owned()))),
            ("service.namespace", namespace.clone()),
            ("service.version", Some(VERSION.to_owned())),
            ("host.name", host),
            ("k8s.pod.name", pod),
            ("k8s.namespace.name", namespace),
            ("telemetry.sdk.name", Some("torana".to_owned())),
            ("telemetry.sdk.language", Some("rust".to_owned())),
            ("telemetry.sdk.version", Some(VERSION.to_owned())),
        ];
        Self(all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }

    pub(super) fn attributes(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    pub(super) fn scope() -> messages::InstrumentationScope {
        messages::InstrumentationScope { name: NAME.to_owned(), version: VERSION.to_owned() }
    }
}
