// SPDX-License-Identifier: Apache-2.0
//! The chunked coding, read strictly and in whatever pieces it comes (RFC 9112 §7.1).
//!
//! Extensions are checked, bounded and dropped. Trailers are checked and bounded; those that would frame, route or
//! authenticate are dropped. Nothing but CRLF ends a line.

use crate::fault::Reject;
use crate::gate;
use crate::head::Fields;

/// Digits of a chunk size: 2^64 - 1 has 16.
const MAX_DIGITS: u8 = 16;
/// Bytes of extensions of one body.
const MAX_EXTENSIONS: u16 = 4 << 10;
/// Bytes of a trailer section.
const MAX_TRAILERS: usize = 8 << 10;
/// Fields of a trailer section.
const MAX_TRAILER_FIELDS: usize = 32;

/// What came of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Body bytes, now at the front of the buffer.
    pub(crate) data: usize,
    /// Bytes that belong to this body; fewer than given only when it has ended.
    pub(crate) used: usize,
    /// The last chunk and the trailer section are through.
    pub(crate) ended: bool,
}

/// Where in the coding we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a chunk size, after so many digits.
    Size {
        digits: u8,
    },
    /// After `;`.
    ExtensionStart,
    ExtensionName,
    /// After `=`.
    ValueStart,
    ValueToken,
    Quoted,
    QuotedPair,
    QuoteClosed,
    /// After the CR of a size line.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a trailer line.
    TrailerStart,
    TrailerLine,
    TrailerLf,
    /// After the CR of the last line.
    EndLf,
    Ended,
}

/// A decoder of one body.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// Of the size being read; of the data that is left.
    size: u64,
    extensions: u16,
    trailer_bytes: usize,
    line: Vec<u8>,
    trailers: Fields,
    trailer_fields: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            state: State::Size { digits: 0 },
            size: 0,
            extensions: 0,
            trailer_bytes: 0,
            line: Vec::new(),
            trailers: Fields::default(),
            trailer_fields: 0,
        }
    }
}

impl Decoder {
    /// Reads `buffer`, moving what is body to its front. After an error the decoder is not to be used again.
    pub(crate) fn decode(&mut self, buffer: &mut [u8]) -> Result<Step, Reject> {
        let (mut data, mut at) = (0, 0);
        while at < buffer.len() && self.state != State::Ended {
            if self.state == State::Data {
                let run = usize::try_from(self.size).unwrap_or(usize::MAX).min(buffer.len() - at);
                buffer.copy_within(at..at + run, data);
                data += run;
                at += run;
                self.size -= run as u64;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            self.state = self.next(buffer[at])?;
            at += 1;
        }
        Ok(Step { data, used: at, ended: self.state == State::Ended })
    }

    /// The trailers, once it has ended; `None` if there were none to keep.
    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        let trailers = std::mem::take(&mut self.trailers);
        (!trailers.is_empty()).then_some(trailers)
    }

    fn next(&mut self, byte: u8) -> Result<State, Reject> {
        match self.state {
            State::Size { digits } => self.size(digits, byte),
            State::SizeLf => match byte {
                b'\n' if self.size == 0 => Ok(State::TrailerStart),
                b'\n' => Ok(State::Data),
                _ => Err(Reject::bad("bad_chunk_size")),
            },
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => {
                self.size = 0;
                Ok(State::Size { digits: 0 })
            }
            State::Data | State::DataCr | State::DataLf => Err(Reject::bad("bad_chunk_end")),
            State::TrailerStart | State::TrailerLine | State::TrailerLf | State::EndLf => self.trailer(byte),
            State::Ended => Ok(State::Ended),
            _ => self.extension(byte),
        }
    }

    fn size(&mut self, digits: u8, byte: u8) -> Result<State, Reject> {
        match (char::from(byte).to_digit(16), byte) {
            (Some(digit), _) if digits < MAX_DIGITS => {
                self.size = self.size << 4 | u64::from(digit);
                Ok(State::Size { digits: digits + 1 })
            }
            (None, b'\r') if digits > 0 => Ok(State::SizeLf),
            (None, b';') if digits > 0 => self.extend(State::ExtensionStart),
            _ => Err(Reject::bad("bad_chunk_size")),
        }
    }

    /// RFC 9112 §7.1.1, without blanks around `;` and `=`.
    fn extension(&mut self, byte: u8) -> Result<State, Reject> {
        let token = gate::is_token(&[byte]);
        let next = match (self.state, byte) {
            (State::ExtensionName | State::ValueToken | State::QuoteClosed, b'\r') => return Ok(State::SizeLf),
            (State::ExtensionName | State::ValueToken | State::QuoteClosed, b';') => State::ExtensionStart,
            (State::ExtensionName, b'=') => State::ValueStart,
            (State::ExtensionStart | State::ExtensionName, _) if token => State::ExtensionName,
            (State::ValueStart, b'"') => State::Quoted,
            (State::ValueStart | State::ValueToken, _) if token => State::ValueToken,
            (State::Quoted, b'"') => State::QuoteClosed,
            (State::Quoted, b'\\') => State::QuotedPair,
            (State::Quoted | State::QuotedPair, b'\t' | b' '..=b'~' | 0x80..) => State::Quoted,
            _ => return Err(Reject::bad("bad_chunk_extension")),
        };
        self.extend(next)
    }

    fn extend(&mut self, next: State) -> Result<State, Reject> {
        self.extensions += 1;
        if self.extensions > MAX_EXTENSIONS {
            return Err(Reject::bad("chunk_extensions_too_long"));
        }
        Ok(next)
    }

    fn trailer(&mut self, byte: u8) -> Result<State, Reject> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > MAX_TRAILERS {
            return Err(Reject::with(431, "trailers_too_long"));
        }
        match (self.state, byte) {
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::EndLf, b'\n') => Ok(State::Ended),
            (State::TrailerLine, b'\r') => Ok(State::TrailerLf),
            (State::TrailerLf, b'\n') => {
                self.keep_trailer()?;
                Ok(State::TrailerStart)
            }
            (State::TrailerLf | State::EndLf, _) | (_, b'\n') => Err(Reject::bad("bad_trailer")),
            _ => {
                self.line.push(byte);
                Ok(State::TrailerLine)
            }
        }
    }

    fn keep_trailer(&mut self) -> Result<(), Reject> {
        self.trailer_fields += 1;
        if self.trailer_fields > MAX_TRAILER_FIELDS {
            return Err(Reject::with(431, "trailers_too_long"));
        }
        let line = std::mem::take(&mut self.line);
        let colon = memchr::memchr(b':', &line).ok_or(Reject::bad("bad_trailer"))?;
        let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
        // A folded line begins with a blank, which is no token.
        if !gate::is_token(name) || !gate::is_value(value) {
            return Err(Reject::bad("bad_trailer"));
        }
        self.trailers.push_if(name, value, |_, name| !gate::forbidden_in_trailers(name));
        Ok(())
    }
}

/// Without the blanks around it.
fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |at| at + 1);
    &value[start..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::h1::write;

    /// Body, trailers, bytes that were left; or why not.
    type Decoded = Result<(Vec<u8>, Vec<(String, String)>, Vec<u8>), &'static str>;

    fn decode(pieces: &[&[u8]]) -> Decoded {
        let mut decoder = Decoder::default();
        let (mut body, mut left, mut ended) = (Vec::new(), Vec::new(), false);
        for piece in pieces {
            let mut buffer = piece.to_vec();
            let step = decoder.decode(&mut buffer).map_err(|reject| reject.reason)?;
            assert!(step.used == buffer.len() || step.ended);
            body.extend_from_slice(&buffer[..step.data]);
            left.extend_from_slice(&piece[step.used..]);
            ended = step.ended;
        }
        if !ended {
            return Err("unfinished");
        }
        let trailers = decoder.take_trailers().unwrap_or_default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((body, trailers.iter().map(|(_, name, value)| (text(name), text(value))).collect(), left))
    }

    #[test]
    fn chunks_are_joined_and_what_follows_is_left() {
        let (body, trailers, left) =
            decode(&[b"5\r\nhello\r\n00A;x;y=z;q=\"\\\"a\"\r\n, you all!\r\n0\r\nX-Sum: 1 \r\n\r\nGET /"]).unwrap();
        assert_eq!(body, b"hello, you all!");
        assert_eq!(trailers, [("x-sum".into(), "1".into())]);
        assert_eq!(left, b"GET /");
    }

    #[test]
    fn broken_framing_is_refused() {
        let rows: &[(&str, &str)] = &[
            ("+5\r\n", "bad_chunk_size"),
            ("-5\r\n", "bad_chunk_size"),
            ("0x5\r\n", "bad_chunk_size"),
            ("5_\r\n", "bad_chunk_size"),
            ("5,5\r\n", "bad_chunk_size"),
            ("g\r\n", "bad_chunk_size"),
            ("\"5\"\r\n", "bad_chunk_size"),
            ("\r\n", "bad_chunk_size"),
            (" 5\r\n", "bad_chunk_size"),
            ("5 \r\n", "bad_chunk_size"),
            ("5\n", "bad_chunk_size"),
            ("5\rx", "bad_chunk_size"),
            ("00000000000000005\r\n", "bad_chunk_size"),
            ("10000000000000000\r\n", "bad_chunk_size"),
            ("5;\r\n", "bad_chunk_extension"),
            ("5;a\n", "bad_chunk_extension"),
            ("5;a=\r\n", "bad_chunk_extension"),
            ("5;a\0\r\n", "bad_chunk_extension"),
            ("5;a b\r\n", "bad_chunk_extension"),
            ("5;a=\"b\rc\"\r\n", "bad_chunk_extension"),
            ("5;a=\"b\nc\"\r\n", "bad_chunk_extension"),
            ("5;a\rb\r\n", "bad_chunk_size"),
            ("5;=b\r\n", "bad_chunk_extension"),
            ("5\r\nhello\n0\r\n\r\n", "bad_chunk_end"),
            ("5\r\nhello\r0\r\n\r\n", "bad_chunk_end"),
            ("5\r\nhello0\r\n\r\n", "bad_chunk_end"),
            ("5\r\nhello!\r\n0\r\n\r\n", "bad_chunk_end"),
            ("0\n\r\n", "bad_chunk_size"),
            ("0\r\n\n", "bad_trailer"),
            ("0\r\nbad name: x\r\n\r\n", "bad_trailer"),
            ("0\r\nname : x\r\n\r\n", "bad_trailer"),
            ("0\r\nx\r\n\r\n", "bad_trailer"),
            ("0\r\n: x\r\n\r\n", "bad_trailer"),
            ("0\r\na: b\0\r\n\r\n", "bad_trailer"),
            ("0\r\na: b\n\r\n", "bad_trailer"),
            ("0\r\na: b\rc\r\n\r\n", "bad_trailer"),
            ("0\r\na: b\r\n c\r\n\r\n", "bad_trailer"),
        ];
        for (text, reason) in rows {
            assert_eq!(decode(&[text.as_bytes()]), Err(*reason), "{text:?}");
        }
    }

    #[test]
    fn forbidden_trailers_are_dropped() {
        let section = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: x\r\nAuthorization: x\r\nCookie: a\r\n\
                       X-Forwarded-For: x\r\nSet-Cookie: a\r\nX_Under: 1\r\nGrpc-Status: 0\r\n";
        let text = format!("0\r\n{section}\r\n");
        let (_, trailers, _) = decode(&[text.as_bytes()]).unwrap();
        assert_eq!(trailers, [("grpc-status".into(), "0".into())]);
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let extended = format!("1;a={}\r\nx\r\n", "b".repeat(1400)).repeat(3);
        assert_eq!(decode(&[extended.as_bytes()]), Err("chunk_extensions_too_long"));
        let long = format!("0\r\na: {}", "b".repeat(MAX_TRAILERS));
        assert_eq!(decode(&[long.as_bytes()]), Err("trailers_too_long"));
        let many = format!("0\r\n{}", "a: b\r\n".repeat(MAX_TRAILER_FIELDS + 1));
        assert_eq!(decode(&[many.as_bytes()]), Err("trailers_too_long"));
        assert!(decode(&[b"ffffffffffffffff\r\nabc"]).is_err_and(|reason| reason == "unfinished"));
    }

    fn split<'a>(text: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(
            text in "([0-9a]{1,2}(;[a-c]=?\"?[a-c]?\"?)?\r\n[a-z\r\n]{0,9}\r\n){0,3}0\r\n(([A-Z-]{1,3}|[a ]): ?[a-z ]{0,3}\r\n){0,2}\r\nrest",
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let whole = decode(&[text.as_bytes()]);
            prop_assert_eq!(decode(&split(text.as_bytes(), &cuts)), whole.clone());
            let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            prop_assert_eq!(decode(&single), whole);
        }

        #[test]
        fn what_is_written_is_read_back(
            body in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..400), 0..5),
            trailer in proptest::option::of("[a-z ]{0,8}"),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut fields = Fields::default();
            let expected: Vec<(String, String)> = trailer.iter().map(|value| ("x-sum".to_owned(), value.trim().to_owned())).collect();
            for (name, value) in &expected {
                fields.push(name.as_bytes(), value.as_bytes());
            }
            let mut wire = Vec::new();
            for data in &body {
                write::chunk_start(&mut wire, data.len());
                wire.extend_from_slice(data);
                wire.extend_from_slice(b"\r\n");
            }
            write::last_chunk(&mut wire, Some(&fields));
            wire.extend_from_slice(b"next");
            let got = decode(&split(&wire, &cuts)).unwrap();
            prop_assert_eq!(got, (body.concat(), expected, b"next".to_vec()));
        }
    }
}
