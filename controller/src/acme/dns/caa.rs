// SPDX-License-Identifier: Apache-2.0
//! Which authorities the owner of a name allows (CAA, RFC 8659). Pure; which name's records count, `lookup` finds out.

use hickory_resolver::proto::rr::rdata::CAA;

/// Properties that are understood; of others an authority that must understand them (§4.5) issues nothing.
const KNOWN: [&str; 7] = ["issue", "issuewild", "iodef", "contactemail", "contactphone", "issuemail", "issuevmc"];

/// An authority that may issue, under which terms; see [`Caa::allows`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// As the authority calls itself, `letsencrypt.org`, in lower case; empty: none may.
    pub domain: String,
    /// As they stand there, such as `validationmethods=dns-01` (RFC 8657).
    pub parameters: Vec<(String, String)>,
}

/// The records that count for a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caa {
    /// The name that has them: the one that was asked for, or one above; none if there are none.
    pub at: Option<String>,
    /// Who may issue.
    pub issue: Vec<Issuer>,
    /// Who may issue for a wildcard; if there are any, `issue` does not count for those.
    pub issuewild: Vec<Issuer>,
    /// A property that must be understood, and is not: nobody issues.
    pub critical: Option<String>,
}

impl Caa {
    /// Reads the records of the name `at`.
    pub(super) fn of<'a>(at: String, records: impl Iterator<Item = &'a CAA>) -> Self {
        let mut caa = Self { at: Some(at), ..Self::default() };
        for record in records {
            let tag = record.tag.to_ascii_lowercase();
            match &*tag {
                "issue" => caa.issue.push(Issuer::read(&record.value)),
                "issuewild" => caa.issuewild.push(Issuer::read(&record.value)),
                _ if record.issuer_critical && !KNOWN.contains(&&*tag) => caa.critical = Some(tag),
                _ => {}
            }
        }
        caa
    }

    /// Whether `authority` may issue for the name, or for the wildcard below it. What its parameters demand (an account, a
    /// method) is not judged: the authority knows.
    pub fn allows(&self, authority: &str, is_wildcard: bool) -> bool {
        let issuers = if is_wildcard && !self.issuewild.is_empty() { &self.issuewild } else { &self.issue };
        let named = |issuer: &Issuer| !authority.is_empty() && issuer.domain.eq_ignore_ascii_case(authority);
        self.critical.is_none() && (issuers.is_empty() || issuers.iter().any(named))
    }
}

impl Issuer {
    /// `DOMAIN; NAME=VALUE; …`, any of it missing (§4.2). What is malformed allows nobody.
    fn read(value: &[u8]) -> Self {
        let text = String::from_utf8_lossy(value);
        let mut parts = text.split(';').map(|part| part.trim_matches([' ', '\t']));
        let domain = parts.next().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
        let mut parameters = Vec::new();
        for part in parts.filter(|part| !part.is_empty()) {
            let Some((name, value)) = part.split_once('=') else {
                return Self { domain: String::new(), parameters: Vec::new() };
            };
            parameters.push((name.trim_end().to_owned(), value.trim_start().to_owned()));
        }
        Self { domain, parameters }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LE: &str = "letsencrypt.org";

    fn caa(records: &[(bool, &str, &str)]) -> Caa {
        let records: Vec<CAA> = records.iter().map(|(critical, tag, value)| record(*critical, tag, value)).collect();
        Caa::of("example.com".to_owned(), records.iter())
    }

    fn record(critical: bool, tag: &str, value: &str) -> CAA {
        let mut record = CAA::new_issue(critical, None, Vec::new());
        (record.tag, record.value) = (tag.to_owned(), value.as_bytes().to_vec());
        record
    }

    fn allowed(records: &[(bool, &str, &str)]) -> (bool, bool) {
        let caa = caa(records);
        (caa.allows(LE, false), caa.allows(LE, true))
    }

    #[test]
    fn without_records_everybody_may_issue() {
        assert!(Caa::default().allows(LE, true));
        assert_eq!(allowed(&[(false, "iodef", "mailto:a@example.com"), (true, "issuemail", ";")]), (true, true));
    }

    #[test]
    fn only_who_is_named_may_issue() {
        assert_eq!(allowed(&[(false, "issue", "ca.example")]), (false, false));
        assert_eq!(allowed(&[(false, "issue", "ca.example"), (false, "ISSUE", " LetsEncrypt.org ")]), (true, true));
        assert_eq!(allowed(&[(false, "issue", ";")]), (false, false));
        assert!(!caa(&[(false, "issue", "")]).allows("", false));
    }

    #[test]
    fn a_wildcard_has_rules_of_its_own() {
        assert_eq!(allowed(&[(false, "issue", LE), (false, "issuewild", ";")]), (true, false));
        assert_eq!(allowed(&[(false, "issue", "ca.example"), (false, "issuewild", LE)]), (false, true));
        assert_eq!(allowed(&[(false, "issuewild", "ca.example")]), (true, false));
    }

    #[test]
    fn what_must_be_understood_and_is_not_forbids() {
        assert_eq!(allowed(&[(false, "issue", LE), (true, "tbs", "Unknown")]), (false, false));
        assert_eq!(allowed(&[(false, "issue", LE), (false, "tbs", "Unknown")]), (true, true));
    }

    #[test]
    fn parameters_are_read_and_malformed_ones_allow_nobody() {
        let caa = caa(&[(false, "issue", "letsencrypt.org ; validationmethods=dns-01;accounturi=https://a/1 ")]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [pair("validationmethods", "dns-01"), pair("accounturi", "https://a/1")];
        assert_eq!((&*caa.issue[0].domain, &*caa.issue[0].parameters), (LE, &expected[..]));
        assert_eq!(allowed(&[(false, "issue", "letsencrypt.org; %%%%%")]), (false, false));
    }
}
