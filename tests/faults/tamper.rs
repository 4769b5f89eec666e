// SPDX-License-Identifier: Apache-2.0
//! What the proxy of ours does to watches: each event is a line of JSON, and lines are passed on, kept, doubled, swapped,
//! cut in the middle, or made up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::sync::mpsc;

use super::line::Body;

/// What is sent on a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// A whole line.
    Line(String),
    /// This much of one, and then the connection breaks.
    Broken(String),
}

/// What becomes of each line.
type Tamper = Box<dyn FnMut(&str) -> Vec<Piece> + Send>;

/// All watches that come by.
#[derive(Default)]
pub(super) struct Watches {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    tampers: Mutex<BTreeMap<String, Tamper>>,
    open: Mutex<Vec<(String, mpsc::Sender<Piece>)>>,
    seen: Mutex<Vec<(String, String)>>,
}

impl Watches {
    /// From now on every line of a watch of `plural` becomes what `tamper` says.
    pub(super) fn tamper(&self, plural: &str, tamper: impl FnMut(&str) -> Vec<Piece> + Send + 'static) {
        self.shared.tampers.lock().unwrap().insert(plural.to_owned(), Box::new(tamper));
    }

    /// Lines are passed on as they are.
    pub(super) fn heal(&self) {
        self.shared.tampers.lock().unwrap().clear();
    }

    /// Sends this on every open watch of `plural`; tells on how many.
    pub(super) fn send(&self, plural: &str, piece: &Piece) -> usize {
        let mut open = self.shared.open.lock().unwrap();
        open.retain(|(_, sender)| !sender.is_closed());
        let watches = open.iter().filter(|(path, _)| is_of(path, plural));
        watches.filter(|(_, sender)| sender.try_send(piece.clone()).is_ok()).count()
    }

    /// Breaks every watch of every kind.
    pub(super) fn break_all(&self) {
        for (_, sender) in self.shared.open.lock().unwrap().drain(..) {
            sender.try_send(Piece::Broken(String::new())).ok();
        }
    }

    /// Lines that came from the API server on watches of `plural`.
    pub(super) fn seen(&self, plural: &str) -> Vec<String> {
        let seen = self.shared.seen.lock().unwrap();
        seen.iter().filter(|(path, _)| is_of(path, plural)).map(|(_, line)| line.clone()).collect()
    }

    /// The body of a watch, as it is passed on.
    pub(super) fn carry(&self, path: &str, body: Incoming) -> Body {
        let (sender, receiver) = mpsc::channel(64);
        let (told, orders) = mpsc::channel(8);
        self.shared.open.lock().unwrap().push((path.to_owned(), told));
        tokio::spawn(pump(Arc::clone(&self.shared), path.to_owned(), body, sender, orders));
        StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(receiver)).boxed()
    }
}

impl Shared {
    fn tampered(&self, path: &str, line: &str) -> Vec<Piece> {
        self.seen.lock().unwrap().push((path.to_owned(), line.to_owned()));
        let mut tampers = self.tampers.lock().unwrap();
        match tampers.iter_mut().find(|(plural, _)| is_of(path, plural)) {
            Some((_, tamper)) => tamper(line),
            None => vec![Piece::Line(line.to_owned())],
        }
    }
}

fn is_of(path: &str, plural: &str) -> bool {
    path.rsplit('/').next() == Some(plural)
}

type Sender = mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>;

async fn pump(
    shared: Arc<Shared>,
    path: String,
    mut body: Incoming,
    sender: Sender,
    mut orders: mpsc::Receiver<Piece>,
) {
    let mut buffer = Vec::new();
    loop {
        let pieces = tokio::select! {
            frame = body.frame() => {
                let Some(Ok(frame)) = frame else { return };
                buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
                let mut pieces = Vec::new();
                while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = buffer.drain(..=end).collect();
                    pieces.extend(shared.tampered(&path, String::from_utf8_lossy(&line).trim_end()));
                }
                pieces
            }
            Some(piece) = orders.recv() => vec![piece],
            () = sender.closed() => return,
        };
        for piece in pieces {
            if send(&sender, piece).await.is_none() {
                return;
            }
        }
    }
}

/// `None`: the watch is over.
async fn send(sender: &Sender, piece: Piece) -> Option<()> {
    match piece {
        Piece::Line(line) => sender.send(Ok(Frame::data(format!("{line}\n").into()))).await.ok(),
        Piece::Broken(part) => {
            if !part.is_empty() {
                sender.send(Ok(Frame::data(part.into()))).await.ok()?;
                // What is sent together with the end of a connection may be lost with it.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            sender.send(Err(std::io::ErrorKind::ConnectionAborted.into())).await.ok();
            None
        }
    }
}
