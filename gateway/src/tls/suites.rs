// SPDX-License-Identifier: Apache-2.0
//! Which versions of TLS and which suites a listener speaks. Never builds a configuration.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};
use torana_ir::{CipherSuite, Tls, TlsVersion};

type Versions = &'static [&'static SupportedProtocolVersion];

/// Every version that there is.
pub(super) static ALL: Versions = &[&TLS13, &TLS12];
static NEW: Versions = &[&TLS13];
static OLD: Versions = &[&TLS12];

/// The versions that a listener speaks, perhaps none.
pub(super) fn versions(tls: &Tls) -> Versions {
    match (tls.accepts(TlsVersion::V1_3), tls.accepts(TlsVersion::V1_2)) {
        (true, true) => ALL,
        (true, false) => NEW,
        (false, true) => OLD,
        (false, false) => &[],
    }
}

/// The provider of cryptography with the suites that a listener speaks.
pub(super) fn provider(tls: &Tls) -> Arc<CryptoProvider> {
    let Some(written) = tls.suites.as_ref().filter(|written| !written.is_empty()) else {
        return Arc::clone(super::provider());
    };
    let mut provider = CryptoProvider::clone(super::provider());
    let named: Vec<_> = written.iter().map(|suite| of_rustls(*suite)).collect();
    provider.cipher_suites.retain(|suite| suite.tls13().is_some() || named.contains(suite));
    Arc::new(provider)
}

fn of_rustls(suite: CipherSuite) -> SupportedCipherSuite {
    use aws_lc_rs::cipher_suite as known;
    match suite {
        CipherSuite::EcdsaAes128 => known::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdsaAes256 => known::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdsaChaCha20 => known::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        CipherSuite::RsaAes128 => known::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::RsaAes256 => known::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::RsaChaCha20 => known::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_suites_say_which_versions_are_spoken() {
        let (old, new) = (TlsVersion::V1_2, TlsVersion::V1_3);
        let none = Some(Vec::new());
        for (min, max, suites, expected) in [
            (old, None, None, 2),
            (new, None, None, 1),
            (old, Some(old), None, 1),
            (new, Some(old), None, 0),
            (old, None, none.clone(), 1),
            (old, Some(old), none, 0),
        ] {
            let tls = Tls { min_version: min, max_version: max, suites, ..Tls::new(Vec::new()) };
            assert_eq!(versions(&tls).len(), expected, "{tls:?}");
        }
    }

    #[test]
    fn suites_of_tls_1_3_are_there_whatever_is_written() {
        let suites = Some(vec![CipherSuite::RsaAes128]);
        let provider = provider(&Tls { suites, ..Tls::new(Vec::new()) });
        let (new, old): (Vec<_>, Vec<_>) = provider.cipher_suites.iter().partition(|suite| suite.tls13().is_some());
        assert_eq!((new.len(), old), (3, vec![&of_rustls(CipherSuite::RsaAes128)]));
    }
}
