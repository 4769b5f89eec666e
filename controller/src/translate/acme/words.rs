// SPDX-License-Identifier: Apache-2.0
//! What people are told of certificates that are on their way, or are not renewed: the exact step, what went wrong, what
//! to repair, and when it is tried again.

use jiff::Timestamp;
use torana_ir::Certificate;

use crate::issuance::{State, Wanted};
use crate::report::Remark;

/// Why there is no certificate yet.
pub(in crate::translate) fn pending(wanted: &Wanted) -> String {
    let issuer = &wanted.issuer.name;
    if let Some(why) = wanted.obstacle() {
        return format!("ACME: {why}");
    }
    if let Some(failed) = failed(&wanted.state) {
        return format!("ACME: {failed}");
    }
    match &wanted.state.order {
        Some(order) if !order.challenges.is_empty() => {
            let shown: Vec<_> = order.challenges.iter().map(|it| format!("{} by {}", it.host, it.kind)).collect();
            format!("ACME: {issuer} is being convinced of {}", shown.join(", "))
        }
        Some(_) => format!("ACME: the certificate is ordered from {issuer}"),
        None => format!("ACME: a certificate is ordered from {issuer}"),
    }
}

/// The same as a remark: worth a warning if something has to be repaired.
pub(in crate::translate) fn awaited(wanted: &Wanted, path: &str) -> Remark {
    let message = pending(wanted);
    if wanted.obstacle().is_some() || wanted.state.trouble.is_some() {
        Remark::warning("AcmeFailed", path, message, "")
    } else {
        Remark::note("AcmePending", path, message, "")
    }
}

/// What to say of a certificate that is there and is not renewed.
pub(in crate::translate) fn trouble(wanted: &Wanted, certificate: &Certificate, path: &str) -> Option<Remark> {
    let why = wanted.obstacle().map(str::to_owned).or_else(|| failed(&wanted.state))?;
    let message = format!("the certificate, valid until {}, is not renewed: {why}", moment(certificate.not_after));
    Some(Remark::warning("AcmeFailed", path, message, ""))
}

fn failed(state: &State) -> Option<String> {
    let trouble = state.trouble.as_ref()?;
    let next = state.next_try.map(|at| format!("; next try {}", moment(at))).unwrap_or_default();
    Some(format!("{}{next}", trouble.message))
}

fn moment(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |at| at.to_string())
}
