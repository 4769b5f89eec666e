// SPDX-License-Identifier: Apache-2.0
//! The receive loop of one UDP socket on one worker.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use super::admission::{Admission, FlowPlace};
use crate::http::Worker;
use crate::stream::Flows;
use crate::table::Bind;

/// How often flows are looked at that may be over.
const SWEEP: Duration = Duration::from_secs(1);
/// Datagrams that are taken before others get their turn.
const BURST: usize = 64;

/// A socket that datagrams come in by.
pub(super) struct Datagrams {
    pub(super) socket: Arc<UdpSocket>,
    pub(super) bind: Bind,
    pub(super) worker: Arc<Worker>,
    pub(super) admission: Arc<Admission>,
}

impl Datagrams {
    /// Receives until `stop`. The flows end with the socket: their answers leave by it.
    pub(super) async fn run(self, mut stop: oneshot::Receiver<()>) {
        let mut flows = Flows::new(Arc::clone(&self.socket), self.bind, Arc::clone(&self.worker));
        let mut buffer = Flows::<FlowPlace>::buffer();
        let mut tick = tokio::time::interval(SWEEP);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                // The other end is dropped with the worker: the same thing.
                _ = &mut stop => break,
                _ = tick.tick() => flows.sweep(),
                ready = self.socket.readable() => {
                    if let Err(error) = ready {
                        tracing::warn!(port = self.bind.port, %error, "datagrams cannot be received");
                        tokio::time::sleep(SWEEP).await;
                    }
                    self.take(&mut flows, &mut buffer);
                }
            }
            tokio::task::yield_now().await;
        }
        flows.end();
    }

    fn take(&self, flows: &mut Flows<FlowPlace>, buffer: &mut [u8]) {
        for _ in 0..BURST {
            match self.socket.try_recv_from(buffer) {
                Ok((read, client)) => flows.take(client, &buffer[..read], || self.admission.admit_flow()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // Of an answer that could not be delivered: says nothing about the socket.
                Err(_) => {}
            }
        }
    }
}
