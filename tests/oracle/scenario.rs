// SPDX-License-Identifier: Apache-2.0
//! A configuration and calls to a gateway that has it, as both sides are given them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// How a client begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    /// HTTP in TLS.
    Https,
    /// Bytes in TLS.
    Tls,
    Tcp,
}

impl Protocol {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tls => "tls",
            Self::Tcp => "tcp",
        }
    }
}

/// One request, or one connection without any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) port: u16,
    pub(super) protocol: Protocol,
    /// Server name of the handshake.
    pub(super) sni: Option<String>,
    /// With its port, if it has one.
    pub(super) host: String,
    pub(super) method: String,
    /// With its query.
    pub(super) path: String,
    /// In the order they are sent; a name may come again.
    pub(super) headers: Vec<(String, String)>,
}

/// Whose gateway it is.
#[derive(Debug, Clone)]
pub(super) struct Pod {
    pub(super) namespace: String,
    pub(super) labels: BTreeMap<String, String>,
}

/// Objects, and what is asked of them.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    /// Objects of Istio.
    pub(super) istio: Vec<Value>,
    /// Namespaces, Services, EndpointSlices.
    pub(super) kubernetes: Vec<Value>,
    pub(super) pod: Pod,
    pub(super) calls: Vec<Call>,
}

impl Scenario {
    /// As the oracle reads it: one line.
    pub(super) fn line(&self, id: u64) -> String {
        let calls: Vec<Value> = self.calls.iter().map(Call::json).collect();
        let proxy = json!({"namespace": self.pod.namespace, "labels": self.pod.labels});
        let (istio, kubernetes) = (documents(&self.istio), documents(&self.kubernetes));
        json!({"id": id, "config": istio, "kubernetes": kubernetes, "proxy": proxy, "calls": calls}).to_string()
    }
}

/// Documents of a stream; JSON is YAML.
pub(super) fn documents(objects: &[Value]) -> String {
    let texts: Vec<String> = objects.iter().map(Value::to_string).collect();
    texts.join("\n---\n")
}

impl Call {
    fn json(&self) -> Value {
        let mut headers: Map<String, Value> = Map::new();
        for (name, value) in &self.headers {
            let values = headers.entry(name.to_lowercase()).or_insert_with(|| json!([]));
            if let Some(values) = values.as_array_mut() {
                values.push(value.clone().into());
            }
        }
        json!({
            "port": self.port,
            "protocol": self.protocol.word(),
            "sni": self.sni.as_deref().unwrap_or_default(),
            "host": self.host,
            "method": self.method,
            "path": self.path,
            "headers": headers,
        })
    }
}
