// SPDX-License-Identifier: Apache-2.0
//! The one place where Torana's own answers are made and sent.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;

use crate::answer::Answer;
use crate::fault::Fault;
use crate::head::{BodyLength, Fields, ResponseHead};
use crate::http::piece::{Broken, Data};
use crate::http::side::Down;

/// A client that does not read its answer is left after this.
const SEND_DEADLINE: Duration = Duration::from_secs(10);

/// What the client is told about a fault. `grpc`: as a gRPC status in a trailers-only response.
pub(crate) fn answer(fault: Fault, grpc: bool) -> Answer {
    let mut fields = Fields::default();
    if grpc {
        fields.push(b"content-type", b"application/grpc");
        fields.push(b"grpc-status", grpc_status(fault).as_bytes());
        fields.push(b"grpc-message", fault.reason().as_bytes());
        return Answer { status: 200, fields, body: Bytes::new() };
    }
    fields.push(b"content-type", b"text/plain; charset=utf-8");
    if fault.status() == 405 {
        // RFC 9110 §15.5.6. What a backend allows is its own to say; these are never refused here.
        fields.push(b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    }
    let body = format!("{} {}\n", fault.status(), fault.reason());
    Answer { status: fault.status(), fields, body: Bytes::from(body) }
}

/// Sends an answer whole. `head_only`: the request was a HEAD.
pub(crate) async fn send(down: &mut Down, answer: Answer, head_only: bool) -> Result<(), Broken> {
    let Answer { status, fields, body } = answer;
    let mut head = ResponseHead::new(status);
    head.fields = fields;
    head.body = BodyLength::Exact(body.len() as u64);
    let end = head_only || body.is_empty();
    let sending = async {
        down.start(&head, end)?;
        if !end {
            poll_fn(|cx| std::task::Poll::Ready(down.send(cx, &Data::Shared(body.clone())))).await?;
            down.finish(None)?;
        }
        poll_fn(|cx| down.poll_ready(cx)).await
    };
    tokio::time::timeout(SEND_DEADLINE, sending).await.unwrap_or(Err(Broken::Client))
}

/// The table of the gRPC project ("HTTP to gRPC status code mapping"), with our deadlines as DEADLINE_EXCEEDED.
fn grpc_status(fault: Fault) -> &'static str {
    match fault {
        Fault::RequestTimeout | Fault::BackendTimeout | Fault::StreamIdle => "4",
        Fault::Rejected(_) => "13",
        _ => match fault.status() {
            403 => "7",
            404 | 421 => "12",
            408 | 499 => "1",
            429 | 502 | 503 | 504 => "14",
            _ => "2",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_client_gets_a_status_it_understands() {
        let rows = [
            (Fault::NoRoute, "12"),
            (Fault::NoEndpoints, "14"),
            (Fault::RequestTimeout, "4"),
            (Fault::InvalidConfig, "2"),
            (Fault::UpstreamReset, "14"),
            (Fault::ReadTimeout, "1"),
        ];
        for (fault, status) in rows {
            let answer = answer(fault, true);
            assert_eq!(answer.status, 200);
            assert_eq!(answer.fields.first("grpc-status"), Some(status.as_bytes()), "{fault:?}");
        }
    }

    #[test]
    fn an_http_client_gets_status_and_reason() {
        let answer = answer(Fault::NoRoute, false);
        assert_eq!((answer.status, &answer.body[..]), (404, &b"404 no_route\n"[..]));
        assert_eq!(answer.fields.first("allow"), None);
    }
}
