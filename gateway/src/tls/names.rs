// SPDX-License-Identifier: Apache-2.0
//! Who a client is by its certificate, for policies. Never says whether the certificate is good: whoever calls has had it
//! verified.

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::forwarded::{MOST_NAMES, subject};

/// Its URIs, its DNS names and its subject, in this order, as Envoy compares them; none if it cannot be read. A name in
/// other than visible ASCII is nobody's.
pub(crate) fn names(certificate: &CertificateDer<'_>) -> Box<[Box<str>]> {
    let Ok((_, read)) = X509Certificate::from_der(certificate) else { return Box::default() };
    let alternatives = read.subject_alternative_name().ok().flatten();
    let alternatives = || alternatives.iter().flat_map(|names| &names.value.general_names).take(MOST_NAMES);
    let is_plain = |name: &&&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    let uris = alternatives().filter_map(|name| if let GeneralName::URI(uri) = name { Some(uri) } else { None });
    let hosts = alternatives().filter_map(|name| if let GeneralName::DNSName(host) = name { Some(host) } else { None });
    let mut names: Vec<Box<str>> = uris.chain(hosts).filter(is_plain).map(|name| (*name).into()).collect();
    let subject = subject(read.subject());
    if !subject.is_empty() {
        names.push(subject.into());
    }
    names.into()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn a_client_is_whoever_its_certificate_names() {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![
            SanType::DnsName("a.com".try_into().unwrap()),
            SanType::URI("spiffe://td/ns/a/sa/b".try_into().unwrap()),
            SanType::URI("spiffe://td/ns/ /sa/b".try_into().unwrap()),
        ];
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "me");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(*names(certificate.der()), ["spiffe://td/ns/a/sa/b".into(), "a.com".into(), "CN=me".into()]);
        assert!(names(&CertificateDer::from(b"nonsense".to_vec())).is_empty());
    }
}
