// SPDX-License-Identifier: Apache-2.0
//! Which requests and streams have a line in the access log: the expressions of a listener, and what they ask for. What a
//! client says is kept when it begins, before rules change it; the rest is looked at when it is over. Where nothing is
//! asked, nothing is kept.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use torana_ir::{Attribute, Expression, Fact, LogPolicy};

use super::record::{AccessRecord, Text};
use crate::access::Facts;
use crate::fault::Fault;

/// What a listener logs.
#[derive(Debug, Clone, Default)]
pub enum Logging {
    /// All that passes.
    #[default]
    All,
    /// Nothing.
    Off,
    /// That of which one of these is true.
    If(Arc<[Expression]>),
}

/// The expressions that one request or stream is judged by.
#[derive(Debug)]
pub struct Watch {
    expressions: Arc<[Expression]>,
    /// What was known at the beginning, of each attribute of each expression.
    early: Vec<Option<Fact<'static>>>,
    is_request: bool,
}

impl Logging {
    /// As a policy has it.
    pub fn of(policy: Option<&LogPolicy>) -> Self {
        match policy {
            None => Self::All,
            Some(LogPolicy::Off) => Self::Off,
            Some(LogPolicy::If(any)) => Self::If(any.as_slice().into()),
        }
    }

    /// Whether there is no line, whatever comes.
    pub fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }

    /// Keeps what is asked for of what begins now; `None` if nothing is asked.
    pub fn watch(&self, facts: &Facts<'_>) -> Option<Box<Watch>> {
        let Self::If(expressions) = self else { return None };
        let attributes = expressions.iter().flat_map(Expression::attributes);
        let early = attributes.map(|attribute| early(attribute, facts)).collect();
        Some(Box::new(Watch { expressions: Arc::clone(expressions), early, is_request: facts.head.is_some() }))
    }
}

impl Watch {
    /// Whether what is over has a line.
    pub fn takes(&self, record: &AccessRecord) -> bool {
        let mut early = self.early.iter();
        // In their order: each takes what is its own of what was kept.
        self.expressions.iter().any(|expression| {
            let attributes = expression.attributes().iter();
            let facts: Vec<_> = attributes
                .map(|attribute| match early.next() {
                    Some(Some(fact)) => Some(borrowed(fact)),
                    _ => late(attribute, record, self.is_request),
                })
                .collect();
            expression.holds(&facts)
        })
    }
}

fn borrowed<'f>(fact: &'f Fact<'static>) -> Fact<'f> {
    match fact {
        Fact::Text(text) => Fact::Text(Cow::Borrowed(text)),
        Fact::Number(number) => Fact::Number(*number),
        Fact::Flag(flag) => Fact::Flag(*flag),
        Fact::Time(time) => Fact::Time(*time),
    }
}

fn early(attribute: &Attribute, facts: &Facts<'_>) -> Option<Fact<'static>> {
    let text = |text: &str| Some(Fact::Text(Cow::Owned(text.to_owned())));
    match attribute {
        Attribute::Method => text(facts.head?.method()),
        Attribute::Scheme => text(facts.head?.scheme.as_str()),
        Attribute::Host => text(facts.head?.authority()),
        Attribute::Path => text(facts.head?.target()),
        Attribute::UrlPath => text(facts.head?.path()),
        Attribute::Query => text(facts.head?.query().unwrap_or_default()),
        Attribute::Header(name) => Some(Fact::Text(Cow::Owned(facts.head?.fields.joined(name.as_str())?.into_owned()))),
        Attribute::Mutual => Some(Fact::Flag(!facts.names.is_empty())),
        Attribute::LocalAddress => text(&facts.local.to_string()),
        Attribute::LocalPort => Some(Fact::Number(facts.local.port().into())),
        _ => None,
    }
}

fn late<'r>(attribute: &Attribute, record: &'r AccessRecord, is_request: bool) -> Option<Fact<'r>> {
    let text = |text: &'r str| Some(text).filter(|text| !text.is_empty()).map(|text| Fact::Text(text.into()));
    let of_request = |fact: Fact<'r>| is_request.then_some(fact);
    let socket = |socket: SocketAddr| Some(Fact::Text(socket.to_string().into()));
    match attribute {
        Attribute::RequestId => text(record.text(Text::RequestId)),
        Attribute::Protocol => of_request(Fact::Text(record.protocol.into())),
        Attribute::Duration => of_request(Fact::Time(record.duration)),
        Attribute::RequestSize => of_request(number(record.bytes_received)),
        Attribute::ResponseSize => of_request(number(record.bytes_sent)),
        Attribute::Code => of_request(Fact::Number(record.status.into())),
        Attribute::GrpcStatus => record.grpc_status.map(|status| Fact::Number(status.into())),
        Attribute::Flags => Some(Fact::Number(record.fault.map_or(0, bits))),
        Attribute::ServerName => text(record.text(Text::Sni)),
        Attribute::TlsVersion => text(record.tls_version?),
        Attribute::SourceAddress => socket(source(record)),
        Attribute::SourcePort => Some(Fact::Number(source(record).port().into())),
        Attribute::UpstreamAddress => socket(record.endpoint?),
        Attribute::UpstreamPort => Some(Fact::Number(record.endpoint?.port().into())),
        _ => None,
    }
}

fn number(bytes: u64) -> Fact<'static> {
    Fact::Number(i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// The client; of one that others name no port is known, as in Envoy.
fn source(record: &AccessRecord) -> SocketAddr {
    let (client, peer) = (record.client.to_canonical(), record.peer);
    SocketAddr::new(client, if peer.ip().to_canonical() == client { peer.port() } else { 0 })
}

/// Envoy's bit of a fault's flag (`CoreResponseFlag`).
fn bits(fault: Fault) -> i64 {
    match fault.flag() {
        "UH" => 1 << 1,
        "UT" => 1 << 2,
        "UF" => 1 << 5,
        "UC" => 1 << 6,
        "UO" => 1 << 7,
        "NR" => 1 << 8,
        "FI" => 1 << 10,
        "UAEX" => 1 << 12,
        "DC" => 1 << 14,
        "DPE" => 1 << 18,
        "UPE" => 1 << 23,
        "NC" => 1 << 24,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::head::{Head, Scheme, Version};

    fn record(status: u16, fault: Option<Fault>) -> AccessRecord {
        let peer = "192.0.2.1:4000".parse().unwrap();
        let mut record = AccessRecord::new(SystemTime::UNIX_EPOCH, peer, "HTTP/1.1");
        (record.status, record.fault, record.duration) = (status, fault, Duration::from_millis(7));
        record.set(Text::RequestId, b"id");
        record.endpoint = Some("10.0.0.1:8080".parse().unwrap());
        record
    }

    fn logging(sources: &[&str]) -> Logging {
        let any = sources.iter().map(|source| Expression::new(source).unwrap());
        Logging::of(Some(&LogPolicy::If(any.collect())))
    }

    fn facts<'f>(head: Option<&'f Head>, names: &'f [Box<str>]) -> Facts<'f> {
        let (client, local) = ("192.0.2.1:4000".parse().unwrap(), "[::ffff:10.0.0.9]:443".parse().unwrap());
        Facts { head, ..Facts::of("192.0.2.1".parse().unwrap(), (client, local), None, names) }
    }

    fn takes(sources: &[&str], record: &AccessRecord) -> bool {
        let mut head = Head::new(Version::Http11, Scheme::Https, "GET", "Shop.example", "/a/b?c");
        head.fields.push(b"x-a", b"1");
        head.fields.push(b"x-a", b"2");
        let watch = logging(sources).watch(&facts(Some(&head), &[])).unwrap();
        head.fields.clear();
        watch.takes(record)
    }

    #[test]
    fn a_request_is_judged_by_what_the_client_sent_and_what_became_of_it() {
        for source in [
            "response.code == 503 && response.flags == 2",
            "request.scheme == 'https' && request.url_path == '/a/b' && request.query == 'c'",
            "request.headers['x-a'] == '1,2'",
            "!connection.mtls && destination.port == 443 && destination.address == '10.0.0.9:443'",
            "source.address == '192.0.2.1:4000' && source.port == 4000",
            "upstream.address == '10.0.0.1:8080' && upstream.port == 8080",
            "request.duration == duration('7ms') && request.size == 0 && response.size == 0",
            "request.id == 'id' && request.protocol == 'HTTP/1.1'",
            "!has(connection.requested_server_name) && !has(connection.tls_version) && !has(response.grpc_status)",
        ] {
            assert!(takes(&[source], &record(503, Some(Fault::NoEndpoints))), "{source}");
        }
        assert!(takes(&["response.flags == 0"], &record(200, None)));
        assert!(!takes(&["response.code >= 400"], &record(200, None)));
        // One is enough, whichever it is, and each has what is its own.
        assert!(takes(&["request.method == 'PUT'", "request.host == 'Shop.example'"], &record(200, None)));
        assert!(takes(&["request.method == 'GET'", "request.host == 'a'"], &record(200, None)));
        assert!(!takes(&[], &record(200, None)));
        let mut behind = record(200, None);
        behind.client = "198.51.100.7".parse().unwrap();
        assert!(takes(&["source.address == '198.51.100.7:0'"], &behind));
    }

    #[test]
    fn a_stream_has_nothing_of_a_request() {
        let names = ["spiffe://a".into()];
        let source = "has(request.method) || has(response.code) || has(request.duration) || has(request.size)";
        let mut stream = record(0, Some(Fault::Connect));
        stream.protocol = "tcp";
        let watch = |source: &str| logging(&[source]).watch(&facts(None, &names)).unwrap();
        assert!(!watch(source).takes(&stream));
        assert!(watch("connection.mtls && response.flags == 32 && upstream.port == 8080").takes(&stream));
    }

    #[test]
    fn where_nothing_is_asked_nothing_is_kept() {
        assert!(Logging::of(None).watch(&facts(None, &[])).is_none());
        assert!(Logging::of(Some(&LogPolicy::Off)).watch(&facts(None, &[])).is_none());
        assert!(Logging::of(Some(&LogPolicy::Off)).is_off() && !Logging::default().is_off());
    }
}
