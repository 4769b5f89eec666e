// SPDX-License-Identifier: Apache-2.0
//! `sessionPersistence` of rules (GEP-1619): what carries a client's session. Whatever cannot be carried makes the rule
//! invalid: an application that needs its sessions fails without them.
//!
//! Never chooses an endpoint, and seals nothing.

use torana_crds::ObjectRef;
use torana_crds::route::{CookieLifetime, SessionCookie, SessionPersistence, SessionPersistenceType};
use torana_ir::{CookieName, CookiePath, HeaderName, SessionCarrier};

use crate::report::Remark;
use crate::translate::matches::fault;

/// What carries the sessions of a rule of `route` whose `sessionPersistence` is at `at`.
pub(super) fn carrier(
    written: &SessionPersistence,
    at: &str,
    route: &ObjectRef,
    faults: &mut Vec<Remark>,
) -> Option<SessionCarrier> {
    match &written.persistence_type {
        SessionPersistenceType::Cookie => {
            excluded(written.header.is_some(), (&format!("{at}.header"), "header", "Cookie"), faults);
            let own = SessionCookie::default();
            let cookie = written.cookie.as_ref().unwrap_or(&own);
            self::cookie(cookie, written.absolute_timeout.is_some(), at, route, faults)
        }
        SessionPersistenceType::Header => {
            excluded(written.cookie.is_some(), (&format!("{at}.cookie"), "cookie", "Header"), faults);
            let Some(header) = &written.header else {
                let message = "type Header needs header.name".to_owned();
                faults.push(fault(&format!("{at}.header"), message, "add header.name"));
                return None;
            };
            let name = checked(HeaderName::new(&header.name), &format!("{at}.header.name"), faults)?;
            Some(SessionCarrier::Header(name))
        }
        SessionPersistenceType::Other(other) => {
            let message = format!("type {other:?} is not known");
            faults.push(fault(&format!("{at}.type"), message, "use Cookie or Header"));
            None
        }
    }
}

fn excluded(there: bool, (at, part, of_type): (&str, &str, &str), faults: &mut Vec<Remark>) {
    if there {
        faults.push(fault(at, format!("type {of_type} must not have {part}"), "remove it or change the type"));
    }
}

fn cookie(
    cookie: &SessionCookie,
    lasts: bool,
    at: &str,
    route: &ObjectRef,
    faults: &mut Vec<Remark>,
) -> Option<SessionCarrier> {
    let path = format!("{at}.cookie");
    let permanent = match &cookie.lifetime_type {
        CookieLifetime::Session => false,
        CookieLifetime::Permanent if lasts => true,
        CookieLifetime::Permanent => {
            let message = "a cookie of lifetimeType Permanent needs absoluteTimeout".to_owned();
            faults.push(fault(&format!("{at}.absoluteTimeout"), message, "add absoluteTimeout"));
            return None;
        }
        CookieLifetime::Other(other) => {
            let message = format!("lifetimeType {other:?} is not known");
            faults.push(fault(&format!("{path}.lifetimeType"), message, "use Session or Permanent"));
            return None;
        }
    };
    let generated = || format!("torana-{:016x}", fingerprint(&format!("{route} {at}")));
    let name = cookie.name.clone().unwrap_or_else(generated);
    let name = checked(CookieName::new(&name), &format!("{path}.name"), faults);
    let path = checked(CookiePath::new(cookie.path.as_deref().unwrap_or("/")), &format!("{path}.path"), faults);
    Some(SessionCarrier::Cookie { name: name?, path: path?, permanent })
}

fn checked<T, E: ToString>(result: Result<T, E>, at: &str, faults: &mut Vec<Remark>) -> Option<T> {
    result.map_err(|error| faults.push(fault(at, error.to_string(), "correct it"))).ok()
}

/// FNV-1a: rules of one host must not share a cookie that nobody has named, and names are the same after a restart.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
