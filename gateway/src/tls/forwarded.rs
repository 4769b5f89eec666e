// SPDX-License-Identifier: Apache-2.0
//! What backends are told of a client's certificate: a value of `X-Forwarded-Client-Cert`, in Envoy's form, with what
//! Istio's gateways have in it. Whose certificate was not verified is never named here.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Characters of a line of PEM (RFC 7468 §2).
const LINE: usize = 64;
/// Characters that end or separate parts of the value.
const SPECIAL: [char; 5] = [',', ';', '=', '"', '\\'];
/// Names of a certificate that are told.
pub(super) const MOST_NAMES: usize = 64;
/// A value that is longer is not told: backends refuse such a head.
const LONGEST: usize = 16 << 10;

/// The value for this certificate: its hash, itself, its subject, its URIs and DNS names. `None` if it cannot be read.
pub(crate) fn forwarded(certificate: &CertificateDer<'_>) -> Option<Box<str>> {
    let (_, read) = X509Certificate::from_der(certificate).ok()?;
    let mut value = "Hash=".to_owned();
    for byte in digest(&SHA256, certificate).as_ref() {
        write!(value, "{byte:02x}").ok()?;
    }
    write!(value, ";Cert=\"{}\";Subject=\"{}\"", escaped_pem(certificate), quoted(&subject(read.subject()))).ok()?;
    let names = read.subject_alternative_name().ok().flatten();
    let names = || names.iter().flat_map(|names| &names.value.general_names).take(MOST_NAMES);
    let uris = names().filter_map(|name| if let GeneralName::URI(uri) = name { part(uri) } else { None });
    let uris: Vec<String> = uris.collect();
    // There is such a part even where there is no name.
    for uri in uris.iter().map(String::as_str).chain(uris.is_empty().then_some("")) {
        write!(value, ";URI={uri}").ok()?;
    }
    for name in names().filter_map(|name| if let GeneralName::DNSName(name) = name { part(name) } else { None }) {
        write!(value, ";DNS={name}").ok()?;
    }
    (value.len() <= LONGEST).then(|| value.into_boxed_str())
}

/// PEM, with what is not allowed in a URL escaped.
fn escaped_pem(certificate: &[u8]) -> String {
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for (at, character) in STANDARD.encode(certificate).chars().enumerate() {
        if at > 0 && at % LINE == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    let escapes = [("\n", "%0A"), (" ", "%20"), ("+", "%2B"), ("/", "%2F"), ("=", "%3D")];
    escapes.iter().fold(pem, |text, (plain, code)| text.replace(plain, code))
}

/// A name as it stands in the value: quoted if it could end its part. One with other than visible ASCII is left out.
fn part(name: &str) -> Option<String> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    Some(if name.contains(SPECIAL) { format!("\"{}\"", quoted(name)) } else { name.to_owned() })
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// The last part first (RFC 2253).
pub(super) fn subject(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> =
        name.iter_rdn().map(|rdn| rdn.iter().map(attribute).collect::<Vec<_>>().join("+")).collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    let short = x509_parser::objects::oid2abbrev(oid, x509_parser::objects::oid_registry());
    let name = short.map_or_else(|_| oid.to_id_string(), str::to_owned);
    let value = attribute.as_str().unwrap_or_default();
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => escaped.extend(['\\', character]),
            ' '..='~' => escaped.push(character),
            other => {
                let mut bytes = [0; 4];
                for byte in other.encode_utf8(&mut bytes).bytes() {
                    escaped.extend(['\\', hex(byte >> 4), hex(byte & 15)]);
                }
            }
        }
    }
    format!("{name}={escaped}")
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or_default().to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(names: &[SanType], subject: &[(DnType, &str)]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.to_vec();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn uri(name: &str) -> SanType {
        SanType::URI(name.try_into().unwrap())
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    /// What stands behind the certificate itself.
    fn names(names: &[SanType], subject: &[(DnType, &str)]) -> String {
        let value = forwarded(&certificate(names, subject)).unwrap();
        value.split_once("-----END%20CERTIFICATE-----%0A\";").unwrap().1.to_owned()
    }

    #[test]
    fn it_says_whose_the_certificate_is() {
        let full = [(DnType::CountryName, "DE"), (DnType::OrganizationName, "A, B"), (DnType::CommonName, "é\"x")];
        for (sans, subject, expected) in [
            (vec![], &[][..], "Subject=\"\";URI="),
            (vec![uri("spiffe://a/ns/b/sa/c")], &[][..], "Subject=\"\";URI=spiffe://a/ns/b/sa/c"),
            (vec![dns("a.com"), dns("b.com")], &full[..1], "Subject=\"C=DE\";URI=;DNS=a.com;DNS=b.com"),
            (vec![], &full[..], "Subject=\"CN=\\\\C3\\\\A9\\\\\\\"x,O=A\\\\, B,C=DE\";URI="),
            // Nobody gets a part of its own into the value.
            (vec![uri("x:a;DNS=admin")], &[], "Subject=\"\";URI=\"x:a;DNS=admin\""),
            (vec![uri("x:a\",\"b")], &[], "Subject=\"\";URI=\"x:a\\\",\\\"b\""),
            (vec![uri("x:a\r\nb"), dns("a b")], &[], "Subject=\"\";URI="),
        ] {
            assert_eq!(names(&sans, subject), expected, "{sans:?} {subject:?}");
        }
    }

    #[test]
    fn the_certificate_is_what_a_tool_can_read() {
        let der = certificate(&[dns("a.com")], &[]);
        let value = forwarded(&der).unwrap();
        let escaped = value.split("Cert=\"").nth(1).unwrap().split('"').next().unwrap();
        let pem = ["%0A", "%20", "%2B", "%2F", "%3D"]
            .iter()
            .zip(["\n", " ", "+", "/", "="])
            .fold(escaped.to_owned(), |text, (code, plain)| text.replace(code, plain));
        assert!(pem.lines().all(|line| line.len() <= LINE), "{pem}");
        let (_, read) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        assert_eq!(read.contents, der.as_ref());
        assert!(value.starts_with("Hash=") && value.find(';') == Some(5 + 64), "{value}");
    }

    #[test]
    fn what_is_no_certificate_is_not_told() {
        assert_eq!(forwarded(&CertificateDer::from(b"nonsense".to_vec())), None);
    }
}
