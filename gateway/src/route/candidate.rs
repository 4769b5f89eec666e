// SPDX-License-Identifier: Apache-2.0
//! One match of one rule in a router, and whether a request fits what it says beyond host and path.

use std::sync::Arc;

use torana_ir::{FieldMatch, HeaderName, LineMatch, LinePart, Order, PathMatch, RouteMatch, Rule, TextMatch};

use super::order::Precedence;
use super::query;
use crate::head::{self, Fields, Head};

/// What a router leads to.
pub trait Routable {
    /// The rule whose matches are indexed.
    fn rule(&self) -> &Rule;
}

/// One alternative of a rule.
#[derive(Debug)]
pub struct Candidate<T> {
    target: Arc<T>,
    index: u32,
    /// Nothing but a path is asked for: fits without a look at the rule.
    plain: bool,
}

/// Whether a request fits.
pub type Fit = Result<(), Mismatch>;

/// The first thing in which a request does not fit; indexes are into the match's own lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// Another path.
    Path,
    /// Another method.
    Method,
    /// This header.
    Header(usize),
    /// This query parameter.
    Query(usize),
    /// This part of the request's line.
    Line(usize),
    /// This claim of its token.
    Claim(usize),
}

impl<T: Routable> Candidate<T> {
    /// The alternative `rule().matches[index]` of `target`.
    pub(crate) fn new(target: &Arc<T>, index: usize) -> Self {
        let plain = target.rule().matches.get(index).is_some_and(|one| {
            one.method.is_none()
                && one.headers.is_empty()
                && one.query.is_empty()
                && one.line.is_empty()
                && one.claims.is_empty()
        });
        Self { target: Arc::clone(target), index: index as u32, plain }
    }

    /// Where it leads.
    pub fn target(&self) -> &Arc<T> {
        &self.target
    }

    /// Its place in `rule().matches`.
    pub fn index(&self) -> usize {
        self.index as usize
    }

    /// The alternative itself.
    pub fn spec(&self) -> &RouteMatch {
        &self.target.rule().matches[self.index as usize]
    }

    /// Whether its rule keeps its order.
    pub fn is_written(&self) -> bool {
        self.target.rule().order != Order::Specific
    }

    /// Its rank among the others.
    pub fn precedence(&self) -> Precedence<'_> {
        Precedence::of(self.target.rule(), self.spec(), self.index())
    }

    /// Judges method, headers and query.
    pub fn judge(&self, head: &Head) -> Fit {
        if self.plain { Ok(()) } else { judge(self.spec(), head) }
    }

    /// Judges the path alone, as the index does.
    pub fn fits_path(&self, path: &str) -> bool {
        match &self.spec().path {
            PathMatch::Exact(exact) => exact == path,
            PathMatch::ExactAnyCase(exact) => exact.eq_ignore_ascii_case(path),
            PathMatch::Regex(regex) => regex.is_match(path),
            PathMatch::Text { text, any_case: false } => path.starts_with(text.as_str()),
            PathMatch::Text { text, any_case: true } => {
                path.get(..text.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(text))
            }
            PathMatch::Prefix(prefix) => {
                path.strip_prefix(prefix.as_str()).is_some_and(|rest| prefix.is_empty() || under(rest))
            }
        }
    }
}

fn under(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

fn judge(one: &RouteMatch, head: &Head) -> Fit {
    if one.method.as_ref().is_some_and(|method| method.as_str() != head.method()) {
        return Err(Mismatch::Method);
    }
    if let Some(at) = one.headers.iter().position(|field| !header_fits(field, head)) {
        return Err(Mismatch::Header(at));
    }
    let query = head.query().unwrap_or_default();
    let fits = |field: &FieldMatch<String>| match query::first(query, &field.name) {
        Some(value) => query::is_match(value, &field.value) != field.inverted,
        None => field.inverted && !is_of_nothing(&field.value),
    };
    if let Some(at) = one.query.iter().position(|field| !fits(field)) {
        return Err(Mismatch::Query(at));
    }
    if let Some(at) = one.line.iter().position(|part| !line_fits(part, head)) {
        return Err(Mismatch::Line(at));
    }
    one.claims.iter().position(|claim| !claim_fits(claim, head)).map_or(Ok(()), |at| Err(Mismatch::Claim(at)))
}

/// Whether an absent field, which is as an empty one where it must not match, would match.
fn is_of_nothing(value: &TextMatch) -> bool {
    *value != TextMatch::Present && value.is_match("")
}

fn line_fits(part: &LineMatch, head: &Head) -> bool {
    let text = match part.part {
        LinePart::Method => head.method(),
        LinePart::Scheme => head.scheme.as_str(),
        LinePart::Authority => head.authority(),
        LinePart::Path => head.target(),
    };
    part.value.is_match(text) != part.inverted
}

/// A claim that is not there matches nothing, and so is none that must not match.
fn claim_fits(claim: &FieldMatch<Vec<String>>, head: &Head) -> bool {
    let found = head.claims().and_then(|payload| head::claim(payload, &claim.name));
    head::says(found, |text| claim.value.is_match(text)) != claim.inverted
}

/// Several fields of one name match as their joined value (RFC 9110 §5.3); one alone is compared in place.
fn header_fits(field: &FieldMatch<HeaderName>, head: &Head) -> bool {
    let name = field.name.as_str();
    if name == "host" {
        return field.value.is_match(head.authority()) != field.inverted;
    }
    let is_match = match only(&head.fields, name) {
        Some(value) => Some(field.value.is_match(&String::from_utf8_lossy(value))),
        None => head.fields.joined(name).map(|joined| field.value.is_match(&joined)),
    };
    match is_match {
        Some(is_match) => is_match != field.inverted,
        None => field.inverted && !is_of_nothing(&field.value),
    }
}

/// The value of a name that came exactly once.
fn only<'f>(fields: &'f Fields, name: &str) -> Option<&'f [u8]> {
    let mut values = fields.values(name);
    let first = values.next()?;
    values.next().is_none().then_some(first)
}
