// SPDX-License-Identifier: Apache-2.0
//! Ids of traces and spans. None of them is zero: to every standard that is no id.

use std::num::{NonZeroU64, NonZeroU128};

/// Of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId(NonZeroU128);

/// Of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanId(NonZeroU64);

impl TraceId {
    /// One that nobody has had; unique enough, and no secret.
    pub(super) fn random() -> Self {
        Self(NonZeroU128::new(fastrand::u128(..)).unwrap_or(NonZeroU128::MIN))
    }

    /// From 16 or 32 digits: ids of 64 bit are those whose first half is zero.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        number(text).filter(|_| matches!(text.len(), 16 | 32)).and_then(NonZeroU128::new).map(Self)
    }

    /// As OTLP has it.
    pub(crate) fn bytes(self) -> [u8; 16] {
        self.0.get().to_be_bytes()
    }

    /// In 32 digits; in 16 if it `is_short`.
    pub(super) fn write(self, out: &mut Vec<u8>, is_short: bool) {
        let bytes = self.bytes();
        write(out, if is_short { &bytes[8..] } else { &bytes });
    }

    /// In 32 digits.
    pub(crate) fn text(self) -> [u8; 32] {
        let mut text = [b'0'; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.bytes()) {
            pair.copy_from_slice(&digits(byte));
        }
        text
    }
}

impl SpanId {
    /// One that nobody has had.
    pub(super) fn random() -> Self {
        Self(NonZeroU64::new(fastrand::u64(..)).unwrap_or(NonZeroU64::MIN))
    }

    /// From 16 digits.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let number = number(text).filter(|_| text.len() == 16)?;
        NonZeroU64::new(u64::try_from(number).ok()?).map(Self)
    }

    /// As OTLP has it.
    pub(crate) fn bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }

    /// In 16 digits.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        write(out, &self.bytes());
    }
}

/// Up to 32 digits in lower case.
pub(super) fn number(text: &[u8]) -> Option<u128> {
    if text.is_empty() || text.len() > 32 {
        return None;
    }
    text.iter().try_fold(0u128, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

fn write(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend_from_slice(&digits(*byte));
    }
}

fn digits(byte: u8) -> [u8; 2] {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
    [digit(byte >> 4), digit(byte & 15)]
}
