// SPDX-License-Identifier: Apache-2.0
//! Asking a running gateway: its admin server explains from the table that is in force.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What the whole question may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Largest answer that is read, in bytes.
const LIMIT: usize = 16 << 20;

/// Asks the admin server at `address` for `/debug/explain?query`; returns its JSON.
pub(super) fn ask(address: SocketAddr, query: &str) -> anyhow::Result<serde_json::Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(async { timeout(DEADLINE, fetch(address, query)).await });
    let (status, body) = answer.context("no answer in time").flatten().with_context(|| address.to_string())?;
    match status {
        StatusCode::OK => serde_json::from_slice(&body).with_context(|| format!("{address}: not an answer")),
        StatusCode::NOT_FOUND => bail!("{address}: nothing is explained there; is it the admin server of torana run?"),
        _ => bail!("{address}: {status}: {}", String::from_utf8_lossy(&body).trim()),
    }
}

async fn fetch(address: SocketAddr, query: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let host = address.to_string();
    let request =
        Request::get(format!("/debug/explain?{query}")).header(header::HOST, host).body(Empty::<Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LIMIT).collect().await.map_err(anyhow::Error::from_boxed)?;
        Ok((status, body.to_bytes()))
    };
    let mut exchange = pin!(exchange);
    let ended = tokio::select! {
        answer = &mut exchange => return answer,
        ended = connection => ended,
    };
    // It may have hung up after the answer, which is still to be read then.
    let answer = exchange.await;
    if answer.is_err() {
        ended?;
        bail!("the connection ended early");
    }
    answer
}
