// SPDX-License-Identifier: Apache-2.0
//! What every request to the API server takes along, and what its answer is made to say: the token of a file, read again
//! when it is old or refused; and how long to wait, where only the header `Retry-After` says so.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use serde_json::{Value, json};
use tower::{BoxError, Layer, Service};

/// A token is read again after this. A kubelet writes the next one long before the last has ended.
const TOKEN_AGE: Duration = Duration::from_secs(50);

/// The token of a pod's service account, as a kubelet keeps it in a file.
#[derive(Debug)]
pub(super) struct Token {
    file: PathBuf,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// Nothing: it was refused, or never read.
    read: Option<Instant>,
    last: Option<HeaderValue>,
}

impl Token {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file, held: Mutex::default() }
    }

    /// What to say. If the file is gone, what it said last.
    fn header(&self, now: Instant) -> Option<HeaderValue> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.read.is_none_or(|read| now.saturating_duration_since(read) >= TOKEN_AGE) {
            let text = std::fs::read_to_string(&self.file).unwrap_or_default();
            let header = HeaderValue::try_from(format!("Bearer {}", text.trim()));
            if let Ok(mut header) = header
                && !text.trim().is_empty()
            {
                header.set_sensitive(true);
                *held = Held { read: Some(now), last: Some(header) };
            }
        }
        held.last.clone()
    }

    /// The API server does not take it.
    fn doubt(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).read = None;
    }
}

type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// Makes couriers.
pub(super) struct Couriers(pub(super) Option<Arc<Token>>);

impl<S> Layer<S> for Couriers {
    type Service = Courier<S>;

    fn layer(&self, inner: S) -> Courier<S> {
        Courier { inner, token: self.0.clone() }
    }
}

/// Carries requests.
pub(super) struct Courier<S> {
    inner: S,
    token: Option<Arc<Token>>,
}

impl<S, B> Service<Request<Body>> for Courier<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: hyper::body::Body<Data = Bytes, Error = BoxError> + Send + Unpin + 'static,
{
    type Response = Answer;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let token = self.token.clone();
        if let Some(header) = token.as_ref().and_then(|token| token.header(Instant::now())) {
            request.headers_mut().insert(AUTHORIZATION, header);
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            if let Some(token) = token.filter(|_| response.status() == StatusCode::UNAUTHORIZED) {
                token.doubt();
            }
            match asked(&response) {
                Some(seconds) => told(response, seconds).await,
                None => Ok(response.map(BodyExt::boxed_unsync)),
            }
        })
    }
}

/// Seconds to wait, if the API server asks for that.
fn asked<B>(response: &Response<B>) -> Option<u32> {
    let is_busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&response.status());
    response.headers().get(RETRY_AFTER).filter(|_| is_busy)?.to_str().ok()?.parse().ok()
}

/// The same answer as a `Status` that says it.
async fn told<B>(response: Response<B>, seconds: u32) -> Result<Answer, BoxError>
where
    B: hyper::body::Body<Data = Bytes, Error = BoxError> + Send + Unpin + 'static,
{
    let (mut parts, body) = response.into_parts();
    let text = body.collect().await?.to_bytes();
    let mut status = serde_json::from_slice(&text).ok().filter(|it: &Value| it["kind"] == "Status").unwrap_or_else(
        || json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": String::from_utf8_lossy(&text)}),
    );
    status["code"] = parts.status.as_u16().into();
    status["details"]["retryAfterSeconds"] = seconds.into();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = Full::new(Bytes::from(status.to_string())).map_err(|never| match never {}).boxed_unsync();
    Ok(Response::from_parts(parts, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_again_when_it_is_old_or_refused_and_kept_when_its_file_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let token = Token::new(file.clone());
        let begin = Instant::now();
        let says =
            |after: u64| token.header(begin + Duration::from_secs(after)).map(|it| it.to_str().unwrap().to_owned());
        assert_eq!(says(0), None);
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        write("one\n");
        assert_eq!(says(0).unwrap(), "Bearer one");
        write("two\n");
        assert_eq!(says(49).unwrap(), "Bearer one");
        assert_eq!(says(50).unwrap(), "Bearer two");
        write("three");
        token.doubt();
        assert_eq!(says(51).unwrap(), "Bearer three");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(says(200).unwrap(), "Bearer three");
    }

    #[tokio::test]
    async fn a_busy_server_is_understood_whatever_form_its_answer_has() {
        let response = |code: u16, retry: &str, body: &'static str| {
            let body = Full::new(Bytes::from(body)).map_err(BoxError::from);
            Response::builder().status(code).header("retry-after", retry).body(body).unwrap()
        };
        for body in ["Too many requests", r#"{"kind":"Status","message":"Too many requests","details":{"name":"x"}}"#] {
            let busy = response(429, "7", body);
            assert_eq!(asked(&busy), Some(7));
            let answer = told(busy, 7).await.unwrap();
            let bytes = answer.into_body().collect().await.unwrap().to_bytes();
            let status: kube::core::Status = serde_json::from_slice(&bytes).unwrap();
            assert_eq!((status.code, &*status.message), (429, "Too many requests"));
            assert_eq!(status.details.unwrap().retry_after_seconds, 7);
        }
        assert_eq!(asked(&response(429, "soon", "")), None);
        assert_eq!(asked(&response(200, "7", "")), None);
    }
}
