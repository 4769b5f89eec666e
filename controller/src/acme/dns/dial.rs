// SPDX-License-Identifier: Apache-2.0
//! TCP connections to servers that are configured by name. Every step has a deadline; nothing is said over them here.

use std::io;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Of finding the addresses, of connecting to one, of one answer.
const STEP: Duration = Duration::from_secs(5);
/// Addresses that are tried, one after the other.
const MOST_ADDRESSES: usize = 4;

/// Connects to the first address of `server` (`host:port`) that takes it; else says what came of the last one.
pub(in crate::acme) async fn connect(server: &str) -> Result<TcpStream, String> {
    let addresses = within(lookup_host(server)).await?;
    let mut last = "it has no address".to_owned();
    for address in addresses.take(MOST_ADDRESSES) {
        match within(TcpStream::connect(address)).await {
            Ok(stream) => return Ok(stream),
            Err(why) => last = format!("{address}: {why}"),
        }
    }
    Err(last)
}

/// What comes of a step, or that nothing does in time.
pub(super) async fn within<T>(step: impl Future<Output = io::Result<T>>) -> Result<T, String> {
    match timeout(STEP, step).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err(format!("nothing within {STEP:?}")),
    }
}
