// SPDX-License-Identifier: Apache-2.0
//! Transaction signatures (TSIG, RFC 8945): who shares a key signs a message and sees that the answer is the other's.
//! Pure; time is an argument, in seconds since 1970. Never truncates a MAC, and takes no truncated one.

use aws_lc_rs::hmac;
use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::{Header, Message, Query};
use hickory_resolver::proto::rr::rdata::TSIG;
use hickory_resolver::proto::rr::rdata::tsig::{TsigAlgorithm, TsigError, message_tbs};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record};
use hickory_resolver::proto::serialize::binary::{BinDecodable as _, BinDecoder, BinEncoder};

use super::error::DnsError;
use super::name;

/// Seconds that clocks may be apart (§10).
pub(super) const FUDGE: u16 = 300;
/// Octets of the header of a message.
const HEADER: usize = 12;

/// With what messages are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `hmac-sha256`
    HmacSha256,
    /// `hmac-sha384`
    HmacSha384,
    /// `hmac-sha512`
    HmacSha512,
}

/// A key that is shared with a server.
#[derive(Clone, PartialEq, Eq)]
pub struct Tsig {
    /// Its name, as the server knows it.
    pub key_name: String,
    /// What it is for.
    pub algorithm: Algorithm,
    /// The octets themselves, decoded.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for Tsig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key_name, algorithm, secret: _ } = self;
        f.debug_struct("Tsig").field("key_name", key_name).field("algorithm", algorithm).finish_non_exhaustive()
    }
}

/// A key as messages need it.
#[derive(Debug)]
pub(super) struct Key {
    name: Name,
    algorithm: TsigAlgorithm,
    hmac: hmac::Key,
}

/// Why an answer is not known to be the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is not signed, or by another key, or the MAC is wrong.
    Unsigned(&'static str),
    /// The server takes no message that is signed so; it says this without a signature (§5.3.2).
    Refused(&'static str),
    /// The clocks are so many seconds apart.
    Clock(u64),
}

impl Key {
    pub(super) fn new(tsig: &Tsig) -> Result<Self, DnsError> {
        let (algorithm, hmac) = match tsig.algorithm {
            Algorithm::HmacSha256 => (TsigAlgorithm::HmacSha256, hmac::HMAC_SHA256),
            Algorithm::HmacSha384 => (TsigAlgorithm::HmacSha384, hmac::HMAC_SHA384),
            Algorithm::HmacSha512 => (TsigAlgorithm::HmacSha512, hmac::HMAC_SHA512),
        };
        if tsig.secret.is_empty() {
            let why = format!("the secret of {} is empty", tsig.key_name);
            return Err(DnsError::Settings { what: "TSIG key", why });
        }
        Ok(Self { name: name::parse(&tsig.key_name)?, algorithm, hmac: hmac::Key::new(hmac, &tsig.secret) })
    }

    /// Signs a request, which must not change any more; returns the MAC, with which its answer is checked.
    pub(super) fn sign(&self, message: &mut Message, now: u64) -> Result<Vec<u8>, ProtoError> {
        message.signature = None;
        let unsigned = TSIG::new(self.algorithm.clone(), now, FUDGE, Vec::new(), message.id, None, Vec::new());
        let mac = hmac::sign(&self.hmac, &message_tbs(message, &unsigned, &self.name)?).as_ref().to_vec();
        let mut record = Record::from_rdata(self.name.clone(), 0, unsigned.set_mac(mac.clone()));
        record.dns_class = DNSClass::ANY;
        message.signature = Some(Box::new(record));
        Ok(mac)
    }

    /// Whether `answer`, as it came, is the server's answer to the request with this MAC (§5.3, §5.4).
    pub(super) fn check(&self, answer: &[u8], request_mac: &[u8], now: u64) -> Result<(), Doubt> {
        let (signed, record) = apart(answer).ok_or(Doubt::Unsigned("it is not signed"))?;
        let RData::TSIG(tsig) = &record.data else { return Err(Doubt::Unsigned("it is not signed")) };
        // Such an answer cannot be signed. Whoever forges one has the update fail, and no more.
        match tsig.error {
            Some(TsigError::BadKey) => return Err(Doubt::Refused("BADKEY")),
            Some(TsigError::BadSig) => return Err(Doubt::Refused("BADSIG")),
            Some(TsigError::BadTrunc) => return Err(Doubt::Refused("BADTRUNC")),
            _ => {}
        }
        // Names are the same in upper case, too.
        if record.name != self.name || tsig.algorithm.to_name() != self.algorithm.to_name() {
            return Err(Doubt::Unsigned("it is signed with another key"));
        }
        let covered =
            covered(&signed, tsig, &record.name, request_mac).map_err(|_| Doubt::Unsigned("it is damaged"))?;
        hmac::verify(&self.hmac, &covered, &tsig.mac).map_err(|_| Doubt::Unsigned("its signature is wrong"))?;
        if tsig.error == Some(TsigError::BadTime) {
            return Err(Doubt::Clock(server_time(&tsig.other).unwrap_or(tsig.time).abs_diff(now)));
        }
        let seconds = tsig.time.abs_diff(now);
        if seconds > u64::from(FUDGE) { Err(Doubt::Clock(seconds)) } else { Ok(()) }
    }
}

/// What the MAC of an answer covers: the MAC of the request, the message without its TSIG record, and the variables of
/// that record (§4.3).
fn covered(message: &[u8], tsig: &TSIG, key: &Name, request_mac: &[u8]) -> Result<Vec<u8>, ProtoError> {
    let mut bytes = Vec::with_capacity(message.len() + 256);
    let length = u16::try_from(request_mac.len()).map_err(|_| ProtoError::Message("a MAC that is too long"))?;
    bytes.extend(length.to_be_bytes());
    bytes.extend(request_mac);
    bytes.extend(message);
    let mut variables = Vec::new();
    tsig.emit_tsig_for_mac(&mut BinEncoder::new(&mut variables), key)?;
    bytes.extend(variables);
    Ok(bytes)
}

/// The message without its last additional record, as it was before that was added (§5.2: original id, one additional
/// record less), and that record, if there is one and it is a TSIG.
fn apart(message: &[u8]) -> Option<(Vec<u8>, Record)> {
    let mut decoder = BinDecoder::new(message);
    let counts = Header::read(&mut decoder).ok()?.counts;
    for _ in 0..counts.queries {
        Query::read(&mut decoder).ok()?;
    }
    let left = counts.additionals.checked_sub(1)?;
    let before = u32::from(counts.answers) + u32::from(counts.authorities) + u32::from(left);
    for _ in 0..before {
        // There can only be one, and it is the last (§5.1).
        if matches!(Record::read(&mut decoder).ok()?.data, RData::TSIG(_)) {
            return None;
        }
    }
    let end = decoder.index();
    let record = Record::read(&mut decoder).ok().filter(|_| decoder.is_empty())?;
    let RData::TSIG(tsig) = &record.data else { return None };
    if record.dns_class != DNSClass::ANY || record.ttl != 0 {
        return None;
    }
    let mut plain = message.get(..end)?.to_vec();
    plain.get_mut(..2)?.copy_from_slice(&tsig.oid.to_be_bytes());
    plain.get_mut(HEADER - 2..HEADER)?.copy_from_slice(&left.to_be_bytes());
    Some((plain, record))
}

/// 48 bits.
fn server_time(other: &[u8]) -> Option<u64> {
    let octets: [u8; 6] = other.try_into().ok()?;
    Some(octets.into_iter().fold(0, |time, octet| time << 8 | u64::from(octet)))
}

#[cfg(test)]
mod tests;
