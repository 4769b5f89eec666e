// SPDX-License-Identifier: Apache-2.0
//! Tokens of service accounts, judged by their signature alone: for when the API server cannot be asked. Pure; time is
//! an argument.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, dangerous, decode, decode_header};
use serde::Deserialize;

use super::identity::{PodIdentity, Refusal};

/// Longest token that is looked at, in bytes; they have about 1,000.
pub(super) const LONGEST: usize = 16 << 10;

/// What issuers of clusters sign with. No symmetric one: with those, whoever knows the keys could sign.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The issuer of a cluster's tokens, and its public keys.
#[derive(Debug, Clone)]
pub(super) struct Issuer {
    name: String,
    keys: JwkSet,
}

#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
}

#[derive(Debug, Deserialize)]
struct Claims {
    exp: u64,
    #[serde(default)]
    nbf: u64,
    #[serde(rename = "kubernetes.io")]
    bound: Option<Bound>,
}

#[derive(Debug, Deserialize)]
struct Bound {
    namespace: String,
    serviceaccount: Named,
    pod: Option<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    uid: String,
}

impl Issuer {
    /// From `/.well-known/openid-configuration` and `/openid/v1/jwks`.
    pub(super) fn read(discovery: &str, keys: &str) -> Result<Self, String> {
        let Discovery { issuer: name } = serde_json::from_str(discovery).map_err(|error| error.to_string())?;
        let keys = serde_json::from_str(keys).map_err(|error| error.to_string())?;
        Ok(Self { name, keys })
    }

    /// The pod that `token` is bound to, if this issuer signed it for `audience` and it is good at `now`, in seconds
    /// since 1970.
    pub(super) fn identify(&self, token: &str, audience: &str, now: u64) -> Result<PodIdentity, Refusal> {
        let invalid = |what: &str| Refusal::Invalid(what.to_owned());
        let header = decode_header(token).map_err(|_| invalid("it is no JWT"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(invalid("its algorithm is not one of an issuer of tokens"));
        }
        let kid = header.kid.ok_or_else(|| invalid("it names no key"))?;
        let jwk = self.keys.find(&kid).ok_or_else(|| invalid("its key is not one of the cluster's"))?;
        let key = DecodingKey::from_jwk(jwk).map_err(|_| invalid("its key is of an unknown kind"))?;
        let mut validation = Validation::new(header.alg);
        // Time is judged below.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&self.name]);
        validation.set_audience(&[audience]);
        let claims = decode::<Claims>(token, &key, &validation).map_err(|error| invalid(&error.to_string()))?.claims;
        if claims.exp <= now || claims.nbf > now {
            return Err(invalid("it is not valid now"));
        }
        claims.pod()
    }
}

impl Claims {
    fn pod(self) -> Result<PodIdentity, Refusal> {
        match self.bound {
            Some(Bound { namespace, serviceaccount, pod: Some(pod) }) if !pod.uid.is_empty() => Ok(PodIdentity {
                namespace,
                service_account: serviceaccount.name,
                pod_name: pod.name,
                pod_uid: pod.uid,
            }),
            _ => Err(Refusal::Invalid("it is not bound to a pod".to_owned())),
        }
    }
}

/// When a token that somebody else has found good ends, in seconds since 1970.
pub(super) fn expiry(token: &str) -> Option<u64> {
    dangerous::insecure_decode_claims::<Claims>(token).ok().map(|claims| claims.exp)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_000_000;

    fn key(algorithm: &'static rcgen::SignatureAlgorithm) -> EncodingKey {
        let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
        EncodingKey::from_ec_der(&pair.serialize_der())
    }

    fn issuer(key: &EncodingKey) -> Issuer {
        let mut jwk = Jwk::from_encoding_key(key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some("one".to_owned());
        let discovery = json!({"issuer": "https://cluster", "jwks_uri": "x"}).to_string();
        Issuer::read(&discovery, &serde_json::to_string(&JwkSet { keys: vec![jwk] }).unwrap()).unwrap()
    }

    fn claims() -> Value {
        json!({
            "aud": ["torana-feed"], "exp": NOW + 10, "nbf": NOW - 10, "iss": "https://cluster",
            "sub": "system:serviceaccount:n:edge",
            "kubernetes.io": {
                "namespace": "n", "serviceaccount": {"name": "edge", "uid": "s"}, "pod": {"name": "edge-1", "uid": "u"}
            }
        })
    }

    fn signed(claims: &Value, key: &EncodingKey, kid: &str) -> String {
        encode(&Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) }, claims, key).unwrap()
    }

    #[test]
    fn a_token_of_the_cluster_tells_the_pod() {
        let key = key(&rcgen::PKCS_ECDSA_P256_SHA256);
        let token = signed(&claims(), &key, "one");
        let pod = issuer(&key).identify(&token, "torana-feed", NOW).unwrap();
        let PodIdentity { namespace, service_account, pod_name, pod_uid } = pod;
        assert_eq!([namespace, service_account, pod_name, pod_uid], ["n", "edge", "edge-1", "u"]);
        assert_eq!(expiry(&token), Some(NOW + 10));
    }

    #[test]
    fn what_is_wrong_with_any_claim_is_refused() {
        let key = key(&rcgen::PKCS_ECDSA_P256_SHA256);
        let issuer = issuer(&key);
        for (pointer, value) in [
            ("/aud", json!(["https://kubernetes.default.svc"])),
            ("/exp", json!(NOW)),
            ("/nbf", json!(NOW + 1)),
            ("/iss", json!("https://another")),
            ("/kubernetes.io/pod", Value::Null),
            ("/kubernetes.io/pod/uid", json!("")),
            ("/kubernetes.io", Value::Null),
        ] {
            let mut claims = claims();
            *claims.pointer_mut(pointer).unwrap() = value;
            let refused = issuer.identify(&signed(&claims, &key, "one"), "torana-feed", NOW);
            assert!(matches!(refused, Err(Refusal::Invalid(_))), "{pointer}: {refused:?}");
        }
        for missing in ["aud", "exp", "iss"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(missing);
            assert!(issuer.identify(&signed(&claims, &key, "one"), "torana-feed", NOW).is_err(), "{missing}");
        }
    }

    #[test]
    fn a_signature_of_somebody_else_is_refused() {
        let (ours, theirs) = (key(&rcgen::PKCS_ECDSA_P256_SHA256), key(&rcgen::PKCS_ECDSA_P256_SHA256));
        let issuer = issuer(&ours);
        let identify = |token: &str| issuer.identify(token, "torana-feed", NOW);
        assert!(identify(&signed(&claims(), &theirs, "one")).is_err(), "another key");
        assert!(identify(&signed(&claims(), &ours, "two")).is_err(), "an unknown key");
        let public = serde_json::to_vec(&issuer.keys).unwrap();
        let symmetric = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::HS256) };
        let confused = encode(&symmetric, &claims(), &EncodingKey::from_secret(&public)).unwrap();
        assert!(identify(&confused).is_err(), "signed with the public key");
        let good = signed(&claims(), &ours, "one");
        let unsigned = format!("{}.", good.rsplit_once('.').unwrap().0);
        for garbage in ["", "a", "a.b.c", "....", &unsigned, "\u{0}"] {
            assert!(identify(garbage).is_err(), "{garbage:?}");
        }
    }
}
