// SPDX-License-Identifier: Apache-2.0
//! One unary gRPC call by prior knowledge: `grpc PORT AUTHORITY`. Exit 0 only if the answer is 200, holds a message
//! and ends with `grpc-status: 0` in trailers; h2load cannot see trailers, so this stands beside every gRPC round.

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::Request;
use torana_bench_anchors::sockets;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, authority] = arguments.as_slice() else {
        anyhow::bail!("usage: grpc PORT AUTHORITY");
    };
    let stream = sockets::connect(port.parse()?, 0).await?;
    let (client, connection) = h2::client::handshake(stream).await?;
    tokio::spawn(connection);
    let request = Request::post(format!("http://{authority}/bench.Echo/Unary"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (answer, mut body) = client.ready().await?.send_request(request, false)?;
    body.send_data(Bytes::from_static(b"\x00\x00\x00\x00\x05hello"), true)?;
    let (head, mut body) = answer.await?.into_parts();
    ensure!(head.status == 200, "answered {}", head.status);
    let mut length = 0;
    while let Some(piece) = body.data().await {
        let piece = piece?;
        length += piece.len();
        body.flow_control().release_capacity(piece.len())?;
    }
    ensure!(length > 5, "no message: {length} bytes");
    let trailers = body.trailers().await?.context("no trailers")?;
    let status = trailers.get("grpc-status").context("no grpc-status")?;
    ensure!(status == "0", "grpc-status {status:?}");
    Ok(())
}
