// SPDX-License-Identifier: Apache-2.0
//! The one place where Torana's own answers are made and sent.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;

use crate::answer::Answer;
use crate::fault::{Fault, Manner};
use crate::head::{BodyLength, Fields, Head, ResponseHead};
use crate::http::piece::{Broken, Data};
use crate::http::side::Down;

/// A client that does not read its answer is left after this.
const SEND_DEADLINE: Duration = Duration::from_secs(10);

/// Envoy's text for faults that were injected.
const INJECTED: &str = "fault filter abort";
/// Envoy's text for what a policy of Istio refuses.
const DENIED: &str = "RBAC: access denied";

/// What the client is told about a fault: a status, or one of gRPC in a trailers-only response.
pub(crate) fn answer(fault: Fault, manner: Manner) -> Answer {
    let (mut fields, status) = (Fields::default(), fault.told(manner));
    let asked = if let Fault::Injected { grpc, .. } = fault { grpc } else { None };
    if manner.grpc || asked.is_some() {
        fields.push(b"content-type", b"application/grpc");
        let mut digits = itoa::Buffer::new();
        let code = asked.map_or_else(|| grpc_status(fault, status), |code| digits.format(code));
        fields.push(b"grpc-status", code.as_bytes());
        let message = customary(fault).unwrap_or(fault.reason());
        fields.push(b"grpc-message", message.as_bytes());
        return Answer { status: 200, fields, body: Bytes::new() };
    }
    fields.push(b"content-type", b"text/plain; charset=utf-8");
    if matches!(fault, Fault::Rejected(_)) && status == 405 {
        // RFC 9110 §15.5.6. What a backend allows is its own to say; these are never refused here.
        fields.push(b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    }
    if fault == Fault::ChallengeMethod {
        fields.push(b"allow", b"GET, HEAD");
    }
    if let Some(text) = customary(fault) {
        return Answer { body: Bytes::from_static(text.as_bytes()), ..Answer::new(status) }.sealed();
    }
    Answer { status, fields, body: Bytes::from(format!("{status} {}\n", fault.reason())) }
}

/// What clients of Istio's gateways are used to read.
fn customary(fault: Fault) -> Option<&'static str> {
    match fault {
        Fault::Injected { .. } => Some(INJECTED),
        Fault::PolicyDenied => Some(DENIED),
        Fault::BadToken(token) => Some(token.text()),
        _ => None,
    }
}

/// What a client is told whose token is not believed (RFC 6750 §3). Nothing that could end the quotes is in a URL.
pub(crate) fn realm(head: &Head) -> Vec<u8> {
    let (scheme, authority) = (head.scheme.as_str(), head.authority());
    let path = head.path().replace('\\', "%5C");
    format!("Bearer realm=\"{scheme}://{authority}{path}\", error=\"invalid_token\"").into_bytes()
}

/// What an authority of ACME is told that asks about a host (RFC 8555 §8.3).
pub(crate) fn challenge(authorization: Bytes) -> Answer {
    Answer { body: authorization, ..Answer::new(200) }.with("content-type", b"application/octet-stream")
}

/// Sends an answer whole. `head_only`: the request was a HEAD.
pub(crate) async fn send(down: &mut Down, answer: Answer, head_only: bool) -> Result<(), Broken> {
    let Answer { status, fields, mut body } = answer;
    // RFC 9110 §15.3.5, §15.3.6, §15.4.5: whatever was configured, these have no content, and the next answer begins there.
    if matches!(status, 204 | 205 | 304) {
        body.clear();
    }
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
fn grpc_status(fault: Fault, status: u16) -> &'static str {
    match fault {
        Fault::RequestTimeout | Fault::BackendTimeout | Fault::StreamIdle => "4",
        Fault::Rejected(_) => "13",
        _ => match status {
            400 => "13",
            401 => "16",
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
            let answer = answer(fault, Manner { grpc: true, istio: false });
            assert_eq!(answer.status, 200);
            assert_eq!(answer.fields.first("grpc-status"), Some(status.as_bytes()), "{fault:?}");
        }
    }

    #[test]
    fn an_injected_fault_is_told_as_it_was_asked_for() {
        let rows = [
            ((418, None), false, 418, None),
            ((503, None), true, 200, Some("14")),
            ((401, None), true, 200, Some("16")),
            ((400, None), true, 200, Some("13")),
            ((200, Some(8)), false, 200, Some("8")),
            ((200, Some(8)), true, 200, Some("8")),
        ];
        for ((status, code), grpc, expected, told) in rows {
            let answer = answer(Fault::Injected { status, grpc: code }, Manner { grpc, istio: true });
            assert_eq!((answer.status, answer.body.is_empty()), (expected, told.is_some()));
            assert_eq!(answer.fields.first("grpc-status"), told.map(str::as_bytes));
        }
    }

    #[test]
    fn an_http_client_gets_status_and_reason() {
        let answer = answer(Fault::NoRoute, Manner::default());
        assert_eq!((answer.status, &answer.body[..]), (404, &b"404 no_route\n"[..]));
        assert_eq!(answer.fields.first("allow"), None);
    }
}
