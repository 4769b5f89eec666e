// SPDX-License-Identifier: Apache-2.0
//! A24, T01–T05: handshakes that are not what they should be. Hellos are written by hand; with TLS 1.2 the certificate
//! that is served can be read from the wire.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName};
use torana_tests::{Backend, World};

/// The longest that an answer may take, and the deadline of a handshake with what a busy machine adds.
const PATIENCE: Duration = Duration::from_secs(3);
const HANDSHAKE: Duration = Duration::from_secs(13);

const GOOD_SUITES: [u16; 3] = [0xc02b, 0xc02c, 0xcca9];

/// A hello, field by field.
#[derive(Clone)]
struct Hello {
    version: u16,
    /// Extension `supported_versions`.
    versions: &'static [u16],
    suites: Vec<u16>,
    compressions: &'static [u8],
    /// Names of extension `server_name`; none: no such extension.
    names: Vec<Vec<u8>>,
    alpn: &'static [&'static [u8]],
    padding: usize,
}

impl Hello {
    fn to(name: &[u8]) -> Self {
        Self {
            version: 0x0303,
            versions: &[],
            suites: GOOD_SUITES.to_vec(),
            compressions: &[0],
            names: vec![name.to_vec()],
            alpn: &[],
            padding: 0,
        }
    }

    /// In records of at most 16 KiB.
    fn bytes(&self) -> Vec<u8> {
        let mut body = [&self.version.to_be_bytes()[..], &[7; 32], &[0]].concat();
        body.extend(short(&self.suites.iter().flat_map(|suite| suite.to_be_bytes()).collect::<Vec<_>>()));
        body.push(u8::try_from(self.compressions.len()).unwrap());
        body.extend(self.compressions);
        body.extend(short(&self.extensions()));
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let message = [&[1], &length[1..], &body].concat();
        message.chunks(16 << 10).flat_map(|part| [&[22, 3, 1][..], &short(part)].concat()).collect()
    }

    fn extensions(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut add = |kind: u16, data: &[u8]| all.extend([&kind.to_be_bytes()[..], &short(data)].concat());
        if !self.names.is_empty() {
            let names: Vec<u8> = self.names.iter().flat_map(|name| [&[0][..], &short(name)].concat()).collect();
            add(0, &short(&names));
        }
        add(10, &short(&[0, 29, 0, 23]));
        add(11, &[1, 0]);
        add(13, &short(&[4, 3, 8, 4, 4, 1]));
        add(23, &[]);
        if !self.alpn.is_empty() {
            let protocols: Vec<u8> =
                self.alpn.iter().flat_map(|name| [&[u8::try_from(name.len()).unwrap()][..], name].concat()).collect();
            add(16, &short(&protocols));
        }
        if !self.versions.is_empty() {
            let versions: Vec<u8> = self.versions.iter().flat_map(|version| version.to_be_bytes()).collect();
            add(43, &[&[u8::try_from(versions.len()).unwrap()][..], &versions].concat());
        }
        if self.padding > 0 {
            add(21, &vec![0; self.padding]);
        }
        all
    }
}

/// With its length in two bytes before it.
fn short(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// What a hello was answered with.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Got {
    /// The certificate of the tenant of this name.
    Certificate(&'static str),
    /// A certificate of nobody we know, or none in sight (TLS 1.3 hides it).
    Hello,
    Alert(u8),
    Closed,
    Nothing,
}

/// What has to become of a hello.
#[derive(Debug, Clone, Copy)]
enum Expect {
    Serves(&'static str),
    /// Any alert, or the end of the connection.
    Refuses,
    /// This alert.
    Alerts(u8),
    /// Whatever, but not a hang and nobody else's certificate.
    Ends(&'static str),
}

/// Two tenants with a name each and one with a wildcard, on one port.
struct Tenants {
    world: World,
    certificates: Vec<(&'static str, CertificateDer<'static>)>,
    _backend: Backend,
}

impl Tenants {
    fn start() -> Self {
        let backend = Backend::named("here");
        let (mut manifests, mut listeners, mut certificates) = (String::new(), String::new(), Vec::new());
        for (name, host) in [("a", "a.example"), ("b", "b.example"), ("w", "*.w.example")] {
            let made = rcgen::generate_simple_self_signed(vec![host.to_owned()]).unwrap();
            let indent = |pem: &str| pem.trim().replace("\r\n", "\n").replace('\n', "\n    ");
            let secret = format!(
                "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: default}}\n\
                 type: kubernetes.io/tls\nstringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n---\n",
                indent(&made.cert.pem()),
                indent(&made.signing_key.serialize_pem())
            );
            let listener = format!(
                "  - {{name: {name}, port: ${{HTTPS}}, protocol: HTTPS, hostname: '{host}', \
                 tls: {{certificateRefs: [{{name: {name}}}]}}}}\n"
            );
            manifests += &secret;
            listeners += &listener;
            certificates.push((name, made.cert.der().clone()));
        }
        manifests.push_str(&World::gateway().replace("---\n", &format!("{listeners}---\n")));
        manifests.push_str(&World::service("here", backend.port));
        manifests.push_str(&World::catch_all("all", "here"));
        Self { world: World::start(&manifests), certificates, _backend: backend }
    }

    /// Sends bytes (`slowly`: one at a time) and reads what becomes of the handshake.
    fn ask(&self, bytes: &[u8], slowly: bool, patience: Duration) -> Got {
        let mut stream = TcpStream::connect(("127.0.0.1", self.world.https)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(patience)).unwrap();
        if slowly {
            for byte in bytes {
                thread::sleep(Duration::from_millis(1));
                drop(stream.write_all(&[*byte]));
            }
        } else {
            drop(stream.write_all(bytes));
        }
        self.answer(&mut stream).unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Got::Nothing,
            _ => Got::Closed,
        })
    }

    fn answer(&self, stream: &mut TcpStream) -> io::Result<Got> {
        let mut messages = Vec::new();
        loop {
            let mut head = [0; 5];
            stream.read_exact(&mut head)?;
            let mut record = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
            stream.read_exact(&mut record)?;
            match head[0] {
                21 => return Ok(Got::Alert(record[1])),
                22 => messages.extend(record),
                _ => return Ok(Got::Hello),
            }
            let served = |der: &CertificateDer<'_>| messages.windows(der.len()).any(|part| part == &der[..]);
            if let Some((name, _)) = self.certificates.iter().find(|(_, der)| served(der)) {
                return Ok(Got::Certificate(name));
            }
        }
    }

    fn client(&self, sni: &str, alpn: &[&[u8]]) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        for (_, der) in &self.certificates {
            roots.add(der.clone()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(("127.0.0.1", self.world.https)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from(sni.to_owned()).unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
    }

    /// What comes after these bytes under TLS, until the connection ends or nothing more comes.
    fn talk(&self, sni: &str, alpn: &[&[u8]], bytes: &[u8]) -> String {
        let mut stream = self.client(sni, alpn);
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        let open =
            ended.is_err_and(|error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
        format!("{}{}", String::from_utf8_lossy(&answer), if open { "<open>" } else { "" })
    }
}

type Row = (&'static str, String, Hello, Expect);

fn names() -> Vec<Row> {
    let mut rows = Vec::new();
    let long = [&b"a".repeat(63)[..], b".", &b"b".repeat(63), b".", &b"c".repeat(63), b".", &b"d".repeat(63)].concat();
    let names: [(&[u8], Expect); 20] = [
        (b"a.example", Expect::Serves("a")),
        (b"A.eXaMpLe", Expect::Serves("a")),
        (b"b.example", Expect::Serves("b")),
        (b"x.w.example", Expect::Serves("w")),
        (b"x.y.w.example", Expect::Serves("w")),
        (b"a.example.", Expect::Ends("a")),
        (b"w.example", Expect::Refuses),
        (b"*.w.example", Expect::Ends("w")),
        (b"c.example", Expect::Alerts(112)),
        (b"xa.example", Expect::Alerts(112)),
        (b"a.example.evil", Expect::Alerts(112)),
        (b"127.0.0.1", Expect::Refuses),
        (b"::1", Expect::Refuses),
        (b"", Expect::Refuses),
        (b"a.example\0.evil", Expect::Refuses),
        (b"a b.example", Expect::Refuses),
        (b"a_b.example", Expect::Refuses),
        (b"b\xc3\xbccher.example", Expect::Refuses),
        (b"..", Expect::Refuses),
        (b"a.example/x", Expect::Refuses),
    ];
    for (name, expect) in names {
        rows.push(("T01", name.escape_ascii().to_string(), Hello::to(name), expect));
    }
    rows.push(("T01", "253 bytes".into(), Hello::to(&long[..253]), Expect::Refuses));
    rows.push(("T01", "255 bytes".into(), Hello::to(&long), Expect::Refuses));
    rows.push(("T01", "60,000 bytes".into(), Hello::to(&b"a".repeat(60_000)), Expect::Refuses));
    rows.push(("T01", "no name".into(), Hello { names: Vec::new(), ..Hello::to(b"") }, Expect::Alerts(112)));
    let both = Hello { names: vec![b"a.example".to_vec(), b"b.example".to_vec()], ..Hello::to(b"") };
    rows.push(("T01", "two names".into(), both, Expect::Refuses));
    rows
}

fn versions() -> Vec<Row> {
    let mut rows = Vec::new();
    let base = || Hello::to(b"a.example");
    for version in [0x0300, 0x0301, 0x0302] {
        let hello = Hello { version, ..base() };
        rows.push(("T04", format!("version {version:#x}"), hello, Expect::Alerts(70)));
    }
    let only: [(&'static str, &'static [u16]); 2] = [("SSLv3 and TLS 1.0", &[0x0300, 0x0301]), ("TLS 1.1", &[0x0302])];
    for (what, versions) in only {
        rows.push(("T04", format!("only {what}"), Hello { versions, ..base() }, Expect::Refuses));
    }
    let suites: [(&str, &[u16]); 7] = [
        ("RC4", &[0x0004, 0x0005, 0xc007, 0xc011]),
        ("3DES", &[0x000a, 0xc008, 0xc012]),
        ("CBC", &[0xc009, 0xc00a, 0xc013, 0xc014, 0xc023, 0xc024, 0xc027, 0x002f, 0x0035]),
        ("NULL", &[0x0000, 0x0001, 0x0002, 0x003b]),
        ("static RSA", &[0x009c, 0x009d]),
        ("export and anonymous", &[0x0003, 0x0008, 0x0018, 0x0034, 0xc016]),
        ("no suite", &[]),
    ];
    for (what, suites) in suites {
        rows.push(("T04", what.into(), Hello { suites: suites.to_vec(), ..base() }, Expect::Refuses));
    }
    rows.push(("T04", "compression only".into(), Hello { compressions: &[1], ..base() }, Expect::Refuses));
    rows.push(("T04", "compression too".into(), Hello { compressions: &[1, 0], ..base() }, Expect::Ends("a")));
    rows.push(("T04", "unknown ALPN".into(), Hello { alpn: &[b"spdy/3"], ..base() }, Expect::Alerts(120)));
    rows.push(("T04", "ALPN h2".into(), Hello { alpn: &[b"h2"], ..base() }, Expect::Serves("a")));
    rows.push(("T04", "no ALPN".into(), base(), Expect::Serves("a")));
    let all = [&[0x000a, 0xc013][..], &GOOD_SUITES].concat();
    rows.push(("T04", "good suites last".into(), Hello { suites: all, ..base() }, Expect::Serves("a")));
    for padding in [8_000, 17_000, 40_000] {
        rows.push(("T05", format!("{padding} bytes of padding"), Hello { padding, ..base() }, Expect::Ends("a")));
    }
    rows
}

fn judge(got: Got, expect: Expect) -> bool {
    let refused = matches!(got, Got::Alert(_) | Got::Closed);
    match expect {
        Expect::Serves(name) => got == Got::Certificate(name),
        Expect::Alerts(alert) => got == Got::Alert(alert),
        Expect::Refuses => refused,
        Expect::Ends(name) => refused || got == Got::Certificate(name),
    }
}

#[test]
fn a_hello_gets_the_certificate_of_its_name_or_none() {
    let tenants = Tenants::start();
    let rows = [names(), versions()].concat();
    let mut wrong = Vec::new();
    for (id, what, hello, expect) in &rows {
        let got = tenants.ask(&hello.bytes(), false, PATIENCE);
        if !judge(got, *expect) {
            wrong.push(format!("{id} {what}: {got:?}, not {expect:?}"));
        }
    }
    let slowly = tenants.ask(&Hello::to(b"a.example").bytes(), true, PATIENCE);
    if slowly != Got::Certificate("a") {
        wrong.push(format!("T05 byte by byte: {slowly:?}"));
    }
    println!("hostile T01 T04 T05: {} rows, {} wrong", rows.len() + 1, wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_handshake_ends_at_once_and_half_a_handshake_at_the_deadline() {
    let tenants = Tenants::start();
    let whole = Hello::to(b"a.example").bytes();
    let mut too_long = Hello::to(b"a.example").bytes();
    too_long[3] = 0x7f;
    let mut wrong_type = whole.clone();
    wrong_type[5] = 99;
    let at_once: [(&str, Vec<u8>); 9] = [
        ("nothing of TLS", vec![0; 100]),
        ("SSLv2", vec![0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10]),
        ("an alert", vec![21, 3, 1, 0, 2, 2, 40]),
        ("application data", [&[23, 3, 3, 0, 16][..], &[0; 16]].concat()),
        ("a heartbeat", vec![24, 3, 3, 0, 3, 1, 0x40, 0]),
        ("another handshake message", wrong_type),
        ("a record of 32 KiB", [too_long, vec![0; 33 << 10]].concat()),
        ("empty records", [22, 3, 1, 0, 0].repeat(5_000)),
        ("a hello of 16 MiB", [&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0].repeat(70_000)].concat()),
    ];
    let mut wrong = Vec::new();
    for (what, bytes) in &at_once {
        let got = tenants.ask(bytes, false, PATIENCE);
        if !judge(got, Expect::Refuses) {
            wrong.push(format!("T05 {what}: {got:?}"));
        }
    }
    let before = Instant::now();
    thread::scope(|scope| {
        let halves = [0, 1, 5, 9, whole.len() - 1].map(|length| &whole[..length]);
        let asked = halves.map(|half| scope.spawn(|| tenants.ask(half, false, HANDSHAKE)));
        for (half, asked) in halves.iter().zip(asked) {
            let got = asked.join().unwrap();
            if got != Got::Closed {
                wrong.push(format!("T05 {} bytes of a hello: {got:?}", half.len()));
            }
        }
    });
    println!("hostile T05: {} rows, {} wrong, halves ended after {:?}", 14, wrong.len(), before.elapsed());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn half_handshakes_in_crowds_keep_nobody_out() {
    const CROWD: usize = 2_000;
    let tenants = Tenants::start();
    let hello = Hello::to(b"a.example").bytes();
    let before = tenants.world.memory();
    let start = Instant::now();
    let mut crowd: Vec<TcpStream> = (0..CROWD)
        .map(|number| {
            let mut stream = TcpStream::connect(("127.0.0.1", tenants.world.https)).expect("a connection");
            drop(stream.write_all(&hello[..number % hello.len()]));
            stream
        })
        .collect();
    let held = tenants.world.memory().saturating_sub(before);
    let mut served = 0;
    while start.elapsed() < Duration::from_secs(8) {
        let answer = tenants.talk(
            "a.example",
            &[b"http/1.1"],
            b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",
        );
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
        served += 1;
    }
    for stream in &mut crowd {
        stream.set_read_timeout(Some(HANDSHAKE)).unwrap();
        assert!(matches!(stream.read(&mut [0; 8]), Ok(0)), "a half handshake was answered");
    }
    println!(
        "hostile T06: {CROWD} half handshakes hold {held} KiB, ended after {:?}; {served} whole ones beside them",
        start.elapsed()
    );
    // Of each: a record's buffer, what rustls has of the hello, and the task.
    assert!(held < 32 * CROWD as u64, "{held} KiB");
}

#[test]
fn a_port_speaks_what_it_was_opened_for() {
    let tenants = Tenants::start();
    let http = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let plain = |port: u16, bytes: &[u8]| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        drop(stream.write_all(bytes));
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        let open =
            ended.is_err_and(|error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
        format!("{}{}", String::from_utf8_lossy(&answer), if open { "<open>" } else { "" })
    };
    let (tls, cleartext) = (tenants.world.https, tenants.world.http);
    let rows = [
        ("HTTP/1 on a TLS port", plain(tls, http), "HTTP/1.1 400"),
        ("HTTP/2 on a TLS port", plain(tls, preface), "HTTP/1.1 400"),
        ("TLS on a plain port", plain(cleartext, &Hello::to(b"a.example").bytes()), "HTTP/1.1 400"),
        ("a garbled preface on a plain port", plain(cleartext, b"PRY * TTHP/2.0\r\n\r\nMS\r\n\r\n"), ""),
        ("HTTP/2 where HTTP/1 was agreed", tenants.talk("a.example", &[b"http/1.1"], preface), "HTTP/1.1 400"),
        ("HTTP/1 where HTTP/2 was agreed", tenants.talk("a.example", &[b"h2"], http), ""),
    ];
    let mut wrong = Vec::new();
    for (what, got, expected) in &rows {
        if got.contains("<open>") || got.contains(" 200 ") || !got.starts_with(expected) {
            wrong.push(format!("A24 {what}: {got:?}, not {expected:?} and the end"));
        }
    }
    println!("hostile A24: {} rows, {} wrong", rows.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_request_for_another_tenant_than_that_of_the_handshake_is_misdirected() {
    let tenants = Tenants::start();
    let rows = [
        ("T02", "a.example", "a.example", " 200 "),
        ("T02", "a.example", "A.EXAMPLE:443", " 200 "),
        ("T02", "a.example", "b.example", " 421 "),
        ("T02", "b.example", "a.example", " 421 "),
        ("T02", "a.example", "x.w.example", " 421 "),
        ("T02", "a.example", "nobody.example", " 404 "),
        ("T03", "x.w.example", "x.w.example", " 200 "),
        ("T03", "x.w.example", "y.w.example", " 200 "),
        ("T03", "x.w.example", "a.example", " 421 "),
        ("T03", "x.w.example", "w.example", " 404 "),
    ];
    let mut wrong = Vec::new();
    for (id, sni, host, status) in rows {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = tenants.talk(sni, &[b"http/1.1"], request.as_bytes());
        if !answer.lines().next().is_some_and(|line| line.contains(status)) {
            wrong.push(format!("{id} {sni} asked for {host}: {answer:?}, not {status}"));
        }
    }
    println!("hostile T02 T03: {} rows, {} wrong", rows.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
