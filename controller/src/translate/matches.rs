// SPDX-License-Identifier: Apache-2.0
//! Matches of HTTPRoute rules. A match that cannot be read makes its rule invalid; it never matches more or less than
//! it says. Of several entries for one name the first counts (`HTTPHeaderMatch.name`, `HTTPQueryParamMatch.name`).

use torana_crds::route::{FieldMatch, HttpMatch, PathMatch, PathMatchType, TextMatchType};
use torana_ir::{FieldMatch as Field, HeaderName, Method, PathMatch as Path, Regex, RouteMatch, TextMatch};

use crate::report::Remark;
use crate::report::conditions::route::UNSUPPORTED_VALUE;
use crate::translate::paths;

/// The matches of a rule that can be read; what is wrong with others goes to `faults`.
pub(super) fn http(matches: &[HttpMatch], rule: &str, faults: &mut Vec<Remark>) -> Vec<RouteMatch> {
    if matches.is_empty() {
        return vec![everything()];
    }
    let entries = matches.iter().enumerate();
    entries.filter_map(|(index, entry)| one(entry, &format!("{rule}.matches[{index}]"), faults)).collect()
}

/// Every request: the prefix `/`.
pub(super) fn everything() -> RouteMatch {
    RouteMatch::of(Path::Prefix(String::new()))
}

fn one(entry: &HttpMatch, at: &str, faults: &mut Vec<Remark>) -> Option<RouteMatch> {
    let before = faults.len();
    let path = path(&entry.path, at, faults);
    let method = entry.method.as_deref().map(Method::new).transpose().unwrap_or_else(|error| {
        faults.push(fault(&format!("{at}.method"), error.to_string(), "write a method such as GET"));
        None
    });
    let headers = headers(&entry.headers, at, faults);
    let query = query(&entry.query, at, faults);
    (faults.len() == before).then_some(RouteMatch { method, headers, query, ..RouteMatch::of(path?) })
}

fn path(path: &PathMatch, at: &str, faults: &mut Vec<Remark>) -> Option<Path> {
    let value = &path.value;
    let (result, remedy) = match &path.match_type {
        PathMatchType::Exact => (paths::canonical(value).map(Path::Exact), "write an absolute, normalised path"),
        PathMatchType::PathPrefix => (paths::prefix(value).map(Path::Prefix), "write an absolute, normalised path"),
        PathMatchType::RegularExpression => {
            (Regex::new(value).map(Path::Regex).map_err(|error| error.to_string()), "correct the expression")
        }
        PathMatchType::Other(other) => {
            (Err(format!("type {other:?} is not known")), "use Exact, PathPrefix or RegularExpression")
        }
    };
    result.map_err(|why| faults.push(fault(&format!("{at}.path"), why, remedy))).ok()
}

/// Header matches, for HTTPRoute and GRPCRoute alike.
pub(super) fn headers(entries: &[FieldMatch], at: &str, faults: &mut Vec<Remark>) -> Vec<Field<HeaderName>> {
    let mut fields: Vec<Field<HeaderName>> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let at = format!("{at}.headers[{index}]");
        match HeaderName::new(&entry.name) {
            Ok(name) if fields.iter().any(|field| field.name == name) => {}
            Ok(name) => fields.extend(text(entry, &at, faults).map(|value| Field::new(name, value))),
            Err(error) => faults.push(fault(&format!("{at}.name"), error.to_string(), "correct the name")),
        }
    }
    fields
}

fn query(entries: &[FieldMatch], at: &str, faults: &mut Vec<Remark>) -> Vec<Field<String>> {
    let mut fields: Vec<Field<String>> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let at = format!("{at}.queryParams[{index}]");
        if !fields.iter().any(|field| field.name == entry.name) {
            fields.extend(text(entry, &at, faults).map(|value| Field::new(entry.name.clone(), value)));
        }
    }
    fields
}

fn text(entry: &FieldMatch, at: &str, faults: &mut Vec<Remark>) -> Option<TextMatch> {
    let (why, remedy) = match &entry.match_type {
        TextMatchType::Exact => return Some(TextMatch::Exact(entry.value.clone())),
        TextMatchType::RegularExpression => match Regex::new(&entry.value) {
            Ok(regex) => return Some(TextMatch::Regex(regex)),
            Err(error) => (error.to_string(), "correct the expression"),
        },
        TextMatchType::Other(other) => (format!("type {other:?} is not known"), "use Exact or RegularExpression"),
    };
    faults.push(fault(at, why, remedy));
    None
}

/// Something that makes its rule invalid.
pub(super) fn fault(at: &str, message: String, remedy: &str) -> Remark {
    Remark::error(UNSUPPORTED_VALUE, at, message, remedy)
}
