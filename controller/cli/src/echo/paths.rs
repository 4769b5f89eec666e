// SPDX-License-Identifier: Apache-2.0
//! What a path does. Never waits, counts or sends beyond the limits named here.

use std::net::SocketAddr;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRAILER};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use hyper::body::{Body as _, Incoming};

use super::body::{self, Reply};
use super::describe;

/// Longest `/delay`.
const DELAY: Duration = Duration::from_mins(1);
/// Most `/bytes`.
const BYTES: u64 = 8 << 30;
/// Most lines of `/stream`.
const LINES: u64 = 600;
/// Between two lines of `/stream`.
const PAUSE: Duration = Duration::from_millis(100);

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Describe(StatusCode),
    Delay(Duration),
    Bytes(u64),
    Stream(u64),
    Trailers,
    Echo,
}

/// Answers a plain HTTP request.
pub(super) async fn answer(name: &HeaderValue, remote: SocketAddr, request: Request<Incoming>) -> Reply {
    let head_only = request.method() == Method::HEAD;
    let wish = match Wish::of(request.uri().path()) {
        Ok(wish) => wish,
        Err(why) => return body::complaint(StatusCode::BAD_REQUEST, &why),
    };
    let reply = match wish {
        Wish::Describe(status) => described(status, name, remote, request).await,
        Wish::Delay(time) => {
            tokio::time::sleep(time).await;
            described(StatusCode::OK, name, remote, request).await
        }
        Wish::Bytes(length) => bytes(length),
        Wish::Stream(count) => body::reply(StatusCode::OK, "text/plain", body::lines(count, PAUSE)),
        Wish::Trailers => trailers(),
        Wish::Echo => echo(request),
    };
    if head_only {
        let length = reply.body().size_hint().exact();
        return body::without_content(reply, length);
    }
    reply
}

impl Wish {
    /// Reads a path. The error is one sentence for the client.
    fn of(path: &str) -> Result<Self, String> {
        let mut parts = path.trim_start_matches('/').split('/');
        let wish = match (parts.next(), parts.next(), parts.next()) {
            (Some("status"), Some(code), None) => Self::Describe(status(code)?),
            (Some("delay"), Some(time), None) => Self::Delay(delay(time)?),
            (Some("bytes"), Some(count), None) => Self::Bytes(number(count, BYTES)?),
            (Some("stream"), Some(count), None) => Self::Stream(number(count, LINES)?),
            (Some("trailers"), None, None) => Self::Trailers,
            (Some("echo"), None, None) => Self::Echo,
            _ => Self::Describe(StatusCode::OK),
        };
        Ok(wish)
    }
}

fn status(text: &str) -> Result<StatusCode, String> {
    let code = text.parse().ok().filter(|code| (200..=599).contains(code));
    code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(|| format!("{text:?} is no status: 200 to 599"))
}

fn delay(text: &str) -> Result<Duration, String> {
    let time = torana_crds::parse_duration(text).filter(|time| *time <= DELAY);
    time.ok_or_else(|| format!("{text:?} is no delay: like 500ms or 2s, at most 60s"))
}

fn number(text: &str, most: u64) -> Result<u64, String> {
    match text.parse() {
        Ok(number) if number <= most => Ok(number),
        _ => Err(format!("{text:?} is no number from 0 to {most}")),
    }
}

async fn described(status: StatusCode, name: &HeaderValue, remote: SocketAddr, request: Request<Incoming>) -> Reply {
    let (head, incoming) = request.into_parts();
    let measured = match describe::measure(incoming).await {
        Ok(measured) => measured,
        Err(why) => return body::complaint(StatusCode::BAD_REQUEST, &why),
    };
    let text = describe::describe(&String::from_utf8_lossy(name.as_bytes()), remote, &head, &measured);
    // RFC 9110 §15.3.5, §15.3.6 and §15.4.5: these have no content.
    let bare = matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
    body::reply(status, "application/json", if bare { body::empty() } else { body::full(text) })
}

fn bytes(length: u64) -> Reply {
    let mut reply = body::reply(StatusCode::OK, "application/octet-stream", body::filler(length));
    reply.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    reply
}

fn trailers() -> Reply {
    let name = HeaderName::from_static("x-echo-trailer");
    let body = body::with_trailer("trailers follow\n", name, HeaderValue::from_static("here"));
    let mut reply = body::reply(StatusCode::OK, "text/plain", body);
    reply.headers_mut().insert(TRAILER, HeaderValue::from_static("x-echo-trailer"));
    reply
}

fn echo(request: Request<Incoming>) -> Reply {
    let (head, incoming) = request.into_parts();
    let mut reply = Reply::new(body::forward(incoming));
    let media = head.headers.get(CONTENT_TYPE).cloned();
    let media = media.unwrap_or_else(|| HeaderValue::from_static("application/octet-stream"));
    reply.headers_mut().insert(CONTENT_TYPE, media);
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_limits() {
        let rows = [
            ("/", Ok(Wish::Describe(StatusCode::OK))),
            ("/status/418", Ok(Wish::Describe(StatusCode::IM_A_TEAPOT))),
            ("/status/418/x", Ok(Wish::Describe(StatusCode::OK))),
            ("/delay/500ms", Ok(Wish::Delay(Duration::from_millis(500)))),
            ("/bytes/8589934592", Ok(Wish::Bytes(8 << 30))),
            ("/stream/600", Ok(Wish::Stream(600))),
            ("/trailers", Ok(Wish::Trailers)),
            ("/echo", Ok(Wish::Echo)),
        ];
        for (path, expected) in rows {
            assert_eq!(Wish::of(path), expected, "{path}");
        }
        for path in
            ["/status/199", "/status/x", "/delay/61s", "/delay/5", "/bytes/8589934593", "/bytes/-1", "/stream/601"]
        {
            assert!(Wish::of(path).is_err(), "{path}");
        }
    }
}
