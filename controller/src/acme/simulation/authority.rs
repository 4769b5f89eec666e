// SPDX-License-Identifier: Apache-2.0
//! An authority in this process, as RFC 8555 and RFC 9773 have it: it signs, refuses, is slow, broken, busy and away as
//! the weather says, and counts what its customers may not do. Signatures of questions it does not look at: Pebble does.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use serde_json::{Value, json};

use super::super::attempt::Clock;
use super::super::courier::Connect;
use super::signer::{Signed, Signer};
use super::tally::Tally;
use super::weather::Weather;
use crate::issuance::Issuer;

/// An order that is not over is forgotten after this, in seconds.
const PATIENCE: i64 = 7 * 86_400;
/// So long it takes to look, and to sign.
const LOOKING: i64 = 4;
const SIGNING: i64 = 3;
/// Whoever asks when to renew is to ask again after this.
const ASK_AGAIN: i64 = 6 * 3600;

/// Whether a name answers: host, token.
pub(super) type Looks = Arc<dyn Fn(&str, &str) -> Found + Send + Sync>;

/// What the authority finds where a name leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The answer.
    Answer,
    /// Nobody.
    Nobody,
    /// A proxy that does not know the answer: it should not have been asked to look.
    Unknown,
}

/// The authority.
#[derive(Clone)]
pub(super) struct Authority(Arc<Site>);

struct Site {
    clock: Clock,
    weather: Weather,
    looks: Looks,
    signer: Signer,
    books: Mutex<Books>,
}

/// What it keeps.
#[derive(Default)]
struct Books {
    count: u64,
    nonces: HashSet<String>,
    orders: BTreeMap<u64, Order>,
    signed: BTreeMap<String, Signed>,
    tally: Tally,
}

struct Order {
    is_real: bool,
    names: Vec<String>,
    profile: Option<String>,
    replaces: Option<String>,
    placed: i64,
    /// When it was asked to look at each name.
    asked: Vec<Option<i64>>,
    valid: Vec<bool>,
    is_invalid: bool,
    finalized: Option<(i64, Vec<u8>)>,
    chain: Option<String>,
}

impl Order {
    fn status(&self) -> &'static str {
        match self {
            Self { is_invalid: true, .. } => "invalid",
            Self { chain: Some(_), .. } => "valid",
            Self { finalized: Some(_), .. } => "processing",
            Self { valid, .. } if valid.iter().all(|it| *it) => "ready",
            _ => "pending",
        }
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

impl Connect for Authority {
    fn connect(&self, _: &Issuer) -> Result<Box<dyn HttpClient>, String> {
        Ok(Box::new(self.clone()))
    }
}

impl HttpClient for Authority {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let site = Arc::clone(&self.0);
        Box::pin(async move {
            // Now and then longer than anybody waits.
            let pause = if fastrand::u8(..200) == 0 { 45_000 } else { fastrand::u64(20..900) };
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let answer = site.answer(&parts.uri.to_string(), &parts.method, &body)?;
            Ok(BytesResponse::from(answer.map(Full::new)))
        })
    }
}

/// What is answered: status, header, body.
struct Answer(u16, Vec<(&'static str, String)>, Value);

impl Answer {
    fn of(body: Value) -> Self {
        Self(200, Vec::new(), body)
    }

    fn problem(status: u16, word: &str) -> Self {
        let kind = format!("urn:ietf:params:acme:error:{word}");
        Self(status, Vec::new(), json!({"type": kind, "detail": word, "status": status}))
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        self.1.push((name, value));
        self
    }
}

impl Authority {
    pub(super) fn new(clock: Clock, weather: Weather, looks: Looks) -> Self {
        let (signer, books) = (Signer::new(), Mutex::default());
        Self(Arc::new(Site { clock, weather, looks, signer, books }))
    }

    /// What its customers did.
    pub(super) fn tally(&self) -> Tally {
        self.0.books.lock().unwrap().tally.clone()
    }

    /// Every second certificate is to be renewed now.
    pub(super) fn recall(&self) {
        let now = self.0.clock.now();
        for signed in self.0.books.lock().unwrap().signed.values_mut().step_by(2) {
            signed.window = (now - 3600, now);
        }
    }
}

impl Site {
    fn answer(&self, url: &str, method: &http::Method, body: &[u8]) -> Result<Response<Bytes>, Error> {
        let now = self.clock.now();
        if self.weather.is_away(now) {
            return Err(Error::Other("connection refused".into()));
        }
        let mut books = self.books.lock().unwrap();
        let answer = if fastrand::u8(..100) < self.weather.broken(now) {
            Answer::problem(500, "serverInternal")
        } else if *method == http::Method::POST {
            self.post(&mut books, url, body, now)
        } else {
            Self::get(&books, url, now)
        };
        let nonce = books.number().to_string();
        books.nonces.insert(nonce.clone());
        let Answer(status, headers, body) = answer.with("replay-nonce", nonce);
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        Ok(response.body(Bytes::from(text))?)
    }

    fn get(books: &Books, url: &str, now: i64) -> Answer {
        let (base, path) = split(url);
        if let Some(id) = path.strip_prefix("renewal/") {
            let Some(signed) = books.signed.get(id) else { return Answer::problem(404, "malformed") };
            let time = |at: i64| jiff::Timestamp::from_second(at).unwrap().to_string();
            let window = json!({"start": time(signed.window.0), "end": time(signed.window.1)});
            let answer = Answer::of(json!({"suggestedWindow": window}));
            let after = (ASK_AGAIN + now % 60).to_string();
            return answer.with("retry-after", after);
        }
        let at = |path: &str| format!("{base}{path}");
        Answer::of(json!({"newNonce": at("nonce"), "newAccount": at("account"), "newOrder": at("order"),
            "revokeCert": at("revoke"), "keyChange": at("key"), "renewalInfo": at("renewal"),
            "meta": {"profiles": {"classic": "", "shortlived": ""}}}))
    }

    fn post(&self, books: &mut Books, url: &str, body: &[u8], now: i64) -> Answer {
        let body: Value = serde_json::from_slice(body).unwrap();
        let part = |name: &str| URL_SAFE_NO_PAD.decode(body[name].as_str().unwrap_or_default()).unwrap();
        let head: Value = serde_json::from_slice(&part("protected")).unwrap();
        assert_eq!(head["url"], url, "RFC 8555 §6.4");
        let is_known = books.nonces.remove(head["nonce"].as_str().unwrap_or_default());
        if !is_known || fastrand::u8(..100) < self.weather.bad_nonces(now) {
            return Answer::problem(400, "badNonce");
        }
        let payload: Value = serde_json::from_slice(&part("payload")).unwrap_or_default();
        let (base, path) = split(url);
        let mut words = path.split('/');
        let (what, number) = (words.next().unwrap_or_default(), words.next().and_then(|text| text.parse().ok()));
        let Some(number) = number else {
            return match what {
                "account" => Answer(201, vec![("location", format!("{base}account/1"))], json!({"status": "valid"})),
                _ => self.place(books, base, &payload, now),
            };
        };
        self.proceed(books, number, now);
        let name = words.next().and_then(|text| text.parse().ok()).unwrap_or(0);
        let Some(order) = books.orders.get_mut(&number) else { return Answer::problem(404, "malformed") };
        match what {
            // Who asks twice is refused, as by the authority that tests have.
            "challenge" if order.asked[name].is_some() => Answer::problem(400, "malformed"),
            "challenge" => {
                order.asked[name] = Some(now);
                Answer::of(json!({"type": "http-01", "url": url, "status": "processing", "token": token(number, name)}))
            }
            "authorization" => Answer::of(authorization(order, base, (number, name))),
            "finalize" => {
                if order.status() == "ready" {
                    let csr = URL_SAFE_NO_PAD.decode(payload["csr"].as_str().unwrap()).unwrap();
                    order.finalized = Some((now, csr));
                }
                Answer::of(shown(order, base, number))
            }
            "certificate" => Answer::of(order.chain.clone().unwrap_or_default().into()),
            _ => Answer::of(shown(order, base, number)),
        }
    }

    fn place(&self, books: &mut Books, base: &str, payload: &Value, now: i64) -> Answer {
        if let Some(after) = self.weather.is_busy(now) {
            return Answer::problem(429, "rateLimited").with("retry-after", after.to_string());
        }
        let texts =
            payload["identifiers"].as_array().unwrap().iter().map(|it| it["value"].as_str().unwrap().to_owned());
        let names: Vec<String> = texts.collect();
        let text = |name: &str| payload[name].as_str().map(str::to_owned);
        let order = Order {
            is_real: !base.contains("staging"),
            asked: vec![None; names.len()],
            valid: vec![false; names.len()],
            names,
            profile: text("profile"),
            replaces: text("replaces"),
            placed: now,
            is_invalid: false,
            finalized: None,
            chain: None,
        };
        if let Some(replaced) = &order.replaces {
            let Some(signed) = books.signed.get_mut(replaced) else { return Answer::problem(404, "malformed") };
            if signed.is_replaced {
                return Answer::problem(409, "alreadyReplaced");
            }
            signed.is_replaced = true;
        }
        if order.is_real {
            books.tally.ordered(order.replaces.is_some(), now);
        }
        let number = books.number();
        let answer = shown(&order, base, number);
        books.orders.insert(number, order);
        Answer(201, vec![("location", format!("{base}order/{number}"))], answer)
    }

    /// What has come of an order by now.
    fn proceed(&self, books: &mut Books, number: u64, now: i64) {
        let Books { orders, tally, signed, .. } = books;
        let Some(order) = orders.get_mut(&number) else { return };
        if order.chain.is_none() && order.placed + PATIENCE < now {
            order.is_invalid = true;
        }
        for (at, host) in order.names.iter().enumerate() {
            let is_due = order.asked[at].is_some_and(|asked| asked + LOOKING <= now);
            if order.valid[at] || order.is_invalid || !is_due {
                continue;
            }
            match (self.looks)(host, &token(number, at)) {
                Found::Answer => order.valid[at] = true,
                found => {
                    order.is_invalid = true;
                    tally.refused(host, order.is_real, (found == Found::Unknown, now));
                }
            }
        }
        if let (Some((when, csr)), None) = (&order.finalized, &order.chain)
            && when + SIGNING <= now
        {
            let (chain, id, made) = self.signer.sign(csr, &order.names, order.profile.as_deref(), now);
            order.chain = Some(chain);
            tally.signed(&order.names, now);
            signed.insert(id, made);
        }
    }
}

impl Books {
    fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}

fn split(url: &str) -> (&str, &str) {
    let at = url.match_indices('/').nth(2).map_or(url.len(), |(at, _)| at + 1);
    url.split_at(at)
}

fn token(order: u64, name: usize) -> String {
    format!("token-{order}-{name}")
}

fn authorization(order: &Order, base: &str, (number, name): (u64, usize)) -> Value {
    let status = match (order.valid[name], order.is_invalid) {
        (true, _) => "valid",
        (_, true) => "invalid",
        _ => "pending",
    };
    let looked_at = if status == "pending" && order.asked[name].is_some() { "processing" } else { status };
    let mut challenge = json!({"type": "http-01", "url": format!("{base}challenge/{number}/{name}"),
        "token": token(number, name), "status": looked_at});
    if status == "invalid" {
        let kind = "urn:ietf:params:acme:error:connection";
        challenge["error"] = json!({"type": kind, "detail": "no answer", "status": 400});
    }
    json!({"status": status, "identifier": {"type": "dns", "value": order.names[name]}, "challenges": [challenge]})
}

fn shown(order: &Order, base: &str, number: u64) -> Value {
    let urls = (0..order.names.len()).map(|at| format!("{base}authorization/{number}/{at}"));
    let mut shown = json!({"status": order.status(), "authorizations": urls.collect::<Vec<_>>(),
        "finalize": format!("{base}finalize/{number}")});
    if order.chain.is_some() {
        shown["certificate"] = format!("{base}certificate/{number}").into();
    }
    if let Some(replaced) = &order.replaces {
        shown["replaces"] = replaced.as_str().into();
    }
    shown
}
