// SPDX-License-Identifier: Apache-2.0
//! Services that are names: asked of DNS, asked again when the answer expires, kept while nobody answers.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use torana_tests::{Backend, World, eventually};

use super::manifests::{object, route};

/// What a server says of one name. IPv6 addresses there are none.
#[derive(Clone, Copy)]
enum Say {
    /// These addresses, for so many seconds.
    Address([u8; 4], u32),
    /// SERVFAIL.
    Failure,
    /// Nothing at all.
    Silence,
}

/// A DNS server (RFC 1035) that knows one name.
struct Dns {
    port: u16,
    say: Arc<Mutex<Say>>,
    asked: Arc<AtomicUsize>,
}

impl Dns {
    fn start(name: &str, say: Say) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let dns =
            Self { port: socket.local_addr().unwrap().port(), say: Arc::new(Mutex::new(say)), asked: Arc::default() };
        let (say, asked, name) = (Arc::clone(&dns.say), Arc::clone(&dns.asked), name.to_owned());
        thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                let say = *say.lock().unwrap();
                if let Some(answer) = answer(&query[..length], &name, say, &asked) {
                    let _ = socket.send_to(&answer, from).is_ok();
                }
            }
        });
        dns
    }

    fn say(&self, say: Say) {
        *self.say.lock().unwrap() = say;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Header (12 bytes), then labels up to an empty one, type, class.
fn answer(query: &[u8], known: &str, say: Say, asked: &AtomicUsize) -> Option<Vec<u8>> {
    let (mut labels, mut at) = (Vec::new(), 12);
    while query[at] > 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    let (kind, end) = (query[at + 2], at + 5);
    let is_known = labels.join(".") == known;
    let (code, address) = match say {
        Say::Silence => return None,
        Say::Failure => (2, None),
        Say::Address(..) if !is_known => (3, None),
        Say::Address(address, ttl) => (0, (kind == 1).then_some((address, ttl))),
    };
    asked.fetch_add(usize::from(kind == 1), Ordering::Relaxed);
    let count = u8::from(address.is_some());
    let mut answer = [&query[..2], &[0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0], &query[12..end]].concat();
    if let Some((address, ttl)) = address {
        answer.extend([0xc0, 12, 0, 1, 0, 1]);
        answer.extend(ttl.to_be_bytes());
        answer.extend([0, 4]);
        answer.extend(address);
    }
    Some(answer)
}

/// Two backends on one port of two loopback addresses.
fn pair() -> (Backend, Backend) {
    loop {
        let one = Backend::named("one");
        if let Some(two) = Backend::at(([127, 0, 0, 2], one.port).into(), "two") {
            return (one, two);
        }
    }
}

fn world(dns: &Dns, port: u16, host: &str) -> World {
    let name = format!("type: ExternalName, externalName: {host}, ports: [{{port: {port}}}]");
    let service = object("v1", "Service", "out", &name);
    // An alias maps no ports: the one of the reference is the one that is connected to.
    let route = route("r", &format!("rules: [{{backendRefs: [{{name: out, port: {port}}}]}}]"));
    World::start_with(
        &[World::gateway(), &service, &route].concat(),
        &["--resolver", &format!("127.0.0.1:{}", dns.port)],
    )
}

#[test]
fn a_name_is_asked_again_when_its_answer_expires_and_kept_while_nobody_answers() {
    let (one, _two) = pair();
    let dns = Dns::start("out.example.com", Say::Address([127, 0, 0, 1], 1));
    let world = world(&dns, one.port, "out.example.com");
    let text = || world.get("a", "/").map_or(String::new(), |reply| reply.text());
    assert!(eventually(|| text() == "one"), "{}", world.log());
    dns.say(Say::Address([127, 0, 0, 2], 1));
    assert!(eventually(|| text() == "two"), "{}", world.log());
    for trouble in [Say::Failure, Say::Silence] {
        dns.say(trouble);
        let start = world.log().len();
        assert!(eventually(|| world.log()[start..].contains("a backend's name is not resolved")), "{}", world.log());
        assert_eq!(text(), "two", "the last good answer");
    }
    dns.say(Say::Address([127, 0, 0, 1], 3600));
    assert!(eventually(|| text() == "one"), "{}", world.log());
    let asked = dns.asked();
    thread::sleep(Duration::from_secs(3));
    assert_eq!((dns.asked(), text().as_str()), (asked, "one"), "an answer for an hour is not asked again");
}

#[test]
fn a_name_that_nobody_knows_is_503_and_no_other_is_asked_for() {
    let backend = Backend::named("ok");
    let dns = Dns::start("out.example.com", Say::Address([127, 0, 0, 1], 1));
    let world = world(&dns, backend.port, "lost.example.com");
    assert!(eventually(|| world.log().contains("a backend's name is not resolved")), "{}", world.log());
    assert_eq!(world.status("a", "/"), 503);
    // Corrected, it is resolved at once.
    let text = std::fs::read_to_string(world.folder().join("world.yaml")).unwrap();
    world.apply("world.yaml", &text.replace("lost.example.com", "out.example.com"));
    assert!(eventually(|| world.status("a", "/") == 200), "{}", world.log());
}
