// SPDX-License-Identifier: Apache-2.0
//! What is wrong with a text in PEM, for people.

use rustls_pki_types::pem;

/// A part of a sentence; the library prints the bytes of a line as numbers.
pub(crate) fn fault(error: &pem::Error) -> String {
    let text = |line: &[u8]| String::from_utf8_lossy(line).trim().chars().take(80).collect::<String>();
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("there is no line that ends its block ({:?})", text(end_marker))
        }
        pem::Error::IllegalSectionStart { line } => format!("a block begins with {:?}", text(line)),
        pem::Error::Base64Decode(why) => format!("a block is not base64: {why}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn a_fault_is_told_in_words() {
        for (pem, expected) in [
            ("-----BEGIN CERTIFICATE-----\nAA==", "there is no line that ends its block (\"CERTIFICATE\")"),
            ("-----BEGIN CERTI", "a block begins with \"-----BEGIN CERTI\""),
            ("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n", "a block is not base64: "),
        ] {
            let error = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap_err();
            assert!(fault(&error).starts_with(expected), "{}", fault(&error));
        }
    }
}
