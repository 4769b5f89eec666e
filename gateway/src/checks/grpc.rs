// SPDX-License-Identifier: Apache-2.0
//! The messages of `grpc.health.v1.Health/Check`, and their framing. Knows nothing of connections.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;

use super::failure::Failure;

/// The method.
pub(super) const PATH: &str = "/grpc.health.v1.Health/Check";
/// Bytes of an answer that are read; the message has two.
pub(super) const MOST: usize = 1024;
/// `ServingStatus.SERVING`.
const SERVING: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// The framed message that asks about `service`.
pub(super) fn question(service: &str) -> Bytes {
    let message = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
    let mut bytes = BytesMut::with_capacity(5 + message.len());
    bytes.put_u8(0);
    bytes.put_u32(message.len() as u32);
    bytes.put(message.as_slice());
    bytes.freeze()
}

/// What the body of an answer says whose call went well.
pub(super) fn judge(body: &[u8]) -> Result<(), Failure> {
    let (head, message) = body.split_first_chunk::<5>().ok_or(Failure::Broken)?;
    let [compressed, length @ ..] = *head;
    if compressed != 0 || u32::from_be_bytes(length) as usize != message.len() {
        return Err(Failure::Broken);
    }
    match HealthCheckResponse::decode(message) {
        Ok(HealthCheckResponse { status: SERVING }) => Ok(()),
        Ok(HealthCheckResponse { status }) => Err(Failure::NotServing(status)),
        Err(_) => Err(Failure::Broken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_names_the_service_or_none() {
        assert_eq!(&question("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&question("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
    }

    #[test]
    fn only_serving_is_good_and_only_whole() {
        let rows: [(&[u8], Result<(), Failure>); 9] = [
            (&[0, 0, 0, 0, 2, 8, 1], Ok(())),
            (&[0, 0, 0, 0, 2, 8, 2], Err(Failure::NotServing(2))),
            (&[0, 0, 0, 0, 2, 8, 3], Err(Failure::NotServing(3))),
            (&[0, 0, 0, 0, 0], Err(Failure::NotServing(0))),
            (&[1, 0, 0, 0, 2, 8, 1], Err(Failure::Broken)),
            (&[0, 0, 0, 0, 3, 8, 1], Err(Failure::Broken)),
            (&[0, 0, 0, 0, 1, 8, 1], Err(Failure::Broken)),
            (&[0, 0, 0, 0, 1, 8], Err(Failure::Broken)),
            (&[0, 0, 0], Err(Failure::Broken)),
        ];
        for (body, expected) in rows {
            assert_eq!(judge(body), expected, "{body:?}");
        }
    }
}
