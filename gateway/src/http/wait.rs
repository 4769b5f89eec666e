// SPDX-License-Identifier: Apache-2.0
//! A request that waits, and whose client may leave meanwhile. It holds nothing but its connection.

use std::future::poll_fn;
use std::task::Poll;

use tokio::time::Instant;

use crate::fault::Fault;
use crate::http::side::Down;

/// Waits until then, or for ever. A client that leaves ends it; where its body is still to come over HTTP/1, it is not
/// looked at.
pub(crate) async fn pause(down: &mut Down, until: Option<Instant>) -> Result<(), Fault> {
    down.watchdog().set(until);
    let seen = down.received() || matches!(down, Down::H2(_));
    poll_fn(|cx| {
        if seen && let Poll::Ready(gone) = down.poll_gone(cx) {
            return Poll::Ready(Err(gone.fault()));
        }
        down.watchdog().poll(cx).map(Ok)
    })
    .await
}
