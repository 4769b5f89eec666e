// SPDX-License-Identifier: Apache-2.0
//! JSON Web Key Sets (RFC 7517) as a RequestAuthentication has them. Never quotes a member: one may be a secret. Never
//! asks whether a key is good for anything.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use crate::violation::{At, Findings};

/// As lenient as Istio: with `=` or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A set of at least one key. Istio also takes a single key and an empty set, and its proxy then knows no key.
pub(super) fn judge(text: &str, at: &At<'_>, found: &mut Findings) {
    let remedy = "write {\"keys\": [...]} of public keys";
    let Ok(Value::Object(set)) = serde_json::from_str(text) else {
        found.error(at, "is no JSON object", remedy);
        return;
    };
    let Some(Value::Array(keys)) = set.get("keys") else {
        found.error(at, "has no list \"keys\"", remedy);
        return;
    };
    if keys.is_empty() {
        found.error(at, "has no key", remedy);
    }
    for (index, key) in keys.iter().enumerate() {
        match fault(key) {
            Some(fault) => found.error(at, format!("has a bad key at index {index}: {fault}"), "correct it"),
            None if is_secret(key) => {
                let why = format!("has a private key at index {index}, where a public one is enough");
                found.warning(at, why, "write the public key");
            }
            None => {}
        }
    }
}

/// What a key lacks.
fn fault(key: &Value) -> Option<String> {
    let Value::Object(key) = key else { return Some("it is no JSON object".to_owned()) };
    let members: &[&str] = match text(key, "kty") {
        Some("RSA") => &["n", "e"],
        Some("EC") => &["crv", "x", "y"],
        Some("OKP") => &["crv", "x"],
        Some("oct") => &["k"],
        Some(_) => return Some("its kty is none of RSA, EC, OKP and oct".to_owned()),
        None => return Some("it has no kty".to_owned()),
    };
    let is_bytes = |value: &str| BASE64.decode(value.replace('+', "-").replace('/', "_")).is_ok();
    for member in members {
        match text(key, member) {
            None | Some("") => return Some(format!("it has no {member}")),
            Some(value) if *member != "crv" && !is_bytes(value) => {
                return Some(format!("its {member} is no base64url"));
            }
            Some(_) => {}
        }
    }
    let known = ["kid", "alg", "use"];
    let odd = known.into_iter().find(|member| key.get(*member).is_some_and(|value| !value.is_string()));
    odd.map(|member| format!("its {member} is no text"))
}

fn text<'k>(key: &'k Map<String, Value>, member: &str) -> Option<&'k str> {
    key.get(member).and_then(Value::as_str)
}

fn is_secret(key: &Value) -> bool {
    key.get("d").is_some() || key.get("k").is_some()
}
