// SPDX-License-Identifier: Apache-2.0
//! A record as one line: JSON or text. Whatever a client sent, it stays inside its quotes and on its line.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use torana_ir::BackendKey;

use super::nouns::RouteNouns;
use super::record::{AccessRecord, Text};
use crate::fault::Fault;

/// Writes lines; remembers the second it last wrote.
#[derive(Default)]
pub(super) struct Lines {
    second: u64,
    date: String,
}

impl Lines {
    /// One JSON object and a newline. Absent things are left out.
    pub(super) fn json(&mut self, out: &mut Vec<u8>, record: &AccessRecord) {
        out.extend_from_slice(b"{\"start_time\":\"");
        self.time(out, record.start);
        out.push(b'"');
        let mut line = Object(out);
        line.millis("duration_ms", record.duration);
        line.millis("overhead_ms", record.overhead);
        for (name, text) in TEXTS {
            line.text(name, record.text(text));
        }
        line.text("protocol", record.protocol);
        if record.status > 0 {
            line.number("status", u64::from(record.status));
        }
        if let Some(code) = record.grpc_status {
            line.number("grpc_status", u64::from(code));
        }
        if let Some(fault) = record.fault {
            line.text("flags", fault.flag());
            line.text("reason", fault.reason());
            line.text("fault_source", fault.source().as_str());
        } else {
            line.text("reason", record.answer.unwrap_or_default());
        }
        line.number("bytes_received", record.bytes_received);
        line.number("bytes_sent", record.bytes_sent);
        line.raw("client", |out| ip(out, record.client));
        line.raw("peer", |out| socket(out, record.peer));
        nouns(&mut line, record);
        line.number("attempts", u64::from(record.attempts));
        line.text("not_retried", record.not_retried.unwrap_or_default());
        line.text("tls_version", record.tls_version.unwrap_or_default());
        line.text("upstream_transport", record.upstream_transport.unwrap_or_default());
        line.text("upstream_peer", record.upstream_peer.as_ref().and_then(|peer| peer.spiffe_id()).unwrap_or_default());
        line.text("upstream_tls_error", record.fault.map_or("", Fault::detail));
        out.extend_from_slice(b"}\n");
    }

    /// `time "METHOD authority path protocol" status flags reason received sent ms client route rule backend endpoint "user
    /// agent" request-id`; `-` stands for what is absent.
    pub(super) fn text(&mut self, out: &mut Vec<u8>, record: &AccessRecord) {
        self.time(out, record.start);
        out.extend_from_slice(b" \"");
        let quoted = [Text::Method, Text::Authority, Text::Path].map(|text| record.text(text));
        for text in quoted {
            escaped(out, or_dash(text));
            out.push(b' ');
        }
        out.extend_from_slice(record.protocol.as_bytes());
        let (flag, reason) =
            record.fault.map_or(("-", record.answer.unwrap_or("-")), |fault| (fault.flag(), fault.reason()));
        let (received, sent) = (record.bytes_received, record.bytes_sent);
        show(out, format_args!("\" {} {flag} {reason} {received} {sent} ", record.status));
        millis(out, record.duration);
        show(out, format_args!(" {} ", record.client));
        match record.nouns.as_ref().and_then(|nouns| nouns.route.as_ref()) {
            Some(of) => {
                route(out, of);
                show(out, format_args!(" {} ", of.rule));
            }
            None => out.extend_from_slice(b"- - "),
        }
        match &record.backend {
            Some(backend) => show(out, format_args!("{} ", backend.key)),
            None => out.extend_from_slice(b"- "),
        }
        match record.endpoint {
            Some(endpoint) => show(out, format_args!("{endpoint} \"")),
            None => out.extend_from_slice(b"- \""),
        }
        escaped(out, or_dash(record.text(Text::UserAgent)));
        out.extend_from_slice(b"\" ");
        escaped(out, or_dash(record.text(Text::RequestId)));
        out.push(b'\n');
    }

    /// RFC 3339 in UTC with milliseconds.
    fn time(&mut self, out: &mut Vec<u8>, at: SystemTime) {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        if since.as_secs() != self.second || self.date.is_empty() {
            self.second = since.as_secs();
            self.date = date(self.second);
        }
        out.extend_from_slice(self.date.as_bytes());
        out.push(b'.');
        three(out, u64::from(since.subsec_millis()));
        out.push(b'Z');
    }
}

/// Texts of a record by the names of their fields.
const TEXTS: [(&str, Text); 10] = [
    ("method", Text::Method),
    ("authority", Text::Authority),
    ("path", Text::Path),
    ("user_agent", Text::UserAgent),
    ("request_id", Text::RequestId),
    ("trace_id", Text::TraceId),
    ("sni", Text::Sni),
    ("policy", Text::Policy),
    ("policy_audit", Text::Audit),
    ("policy_dry_run", Text::DryRun),
];

fn nouns(line: &mut Object<'_>, record: &AccessRecord) {
    if let Some(nouns) = &record.nouns {
        line.text("gateway", &nouns.gateway);
        line.text("listener", &nouns.listener);
        if let Some(of) = &nouns.route {
            line.raw("route", |out| route(out, of));
            line.text("rule", &of.rule);
        }
    }
    if let Some(of) = &record.backend {
        line.raw("backend", |out| backend(out, &of.key));
    }
    if let Some(endpoint) = record.endpoint {
        line.raw("endpoint", |out| socket(out, endpoint));
    }
}

/// The fields of an object after its first.
struct Object<'o>(&'o mut Vec<u8>);

impl Object<'_> {
    /// Names are literals without anything to escape.
    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.name(name);
            self.0.push(b'"');
            escaped(self.0, value);
            self.0.push(b'"');
        }
    }

    /// For values that hold names of objects and addresses, which need no escapes.
    fn raw(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        self.name(name);
        self.0.push(b'"');
        value(self.0);
        self.0.push(b'"');
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        number(self.0, value);
    }

    fn millis(&mut self, name: &str, value: Duration) {
        self.name(name);
        millis(self.0, value);
    }
}

/// Milliseconds with three decimals.
fn millis(out: &mut Vec<u8>, value: Duration) {
    let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
    number(out, micros / 1000);
    out.push(b'.');
    three(out, micros % 1000);
}

/// `value`, less than 1,000, with leading zeros.
fn three(out: &mut Vec<u8>, value: u64) {
    let digit = |place: u64| b'0' + (value / place % 10) as u8;
    out.extend_from_slice(&[digit(100), digit(10), digit(1)]);
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn route(out: &mut Vec<u8>, route: &RouteNouns) {
    for part in [route.kind, "/", &route.namespace, "/", &route.name] {
        out.extend_from_slice(part.as_bytes());
    }
}

fn backend(out: &mut Vec<u8>, key: &BackendKey) {
    for part in [&key.namespace, "/", &key.name, ":"] {
        out.extend_from_slice(part.as_bytes());
    }
    number(out, u64::from(key.port));
}

fn socket(out: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(v4) => {
            ip(out, IpAddr::V4(*v4.ip()));
            out.push(b':');
            number(out, u64::from(v4.port()));
        }
        SocketAddr::V6(v6) => show(out, format_args!("{v6}")),
    }
}

fn ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            for (at, octet) in v4.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                number(out, u64::from(octet));
            }
        }
        IpAddr::V6(v6) => show(out, format_args!("{v6}")),
    }
}

/// The inside of a JSON string (RFC 8259 §7); C1 controls and line separators go too, for terminals and line readers.
fn escaped(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\' || byte == b' ';
    if text.bytes().all(plain) {
        return out.extend_from_slice(text.as_bytes());
    }
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\u{2028}' | '\u{2029}' => show(out, format_args!("\\u{:04x}", u32::from(character))),
            control if control.is_control() => show(out, format_args!("\\u{:04x}", u32::from(control))),
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn show(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // Writing to memory cannot fail.
    out.write_fmt(arguments).ok();
}

/// `YYYY-MM-DDTHH:MM:SS` of a time since 1970, in UTC.
fn date(second: u64) -> String {
    let http = httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(second)).to_string();
    rfc3339(&http).unwrap_or_default()
}

/// From `Sun, 06 Nov 1994 08:49:37 GMT`.
fn rfc3339(http: &str) -> Option<String> {
    let mut words = http.split(' ').skip(1);
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|name| *name == month)? + 1;
    Some(format!("{year}-{month:02}-{day}T{time}"))
}

#[cfg(test)]
mod tests;
