// SPDX-License-Identifier: Apache-2.0
//! The messages of Istio's CA (`security/v1alpha1/ca.proto`), as far as they are read or sent: whoever asks for a
//! certificate and whoever gives one mean the same.

use std::collections::HashMap;

/// The one method.
pub const PATH: &str = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
/// Metadata by which a proxy of a node asks in the name of another workload.
const IMPERSONATED: &str = "ImpersonatedIdentity";

/// A workload asks for a certificate.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IstioCertificateRequest {
    /// PKCS #10, PEM.
    #[prost(string, tag = "1")]
    pub csr: String,
    /// For how many seconds; 0: as long as is usual.
    #[prost(int64, tag = "3")]
    pub validity_duration: i64,
    /// What else is wanted.
    #[prost(message, optional, tag = "4")]
    pub metadata: Option<Metadata>,
}

/// A `google.protobuf.Struct`. Whatever it says, only names count.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metadata {
    /// By name.
    #[prost(map = "string, message", tag = "1")]
    pub fields: HashMap<String, MetadataValue>,
}

/// A `google.protobuf.Value`, if it is a text.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct MetadataValue {
    /// Empty if it is something else.
    #[prost(string, tag = "3")]
    pub text: String,
}

/// Its certificate.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct IstioCertificateResponse {
    /// PEM: the workload's own, those between, and last the roots.
    #[prost(string, repeated, tag = "1")]
    pub cert_chain: Vec<String>,
}

impl IstioCertificateRequest {
    /// Whether it is for somebody else than whoever sends it.
    pub fn impersonates(&self) -> bool {
        self.metadata.as_ref().is_some_and(|metadata| metadata.fields.contains_key(IMPERSONATED))
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn a_message_of_istios_agent_is_read() {
        // csr "x", validity_duration 86400, metadata {ImpersonatedIdentity: "spiffe://a"}, as protoc writes them.
        let mut bytes =
            b"\x0a\x01x\x18\x80\xa3\x05\x22\x26\x0a\x24\x0a\x14ImpersonatedIdentity\x12\x0c\x1a\x0a".to_vec();
        bytes.extend(b"spiffe://a");
        let request = IstioCertificateRequest::decode(&*bytes).unwrap();
        assert_eq!((request.csr.as_str(), request.validity_duration), ("x", 86_400));
        assert!(request.impersonates());
    }

    #[test]
    fn the_name_of_a_signer_is_no_impersonation() {
        let bytes = b"\x22\x10\x0a\x0e\x0a\x0aCertSigner\x12\x00";
        assert!(!IstioCertificateRequest::decode(&bytes[..]).unwrap().impersonates());
    }
}
