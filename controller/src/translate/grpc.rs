// SPDX-License-Identifier: Apache-2.0
//! Matches of GRPCRoute rules, as paths: a gRPC call is a POST to `/{service}/{method}`
//! (gRPC over HTTP/2, "Requests"). Both are case-sensitive.

use torana_crds::route::{GrpcMatch, GrpcMethodMatch, TextMatchType};
use torana_ir::{PathMatch, Regex, RouteMatch};

use crate::report::Remark;
use crate::translate::matches::{everything, fault, headers};

/// One element of a path: any service, or any method.
const ANY: &str = "[^/]+";

/// The matches of a rule that can be read; what is wrong with others goes to `faults`.
pub(super) fn grpc(matches: &[GrpcMatch], rule: &str, faults: &mut Vec<Remark>) -> Vec<RouteMatch> {
    if matches.is_empty() {
        return vec![everything()];
    }
    let entries = matches.iter().enumerate();
    entries.filter_map(|(index, entry)| one(entry, &format!("{rule}.matches[{index}]"), faults)).collect()
}

fn one(entry: &GrpcMatch, at: &str, faults: &mut Vec<Remark>) -> Option<RouteMatch> {
    let before = faults.len();
    let path = match &entry.method {
        None => Some(everything().path),
        Some(method) => {
            let remedy = "give a service, a method or both";
            path(method).map_err(|why| faults.push(fault(&format!("{at}.method"), why, remedy))).ok()
        }
    };
    let headers = headers(&entry.headers, at, faults);
    (faults.len() == before).then_some(RouteMatch { headers, ..RouteMatch::of(path?) })
}

fn path(entry: &GrpcMethodMatch) -> Result<PathMatch, String> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (service, method) = (given(&entry.service), given(&entry.method));
    match (&entry.match_type, service, method) {
        (TextMatchType::Other(other), ..) => Err(format!("type {other:?} is not known")),
        (_, None, None) => Err("neither service nor method is given".to_owned()),
        (TextMatchType::Exact, service, method) => exact(service.as_deref(), method.as_deref()),
        (TextMatchType::RegularExpression, service, method) => {
            let part = |text: Option<String>| match text {
                // Each alone first: parentheses must not be closed from inside.
                Some(text) => Regex::new(&text).map(|_| format!("(?:{text})")).map_err(|error| error.to_string()),
                None => Ok(ANY.to_owned()),
            };
            expression(&part(service)?, &part(method)?)
        }
    }
}

fn exact(service: Option<&str>, method: Option<&str>) -> Result<PathMatch, String> {
    for name in [service, method].into_iter().flatten() {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.');
        if !plain || name == "." || name == ".." {
            return Err(format!("{name:?} is not the name of a service or method"));
        }
    }
    match (service, method) {
        (Some(service), Some(method)) => Ok(PathMatch::Exact(format!("/{service}/{method}"))),
        (Some(service), None) => Ok(PathMatch::Prefix(format!("/{service}"))),
        (None, Some(method)) => expression(ANY, &regex::escape(method)),
        (None, None) => Err("neither service nor method is given".to_owned()),
    }
}

fn expression(service: &str, method: &str) -> Result<PathMatch, String> {
    Regex::new(&format!("/{service}/{method}")).map(PathMatch::Regex).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(match_type: TextMatchType, service: &str, method: &str) -> Result<PathMatch, String> {
        let given = |text: &str| Some(text.to_owned());
        path(&GrpcMethodMatch { match_type, service: given(service), method: given(method) })
    }

    fn matches(path: &PathMatch, text: &str) -> bool {
        matches!(path, PathMatch::Regex(regex) if regex.is_match(text))
    }

    #[test]
    fn exact_names_become_paths() {
        let exact = |service, method| read(TextMatchType::Exact, service, method).unwrap();
        assert_eq!(exact("a.B", "C"), PathMatch::Exact("/a.B/C".into()));
        assert_eq!(exact("a.B", ""), PathMatch::Prefix("/a.B".into()));
        let method = exact("", "C");
        assert!(matches(&method, "/x.Y/C") && !matches(&method, "/x/y/C") && !matches(&method, "/x/CC"));
    }

    #[test]
    fn expressions_match_service_and_method_each_as_a_whole() {
        let both = read(TextMatchType::RegularExpression, "a|b", "c|d").unwrap();
        assert!(matches(&both, "/a/d") && matches(&both, "/b/c") && !matches(&both, "/a") && !matches(&both, "/xa/d"));
        let service = read(TextMatchType::RegularExpression, "a.*", "").unwrap();
        assert!(matches(&service, "/abc/any") && !matches(&service, "/b/any"));
    }

    #[test]
    fn what_is_no_method_is_refused() {
        for (service, method) in [("", ""), ("a/b", "c"), ("a", "b c"), ("..", "x")] {
            assert!(read(TextMatchType::Exact, service, method).is_err(), "{service} {method}");
        }
        assert!(read(TextMatchType::RegularExpression, "a)|(b", "").is_err());
        assert!(read(TextMatchType::Other("Prefix".into()), "a", "b").is_err());
    }
}
