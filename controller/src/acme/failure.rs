// SPDX-License-Identifier: Apache-2.0
//! Why an attempt failed, what it means for the order, and what people are told. Errors of an authority are those of
//! RFC 8555 §6.7.

use instant_acme::{Error, Problem};

use super::vault::VaultError;
use crate::api::causes;

/// A question came with a nonce that was not good: it is as good as not asked.
const BAD_NONCE: &str = "bad_nonce";
/// Somebody has had the certificate replaced already (RFC 9773 §5).
const REPLACED: &str = "replaced";
/// The authority does not know the account.
pub(super) const NO_ACCOUNT: &str = "no_account";
/// The name does not lead here.
pub(super) const PREFLIGHT: &str = "preflight";
/// The owner of the name lets others sign.
pub(super) const CAA: &str = "caa";
/// Proxies do not know the answer.
pub(super) const PROXIES: &str = "proxies";
/// The record of a challenge is not there.
pub(super) const RECORDS: &str = "records";
/// The authority cannot be asked.
pub(super) const AWAY: &str = "away";
/// The authority takes long.
pub(super) const SLOW: &str = "slow";
/// Nothing can be kept.
pub(super) const STORAGE: &str = "storage";
/// So often a question is asked that came with bad nonces; the library asks three times each.
const AGAIN: usize = 8;

/// Whether a question that was asked for the `times`th time is asked again, for nothing but its nonce was wrong (RFC 8555
/// §6.5).
pub(super) fn is_asked_again<T>(answer: &Result<T, Failure>, times: usize) -> bool {
    times < AGAIN && answer.as_ref().is_err_and(|failure| failure.reason == BAD_NONCE)
}

/// The answer to a question, which is asked again for as long as nothing but nonces is wrong. No function: futures that
/// borrow what they ask for could not be sent elsewhere.
macro_rules! patiently {
    ($question:expr) => {{
        let mut times = 0;
        loop {
            times += 1;
            let answer = $question;
            if !$crate::acme::failure::is_asked_again(&answer, times) {
                break answer;
            }
        }
    }};
}

pub(super) use patiently;

/// What a failure means for the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on later.
    Later,
    /// It is over.
    Over,
    /// It is over, and the authority counts a failed validation.
    Refused,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// In one word, for metrics.
    pub(super) reason: &'static str,
    /// For people: what, and what to repair.
    pub(super) message: String,
    /// What it means for the order.
    pub(super) verdict: Verdict,
    /// When it goes on, if that is known; nothing has failed then.
    pub(super) until: Option<i64>,
}

impl Failure {
    /// The order goes on later.
    pub(super) fn later(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), verdict: Verdict::Later, until: None }
    }

    /// The order is over.
    pub(super) fn over(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), verdict: Verdict::Over, until: None }
    }

    /// Whether it is between us and the name: the authority has no part in it.
    pub(super) fn is_ours(&self) -> bool {
        self.until.is_some() || matches!(self.reason, PREFLIGHT | CAA | PROXIES | RECORDS | STORAGE)
    }

    /// Whether an order that replaces a certificate (RFC 9773 §5) may have failed for that: it has been replaced already,
    /// another account ordered it, or the authority has forgotten it. Authorities have several words for that.
    pub(super) fn is_of_what_is_replaced(&self) -> bool {
        matches!(self.reason, REPLACED | "unauthorized" | "rejected" | "authority")
    }

    /// The authority has looked and was not convinced.
    pub(super) fn refused(problem: &Problem, of: &str) -> Self {
        let (reason, remedy) = known(word(problem));
        let reason = if reason == "authority" { "unconvinced" } else { reason };
        Self { reason, message: format!("{of}: {}{remedy}", detail(problem)), verdict: Verdict::Refused, until: None }
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        Self::later(STORAGE, format!("what is done cannot be kept: {error}"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::from(problem),
            Error::Json(error) => Self::later("authority", format!("the authority's answer makes no sense: {error}")),
            Error::Str(what) => Self::later("authority", format!("the authority's answer is not complete: {what}")),
            Error::Crypto | Error::KeyRejected => {
                Self::later("account", "the account's key cannot be used; delete its Secret, and a new account is made")
            }
            Error::Unsupported(what) => Self::over("rejected", format!("the authority does not do {what}")),
            other => Self::later(AWAY, format!("the authority cannot be asked: {}", causes(&other))),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let word = word(&problem);
        let (reason, remedy) = known(word);
        let is_gone = matches!(problem.status, Some(404 | 410));
        let is_final = matches!(
            word,
            "badCSR" | "rejectedIdentifier" | "unsupportedIdentifier" | "caa" | "invalidProfile" | "malformed"
        );
        let verdict = if is_gone || is_final { Verdict::Over } else { Verdict::Later };
        Self { reason, message: format!("the authority says: {}{remedy}", detail(&problem)), verdict, until: None }
    }
}

/// The type of a problem without what all have in common.
fn word(problem: &Problem) -> &str {
    let name = problem.r#type.as_deref().unwrap_or_default();
    name.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(name)
}

/// The word for metrics, and what to do about it.
fn known(word: &str) -> (&'static str, &'static str) {
    match word {
        "badNonce" => (BAD_NONCE, ""),
        "rateLimited" => ("rate_limited", "; Torana waits for as long as it is asked to"),
        "caa" => (CAA, "; let the CAA record of the name allow this authority"),
        "dns" => ("dns", "; repair the name's DNS records"),
        "connection" => ("unreachable", "; the authority must reach this Gateway from the internet"),
        "tls" => ("unreachable", "; TLS for this name must end at this Gateway, not before it"),
        "unauthorized" | "incorrectResponse" => {
            ("unauthorized", "; somebody else answered: let the name lead to this Gateway only")
        }
        "externalAccountRequired" => {
            ("account", "; write a ClusterAcmeIssuer with spec.externalAccountBinding, and name it in the annotation")
        }
        "alreadyReplaced" => (REPLACED, ""),
        "accountDoesNotExist" => (NO_ACCOUNT, "; a new account is made at the next try"),
        "userActionRequired" => ("account", "; its operator wants something of the account's owner"),
        "invalidContact" | "unsupportedContact" => ("account", "; correct the issuer's e-mail address"),
        "rejectedIdentifier" | "unsupportedIdentifier" => ("rejected", "; it signs no such name"),
        "invalidProfile" => ("rejected", "; correct spec.profile of the issuer"),
        "badCSR" => ("rejected", "; choose another spec.keyType of the issuer"),
        _ => ("authority", ""),
    }
}

/// What the authority says, with what it says of single names; no longer than a condition may be.
fn detail(problem: &Problem) -> String {
    const LONGEST: usize = 600;
    let mut text = problem.detail.clone().unwrap_or_else(|| word(problem).to_owned());
    for sub in problem.subproblems.iter().take(4) {
        text = format!("{text}; {sub}");
    }
    let text: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).take(LONGEST).collect();
    text.trim_end_matches(['.', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(word: &str, status: u16) -> Problem {
        let text = format!(
            r#"{{"type": "urn:ietf:params:acme:error:{word}", "detail": "a\nb.", "status": {status}, "subproblems": []}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_passes_leaves_the_order_and_what_does_not_ends_it() {
        for (word, status, reason, verdict) in [
            ("rateLimited", 429, "rate_limited", Verdict::Later),
            ("serverInternal", 500, "authority", Verdict::Later),
            ("badNonce", 400, "bad_nonce", Verdict::Later),
            ("externalAccountRequired", 403, "account", Verdict::Later),
            ("malformed", 404, "authority", Verdict::Over),
            ("rejectedIdentifier", 400, "rejected", Verdict::Over),
            ("caa", 403, "caa", Verdict::Over),
        ] {
            let failure = Failure::from(problem(word, status));
            assert_eq!((failure.reason, failure.verdict), (reason, verdict), "{word}");
        }
    }

    #[test]
    fn what_an_authority_has_against_replacing_a_certificate_is_told_from_what_it_has_against_an_order() {
        let is_of_it = |word, status| Failure::from(problem(word, status)).is_of_what_is_replaced();
        assert!(["alreadyReplaced", "unauthorized", "malformed", "serverInternal"].iter().all(|it| is_of_it(it, 400)));
        assert!(!["rateLimited", "badNonce", "accountDoesNotExist", "caa"].iter().any(|it| is_of_it(it, 400)));
    }

    #[test]
    fn a_refusal_names_the_name_what_was_found_and_what_to_repair() {
        let failure = Failure::refused(&problem("dns", 400), "http-01 for a.example");
        assert_eq!(failure.message, "http-01 for a.example: a b; repair the name's DNS records");
        assert_eq!((failure.reason, failure.verdict), ("dns", Verdict::Refused));
    }
}
