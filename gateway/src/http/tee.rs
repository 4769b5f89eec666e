// SPDX-License-Identifier: Apache-2.0
//! Copies of a request body for its mirrors. A mirror that cannot keep up is cut; the request never waits for it.

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::sync::mpsc;

use crate::http::piece::Data;
use crate::http::replay::Replay;

/// Pieces that a mirror may lag behind; with 64 KiB a piece it bounds a mirror's memory to 1 MiB.
pub(crate) const LAG: usize = 16;

/// What a mirror receives. A channel that closes before [`Copied::End`] means the copy is cut.
pub(crate) enum Copied {
    /// Body bytes.
    Data(Bytes),
    /// The body is whole.
    End,
}

/// What a request's body is also for, besides the try that it is on.
#[derive(Default)]
pub(crate) struct Copies {
    /// Its mirrors.
    pub(crate) tee: Tee,
    /// What was read of it before.
    pub(crate) kept: Option<Replay>,
}

impl Copies {
    /// `kept` was read before the mirrors were there.
    pub(crate) fn new(mut tee: Tee, kept: Option<Replay>) -> Self {
        if let Some(kept) = &kept {
            tee.send(&Data::Slice(kept.bytes()));
            if kept.is_ended() {
                tee.end();
            }
        }
        Self { tee, kept }
    }
}

/// The senders of all mirrors of one request.
#[derive(Default)]
pub(crate) struct Tee(SmallVec<[mpsc::Sender<Copied>; 2]>);

impl Tee {
    pub(crate) fn add(&mut self, mirror: mpsc::Sender<Copied>) {
        self.0.push(mirror);
    }

    pub(crate) fn send(&mut self, data: &Data<'_>) {
        if self.0.is_empty() || data.as_slice().is_empty() {
            return;
        }
        let bytes = data.to_bytes();
        self.0.retain(|mirror| mirror.try_send(Copied::Data(bytes.clone())).is_ok());
    }

    pub(crate) fn end(&mut self) {
        for mirror in self.0.drain(..) {
            // A full queue drops the end: the mirror sees a cut body, never a short one taken for whole.
            let _ = mirror.try_send(Copied::End).is_ok();
        }
    }
}
