// SPDX-License-Identifier: Apache-2.0
//! One GET over an open connection, read to the end of its `Content-Length` body. Anything but 200 is an error.

use anyhow::{Context, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest answer that is taken, head and body.
const LONGEST: usize = 8192;

/// Sends `GET /` for `host` and reads the whole answer.
pub async fn fetch<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, host: &str) -> anyhow::Result<()> {
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
    stream.flush().await?;
    let mut buffer = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            bail!("closed within the answer");
        }
        if let Some(end) = memchr::memmem::find(&buffer, b"\r\n\r\n") {
            let head = std::str::from_utf8(&buffer[..end]).context("head of the answer")?;
            if buffer.len() >= end + 4 + body_length(head)? {
                return Ok(());
            }
        }
        if buffer.len() > LONGEST {
            bail!("answer longer than {LONGEST} bytes");
        }
    }
}

fn body_length(head: &str) -> anyhow::Result<usize> {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    if status != "200" {
        bail!("answered {status}");
    }
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("answer without content-length")?;
    length.1.trim().parse().context("content-length")
}

#[cfg(test)]
mod tests {
    use super::body_length;

    #[test]
    fn only_a_200_with_a_length_is_an_answer() {
        assert_eq!(body_length("HTTP/1.1 200 OK\r\nContent-Length: 128").ok(), Some(128));
        assert!(body_length("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0").is_err());
        assert!(body_length("HTTP/1.1 200 OK\r\nserver: x").is_err());
    }
}
