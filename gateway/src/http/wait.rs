// SPDX-License-Identifier: Apache-2.0
//! A request that waits, and whose client may leave meanwhile. It holds nothing but its connection.

use std::future::poll_fn;
use std::task::Poll;

use tokio::time::Instant;

use crate::fault::Fault;
use crate::http::side::Down;

/// Waits until then. A client that leaves ends it; one that still sends its body is not looked at.
pub(crate) async fn pause(down: &mut Down, until: Instant) -> Result<(), Fault> {
    down.watchdog().set(Some(until));
    poll_fn(|cx| {
        if down.received()
            && let Poll::Ready(gone) = down.poll_gone(cx)
        {
            return Poll::Ready(Err(gone.fault()));
        }
        down.watchdog().poll(cx).map(Ok)
    })
    .await
}
