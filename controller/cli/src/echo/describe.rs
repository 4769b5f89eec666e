// SPDX-License-Identifier: Apache-2.0
//! The request as JSON, one field a line so that people and `grep` can read it. Counts a body, never stores it: only
//! its first 4 KiB are shown.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use http::{HeaderMap, Uri, Version, request};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::PATIENCE;

/// Bytes of a request's body that are shown.
const SHOWN: usize = 4 << 10;

/// A body that was read to its end.
pub(super) struct Measured {
    bytes: u64,
    start: Vec<u8>,
    trailers: Option<HeaderMap>,
}

/// Reads `body` to its end. The error is one sentence for the client.
pub(super) async fn measure(mut body: Incoming) -> Result<Measured, String> {
    let mut measured = Measured { bytes: 0, start: Vec::new(), trailers: None };
    while !body.is_end_stream() {
        let frame = match timeout(PATIENCE, body.frame()).await {
            Err(_) => return Err(format!("no piece of the body came within {} s", PATIENCE.as_secs())),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(format!("the body broke off: {error}")),
            Ok(Some(Ok(frame))) => frame,
        };
        match frame.into_data() {
            Ok(data) => {
                measured.bytes += data.len() as u64;
                let room = SHOWN.saturating_sub(measured.start.len()).min(data.len());
                measured.start.extend_from_slice(&data[..room]);
            }
            Err(frame) => measured.trailers = frame.into_trailers().ok(),
        }
    }
    Ok(measured)
}

/// The JSON text of a request.
pub(super) fn describe(name: &str, remote: SocketAddr, head: &request::Parts, body: &Measured) -> String {
    let mut fields = vec![
        ("name", json!(name)),
        ("method", json!(head.method.as_str())),
        ("path", json!(head.uri.path())),
        ("query", json!(head.uri.query())),
        ("host", json!(host(&head.uri, &head.headers))),
        ("protocol", json!(protocol(head.version))),
        ("remote", json!(remote.to_string())),
        ("headers", fields_of(&head.headers)),
        ("body_bytes", json!(body.bytes)),
        ("body", json!(text(&body.start))),
    ];
    if let Some(trailers) = &body.trailers {
        fields.push(("trailers", fields_of(trailers)));
    }
    let lines: Vec<String> = fields.iter().map(|(key, value)| format!("  \"{key}\": {value}")).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

/// Whom a request is for: HTTP/2 has it in the target.
pub(super) fn host<'a>(target: &'a Uri, fields: &'a HeaderMap) -> Option<&'a str> {
    let host = target.authority().map(http::uri::Authority::as_str);
    host.or_else(|| fields.get(http::header::HOST)?.to_str().ok())
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        _ => "unknown",
    }
}

fn fields_of(headers: &HeaderMap) -> Value {
    let mut fields: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        fields.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    json!(fields)
}

/// The bytes as text, if they are UTF-8; a character cut by the limit is left out.
fn text(bytes: &[u8]) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&bytes[..error.valid_up_to()]).ok(),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_cut_by_the_limit_is_left_out() {
        assert_eq!(text("aé".as_bytes()), Some("aé"));
        assert_eq!(text(&"aé".as_bytes()[..2]), Some("a"));
        assert_eq!(text(b"a\xff"), None);
    }
}
