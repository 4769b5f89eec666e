// SPDX-License-Identifier: Apache-2.0
//! What is to be done next for one certificate, and when. An order that was placed is seen through before another is
//! placed; a certificate that is there is renewed when its authority says so (RFC 9773), else when a third of its life is
//! left; and in the last tenth whatever anybody says.

use torana_ir::CertificateKey;

use super::{Current, Renewal, State, Wanted};

/// Of its life a certificate has this part left when it is renewed …
const LAST_PART: i64 = 3;
/// … spread over this part of its life …
const SPREAD: i64 = 30;
/// … and in this last part nothing else counts.
const EMERGENCY: i64 = 10;
/// Of its life a new certificate has this part behind it before it is renewed, whatever its dates say: clocks may be wrong.
const FIRST_PART: i64 = 4;
/// An authority that wants it replaced even in that part has a reason, such as many that it must revoke: then a new one has
/// only this time, in seconds.
const RECALLED: i64 = 6 * 3600;
/// Who corrects something after a failure waits so long since then, in seconds.
const SOON: i64 = 60;
/// An authority is asked about renewals at most so often, and at least so often, in seconds.
const ASK_BETWEEN: (i64, i64) = (600, 86_400);

/// What is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing before then.
    Wait(i64),
    /// An order is placed.
    Order(Why),
    /// The order that there is goes on.
    Resume,
    /// The authority is asked when it wants the certificate to be renewed.
    AskRenewal,
}

/// Why a certificate is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is none.
    Absent,
    /// The one that there is lacks a name.
    Names,
    /// It came from another authority.
    Issuer,
    /// Its time has come.
    Due,
    /// Somebody wants it.
    Asked,
}

impl Why {
    /// Whether the same names have a certificate of this authority.
    pub fn renews(self) -> bool {
        matches!(self, Self::Due | Self::Asked)
    }
}

/// What is next for `wanted` at `now`. Before `ask_from` its authority is not asked about renewals.
pub fn next(wanted: &Wanted, ask_from: i64, now: i64) -> Next {
    let state = &wanted.state;
    if let Some(at) = next_try(wanted).filter(|at| *at > now) {
        return Next::Wait(at);
    }
    if let Some(order) = &state.order
        && order.hosts == wanted.names()
        && [Some(&wanted.issuer.directory), wanted.issuer.rehearsal.as_ref()].contains(&Some(&order.directory))
    {
        return Next::Resume;
    }
    if wanted.obstacle().is_some() {
        return Next::Wait(i64::MAX);
    }
    let Some(current) = &wanted.current else { return Next::Order(Why::Absent) };
    if !wanted.hosts.keys().all(|host| current.names.contains(host)) {
        return Next::Order(Why::Names);
    }
    if current.directory.as_deref() != Some(&wanted.issuer.directory) {
        return Next::Order(Why::Issuer);
    }
    if state.asked.is_some() {
        return Next::Order(Why::Asked);
    }
    let due = renewal(&wanted.secret, state, current);
    if due <= now {
        return Next::Order(Why::Due);
    }
    if current.id.is_none() {
        return Next::Wait(due);
    }
    let ask = known(state, current).map_or(ask_from, |renewal| renewal.again.max(ask_from));
    if ask <= now { Next::AskRenewal } else { Next::Wait(due.min(ask)) }
}

/// Nothing is tried before; what was corrected since the last attempt is soon.
fn next_try(wanted: &Wanted) -> Option<i64> {
    let State { next_try, tried, trouble, .. } = &wanted.state;
    let corrected = tried.as_ref().zip(trouble.as_ref()).filter(|(tried, _)| **tried != wanted.issuer.terms());
    let soon = corrected.map_or(i64::MAX, |(_, trouble)| trouble.at.saturating_add(SOON));
    next_try.map(|at| at.min(soon))
}

/// What the authority said about this certificate.
fn known<'s>(state: &'s State, current: &Current) -> Option<&'s Renewal> {
    state.renewal.as_ref().filter(|renewal| current.id.as_deref() == Some(&renewal.certificate))
}

/// When a certificate is to be renewed.
pub fn renewal(secret: &CertificateKey, state: &State, current: &Current) -> i64 {
    let life = current.life();
    let planned = known(state, current).map_or_else(
        || {
            let name = secret.to_string();
            let chance = foldhash_of(&name, current.not_before) % 1000;
            current.not_after - life / LAST_PART - life / SPREAD * chance / 1000
        },
        |renewal| renewal.at,
    );
    let first = life / FIRST_PART;
    // What the authority says of the certificate's own dates needs no clock of ours.
    let recalled = known(state, current).is_some_and(|renewal| renewal.window.0 < current.not_before + first);
    let rest = if recalled { first.min(RECALLED) } else { first };
    let earliest = state.issued.map_or(i64::MIN, |issued| issued.saturating_add(rest));
    planned.min(current.not_after - life / EMERGENCY).max(earliest)
}

/// The same for one certificate whoever asks, and for two hardly ever.
fn foldhash_of(name: &str, not_before: i64) -> i64 {
    use std::hash::BuildHasher as _;
    let hash = foldhash::quality::FixedState::with_seed(0).hash_one((name, not_before));
    i64::try_from(hash >> 1).unwrap_or_default()
}

impl Renewal {
    /// What an authority says at `now` of the certificate `id`: the window, and after how many seconds to ask again.
    /// `chance`, anything, chooses the moment in it; one that was chosen in the same window `before` stays.
    pub fn new(id: &str, window: (i64, i64), (now, after): (i64, i64), chance: u16, before: Option<&Self>) -> Self {
        let (start, end) = (window.0, window.1.max(window.0));
        let same = before.filter(|before| before.certificate == id && before.window == (start, end));
        let chosen = || {
            // Windows may be as long as they like.
            let length = i128::from(end) - i128::from(start);
            let moment = i128::from(start) + length * i128::from(chance) / i128::from(u16::MAX);
            i64::try_from(moment).unwrap_or(end)
        };
        let at = same.map_or_else(chosen, |before| before.at);
        let again = now.saturating_add(after.clamp(ASK_BETWEEN.0, ASK_BETWEEN.1));
        Self { certificate: id.to_owned(), window: (start, end), at, again }
    }
}

#[cfg(test)]
mod tests;
