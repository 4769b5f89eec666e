// SPDX-License-Identifier: Apache-2.0
//! What was taken of a request's body, kept so that another try can send it again. Kept as one text of bounded size,
//! however small the pieces were; a body that outgrows it is sent once.
//!
//! Only requests that may be tried again by their rule pay for it.

use bytes::Bytes;

use crate::head::{BodyLength, Fields};
use crate::http::piece::{Data, Piece};

/// Bytes of a request's body that are kept; with more, its first try is its last.
pub(crate) const MOST: usize = 64 << 10;

/// The body of one request, as far as it has come.
#[derive(Default)]
pub(crate) struct Replay {
    /// Everything that was taken is here.
    whole: bool,
    /// Bytes that are kept at most.
    most: usize,
    kept: Vec<u8>,
    end: Option<End>,
    pending: Pending,
}

/// How the body ended.
struct End(Option<Fields>);

/// What of it the current try has not been given.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Pending {
    #[default]
    Nothing,
    All,
    End,
}

impl Replay {
    /// Keeps nothing: what was taken cannot be sent again.
    pub(crate) fn off() -> Self {
        Self::default()
    }

    /// For a body of this length, which is known by now to be longer than `most` bytes or may turn out so.
    pub(crate) fn up_to(body: BodyLength, most: usize) -> Self {
        let fits = !matches!(body, BodyLength::Exact(length) if length > most as u64);
        Self { whole: fits, most, ..Self::default() }
    }

    /// For the beginning of a body: all that is taken until it is [`Self::settled`].
    pub(crate) fn beginning() -> Self {
        Self { whole: true, most: usize::MAX, ..Self::default() }
    }

    /// From now on it keeps no more than another would.
    pub(crate) fn settled(self) -> Self {
        Self { most: self.kept.len().max(MOST), ..self }
    }

    /// The end of the body was taken.
    pub(crate) fn is_ended(&self) -> bool {
        self.end.is_some()
    }

    /// What was kept.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.kept
    }

    /// Notes whatever was taken from the client; gives its bytes.
    pub(crate) fn take(&mut self, piece: &Piece<'_>) -> u64 {
        let mut taken = 0;
        if let Piece::Data(data) | Piece::Last(data) = piece {
            taken = data.as_slice().len() as u64;
            self.keep(data);
        }
        if !matches!(piece, Piece::Data(_)) {
            self.keep_end(if let Piece::Trailers(fields) = piece { Some(fields) } else { None });
        }
        taken
    }

    /// Everything that was taken from the client can be sent again.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// The current try has not been given all that was taken.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending != Pending::Nothing
    }

    /// Notes body bytes that were taken from the client.
    fn keep(&mut self, data: &Data<'_>) {
        if !self.whole {
            return;
        }
        let data = data.as_slice();
        self.whole = self.kept.len() + data.len() <= self.most;
        if self.whole {
            self.kept.extend_from_slice(data);
        } else {
            self.kept = Vec::new();
        }
    }

    /// Notes the end.
    fn keep_end(&mut self, trailers: Option<&Fields>) {
        if self.whole {
            self.end = Some(End(trailers.cloned()));
        }
    }

    /// There will be no other try: nothing more is kept.
    pub(crate) fn release(&mut self) {
        self.whole = false;
        if self.pending == Pending::Nothing {
            self.kept = Vec::new();
        }
    }

    /// Another try begins.
    pub(crate) fn rewind(&mut self) {
        self.pending = match (&self.end, self.kept.is_empty()) {
            _ if !self.whole => Pending::Nothing,
            (_, false) => Pending::All,
            (Some(_), true) => Pending::End,
            (None, true) => Pending::Nothing,
        };
    }

    /// The next piece for the current try; `None`: what follows has to come from the client.
    pub(crate) fn next(&mut self) -> Option<Piece<'static>> {
        match self.pending {
            Pending::Nothing => None,
            Pending::All => {
                let data = Data::Shared(Bytes::copy_from_slice(&self.kept));
                let last = matches!(self.end, Some(End(None)));
                self.pending = if last || self.end.is_none() { Pending::Nothing } else { Pending::End };
                Some(if last { Piece::Last(data) } else { Piece::Data(data) })
            }
            Pending::End => {
                self.pending = Pending::Nothing;
                let trailers = self.end.as_ref().and_then(|end| end.0.clone());
                Some(trailers.map_or(Piece::End, Piece::Trailers))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(replay: &mut Replay) -> Vec<String> {
        let shown = |piece| match piece {
            Piece::Data(data) => format!("data {}", data.as_slice().len()),
            Piece::Last(data) => format!("last {}", data.as_slice().len()),
            Piece::Trailers(fields) => format!("trailers {}", fields.len()),
            Piece::End => "end".to_owned(),
        };
        std::iter::from_fn(|| replay.next()).map(shown).collect()
    }

    #[test]
    fn what_was_taken_comes_again_and_the_rest_from_the_client() {
        let mut replay = Replay::up_to(BodyLength::Unknown, MOST);
        for _ in 0..3 {
            replay.keep(&Data::Slice(b"ab"));
        }
        assert!(replay.is_whole() && !replay.is_pending() && pieces(&mut replay).is_empty());
        replay.rewind();
        assert!(replay.is_pending());
        assert_eq!(pieces(&mut replay), ["data 6"]);
        replay.keep(&Data::Slice(b"c"));
        replay.keep_end(None);
        for _ in 0..2 {
            replay.rewind();
            assert_eq!(pieces(&mut replay), ["last 7"]);
        }
    }

    #[test]
    fn an_end_comes_again_with_its_trailers_and_without_a_body() {
        let mut replay = Replay::up_to(BodyLength::Unknown, MOST);
        let mut trailers = Fields::default();
        trailers.push(b"x", b"1");
        replay.keep(&Data::Slice(b"ab"));
        replay.keep_end(Some(&trailers));
        replay.rewind();
        assert_eq!(pieces(&mut replay), ["data 2", "trailers 1"]);
        let mut empty = Replay::up_to(BodyLength::Unknown, MOST);
        empty.keep_end(None);
        empty.rewind();
        assert_eq!(pieces(&mut empty), ["end"]);
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        let mut replay = Replay::up_to(BodyLength::Unknown, MOST);
        replay.keep(&Data::Slice(&vec![0; MOST]));
        assert!(replay.is_whole());
        replay.keep(&Data::Slice(b"a"));
        assert!(!replay.is_whole() && replay.kept.capacity() == 0);
        replay.rewind();
        assert!(pieces(&mut replay).is_empty());
        assert!(Replay::up_to(BodyLength::Exact(MOST as u64), MOST).is_whole());
        assert!(!Replay::up_to(BodyLength::Exact(MOST as u64 + 1), MOST).is_whole() && !Replay::off().is_whole());
    }
}
