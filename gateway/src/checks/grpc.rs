// SPDX-License-Identifier: Apache-2.0
//! The messages of `grpc.health.v1.Health/Check`. Knows nothing of connections.

use bytes::Bytes;
use prost::Message;

use super::failure::Failure;
use crate::grpc::{frame, unframe};

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
    frame(&HealthCheckRequest { service: service.to_owned() }.encode_to_vec())
}

/// What the body of an answer says whose call went well.
pub(super) fn judge(body: &[u8]) -> Result<(), Failure> {
    match HealthCheckResponse::decode(unframe(body).map_err(|_| Failure::Broken)?) {
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
