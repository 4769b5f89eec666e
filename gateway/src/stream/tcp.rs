// SPDX-License-Identifier: Apache-2.0
//! One connection from its routing to its end.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use torana_ir::Protocol;

use super::Course;
use super::account::{Account, Moved};
use super::dial::{self, dial};
use super::relay::Relay;
use crate::fault::Fault;
use crate::http::Worker;
use crate::io::Io;
use crate::upstream::Caller;

/// A client that was accepted. What was read of its bytes to route it is put back into `io`.
pub(crate) struct Client {
    pub(crate) io: Box<Io>,
    pub(crate) remote: SocketAddr,
    /// The server name of its handshake, if it begins with one.
    pub(crate) sni: Option<String>,
    /// The version that was agreed, if TLS ends here.
    pub(crate) tls_version: Option<&'static str>,
}

/// Passes a connection on until both ends are done with it. If it leads nowhere, or breaks, it is reset.
pub(crate) async fn serve(mut client: Client, course: Course, worker: Arc<Worker>) {
    let mut account = Account::begin(&worker, client.remote, &course);
    account.handshake(client.sni.as_deref(), client.tls_version);
    let mut moved = Moved::default();
    let result = pass((&mut client.io, client.remote), &course, &worker, &mut account, &mut moved).await;
    if result.is_err() {
        client.io.reset();
    }
    drop(client);
    account.close(&worker, &course, moved, result.err());
}

async fn pass(
    (client, remote): (&mut Io, SocketAddr),
    course: &Course,
    worker: &Worker,
    account: &mut Account,
    moved: &mut Moved,
) -> Result<(), Fault> {
    let backend = course.onward.as_ref().map_err(|fault| *fault)?;
    let listener = &course.routed.listener;
    // Nobody ends one half of what is TLS.
    let half = *listener.protocol() == Protocol::Tcp;
    let is_told = backend.config.connections.proxy_protocol.is_some();
    let caller = is_told.then(|| Arc::new(Caller::new(remote, client.local())));
    let mut dialled = {
        let mut dialling = pin!(dial(worker, (backend, listener), (caller.as_ref(), remote.ip()), account));
        poll_fn(|cx| match dialling.as_mut().poll(cx) {
            Poll::Pending => client.poll_gone(cx, half).map(|()| Err(Fault::ClientGone)),
            dialled @ Poll::Ready(_) => dialled,
        })
        .await?
    };
    account.begun(worker, course);
    let idle = dial::idle(backend, listener);
    let result = Relay::new(client, &mut dialled.io, moved, idle).run().await;
    if result.is_err() {
        dialled.io.reset();
    }
    result
}
