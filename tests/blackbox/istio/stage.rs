// SPDX-License-Identifier: Apache-2.0
//! Who takes part in a case: a gateway with its manifests, the backends and certificates that they name. What stands for
//! them in the text is written out here. Never sends a request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::ClientConfig;
use torana_tests::{Authority, Backend, Issued, World, ports};

use super::case::Case;

/// A gateway that runs, and who is around it.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) backends: BTreeMap<String, Backend>,
    ports: BTreeMap<String, u16>,
    keys: Keys,
}

/// Certificates by the name they are for, and authorities by theirs.
struct Keys {
    servers: Authority,
    issued: BTreeMap<String, Issued>,
    clients: BTreeMap<String, Authority>,
}

impl Keys {
    fn issued(&mut self, name: &str) -> &Issued {
        let servers = &self.servers;
        self.issued.entry(name.to_owned()).or_insert_with(|| servers.issue(name, &[name]))
    }

    /// What `"@name.crt"` and the like stand for.
    fn text(&mut self, mark: &str) -> Option<String> {
        let (name, part) = mark.rsplit_once('.')?;
        Some(match part {
            "crt" => self.issued(name).chain.clone(),
            "key" => self.issued(name).key.clone(),
            "ca" => self.clients.entry(name.to_owned()).or_default().root_pem(),
            _ => return None,
        })
    }
}

impl Stage {
    /// Starts all of a case.
    pub(super) fn set(case: &Case) -> Result<Self, String> {
        let script = &case.script;
        let mut keys = Keys { servers: Authority::new(), issued: BTreeMap::new(), clients: BTreeMap::new() };
        let mut backends = BTreeMap::new();
        for (name, host) in &script.tls {
            let config = keys.issued(host).server(&[], None);
            backends.insert(name.clone(), Backend::tls(name, config));
        }
        let mut manifests = case.manifests.clone();
        for service in &script.services {
            manifests += &self::service(service);
        }
        let mut ports = BTreeMap::new();
        let manifests = replaced(&manifests, ("${", "}"), |name| {
            Some(if name.starts_with(|first: char| first.is_ascii_uppercase()) {
                ports.entry(name.to_owned()).or_insert_with(ports::free).to_string()
            } else {
                backends.entry(name.to_owned()).or_insert_with(|| echo(name)).port.to_string()
            })
        })?;
        let manifests = replaced(&manifests, ("\"@", "\""), |mark| keys.text(mark).map(|pem| format!("{pem:?}")))?;
        Ok(Self { world: World::start(&manifests), backends, ports, keys })
    }

    /// The port that `${NAME}` stands for in manifests.
    pub(super) fn port(&self, name: &str) -> Option<u16> {
        self.ports.get(name).copied()
    }

    /// The text with the ports that it names as manifests do.
    pub(super) fn written(&self, text: &str) -> Result<String, String> {
        replaced(text, ("${", "}"), |name| self.port(name).map(|port| port.to_string()))
    }

    /// The certificate for a name, if manifests have it.
    pub(super) fn certificate(&self, name: &str) -> Option<&Issued> {
        self.keys.issued.get(name)
    }

    /// How a client shakes hands that shows a certificate of that authority; `stranger` is one that no manifest names.
    pub(super) fn client(&self, authority: &str) -> Arc<ClientConfig> {
        let stranger = Authority::new();
        let known = self.keys.clients.get(authority).or((authority == "stranger").then_some(&stranger));
        let known = known.unwrap_or_else(|| panic!("no manifest has \"@{authority}.ca\""));
        known.client_with(&[], Some(&known.issue("client", &["client.example"])))
    }
}

/// The text with each mark between `open` and `close` written out; an error names one that stands for nothing.
fn replaced(
    text: &str,
    (open, close): (&str, &str),
    mut meaning: impl FnMut(&str) -> Option<String>,
) -> Result<String, String> {
    let mut parts = text.split(open);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (mark, rest) = part.split_once(close).ok_or_else(|| format!("{open} is not closed"))?;
        whole += &meaning(mark).ok_or_else(|| format!("{open}{mark}{close} stands for nothing"))?;
        whole += rest;
    }
    Ok(whole)
}

/// A Service `namespace/name` with one endpoint, the backend of that name.
fn service(reference: &str) -> String {
    let (namespace, name) = reference.split_once('/').unwrap_or(("default", reference));
    let manifests = World::service(name, 0).replace("namespace: default", &format!("namespace: {namespace}"));
    let (of_service, of_slice) = (format!("targetPort: ${{{name}}}"), format!("port: ${{{name}}}"));
    let manifests = manifests.replace("targetPort: 0", &of_service).replace("port: 0", &of_slice);
    format!("---\n{manifests}")
}

/// Answers with its name, in the status that the request asks for by `x-answer`, after as many milliseconds as `x-wait` says.
fn echo(name: &str) -> Backend {
    let name = name.to_owned();
    Backend::scripted(move |seen| {
        if let Some(wait) = seen.header("x-wait").and_then(|text| text.parse().ok()) {
            thread::sleep(Duration::from_millis(wait));
        }
        let status = seen.header("x-answer").unwrap_or("200");
        let length = name.len();
        format!("HTTP/1.1 {status} X\r\nX-Backend: {name}\r\nContent-Length: {length}\r\n\r\n{name}").into_bytes()
    })
}
