// SPDX-License-Identifier: Apache-2.0
//! A Jaeger that keeps what it is told in memory, and what it says of a trace.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use torana_tests::{Connection, Process, Reply, ports};

/// A running Jaeger.
pub(crate) struct Jaeger {
    program: PathBuf,
    /// Where it takes OTLP/gRPC, on 127.0.0.1.
    pub(crate) grpc: u16,
    /// Where it takes OTLP/HTTP.
    pub(crate) http: u16,
    query: u16,
    others: [u16; 4],
    folder: TempDir,
    process: Option<Process>,
}

/// A span, as Jaeger tells of it.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    pub(crate) service: String,
    pub(crate) name: String,
    tags: Vec<(String, String)>,
}

impl Span {
    /// The value of a tag; empty if there is none.
    pub(crate) fn tag(&self, name: &str) -> &str {
        self.tags.iter().find(|(it, _)| it == name).map_or("", |(_, value)| value)
    }
}

impl Jaeger {
    /// Nothing, and it says so, where none was built.
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("TORANA_JAEGER").map(PathBuf::from) else {
            println!("SKIPPED: there is no Jaeger; ./dev traces");
            return None;
        };
        let [grpc, http, query] = [(); 3].map(|()| ports::free());
        let others = [(); 4].map(|()| ports::free());
        let folder = TempDir::new().unwrap();
        let mut jaeger = Self { program, grpc, http, query, others, folder, process: None };
        jaeger.again();
        Some(jaeger)
    }

    /// At the same ports as before; what it knew is forgotten.
    pub(crate) fn again(&mut self) {
        let [collector, thrift, admin, query] = self.others;
        let mut command = Command::new(&self.program);
        command.env("SPAN_STORAGE_TYPE", "memory").env("JAEGER_DISABLED", "true");
        for (flag, port) in [
            ("collector.otlp.grpc.host-port", self.grpc),
            ("collector.otlp.http.host-port", self.http),
            ("query.http-server.host-port", self.query),
            ("collector.grpc-server.host-port", collector),
            ("collector.http-server.host-port", thrift),
            ("admin.http.host-port", admin),
            ("query.grpc-server.host-port", query),
        ] {
            command.arg(format!("--{flag}=127.0.0.1:{port}"));
        }
        self.process = Some(Process::start(&mut command, &self.folder.path().join("log"), self.query));
        // It listens there last, as a rule, but nobody says so.
        let hears = |port: u16| torana_tests::eventually(|| Connection::open(port).is_ok());
        assert!(hears(self.grpc) && hears(self.http), "{}", self.log());
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What it knows of a trace.
    pub(crate) fn trace(&self, id: &str) -> Vec<Span> {
        let Ok(mut connection) = Connection::open(self.query) else { return Vec::new() };
        let reply = connection.get("localhost", &format!("/api/traces/{id}")).unwrap();
        if reply.status != 200 {
            return Vec::new();
        }
        let told: Value = serde_json::from_str(&reply.text()).unwrap();
        let trace = &told["data"][0];
        let spans = trace["spans"].as_array().map(Vec::as_slice).unwrap_or_default();
        spans.iter().map(|span| read(span, &trace["processes"])).collect()
    }
}

fn read(span: &Value, processes: &Value) -> Span {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let tags = span["tags"].as_array().unwrap().iter().map(|tag| (text(&tag["key"]), text(&tag["value"])));
    Span {
        id: text(&span["spanID"]),
        parent: span["references"].as_array().and_then(|all| all.first()).map(|parent| text(&parent["spanID"])),
        service: text(&processes[span["processID"].as_str().unwrap()]["serviceName"]),
        name: text(&span["operationName"]),
        tags: tags.collect(),
    }
}

/// Tells a Jaeger of a span of somebody else, by OTLP/HTTP in JSON. One that is gone is told nothing.
pub(crate) fn tell(http: u16, service: &str, (trace, span, parent): (&str, &str, &str), kind: u8) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos().to_string();
    let span = json!({
        "traceId": trace, "spanId": span, "parentSpanId": parent, "name": "work", "kind": kind,
        "startTimeUnixNano": now, "endTimeUnixNano": now,
    });
    let name = json!({"key": "service.name", "value": {"stringValue": service}});
    let body = json!({"resourceSpans": [{"resource": {"attributes": [name]}, "scopeSpans": [{"spans": [span]}]}]});
    let body = body.to_string();
    let Ok(mut connection) = Connection::open(http) else { return };
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.send(format!("{head}{body}").as_bytes()).unwrap();
    let Reply { status, .. } = connection.reply("POST").unwrap();
    assert_eq!(status, 200);
}
