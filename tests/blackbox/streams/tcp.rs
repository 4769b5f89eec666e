// SPDX-License-Identifier: Apache-2.0
//! Connections that are passed on as they come.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use torana_tests::{World, eventually, ports};

use super::super::manifests::{gateway, to};
use super::{born, connect, greeted, line, listening, logged, plain_backend, stream_route};

fn tcp(name: &str, port: u16) -> String {
    gateway("edge", &[&format!("{{name: {name}, port: {port}, protocol: TCP}}")])
}

#[test]
fn bytes_go_both_ways_and_each_side_ends_for_itself() {
    const ALL: usize = 4 << 20;
    let port = ports::free();
    let backend = plain_backend("echo");
    let route = stream_route("TCPRoute", "r", &format!("rules: [{{name: main, {}}}]", to("echo")));
    let world = World::start(&[tcp("db", port), World::service("echo", backend), route].concat());
    let mut client = connect(port);
    assert_eq!(line(&mut client).unwrap(), "echo");
    let mut sender = client.try_clone().unwrap();
    let sending = thread::spawn(move || {
        let piece: Vec<u8> = (0..=255).cycle().take(64 << 10).collect();
        for _ in 0..ALL / piece.len() {
            sender.write_all(&piece).unwrap();
        }
        // The client is done, the backend is not.
        sender.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    sending.join().unwrap();
    assert_eq!(&got[ALL..], format!("bye {ALL}").as_bytes());
    assert!(got[..ALL].iter().zip((0..=255).cycle()).all(|(got, sent)| *got == sent));

    let said = logged(&world, |line| line["protocol"] == "tcp").remove(0);
    let text = |field: &str| said[field].as_str().unwrap_or_default().to_owned();
    assert_eq!((text("gateway"), text("listener")), ("default/edge".into(), "db".into()), "{said}");
    assert_eq!((text("route"), text("rule")), ("TCPRoute/default/r".into(), "main".into()), "{said}");
    assert_eq!(
        (text("backend"), text("endpoint")),
        ("default/echo:80".into(), format!("127.0.0.1:{backend}")),
        "{said}"
    );
    assert_eq!(said["bytes_received"], ALL, "{said}");
    assert_eq!(said["bytes_sent"], ALL + "echo\n".len() + format!("bye {ALL}").len(), "{said}");
    assert!(said.get("status").is_none() && said.get("reason").is_none() && text("client") == "127.0.0.1", "{said}");
    let route = "route_kind=\"TCPRoute\",route_name=\"r\",route_namespace=\"default\"";
    let received = format!("torana_stream_received_bytes_total{{gateway=\"default/edge\",listener=\"db\",{route}}}");
    assert_eq!(world.metric(&received), Some(f64::from(u32::try_from(ALL).unwrap())));
    let open = "torana_connections{gateway=\"default/edge\",listener=\"db\",protocol=\"tcp\"}";
    assert_eq!(world.metric(open), Some(0.0));
}

#[test]
fn connections_are_shared_by_weight_and_broken_backends_reset_theirs() {
    let ports: Vec<u16> = (0..4).map(|_| ports::free()).collect();
    let listeners: Vec<String> =
        ports.iter().enumerate().map(|(at, port)| format!("{{name: l{at}, port: {port}, protocol: TCP}}")).collect();
    let listeners: Vec<&str> = listeners.iter().map(String::as_str).collect();
    let route = |at: usize, refs: &str| {
        let parent = format!("parentRefs: [{{name: edge, sectionName: l{at}}}]");
        stream_route("TCPRoute", &format!("r{at}"), &format!("{parent}, rules: [{{backendRefs: [{refs}]}}]"))
    };
    let services = World::service("a", plain_backend("a"))
        + &World::service("b", plain_backend("b"))
        + &World::service("dead", ports::free());
    let routes = [
        route(0, "{name: a, port: 80}, {name: b, port: 80}"),
        route(1, "{name: a, port: 80, weight: 3}, {name: b, port: 80, weight: 1}, {name: x, port: 80, weight: 0}"),
        route(2, "{name: a, port: 80}, {name: nobody, port: 80}"),
        route(3, "{name: dead, port: 80}"),
    ];
    let world = World::start(&[gateway("edge", &listeners), services, routes.concat()].concat());
    for (at, count, expected) in
        [(0, 100, [50, 50, 0]), (1, 100, [75, 25, 0]), (2, 40, [20, 0, 20]), (3, 10, [0, 0, 10])]
    {
        let answers: Vec<String> = (0..count).map(|_| greeted(ports[at])).collect();
        let got = ["a", "b", ""].map(|name| answers.iter().filter(|answer| *answer == name).count());
        assert_eq!(got, expected, "l{at}\n{}", world.log());
    }
    // At once, and so that nobody takes it for an end in order.
    for (at, reason) in [(2, "invalid_config"), (3, "connect_failed")] {
        let reset = (0..4).any(|_| {
            let started = Instant::now();
            let mut byte = [0];
            let read = connect(ports[at]).read(&mut byte);
            assert!(started.elapsed() < Duration::from_secs(2), "l{at}");
            read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
        });
        assert!(reset, "l{at}");
        let listener = format!("l{at}");
        let said = logged(&world, |line| line["listener"] == listener && line["reason"] == reason).remove(0);
        assert_eq!(said["route"], format!("TCPRoute/default/r{at}"), "{said}");
    }
}

#[test]
fn the_oldest_route_serves_and_the_next_one_when_it_is_gone() {
    let port = ports::free();
    let services = World::service("old", plain_backend("old")) + &World::service("young", plain_backend("young"));
    let route = |name: &str, day: u8| born("TCPRoute", name, day, &format!("rules: [{{{}}}]", to(name)));
    let world = World::start(&[tcp("t", port), services, route("young", 2)].concat());
    assert_eq!(greeted(port), "young");
    let mut kept = connect(port);
    assert_eq!(line(&mut kept).unwrap(), "young");
    world.apply("old.yaml", &route("old", 1));
    assert!(eventually(|| greeted(port) == "old"), "{}", world.log());
    assert!((0..20).all(|_| greeted(port) == "old"));
    // A connection stays where it is.
    kept.write_all(b"still\n").unwrap();
    assert_eq!(line(&mut kept).unwrap(), "still");
    world.delete("old.yaml");
    assert!(eventually(|| greeted(port) == "young"));
    kept.write_all(b"there\n").unwrap();
    assert_eq!(line(&mut kept).unwrap(), "there");
}

#[test]
fn listeners_open_and_close_and_their_connections_go_on() {
    let (one, two) = (ports::free(), ports::free());
    let both = gateway(
        "edge",
        &[&format!("{{name: one, port: {one}, protocol: TCP}}"), &format!("{{name: two, port: {two}, protocol: TCP}}")],
    );
    let route = stream_route("TCPRoute", "r", &format!("rules: [{{{}}}]", to("b")));
    let holder = std::net::TcpListener::bind(("127.0.0.1", two)).unwrap();
    let world = World::start(&[World::service("b", plain_backend("b")), route].concat());
    assert!(TcpStream::connect(("127.0.0.1", one)).is_err());
    world.apply("gateway.yaml", &both);
    assert!(eventually(|| greeted(one) == "b"), "{}", world.log());
    let says = || world.log().lines().any(|line| line.contains("Gateway default/edge: ") && line.contains("in use"));
    assert!(eventually(says), "{}", world.log());
    drop(holder);
    assert!(eventually(|| greeted(two) == "b"), "{}", world.log());
    let mut kept = connect(one);
    assert_eq!(line(&mut kept).unwrap(), "b");
    world.delete("gateway.yaml");
    assert!(eventually(|| TcpStream::connect(("127.0.0.1", one)).is_err()));
    kept.write_all(b"on\n").unwrap();
    assert_eq!(line(&mut kept).unwrap(), "on");
}

#[test]
fn a_side_that_breaks_breaks_the_other_and_last_words_are_delivered() {
    let (cut, hasty) = (ports::free(), ports::free());
    let resetting = listening(|mut stream| {
        let mut byte = [0];
        drop(stream.write_all(b"cut\n").and_then(|()| stream.read(&mut byte)));
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    // Answers, and closes without reading what the client still sends.
    let closing = listening(|mut stream| drop(stream.write_all(b"no more\n")));
    let listeners = [
        format!("{{name: cut, port: {cut}, protocol: TCP}}"),
        format!("{{name: hasty, port: {hasty}, protocol: TCP}}"),
    ];
    let route = |name: &str| {
        let spec = format!("parentRefs: [{{name: edge, sectionName: {name}}}], rules: [{{{}}}]", to(name));
        stream_route("TCPRoute", name, &spec)
    };
    let services = World::service("cut", resetting) + &World::service("hasty", closing);
    let listeners = listeners.each_ref().map(String::as_str);
    let world = World::start(&[gateway("edge", &listeners), services, route("cut"), route("hasty")].concat());
    let mut client = connect(cut);
    assert_eq!(line(&mut client).unwrap(), "cut");
    client.write_all(b"x").unwrap();
    let end = client.read(&mut [0]).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    assert_eq!(logged(&world, |line| line["listener"] == "cut")[0]["reason"], "upstream_reset");

    for _ in 0..20 {
        let mut client = connect(hasty);
        let mut sender = client.try_clone().unwrap();
        let sending = thread::spawn(move || {
            while sender.write_all(&[7; 4096]).is_ok() && sender.take_error().is_ok_and(|error| error.is_none()) {
                thread::sleep(Duration::from_millis(1));
            }
        });
        assert_eq!(line(&mut client).unwrap(), "no more");
        // The backend closes with bytes unread, which its kernel tells as a reset if they have come by then.
        let end = client.read(&mut [0]);
        assert!(matches!(&end, Ok(0)) || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
        client.shutdown(Shutdown::Both).ok();
        sending.join().unwrap();
    }

    let mut client = connect(cut);
    assert_eq!(line(&mut client).unwrap(), "cut");
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let gone = |line: &serde_json::Value| line["listener"] == "cut" && line["reason"] == "client_gone";
    logged(&world, gone);
}

#[test]
fn a_client_that_does_not_read_holds_its_backend_back() {
    let port = ports::free();
    let (sent, counted) = (std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0)), Duration::from_millis(500));
    let count = std::sync::Arc::clone(&sent);
    let endless = listening(move |mut stream| {
        while let Ok(written) = stream.write(&[1; 16 << 10]) {
            count.fetch_add(written, std::sync::atomic::Ordering::SeqCst);
        }
    });
    let route = stream_route("TCPRoute", "r", &format!("rules: [{{{}}}]", to("b")));
    let world = World::start(&[tcp("t", port), World::service("b", endless), route].concat());
    let before = world.memory();
    let client = connect(port);
    let stalled = || {
        let then = sent.load(std::sync::atomic::Ordering::SeqCst);
        thread::sleep(counted);
        then > 0 && sent.load(std::sync::atomic::Ordering::SeqCst) == then
    };
    assert!(eventually(stalled));
    assert!(world.memory() < before + 4096, "{} KiB from {before}", world.memory());
    drop(client);
}

#[test]
fn a_drain_waits_for_connections() {
    let port = ports::free();
    let route = stream_route("TCPRoute", "r", &format!("rules: [{{{}}}]", to("b")));
    let mut world = World::start(&[tcp("t", port), World::service("b", plain_backend("b")), route].concat());
    let mut client = connect(port);
    assert_eq!(line(&mut client).unwrap(), "b");
    world.terminate();
    assert!(eventually(|| TcpStream::connect(("127.0.0.1", port)).is_err()));
    client.write_all(b"still\n").unwrap();
    assert_eq!(line(&mut client).unwrap(), "still");
    client.shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    client.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "bye 6");
    assert_eq!(world.exit_code(), Some(0));
}
