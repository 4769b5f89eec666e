// SPDX-License-Identifier: Apache-2.0
//! Asking a proxy for a way to somebody else (`CONNECT`, RFC 9110 §9.3.6). Nothing of a client goes there before it has
//! agreed.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;
use torana_ir::Authority;

use crate::fault::Fault;
use crate::io::Io;

/// The proxy answered, and said no.
pub(crate) const REFUSED: &str = "refused";

/// Bytes of an answer's head.
const LONGEST: usize = 16 << 10;
/// Fields of one.
const MOST_FIELDS: usize = 100;

/// Asks for `authority`. What comes after the answer is the other's, and is read next. Every failure is [`Fault::Tunnel`].
pub(super) async fn ask(io: &mut Io, authority: &Authority, deadline: Instant) -> Result<(), Fault> {
    let asked = tokio::time::timeout_at(deadline, asking(io, authority.as_str())).await;
    asked.unwrap_or(Err("timeout")).map_err(Fault::Tunnel)
}

async fn asking(io: &mut Io, authority: &str) -> Result<(), &'static str> {
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    io.write_all(request.as_bytes()).await.map_err(|_| "closed")?;
    io.flush().await.map_err(|_| "closed")?;
    let mut answer = Vec::new();
    loop {
        let room = LONGEST.saturating_sub(answer.len()) as u64;
        match (&mut *io).take(room).read_buf(&mut answer).await {
            Ok(0) if room == 0 => return Err("answer_too_long"),
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err("closed"),
        }
        if let Some(used) = agreed(&answer)? {
            io.unread(answer.get(used..).unwrap_or_default());
            return Ok(());
        }
    }
}

/// How long the head is of an answer that agrees; `None` if there is more to come.
fn agreed(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(bytes) {
        Err(_) => Err("malformed"),
        Ok(httparse::Status::Partial) => Ok(None),
        // As Envoy: no other status will do.
        Ok(httparse::Status::Complete(used)) if response.code == Some(200) => Ok(Some(used)),
        Ok(httparse::Status::Complete(_)) => Err(REFUSED),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// What is asked, what comes of it, and what is read after it.
    async fn asked(answer: &[u8]) -> (String, Result<String, Fault>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (stream, accepted) = tokio::join!(connecting, async { listener.accept().await });
        let (mut io, mut proxy) = (Io::tcp(stream.unwrap()), accepted.unwrap().0);
        proxy.write_all(answer).await.unwrap();
        if !answer.is_empty() {
            proxy.shutdown().await.unwrap();
        }
        let deadline = Instant::now() + Duration::from_millis(200);
        let result = ask(&mut io, &Authority::new("db.example:5432").unwrap(), deadline).await;
        let mut rest = String::new();
        if result.is_ok() {
            io.read_to_string(&mut rest).await.unwrap();
        }
        drop(io);
        let mut request = Vec::new();
        // A reset ends it, too.
        proxy.read_to_end(&mut request).await.ok();
        (String::from_utf8(request).unwrap(), result.map(|()| rest))
    }

    #[tokio::test]
    async fn who_agrees_is_passed_on_to_with_what_came_at_once() {
        let (request, result) = asked(b"HTTP/1.1 200 OK\r\nserver: squid\r\n\r\nhello").await;
        assert_eq!(request, "CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n");
        assert_eq!(result, Ok("hello".to_owned()));
    }

    #[tokio::test]
    async fn everything_else_is_a_fault_that_says_why() {
        let long = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'a'; 20 << 10]].concat();
        for (answer, why) in [
            (&b"HTTP/1.1 403 Forbidden\r\n\r\n"[..], "refused"),
            (b"HTTP/1.1 204 No Content\r\n\r\n", "refused"),
            (b"SSH-2.0-x\r\n\r\n", "malformed"),
            (b"HTTP/1.1 200 OK\r\n", "closed"),
            (&long, "answer_too_long"),
            (b"", "timeout"),
        ] {
            assert_eq!(asked(answer).await.1, Err(Fault::Tunnel(why)));
        }
    }
}
