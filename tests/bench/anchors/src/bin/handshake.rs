// SPDX-License-Identifier: Apache-2.0
//! Short connections: `handshake PORT HOST SECONDS CLIENTS CERTIFICATE full|resumed`. Each client opens a TLS 1.3
//! connection, sends one GET, reads the answer and closes, again and again. Prints
//! `connections N resumed N seconds S`; any failure ends it with an error. In `resumed` mode it is an error if one
//! connection in a hundred or more was not resumed, in `full` mode if any was.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;
use torana_bench_anchors::{exchange, sockets, tls};

#[derive(Default)]
struct Count {
    connections: u32,
    resumed: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, host, seconds, clients, certificate, mode] = arguments.as_slice() else {
        anyhow::bail!("usage: handshake PORT HOST SECONDS CLIENTS CERTIFICATE full|resumed");
    };
    let resume = mode == "resumed";
    let config = tls::client(&PathBuf::from(certificate), resume)?;
    let (port, clients): (u16, u32) = (port.parse()?, clients.parse()?);
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(seconds.parse()?);
    let mut running = tokio::task::JoinSet::new();
    for client in 0..clients {
        running.spawn(repeat(port, host.clone(), client, config.clone(), end));
    }
    let mut total = Count::default();
    while let Some(done) = running.join_next().await {
        let done = done??;
        total.connections += done.connections;
        total.resumed += done.resumed;
    }
    let full = total.connections - total.resumed;
    // Each client's first connection has no ticket yet, and one ticket serves once.
    ensure!(!resume || full <= clients + total.connections / 100, "{full} of {} not resumed", total.connections);
    ensure!(resume || total.resumed == 0, "{} resumed without being asked", total.resumed);
    println!(
        "connections {} resumed {} seconds {:.3}",
        total.connections,
        total.resumed,
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

async fn repeat(
    port: u16,
    host: String,
    client: u32,
    config: Arc<ClientConfig>,
    end: Instant,
) -> anyhow::Result<Count> {
    let connector = TlsConnector::from(config);
    let name = ServerName::try_from(host.clone())?;
    let mut count = Count::default();
    while Instant::now() < end {
        let serial = client * 31 + count.connections;
        let stream = sockets::connect(port, serial).await?;
        let mut stream = connector.connect(name.clone(), stream).await.context("handshake")?;
        exchange::fetch(&mut stream, &host).await?;
        count.connections += 1;
        count.resumed += u32::from(stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed));
        // The proxy may close first; that is its right after the answer.
        drop(stream.shutdown().await);
    }
    Ok(count)
}
