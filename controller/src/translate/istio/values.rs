// SPDX-License-Identifier: Apache-2.0
//! Header operations and values. A value may hold `%VARIABLES%` of Envoy's access log; none of them is known here, and a
//! field that needs one is not sent rather than sent wrong.
//!
//! Never touches a request.

use torana_crds::StringMap;
use torana_crds::istio::http::{HeaderOperations, Headers};
use torana_ir::{Authority, Filter, HeaderEdit, HeaderName, HeaderValue};

use crate::report::Remark;
use crate::translate::servers::UNSUPPORTED;

/// Fields of requests or of responses as one list of edits. Removal comes before all else (Envoy, `HeaderParser`).
#[derive(Debug, Clone, Default)]
pub(super) struct Operations {
    remove: HeaderEdit,
    set: HeaderEdit,
    /// A host that is set: a rewrite.
    pub(super) authority: Option<Authority>,
}

/// Both directions.
#[derive(Debug, Clone, Default)]
pub(super) struct Edits {
    /// Of the request.
    pub(super) request: Operations,
    /// Of the response.
    pub(super) response: Operations,
}

/// Reads the operations written at `at` (`spec.http[0].headers`).
pub(super) fn edits(headers: &Headers, at: &str, faults: &mut Vec<Remark>) -> Edits {
    Edits {
        request: operations(&headers.request, &format!("{at}.request"), faults),
        response: operations(&headers.response, &format!("{at}.response"), faults),
    }
}

fn operations(written: &HeaderOperations, at: &str, faults: &mut Vec<Remark>) -> Operations {
    let mut operations = Operations::default();
    let HeaderOperations { set, add, remove } = written;
    let mut authority = None;
    operations.set.set = fields(set, &format!("{at}.set"), &mut authority, faults);
    let mut added = None;
    operations.set.add = fields(add, &format!("{at}.add"), &mut added, faults);
    operations.authority = authority.or(added);
    let names = remove.iter().filter(|name| !is_internal(name));
    for name in names {
        match HeaderName::new(name) {
            Ok(name) => operations.remove.remove.push(name),
            Err(error) => {
                faults.push(Remark::error(UNSUPPORTED, &format!("{at}.remove"), error.to_string(), "correct it"));
            }
        }
    }
    operations
}

fn is_internal(name: &str) -> bool {
    name.starts_with(':') || name.eq_ignore_ascii_case("host")
}

fn fields(
    written: &StringMap,
    at: &str,
    authority: &mut Option<Authority>,
    faults: &mut Vec<Remark>,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut fields = Vec::with_capacity(written.len());
    for (name, value) in written {
        let at = format!("{at}.{name}");
        if name.eq_ignore_ascii_case("host") || name == ":authority" {
            match Authority::new(value) {
                Ok(host) => *authority = Some(host),
                Err(error) => faults.push(Remark::error(UNSUPPORTED, &at, error.to_string(), "write a host")),
            }
            continue;
        }
        if is_internal(name) {
            continue;
        }
        let Some(text) = literal(value) else {
            let message = "values with %VARIABLES% are not supported, so the field is not sent";
            faults.push(Remark::warning(UNSUPPORTED, &at, message, "write the value itself"));
            continue;
        };
        match (HeaderName::new(name), HeaderValue::new(&text)) {
            (Ok(name), Ok(value)) => fields.push((name, value)),
            (Err(error), _) | (_, Err(error)) => {
                faults.push(Remark::error(UNSUPPORTED, &at, error.to_string(), "correct it"));
            }
        }
    }
    fields
}

/// A value without variables: `%%` is a percent sign.
fn literal(value: &str) -> Option<String> {
    let text = value.replace("%%", "\0");
    (!text.contains('%')).then(|| text.replace('\0', "%"))
}

impl Operations {
    /// What Envoy does for two lists of one route: all removals, then the fields of one, then those of the other.
    pub(super) fn then(&self, after: &Self) -> Self {
        let mut both = self.clone();
        both.remove.remove.extend(after.remove.remove.iter().cloned());
        both.authority = self.authority.clone().or_else(|| after.authority.clone());
        // `set` of the later wipes out what the earlier has added.
        let later = |name: &HeaderName| after.set.set.iter().any(|(set, _)| set == name);
        both.set.set.retain(|(name, _)| !later(name));
        both.set.add.retain(|(name, _)| !later(name));
        both.set.set.extend(after.set.set.iter().cloned());
        both.set.add.extend(after.set.add.iter().cloned());
        both
    }

    /// As filters.
    pub(super) fn filters(self, wrap: fn(HeaderEdit) -> Filter) -> impl Iterator<Item = Filter> {
        let is_something = |edit: &HeaderEdit| *edit != HeaderEdit::default();
        [self.remove, self.set].into_iter().filter(is_something).map(wrap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_percent_signs_are_one() {
        for (value, expected) in
            [("a", Some("a")), ("100%%", Some("100%")), ("%REQ(x)%", None), ("%", None), ("%%%%", Some("%%"))]
        {
            assert_eq!(literal(value).as_deref(), expected, "{value}");
        }
    }
}
