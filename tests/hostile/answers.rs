// SPDX-License-Identifier: Apache-2.0
//! A29, W03, W04: backends that break the rules. The client gets 502 or a cut, the connection is never used again, and
//! the next client notices nothing.

use std::time::Duration;

use torana_tests::{Backend, Connection, Seen, World};

use super::row::get;

/// What must become of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// 502.
    Refused,
    /// The head is passed on, then the connection is cut: no client may take it for whole.
    Cut,
    /// Passed on with this body.
    Passed(&'static str),
}

/// What it is, the answer, what becomes of it.
type Case = (&'static str, &'static [u8], Fate);

const ROWS: &[Case] = &[
    ("length and coding", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Fate::Refused),
    ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", Fate::Refused),
    ("a list of lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", Fate::Refused),
    ("a signed length", b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", Fate::Refused),
    ("an unknown coding", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Fate::Refused),
    ("chunked in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Fate::Refused),
    ("an unasked 101", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", Fate::Refused),
    ("eleven interim responses", b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 103 E\r\n\r\n\
      HTTP/1.1 103 E\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Fate::Refused),
    ("no HTTP", b"SSH-2.0-OpenSSH\r\n\r\n", Fate::Refused),
    ("no bytes", b"!", Fate::Refused),
    ("half a head", b"!HTTP/1.1 200 OK\r\nContent-Le", Fate::Refused),
    ("a folded field", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n", Fate::Refused),
    ("a blank before the colon", b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n", Fate::Refused),
    ("NUL in a field", b"HTTP/1.1 200 OK\r\nX: a\0\r\nContent-Length: 0\r\n\r\n", Fate::Refused),
    ("bare LF", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", Fate::Refused),
    ("a wrong version", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", Fate::Refused),
    ("a bad chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", Fate::Cut),
    ("an empty chunk line", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n\r\n\r\n", Fate::Cut),
    ("a body that ends early", b"!HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", Fate::Cut),
    ("chunks that end early", b"!HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", Fate::Cut),
    ("a body after 204", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", Fate::Passed("")),
    ("a body after 304", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", Fate::Passed("")),
    ("garbage after the answer", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", Fate::Passed("hello")),
    ("garbage after chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Fate::Passed("hello")),
    ("an Upgrade echoed with 200", b"HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 5\r\n\r\nhello", Fate::Passed("hello")),
    ("the end of the connection as the end", b"!HTTP/1.1 200 OK\r\n\r\nhello", Fate::Passed("hello")),
];

fn script(seen: &Seen) -> Vec<u8> {
    let row = seen.target.strip_prefix("/row/").and_then(|number| number.parse::<usize>().ok());
    match row {
        Some(row) => ROWS[row].1.to_vec(),
        None if seen.target == "/long" => [&b"HTTP/1.1 200 OK\r\nX: "[..], &vec![b'a'; 80 << 10], b"\r\n\r\n"].concat(),
        None => b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext".to_vec(),
    }
}

fn judge(world: &World, target: &str, fate: Fate) -> Result<(), String> {
    let mut connection = Connection::open(world.http).map_err(|error| error.to_string())?;
    connection.patience(Duration::from_secs(2)).map_err(|error| error.to_string())?;
    connection.send(&get(target, "")).map_err(|error| error.to_string())?;
    let reply = connection.reply("GET");
    match (fate, reply) {
        (Fate::Refused, Ok(reply)) if reply.status == 502 => Ok(()),
        (Fate::Cut, Err(error))
            if matches!(error.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset) =>
        {
            Ok(())
        }
        (Fate::Cut, Ok(reply)) if reply.status == 502 => Ok(()),
        (Fate::Passed(body), Ok(reply)) if reply.status < 400 && reply.text() == body => {
            connection.send(&get("/next", "")).map_err(|error| error.to_string())?;
            let next = connection.reply("GET").map(|reply| reply.text());
            next.as_deref().is_ok_and(|text| text == "next").then_some(()).ok_or(format!("then {next:?}"))
        }
        (_, got) => Err(format!("{fate:?}, got {got:?}")),
    }
}

#[test]
fn a_backend_that_breaks_the_rules_harms_nobody_else() {
    let backend = Backend::scripted(script);
    let world = World::start(&format!(
        "{}{}{}",
        World::gateway(),
        World::service("b", backend.port),
        World::catch_all("all", "b")
    ));
    let mut wrong = Vec::new();
    let rows = ROWS.iter().enumerate().map(|(at, (what, _, fate))| (format!("/row/{at}"), *what, *fate));
    for (target, what, fate) in rows.chain([("/long".to_owned(), "an endless head", Fate::Refused)]) {
        drop(backend.take());
        if let Err(why) = judge(&world, &target, fate) {
            wrong.push(format!("A29 {what}: {why}"));
        }
        let next = world.raw(&get("/next", "")).map(|reply| reply.text());
        let seen = backend.take();
        let first = seen.iter().find(|seen| seen.target == target).map(|seen| seen.connection);
        let again = seen.iter().filter(|seen| seen.target != target).any(|seen| Some(seen.connection) == first);
        let ends_well = what.starts_with("an Upgrade");
        if next.as_deref().is_ok_and(|text| text != "next") || next.is_err() || (again && !ends_well) {
            wrong.push(format!("A29 {what}: next client {next:?}, connection used again {again}"));
        }
    }
    println!("hostile A29 W03 W04: {} rows, {} wrong", ROWS.len() + 1, wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
