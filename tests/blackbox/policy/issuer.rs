// SPDX-License-Identifier: Apache-2.0
//! An issuer of tokens: its keys, and tokens of every kind, good and bad.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize};
use serde_json::{Value, json};

/// What every issuer here is called.
pub(crate) const NAME: &str = "https://issuer.example";
/// Before the key itself, in PKCS #8, where it has 2,048 bits.
const WRAPPING: usize = 26;

/// A key, and what it is called.
pub(crate) struct Issuer {
    id: String,
    algorithm: Algorithm,
    key: EncodingKey,
    /// The public half, as DER.
    public: Vec<u8>,
}

impl Issuer {
    /// With a key of RSA.
    pub(crate) fn rsa(id: &str) -> Self {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let key = EncodingKey::from_rsa_der(&pair.serialize_der()[WRAPPING..]);
        Self { id: id.to_owned(), algorithm: Algorithm::RS256, key, public: pair.subject_public_key_info() }
    }

    /// With a key on P-256.
    pub(crate) fn ecdsa(id: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        Self { id: id.to_owned(), algorithm: Algorithm::ES256, key, public: pair.subject_public_key_info() }
    }

    /// Its public key as others see it.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap()).unwrap();
        jwk["kid"] = self.id.clone().into();
        jwk
    }

    /// Keys of several.
    pub(crate) fn jwks(all: &[&Self]) -> String {
        json!({"keys": all.iter().map(|it| it.jwk()).collect::<Vec<_>>()}).to_string()
    }

    /// A token that says this.
    pub(crate) fn signs(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.key).unwrap()
    }

    /// A token with these bytes as its header and payload, signed.
    pub(crate) fn signs_raw(&self, header: &str, payload: &str) -> String {
        let signed = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{signed}.{signature}")
    }

    /// A token that is "signed" with the public key as if it were a secret.
    pub(crate) fn confused(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::HS256) };
        encode(&header, claims, &EncodingKey::from_secret(&self.public)).unwrap()
    }
}

/// Seconds since 1970, and so many more.
pub(crate) fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + seconds
}

/// What a good token says.
pub(crate) fn claims() -> Value {
    json!({"iss": NAME, "sub": "alice", "aud": ["shop", "bank"], "exp": in_seconds(600), "groups": ["staff", "admin"],
        "scope": "read write", "deep": {"er": "down"}, "level": 7, "good": true})
}

/// The same, but for this.
pub(crate) fn but(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}
