// SPDX-License-Identifier: Apache-2.0
//! The thread of one worker: a runtime, and the sockets that its clients come in by.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, oneshot};

use super::accept::{Door, Reserve};
use super::admission::Admission;
use super::datagrams::Datagrams;
use super::socket::Listening;
use crate::http::Worker;
use crate::table::Bind;

/// Orders that wait.
const ORDERS: usize = 16;

/// A worker's thread. It ends, and cuts what is left of its connections, when this is dropped.
pub(super) struct Thread {
    orders: mpsc::Sender<Order>,
    /// Threads end by themselves when `orders` is dropped.
    _thread: JoinHandle<()>,
}

enum Order {
    Open { bind: Bind, socket: Listening, done: oneshot::Sender<io::Result<()>> },
    Close { bind: Bind, done: oneshot::Sender<()> },
}

impl Thread {
    pub(super) fn start(at: usize, worker: Arc<Worker>, admission: &Arc<Admission>) -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel(ORDERS);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let admission = Arc::clone(admission);
        let run = move || runtime.block_on(Desk { worker, admission, accepting: BTreeMap::new() }.run(inbox));
        let thread = std::thread::Builder::new().name(format!("worker-{at}")).spawn(run)?;
        Ok(Self { orders, _thread: thread })
    }

    /// Takes clients from `socket`.
    pub(super) async fn open(&self, bind: Bind, socket: Listening) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        let gone = || io::Error::other("the worker has ended");
        self.orders.send(Order::Open { bind, socket, done }).await.map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }

    /// Closes the socket of `bind`, if there is one.
    pub(super) async fn close(&self, bind: Bind) {
        let (done, closed) = oneshot::channel();
        if self.orders.send(Order::Close { bind, done }).await.is_ok() {
            // A worker that has ended has closed its sockets.
            closed.await.ok();
        }
    }
}

/// The part that lives on the thread.
struct Desk {
    worker: Arc<Worker>,
    admission: Arc<Admission>,
    accepting: BTreeMap<Bind, Accepting>,
}

struct Accepting {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Desk {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        tokio::spawn(Arc::clone(&self.worker).sweep());
        while let Some(order) = inbox.recv().await {
            // Who gave the order may have gone.
            match order {
                Order::Open { bind, socket, done } => drop(done.send(self.open(bind, socket))),
                Order::Close { bind, done } => {
                    self.close(bind).await;
                    done.send(()).ok();
                }
            }
        }
    }

    fn open(&mut self, bind: Bind, socket: Listening) -> io::Result<()> {
        let (stop, stopped) = oneshot::channel();
        let (worker, admission) = (Arc::clone(&self.worker), Arc::clone(&self.admission));
        let task = match socket {
            Listening::Connections(socket) => {
                let (listener, reserve) = (TcpListener::from_std(socket)?, Reserve::new());
                tokio::spawn(Door { listener, bind, worker, admission, reserve }.run(stopped))
            }
            Listening::Datagrams(socket) => {
                let socket = Arc::new(UdpSocket::from_std(socket)?);
                tokio::spawn(Datagrams { socket, bind, worker, admission }.run(stopped))
            }
        };
        self.accepting.insert(bind, Accepting { stop, task });
        Ok(())
    }

    async fn close(&mut self, bind: Bind) {
        if let Some(Accepting { stop, task }) = self.accepting.remove(&bind) {
            // A task that has ended needs no order; one that panicked has dropped its socket.
            stop.send(()).ok();
            task.await.ok();
        }
    }
}
