// SPDX-License-Identifier: Apache-2.0
//! How an authority is asked: HTTPS with a deadline and an answer of bounded length, attempts at a measured pace, and its
//! wish to be left alone for a while is heard.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};
use torana_ir::authorities;

use crate::issuance::Issuer;

/// From a question to the last byte of its answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// Bytes of an answer: a long chain has a tenth.
const LONGEST: usize = 256 << 10;
/// Attempts for one account …
const ATTEMPTS: usize = 10;
/// … in such a time.
const PERIOD: Duration = Duration::from_secs(10);

tokio::task_local! {
    /// For how long the authority last asked to be left alone, in this attempt.
    static ASKED: Cell<Option<Duration>>;
}

/// Runs an attempt; tells for how long the authority asked to be left alone meanwhile, if it did.
pub(super) async fn listening<T>(attempt: impl Future<Output = T>) -> (T, Option<Duration>) {
    let both = async {
        let done = attempt.await;
        (done, ASKED.with(Cell::get))
    };
    ASKED.scope(Cell::new(None), both).await
}

type Answer = Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>>;

/// How authorities are reached.
pub trait Connect: fmt::Debug + Send + Sync + 'static {
    /// The way to the authority of an issuer.
    fn connect(&self, issuer: &Issuer) -> Result<Box<dyn HttpClient>, String>;
}

/// Asks by HTTPS.
#[derive(Debug, Default)]
pub struct Connector;

impl Connect for Connector {
    fn connect(&self, issuer: &Issuer) -> Result<Box<dyn HttpClient>, String> {
        let tls = ClientConfig::builder().with_root_certificates(roots(issuer)?).with_no_client_auth();
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(https);
        Ok(Box::new(Https(client)))
    }
}

/// Who vouches for the authority's own certificate.
fn roots(issuer: &Issuer) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(pem) = &issuer.roots else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    let certificates = authorities(pem.as_bytes()).map_err(|error| error.to_string())?;
    for certificate in certificates {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}

struct Https(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl HttpClient for Https {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Answer {
        let answer = self.0.request(request);
        Box::pin(async move {
            let (parts, body) = answer.await.map_err(|error| Error::Other(Box::new(error)))?.into_parts();
            let body = Limited::new(body, LONGEST).collect().await.map_err(Error::Other)?.to_bytes();
            Ok(BytesResponse::from(Response::from_parts(parts, http_body_util::Full::new(body))))
        })
    }
}

/// Asks with a deadline, and listens.
pub(super) struct Patient(Arc<dyn HttpClient>);

impl Patient {
    pub(super) fn new(inner: Box<dyn HttpClient>) -> Self {
        Self(inner.into())
    }
}

impl HttpClient for Patient {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Answer {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let answer = timeout(DEADLINE, inner.request(request)).await;
            let answer = answer.map_err(|_| Error::Other("no answer in time".into()))??;
            if answer.parts.status.is_client_error() || answer.parts.status.is_server_error() {
                let asked = retry_after(&answer.parts.headers);
                ASKED.try_with(|cell| cell.set(asked.or(cell.get()))).ok();
            }
            Ok(answer)
        })
    }
}

/// At what pace one account is used.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<VecDeque<Instant>>);

impl Pace {
    /// Waits for a turn; whoever came first goes first.
    pub(super) async fn turn(&self) {
        let at = due(&mut *self.0.lock().await, Instant::now());
        sleep_until(at).await;
    }
}

/// When whoever comes `now` has a turn, after those that `begun` has.
fn due(begun: &mut VecDeque<Instant>, now: Instant) -> Instant {
    let first = if begun.len() < ATTEMPTS { None } else { begun.pop_front() };
    let at = first.map_or(now, |first| now.max(first + PERIOD));
    begun.push_back(at);
    at
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_ten_seconds_have_more_than_ten_attempts() {
        let (mut begun, now) = (VecDeque::new(), Instant::now());
        let turns: Vec<_> = (0..35).map(|_| due(&mut begun, now)).collect();
        assert_eq!(turns[ATTEMPTS - 1], now);
        for window in turns.windows(ATTEMPTS + 1) {
            assert!(window[ATTEMPTS] - window[0] >= PERIOD);
        }
        assert_eq!(turns[34] - now, 3 * PERIOD, "and none waits longer than that takes");
        assert_eq!(due(&mut begun, now + 9 * PERIOD), now + 9 * PERIOD);
    }

    #[test]
    fn patience_is_asked_for_in_seconds_or_by_a_date() {
        let heard = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(heard("120"), Some(Duration::from_mins(2)));
        let later = SystemTime::now() + Duration::from_hours(1);
        let left = heard(&httpdate::fmt_http_date(later)).unwrap();
        assert!(left > Duration::from_secs(3500) && left <= Duration::from_hours(1));
        assert_eq!(heard("soon"), None);
    }
}
