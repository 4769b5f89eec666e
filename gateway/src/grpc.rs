// SPDX-License-Identifier: Apache-2.0
//! What gRPC adds to HTTP/2 (`PROTOCOL-HTTP2.md` of gRPC), as far as it is spoken here: its status, and the framing of
//! calls with one message either way. Knows no message.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::head::Fields;

/// UNAUTHENTICATED.
const LAST_STATUS: u8 = 16;

/// `grpc-status` of these fields, if it is one.
pub(crate) fn status(fields: &Fields) -> Option<u8> {
    str::from_utf8(fields.first("grpc-status")?).ok()?.parse().ok().filter(|code| *code <= LAST_STATUS)
}

/// An encoded message as a Length-Prefixed-Message, not compressed.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(5 + message.len());
    bytes.put_u8(0);
    bytes.put_u32(message.len() as u32);
    bytes.put(message);
    bytes.freeze()
}

/// The one message of a body that was read to its end; as an error, what stands against that.
pub(crate) fn unframe(body: &[u8]) -> Result<&[u8], &'static str> {
    let Some((&[compressed, ref length @ ..], message)) = body.split_first_chunk::<5>() else {
        return Err("no message came");
    };
    if compressed != 0 || u32::from_be_bytes(*length) as usize != message.len() {
        return Err("the message is compressed or cut");
    }
    Ok(message)
}
