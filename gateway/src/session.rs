// SPDX-License-Identifier: Apache-2.0
//! Session persistence (GEP-1619): what a client brings says which endpoint of each backend it came to before. It is
//! sealed, so nobody reads an address from it, and every proxy of the fleet understands it: no proxy keeps anything.
//!
//! Which backend a request goes to is decided before and never here ("Session persistence MUST NOT override which backend
//! is selected during traffic splitting"): one value remembers an endpoint for each of several backends.
//!
//! Neither the clock nor randomness is asked for here.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use smallvec::SmallVec;
use torana_ir::{BackendKey, SessionCarrier};

use crate::head::{Head, Scheme};

/// Backends that one value remembers; the oldest goes first.
const MOST_PINS: usize = 8;

/// Bytes of one: backend, address, port, end.
const PIN: usize = 8 + 16 + 2 + 8;

/// Values of one name that are looked at: others may set cookies of the same name.
const MOST_VALUES: usize = 4;

/// Longest value that may be one of ours.
const LONGEST: usize = (NONCE_LEN + 1 + MOST_PINS * PIN + 16).div_ceil(3) * 4;

/// What the values of this form begin with, before they are sealed.
const FORM: u8 = 1;

/// How the sessions of a rule are carried.
#[derive(Debug)]
pub struct Session {
    spec: torana_ir::Session,
    key: LessSafeKey,
}

/// The endpoints that a client came to before. Those whose session is over are not here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pins(SmallVec<[Pin; 1]>);

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pin {
    backend: u64,
    address: SocketAddr,
    /// Seconds since 1970; 0: never.
    end: u64,
}

impl Session {
    /// Prepares `spec`; `None` only if the cipher refuses every key of its length.
    pub fn compile(spec: &torana_ir::Session) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM, spec.key.expose()).ok()?;
        Some(Self { spec: spec.clone(), key: LessSafeKey::new(key) })
    }

    /// What the request brings that is ours, at `now` (seconds since 1970).
    pub fn brought(&self, head: &Head, now: u64) -> Pins {
        let opened = |value: &[u8]| self.open(value, now);
        match &self.spec.carrier {
            SessionCarrier::Header(name) => {
                head.fields.values(name.as_str()).take(MOST_VALUES).find_map(opened).unwrap_or_default()
            }
            SessionCarrier::Cookie { name, .. } => {
                let pairs = head.fields.values("cookie").flat_map(|value| value.split(|byte| *byte == b';'));
                let ours = pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(name.as_str().as_bytes()));
                let values = ours.filter_map(|rest| rest.strip_prefix(b"="));
                values.take(MOST_VALUES).find_map(opened).unwrap_or_default()
            }
        }
    }

    /// The field that makes the client come back to `address` of `backend`; other backends in `pins` stay.
    pub fn field(
        &self,
        mut pins: Pins,
        (backend, address): (&BackendKey, SocketAddr),
        now: u64,
        nonce: [u8; NONCE_LEN],
        scheme: Scheme,
    ) -> (String, String) {
        let end = self.spec.lifetime.map_or(0, |lifetime| now.saturating_add(seconds(lifetime)));
        let backend = identity(backend);
        pins.0.retain(|pin| pin.backend != backend);
        if pins.0.len() >= MOST_PINS {
            pins.0.remove(0);
        }
        pins.0.push(Pin { backend, address, end });
        let value = self.seal(&pins, nonce);
        match &self.spec.carrier {
            SessionCarrier::Header(name) => (name.as_str().to_owned(), value),
            SessionCarrier::Cookie { name, path, permanent } => {
                let secure = if scheme == Scheme::Https { "; Secure" } else { "" };
                let age = match self.spec.lifetime.filter(|_| *permanent) {
                    Some(lifetime) => format!("; Max-Age={}", seconds(lifetime)),
                    None => String::new(),
                };
                let (name, path) = (name.as_str(), path.as_str());
                let cookie = format!("{name}={value}; Path={path}; HttpOnly; SameSite=Strict{secure}{age}");
                ("set-cookie".to_owned(), cookie)
            }
        }
    }

    fn seal(&self, pins: &Pins, nonce: [u8; NONCE_LEN]) -> String {
        let mut text = vec![FORM];
        for pin in &pins.0 {
            text.extend(pin.backend.to_be_bytes());
            text.extend(wide(pin.address.ip()).octets());
            text.extend(pin.address.port().to_be_bytes());
            text.extend(pin.end.to_be_bytes());
        }
        let sealed = self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text);
        if sealed.is_err() {
            // Only texts of many gigabytes cannot be sealed; an empty value pins nothing.
            return String::new();
        }
        URL_SAFE_NO_PAD.encode([&nonce[..], &text].concat())
    }

    fn open(&self, value: &[u8], now: u64) -> Option<Pins> {
        if value.len() > LONGEST {
            return None;
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
        let opened = self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), sealed).ok()?;
        let (form, pins) = opened.split_first()?;
        let (pins, rest) = pins.as_chunks::<PIN>();
        let pins = pins.iter().map(Pin::read).filter(|pin| pin.end == 0 || pin.end > now);
        (*form == FORM && rest.is_empty()).then(|| Pins(pins.take(MOST_PINS).collect()))
    }
}

impl Pins {
    /// Where the client came to before, if it was sent to this backend.
    pub fn of(&self, backend: &BackendKey) -> Option<SocketAddr> {
        let backend = identity(backend);
        self.0.iter().find(|pin| pin.backend == backend).map(|pin| pin.address)
    }
}

impl Pin {
    fn read(bytes: &[u8; PIN]) -> Self {
        let mut octets = [0; 16];
        octets.copy_from_slice(&bytes[8..24]);
        let port = number(&bytes[24..26]) as u16;
        let address = SocketAddr::new(Ipv6Addr::from(octets).to_canonical(), port);
        Self { backend: number(&bytes[..8]), address, end: number(&bytes[26..]) }
    }
}

/// Tells backends apart, alike in every process and version.
fn identity(backend: &BackendKey) -> u64 {
    number(&digest(&SHA256, backend.to_string().as_bytes()).as_ref()[..8])
}

/// Big endian; at most eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

fn wide(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

fn seconds(lifetime: Duration) -> u64 {
    lifetime.as_secs().max(1)
}

#[cfg(test)]
mod tests {
    use torana_ir::{CookieName, CookiePath, HeaderName, SessionKey};

    use super::*;
    use crate::head::Version;

    const NOW: u64 = 1_800_000_000;

    fn backend(name: &str) -> BackendKey {
        BackendKey::tcp("n", name, 80)
    }

    fn cookie(permanent: bool) -> SessionCarrier {
        SessionCarrier::Cookie { name: CookieName::new("s").unwrap(), path: CookiePath::new("/").unwrap(), permanent }
    }

    fn session(carrier: SessionCarrier, lifetime: Option<u64>, key: u8) -> Session {
        let lifetime = lifetime.map(Duration::from_secs);
        Session::compile(&torana_ir::Session { carrier, lifetime, key: SessionKey::new([key; 32]) }).unwrap()
    }

    fn head(name: &str, value: &str) -> Head {
        let mut head = Head::new(Version::Http11, Scheme::Http, "GET", "a.com", "/");
        head.fields.push(name.as_bytes(), value.as_bytes());
        head
    }

    /// The pair of a `Set-Cookie`.
    fn pair(field: &(String, String)) -> String {
        assert_eq!(field.0, "set-cookie");
        field.1.split(';').next().unwrap().to_owned()
    }

    fn at(port: u16) -> SocketAddr {
        ([10, 0, 0, 1], port).into()
    }

    #[test]
    fn a_cookie_leads_back_for_each_backend_and_says_nothing() {
        let session = session(cookie(false), None, 1);
        let first = session.field(Pins::default(), (&backend("a"), at(1)), NOW, [1; 12], Scheme::Http);
        assert!(first.1.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{first:?}");
        let brought = session.brought(&head("cookie", &format!("x=1; {}; y=2", pair(&first))), NOW);
        assert_eq!((brought.of(&backend("a")), brought.of(&backend("b"))), (Some(at(1)), None));
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 2));
        let second = session.field(brought, (&backend("b"), v6), NOW, [2; 12], Scheme::Https);
        assert!(second.1.contains("; Secure"), "{second:?}");
        let brought = session.brought(&head("cookie", &pair(&second)), NOW);
        assert_eq!((brought.of(&backend("a")), brought.of(&backend("b"))), (Some(at(1)), Some(v6)));
        let moved = session.field(brought, (&backend("a"), at(3)), NOW, [3; 12], Scheme::Http);
        let brought = session.brought(&head("cookie", &pair(&moved)), NOW);
        assert_eq!((brought.of(&backend("a")), brought.0.len()), (Some(at(3)), 2));
    }

    #[test]
    fn of_many_backends_the_oldest_is_forgotten_and_the_value_stays_short() {
        let session = session(cookie(false), None, 1);
        let mut pins = Pins::default();
        for name in 0..20 {
            let field = session.field(pins, (&backend(&name.to_string()), at(name)), NOW, [1; 12], Scheme::Http);
            assert!(pair(&field).len() <= LONGEST + 2);
            pins = session.brought(&head("cookie", &pair(&field)), NOW);
            assert_eq!(pins.of(&backend(&name.to_string())), Some(at(name)));
        }
        assert_eq!((pins.0.len(), pins.of(&backend("11"))), (MOST_PINS, None));
    }

    #[test]
    fn a_session_ends_when_its_time_is_over() {
        for (permanent, age) in [(true, true), (false, false)] {
            let session = session(cookie(permanent), Some(60), 1);
            let field = session.field(Pins::default(), (&backend("a"), at(1)), NOW, [1; 12], Scheme::Http);
            assert_eq!(field.1.ends_with("; Max-Age=60"), age);
            let later = |seconds| session.brought(&head("cookie", &pair(&field)), NOW + seconds).of(&backend("a"));
            assert_eq!((later(59), later(60)), (Some(at(1)), None));
        }
    }

    #[test]
    fn what_others_made_up_pins_nothing() {
        let ours = session(cookie(false), None, 1);
        let foreign = session(cookie(false), None, 2);
        let field = foreign.field(Pins::default(), (&backend("a"), at(1)), NOW, [1; 12], Scheme::Http);
        let good = pair(&ours.field(Pins::default(), (&backend("a"), at(1)), NOW, [1; 12], Scheme::Http));
        let damaged = format!("{}A", &good[..good.len() - 1]);
        let long = format!("s={}", "A".repeat(100_000));
        for bad in [&pair(&field), &damaged, &long, "s=", "s", "s=!!", "s=AAAA", "xs=1", ""] {
            if bad != good {
                assert_eq!(ours.brought(&head("cookie", bad), NOW), Pins::default(), "{bad}");
            }
        }
        let behind = format!("s=old; s=older; {good}");
        assert_eq!(ours.brought(&head("cookie", &behind), NOW).of(&backend("a")), Some(at(1)));
    }

    #[test]
    fn a_header_carries_the_same() {
        let session = session(SessionCarrier::Header(HeaderName::new("X-Session").unwrap()), None, 1);
        let (name, value) = session.field(Pins::default(), (&backend("a"), at(1)), NOW, [1; 12], Scheme::Http);
        assert_eq!(name, "x-session");
        assert_eq!(session.brought(&head("x-session", &value), NOW).of(&backend("a")), Some(at(1)));
    }
}
