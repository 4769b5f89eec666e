// SPDX-License-Identifier: Apache-2.0
//! One check by HTTP/1.1: a request is written, the head of its answer is read, by the codec that requests have. The body
//! is nobody's business: the connection ends with the check.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use torana_ir::{HttpProbe, ProbeMethod};

use super::failure::Failure;
use super::probe::USER_AGENT;
use crate::http::h1::response::{self, Asked, Parsed};
use crate::io::Io;

/// Bytes of an answer that are read.
const MOST: usize = 16 << 10;

/// How long a peer may take to end a connection whose answer is known.
const GRACE: Duration = Duration::from_millis(100);

/// Lets the peer end the connection, as it was asked to, so that it sees no reset: for a while, and if it sends little.
pub(super) async fn finish(io: Io) {
    let (mut end, mut nowhere) = (io.take(MOST as u64), tokio::io::sink());
    let reading = tokio::io::copy(&mut end, &mut nowhere);
    // Whatever comes of it, the check is over.
    drop(tokio::time::timeout(GRACE, reading).await);
}

/// The status that a request gets.
pub(super) async fn status(io: &mut Io, probe: &HttpProbe) -> Result<u16, Failure> {
    let (method, target, host) = (probe.method.as_str(), probe.target.as_str(), probe.host.as_str());
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    io.write_all(request.as_bytes()).await.map_err(|_| Failure::Broken)?;
    io.flush().await.map_err(|_| Failure::Broken)?;
    let asked = Asked { head: probe.method == ProbeMethod::Head, upgrade: false };
    let (mut bytes, mut at) = (Vec::with_capacity(1024), 0);
    loop {
        match response::parse(bytes.get(at..).unwrap_or_default(), asked) {
            // Interim ones are about what is to come.
            Parsed::Complete { head, used, .. } if head.status < 200 => at += used,
            Parsed::Complete { head, .. } => return Ok(head.status),
            Parsed::Bad(_) => return Err(Failure::Broken),
            Parsed::Partial if bytes.len() >= MOST => return Err(Failure::Broken),
            Parsed::Partial => {
                let read = io.read_buf(&mut bytes).await.map_err(|_| Failure::Broken)?;
                if read == 0 {
                    return Err(Failure::Broken);
                }
            }
        }
    }
}
