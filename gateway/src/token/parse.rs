// SPDX-License-Identifier: Apache-2.0
//! A token taken apart (RFC 7515 §7.1), believed in nothing. Read strictly: what two readers could read in two ways is
//! refused. `jku`, `x5u`, `jwk` and the like are not looked at: who signs is for the configuration to say (RFC 8725 §3.10).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::fault::TokenFault;

/// Bytes of a token. Beyond it none is looked at.
pub(super) const LONGEST: usize = 32 << 10;

/// A token.
#[derive(Debug)]
pub(super) struct Parsed<'t> {
    /// All of it.
    pub(super) text: &'t str,
    /// What is signed.
    pub(super) signed: &'t str,
    /// The signature, in base64url.
    pub(super) signature: &'t str,
    /// How it is signed, it says.
    pub(super) algorithm: Algorithm,
    /// With which key, it says.
    pub(super) key_id: Option<String>,
    /// The payload.
    pub(super) payload: Value,
    /// `exp`.
    pub(super) expires: Option<u64>,
    /// `nbf`.
    pub(super) begins: Option<u64>,
}

impl<'t> Parsed<'t> {
    pub(super) fn read(text: &'t str) -> Result<Self, TokenFault> {
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenFault::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenFault::Form)?;
        if payload.contains('.') || text.len() > LONGEST {
            return Err(TokenFault::Form);
        }
        let header = object(header, TokenFault::HeaderEncoding, TokenFault::HeaderJson)?;
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or(TokenFault::NoAlgorithm)?;
        let algorithm = algorithm.parse().map_err(|_| TokenFault::Algorithm)?;
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(TokenFault::Critical);
        }
        let key_id = text_of(&header, "kid", TokenFault::KeyId)?;
        let payload = object(payload, TokenFault::PayloadEncoding, TokenFault::PayloadJson)?;
        text_of(&payload, "iss", TokenFault::IssuerType)?;
        text_of(&payload, "sub", TokenFault::SubjectType)?;
        let expires = time_of(&payload, "exp", TokenFault::ExpiryType)?;
        let begins = time_of(&payload, "nbf", TokenFault::NotBeforeType)?;
        if !payload.get("aud").is_none_or(is_audience) {
            return Err(TokenFault::AudienceType);
        }
        if URL_SAFE_NO_PAD.decode(signature).is_err() {
            return Err(TokenFault::SignatureEncoding);
        }
        let payload = Value::Object(payload);
        Ok(Self { text, signed, signature, algorithm, key_id, payload, expires, begins })
    }

    /// `iss`.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.payload.get("iss").and_then(Value::as_str)
    }

    /// Whether it is for one of these; whoever asks for none takes all.
    pub(super) fn is_for(&self, audiences: &[String]) -> bool {
        let is_wanted =
            |audience: &Value| audience.as_str().is_some_and(|it| audiences.iter().any(|wanted| wanted == it));
        let said = match self.payload.get("aud") {
            Some(Value::Array(all)) => all.iter().any(is_wanted),
            Some(one) => is_wanted(one),
            None => false,
        };
        audiences.is_empty() || said
    }
}

fn object(part: &str, encoding: TokenFault, json: TokenFault) -> Result<Map<String, Value>, TokenFault> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| encoding)?;
    match serde_json::from_slice(&bytes) {
        Ok(Once(Value::Object(object))) => Ok(object),
        _ => Err(json),
    }
}

fn text_of(object: &Map<String, Value>, name: &str, fault: TokenFault) -> Result<Option<String>, TokenFault> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(fault),
    }
}

/// `NumericDate`, which may have a fraction.
fn time_of(object: &Map<String, Value>, name: &str, fault: TokenFault) -> Result<Option<u64>, TokenFault> {
    let Some(value) = object.get(name) else { return Ok(None) };
    let whole = value.as_u64();
    let cut =
        || value.as_f64().filter(|time| (0.0..1e15).contains(time)).and_then(|time| format!("{time:.0}").parse().ok());
    whole.or_else(cut).map(Some).ok_or(fault)
}

fn is_audience(value: &Value) -> bool {
    value.is_string() || value.as_array().is_some_and(|all| all.iter().all(Value::is_string))
}

/// JSON in which no object has a member twice.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnceVisitor).map(Once)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Once(value)) = sequence.next_element()? {
            all.push(value);
        }
        Ok(all.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Once(value))) = map.next_entry::<String, Once>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member twice"));
            }
        }
        Ok(object.into())
    }
}
