// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 frames told apart by their nine-byte heads (RFC 9113 §4.1), for those who count what the `h2` crate answers or
//! ignores without telling anybody; and how many of them are fine. Payloads are skipped, nothing is copied or judged.

use tokio::time::Instant;

/// Bytes before a client's first frame (RFC 9113 §3.4).
pub(crate) const PREFACE: usize = 24;
/// Bytes of a frame's head.
const HEAD: usize = 9;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Frames that are fine without a reason: priorities, settings and windows at the start.
pub(crate) const ALLOWANCE: i32 = 1_000;
/// So many more are fine each second.
pub(crate) const FORGIVEN_A_SECOND: u128 = 100;
/// Never more than this, however much explains them.
pub(crate) const MOST: i32 = 10_000;
/// Bytes sent for which one frame more is fine.
const BYTES_A_FRAME: usize = 256;

/// Frames that a peer may send back for so many bytes, besides those for each piece of them.
pub(crate) fn explained(bytes: usize) -> i32 {
    i32::try_from(bytes / BYTES_A_FRAME).unwrap_or(MOST)
}

/// What time has forgiven since `since`, at so much a second; `since` moves on only when it is something.
pub(crate) fn forgiven(since: &mut Instant, now: Instant, a_second: u128) -> u128 {
    let forgiven = (now - *since).as_millis() * a_second / 1_000;
    if forgiven > 0 {
        *since = now;
    }
    forgiven
}

/// The head of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    /// Bytes of its payload.
    pub(crate) length: usize,
}

impl Frame {
    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// It carries a part of a body, or its end.
    pub(crate) fn is_body(self) -> bool {
        self.kind == DATA && (self.length > 0 || self.has(END_STREAM))
    }
}

/// Where in the sequence of frames a connection is.
#[derive(Debug)]
pub(crate) struct Frames {
    /// Bytes that are no head: the rest of a payload.
    skip: usize,
    /// A frame's head that came in parts.
    head: [u8; HEAD],
    have: usize,
    /// HEADERS began a field block that has not ended.
    block: bool,
}

impl Frames {
    /// `before` bytes come before the first frame.
    pub(crate) fn new(before: usize) -> Self {
        Self { skip: before, head: [0; HEAD], have: 0, block: false }
    }

    /// Goes over `bytes`; tells of every frame whose head ends in them.
    pub(crate) fn pass(&mut self, mut bytes: &[u8], mut note: impl FnMut(Frame)) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let part = (HEAD - self.have).min(bytes.len());
            self.head[self.have..self.have + part].copy_from_slice(&bytes[..part]);
            self.have += part;
            bytes = &bytes[part..];
            if self.have < HEAD {
                return;
            }
            self.have = 0;
            let [high, middle, low, kind, flags, ..] = self.head;
            self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            let frame = Frame { kind, flags, length: self.skip };
            if matches!(kind, HEADERS | CONTINUATION) {
                self.block = !frame.has(END_HEADERS);
            }
            note(frame);
        }
    }

    /// The last byte belongs to a field block, or to the head of a frame, and is not its last.
    pub(crate) fn amid_head(&self) -> bool {
        self.block || self.have > 0 || (self.skip > 0 && matches!(self.head[3], HEADERS | CONTINUATION))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).unwrap().to_be_bytes();
        [&size[1..], &[kind, flags, 0, 0, 0, 1], &vec![6; length]].concat()
    }

    #[test]
    fn frames_are_told_apart_however_they_are_cut() {
        let heads =
            [(SETTINGS, 0, 12), (HEADERS, 4, 70), (DATA, 0, 16_384), (DATA, 1, 0), (PING, ACK, 8), (0xfa, 0, 300)];
        let mut bytes = vec![b'P'; PREFACE];
        for (kind, flags, length) in heads {
            bytes.extend(frame(kind, flags, length));
        }
        for size in [1, 2, 8, 9, 10, 23, 24, 25, 4096, bytes.len()] {
            let (mut frames, mut seen) = (Frames::new(PREFACE), Vec::new());
            for part in bytes.chunks(size) {
                frames.pass(part, |frame| seen.push((frame.kind, frame.flags, frame.length)));
            }
            assert_eq!((seen.as_slice(), frames.have, frames.skip), (&heads[..], 0, 0), "in parts of {size}");
        }
    }

    #[test]
    fn a_head_lasts_until_the_end_of_its_block() {
        let mut frames = Frames::new(PREFACE);
        frames.pass(&[b'P'; PREFACE], |_| {});
        let whole = [frame(1, 0, 5), frame(9, 0, 0), frame(9, END_HEADERS, 3), frame(0, 0, 4)].concat();
        let ends = [14, 23, 35, 48];
        for (at, byte) in whole.iter().enumerate() {
            frames.pass(std::slice::from_ref(byte), |_| {});
            let (read, in_data_head) = (at + 1, (36..44).contains(&(at + 1)));
            assert_eq!(frames.amid_head(), read < ends[2] || in_data_head, "after {read} bytes");
        }
    }
}
