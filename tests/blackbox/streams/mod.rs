// SPDX-License-Identifier: Apache-2.0
//! Streams: TCPRoutes, TLSRoutes and UDPRoutes over real sockets.

mod tcp;

mod tls;

mod udp;

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use torana_tests::{Credential, KeyForm, World, eventually};

use super::manifests::object;

/// A TCPRoute, TLSRoute or UDPRoute that was created on a day of January 2026.
fn born(kind: &str, name: &str, day: u8, spec: &str) -> String {
    let spec =
        if spec.contains("parentRefs") { spec.to_owned() } else { format!("parentRefs: [{{name: edge}}], {spec}") };
    object("gateway.networking.k8s.io/v1", kind, name, &spec).replace(
        "namespace: default}\nspec",
        &format!("namespace: default, creationTimestamp: \"2026-01-{day:02}T00:00:00Z\"}}\nspec"),
    )
}

/// The same, when its age does not matter.
pub(super) fn stream_route(kind: &str, name: &str, spec: &str) -> String {
    born(kind, name, 1, spec)
}

/// Greets with its name and a newline, echoes until the client is done, and says then how much it was.
fn converse(stream: &mut (impl Read + Write), name: &str) -> io::Result<()> {
    stream.write_all(format!("{name}\n").as_bytes())?;
    stream.flush()?;
    let (mut bytes, mut all) = ([0; 16 << 10], 0);
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(read) => {
                all += read;
                stream.write_all(&bytes[..read])?;
                stream.flush()?;
            }
            Err(error) => return Err(error),
        }
    }
    stream.write_all(format!("bye {all}").as_bytes())?;
    stream.flush()
}

pub(super) fn listening(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    port
}

/// A backend that converses in cleartext.
pub(super) fn plain_backend(name: &'static str) -> u16 {
    listening(move |mut stream| drop(converse(&mut stream, name)))
}

/// A backend that converses by TLS, with a certificate of its own.
fn tls_backend(name: &'static str, credential: &Credential) -> u16 {
    let key = PrivateKeyDer::from_pem_slice(credential.key(KeyForm::Pkcs8).as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_no_client_auth().with_single_cert(vec![credential.der()], key).unwrap());
    listening(move |stream| {
        let session = ServerConnection::new(Arc::clone(&config)).unwrap();
        drop(converse(&mut StreamOwned::new(session, stream), name));
    })
}

/// A client of the loopback address with 5 s of patience.
pub(super) fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// The first line that comes, without its end; an error if the connection ends before.
pub(super) fn line(stream: &mut impl Read) -> io::Result<String> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    loop {
        stream.read_exact(&mut byte)?;
        if byte == *b"\n" {
            return Ok(String::from_utf8_lossy(&line).into_owned());
        }
        line.push(byte[0]);
    }
}

/// Who answers at a port; empty if the connection is refused or reset.
fn greeted(port: u16) -> String {
    TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| line(&mut stream)).unwrap_or_default()
}

/// The access log lines that `wanted` takes, once there is one.
pub(super) fn logged(world: &World, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let find = || {
        let lines = world.log();
        let all = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        all.filter(|line| wanted(line)).collect::<Vec<_>>()
    };
    assert!(eventually(|| !find().is_empty()), "{}", world.log());
    find()
}
