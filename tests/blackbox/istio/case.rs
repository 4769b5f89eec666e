// SPDX-License-Identifier: Apache-2.0
//! A case as it is written: one file of manifests, and after the line `# Calls` what is asked of the gateway that has them
//! and what must come of it. Never runs anything.
//!
//! ```yaml
//! # Gateway.servers.hosts: the sentence that the file is about; it names the field.
//! … manifests …
//! # Calls
//! services: [one, other-namespace/two]
//! tls: {vault: vault.example}
//! says: [part of a line of the log]
//! calls:
//! - {request: GET a.example/foo, expect: {backend: one}}
//! - {request: GET a.example/bar, headers: {x: a}, expect: 404}
//! - {request: GET a.example/, tls: {certificate: staff}, expect: {backend: one, certificate: a.example}}
//! - {request: GET b.example/, tls: {}, expect: {error: alert}}
//! ```
//!
//! | In manifests | Stands for |
//! |---|---|
//! | `${HTTP}`, `${ANY_CAPITALS}` | a free port |
//! | `${one}` | the port of a backend `one`, which is there for being named; it echoes, and says who it is |
//! | `"@a.example.crt"`, `"@a.example.key"` | a certificate for that name, and its key |
//! | `"@staff.ca"` | the root of an authority `staff`, which clients show a certificate of |
//!
//! A backend answers a request with `x-answer: 503` in that status, and one with `x-wait: 500` half a second later.
//! `services` are Services of port 80 with one endpoint, a backend of that name; `tls` are backends that speak TLS with a
//! certificate for that name. A call goes to port `HTTP`, with `tls` to `HTTPS`, unless it says another.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// Between manifests and calls.
const SEPARATOR: &str = "# Calls\n";

/// A header's value, or behind `~` a part of it; `None`: it must be absent.
pub(super) type Fields = BTreeMap<String, Option<String>>;

/// A file.
#[derive(Debug)]
pub(super) struct Case {
    /// With their placeholders.
    pub(super) manifests: String,
    pub(super) script: Script,
}

/// What follows the manifests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    #[serde(default)]
    pub(super) services: Vec<String>,
    #[serde(default)]
    pub(super) tls: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) says: Vec<String>,
    pub(super) calls: Vec<Call>,
}

/// One request, or several that are the same.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    /// `GET a.example:80/path?query`; what stands before the first slash is sent as the host.
    pub(super) request: String,
    /// The name of a port, without `${}`.
    pub(super) port: Option<String>,
    /// Of the loopback network; 127.0.0.1 by default.
    pub(super) address: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// By HTTP/2; without TLS by prior knowledge.
    #[serde(default)]
    pub(super) http2: bool,
    pub(super) tls: Option<Handshake>,
    pub(super) expect: Expected,
}

/// How a client shakes hands.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Handshake {
    /// The server name; the request's host by default. `none`: it names no server.
    pub(super) sni: Option<String>,
    /// Protocols that it offers; none by default.
    #[serde(default)]
    pub(super) alpn: Vec<String>,
    /// The authority of the certificate that it shows if it is asked for one.
    pub(super) certificate: Option<String>,
    /// `1.2` or `1.3`, the only version that it speaks.
    pub(super) version: Option<String>,
}

/// What must come of a call. A number alone is the status of an answer that no backend gave.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct Expected(pub(super) Outcome);

/// The same in full. What is not said is not looked at, but: a backend that is not named sees nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outcome {
    /// 200 where a backend is named.
    pub(super) status: Option<u16>,
    /// Who answers.
    pub(super) backend: Option<String>,
    /// How many of several requests each backend answers; there are as many as that.
    #[serde(default)]
    pub(super) shares: BTreeMap<String, usize>,
    /// Who gets a copy.
    pub(super) mirror: Option<String>,
    /// How often the backend is asked; once by default.
    pub(super) tries: Option<usize>,
    /// Path and query that the backend sees; those of the request by default.
    pub(super) path: Option<String>,
    /// The host that the backend, or whoever gets the copy, sees.
    pub(super) host: Option<String>,
    /// Headers that it sees.
    #[serde(default)]
    pub(super) seen: Fields,
    /// Headers of the answer.
    #[serde(default)]
    pub(super) headers: Fields,
    /// The header of that name; `${HTTP}` is a port here, too.
    pub(super) location: Option<String>,
    /// The body of the answer.
    pub(super) body: Option<String>,
    /// Whose certificate the server shows.
    pub(super) certificate: Option<String>,
    /// What was agreed on; `none`: nothing.
    pub(super) alpn: Option<String>,
    /// How the connection ends without an answer.
    pub(super) error: Option<Failure>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Failure {
    /// Nothing listens.
    Refused,
    /// An alert of TLS.
    Alert,
    /// The connection ends, or is reset.
    Closed,
}

impl Case {
    /// Reads a file.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let sentence = text.lines().next().unwrap_or_default();
        if !sentence.starts_with("# ") || !sentence.ends_with('.') || !sentence.contains(": ") {
            return Err(format!("the first line is no sentence about a field: {sentence:?}"));
        }
        let (manifests, script) = text.split_once(SEPARATOR).ok_or("there is no line # Calls")?;
        let script: Script = serde_saphyr::from_str(script).map_err(|error| error.to_string())?;
        if script.calls.is_empty() {
            return Err("nothing is asked".to_owned());
        }
        for call in &script.calls {
            call.expect.0.check().map_err(|why| format!("{}: {why}", call.request))?;
            call.line().ok_or_else(|| format!("{:?} is not METHOD HOST/PATH", call.request))?;
        }
        Ok(Self { manifests: manifests.to_owned(), script })
    }

    /// How many things are shown.
    pub(super) fn calls(&self) -> usize {
        self.script.calls.len()
    }
}

impl Call {
    /// Method, host and target.
    pub(super) fn line(&self) -> Option<(&str, &str, &str)> {
        let (method, rest) = self.request.split_once(' ')?;
        let slash = rest.find('/')?;
        let (host, target) = rest.split_at(slash);
        (!host.is_empty() && !method.is_empty()).then_some((method, host, target))
    }

    /// How often the request is sent.
    pub(super) fn times(&self) -> usize {
        self.expect.0.shares.values().sum::<usize>().max(1)
    }
}

impl TryFrom<Value> for Expected {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let value = if value.is_number() { serde_json::json!({ "status": value }) } else { value };
        serde_json::from_value(value).map(Self).map_err(|error| error.to_string())
    }
}

impl Outcome {
    /// Whether it says what becomes of the request at all, and nothing that contradicts it.
    fn check(&self) -> Result<(), String> {
        let ends = [self.backend.is_some(), !self.shares.is_empty(), self.error.is_some()];
        let is_seen = self.backend.is_some() || self.mirror.is_some();
        let of_requests = [self.path.is_some(), self.host.is_some(), !self.seen.is_empty(), self.tries.is_some()];
        match ends.iter().filter(|end| **end).count() {
            0 if self.status.is_none() => Err("expect says nothing".to_owned()),
            0 | 1 if !is_seen && of_requests.contains(&true) => {
                Err("no backend is named that sees a request".to_owned())
            }
            0 | 1 => Ok(()),
            _ => Err("of backend, shares and error there can be one".to_owned()),
        }
    }
}

#[test]
fn what_is_misspelt_or_says_nothing_is_no_case() {
    let with =
        |calls: &str| Case::read(&format!("# A.b: c.\nkind: X\n# Calls\ncalls:\n- {{request: GET a/, {calls}}}\n"));
    assert!(with("expect: 404").is_ok() && with("expect: {backend: one, path: /}").is_ok());
    for wrong in [
        "expect: {}",
        "expect: one",
        "expect: {backnd: one}",
        "expect: {backend: one, error: alert}",
        "expect: {error: gone}",
        "expect: {status: 404, path: /}",
        "expect: 404, tls: {name: a}",
        "expect: 404, hedaers: {}",
        "port: HTTP",
    ] {
        assert!(with(wrong).is_err(), "{wrong}");
    }
    for wrong in ["# A.b: c.\n# Calls\ncalls: []\n", "# A.b: c.\ncalls: []\n", "kind: X\n# Calls\ncalls: []\n"] {
        assert!(Case::read(wrong).is_err(), "{wrong}");
    }
    assert!(Case::read("# A.b: c.\n# Calls\ncalls: [{request: GET a, expect: 404}]\n").is_err());
}
