// SPDX-License-Identifier: Apache-2.0
//! A request that waits, and whose client may leave meanwhile.

use std::future::poll_fn;
use std::pin::Pin;
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

/// Waits for what a request needs; a client that leaves meanwhile ends it, as in [`pause`].
pub(crate) async fn staying<T>(
    down: &mut Down,
    mut need: Pin<&mut impl Future<Output = Result<T, Fault>>>,
) -> Result<T, Fault> {
    let seen = down.received() || matches!(down, Down::H2(_));
    poll_fn(|cx| {
        let met = need.as_mut().poll(cx);
        if met.is_pending()
            && seen
            && let Poll::Ready(gone) = down.poll_gone(cx)
        {
            return Poll::Ready(Err(gone.fault()));
        }
        met
    })
    .await
}
