// SPDX-License-Identifier: Apache-2.0
//! Holds connections: `idle PORT HOST COUNT [CERTIFICATE]`. Opens COUNT connections (TLS 1.3 if a certificate is
//! named), one request on each, prints `open COUNT` and holds them until standard input closes.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use torana_bench_anchors::{exchange, sockets, tls};

/// Connections that are opened at a time: the proxy's upstream pool stays as small as this.
const AT_A_TIME: u32 = 16;

enum Held {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, host, count, certificate @ ..] = arguments.as_slice() else {
        anyhow::bail!("usage: idle PORT HOST COUNT [CERTIFICATE]");
    };
    let (port, count): (u16, u32) = (port.parse()?, count.parse()?);
    let config = certificate.first().map(|path| tls::client(&PathBuf::from(path), false)).transpose()?;
    let mut held = Vec::with_capacity(count as usize);
    let mut opening = tokio::task::JoinSet::new();
    for serial in 0..count {
        if opening.len() as u32 >= AT_A_TIME {
            held.push(opening.join_next().await.context("nothing is opening")???);
        }
        opening.spawn(open(port, host.clone(), serial, config.clone()));
    }
    while let Some(opened) = opening.join_next().await {
        held.push(opened??);
    }
    println!("open {}", held.len());
    // Blocks on purpose: nothing may happen on the connections from here on.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    let ended = held.iter().filter(|held| has_ended(held)).count();
    println!("ended {ended}");
    Ok(())
}

async fn open(port: u16, host: String, serial: u32, config: Option<Arc<ClientConfig>>) -> anyhow::Result<Held> {
    let mut stream = sockets::connect(port, serial).await?;
    let Some(config) = config else {
        exchange::fetch(&mut stream, &host).await?;
        return Ok(Held::Plain(stream));
    };
    let name = ServerName::try_from(host.clone())?;
    let mut stream = TlsConnector::from(config).connect(name, stream).await?;
    exchange::fetch(&mut stream, &host).await?;
    Ok(Held::Tls(Box::new(stream)))
}

/// Whether the proxy closed the connection while it was held: then its memory was not measured.
fn has_ended(held: &Held) -> bool {
    let socket = match held {
        Held::Plain(stream) => stream,
        Held::Tls(stream) => stream.get_ref().0,
    };
    matches!(socket2::SockRef::from(socket).peek(&mut [std::mem::MaybeUninit::uninit(); 1]), Ok(0))
}
