// SPDX-License-Identifier: Apache-2.0
//! Header operations and values. A value may hold `%VARIABLES%` of Envoy's access log; a field that needs one that is not
//! known is not sent rather than sent wrong.
//!
//! Never touches a request.

use torana_crds::StringMap;
use torana_crds::istio::http::{HeaderOperations, Headers};
use torana_ir::{Authority, Filter, HeaderEdit, HeaderName, HeaderValue, MadeField};

use crate::report::Remark;
use crate::translate::istio::formats::{Format, Message};
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
        request: operations((&headers.request, Message::Request), &format!("{at}.request"), faults),
        response: operations((&headers.response, Message::Response), &format!("{at}.response"), faults),
    }
}

fn operations((written, of): (&HeaderOperations, Message), at: &str, faults: &mut Vec<Remark>) -> Operations {
    let mut operations = Operations::default();
    let HeaderOperations { set, add, remove } = written;
    let mut authority = None;
    operations.set.set = fields((set, of), &format!("{at}.set"), (&mut authority, &mut operations.set.made), faults);
    let (mut added, mut made) = (None, Vec::new());
    operations.set.add = fields((add, of), &format!("{at}.add"), (&mut added, &mut made), faults);
    operations.set.made.extend(made.into_iter().map(|it| MadeField { appends: true, ..it }));
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
    (written, of): (&StringMap, Message),
    at: &str,
    (authority, made): (&mut Option<Authority>, &mut Vec<MadeField>),
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
        let text = match Format::read(value, of) {
            Ok(Format::Text(text)) => text,
            Ok(Format::Made(value)) => {
                match HeaderName::new(name) {
                    Ok(name) => made.push(MadeField { name, appends: false, value }),
                    Err(error) => faults.push(Remark::error(UNSUPPORTED, &at, error.to_string(), "correct it")),
                }
                continue;
            }
            Err(why) => {
                let message = format!("{why}, so the field is not sent");
                faults.push(Remark::warning(UNSUPPORTED, &at, message, "write %% for a percent sign"));
                continue;
            }
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

impl Operations {
    /// What Envoy does for two lists of one route: all removals, then the fields of one, then those of the other.
    pub(super) fn then(&self, after: &Self) -> Self {
        let mut both = self.clone();
        both.remove.remove.extend(after.remove.remove.iter().cloned());
        both.authority = self.authority.clone().or_else(|| after.authority.clone());
        // `set` of the later wipes out what the earlier has added.
        let later = |name: &HeaderName| {
            let made = after.set.made.iter().any(|made| !made.appends && made.name == *name);
            made || after.set.set.iter().any(|(set, _)| set == name)
        };
        both.set.set.retain(|(name, _)| !later(name));
        both.set.add.retain(|(name, _)| !later(name));
        both.set.made.retain(|made| !later(&made.name));
        both.set.made.extend(after.set.made.iter().cloned());
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
